"""A training begins with drawn weights, or with those of a run or a model."""

import json
from importlib.resources import files
from pathlib import Path

import dataset
import jax
import numpy as np
import pytest

from sirtjax import networks, segmentation, train
from sirtjax.errors import ModelError
from sirtjax.train._config import plain
from sirtjax.train._initial import initial_variables
from sirtjax.train._loop import BEST
from sirtjax.train._state_file import save_tree

SMALL = ["network.features=[2,3]", "data.synthesis.shape=[16,16,16]"]
CONFIG = train.load_training("liver-synthetic", overrides=SMALL)
LEARNED = networks.initialise(CONFIG.network, seed=3)


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"config": plain(CONFIG)}))
    save_tree(folder / BEST, LEARNED, {**plain(CONFIG), "step": 40, "dsc": 0.5})
    return folder


def begun_with(weights, *changes):
    config = train.load_training("liver-synthetic", overrides=[*SMALL, *changes, f"weights={weights}"])
    return initial_variables(config)


def test_weights_are_drawn_by_the_seed():
    jax.tree.map(
        np.testing.assert_array_equal, initial_variables(CONFIG), networks.initialise(CONFIG.network, seed=CONFIG.seed)
    )


def test_it_begins_with_a_run(run):
    jax.tree.map(np.testing.assert_array_equal, begun_with(run), LEARNED)


def test_it_begins_with_a_model(run, tmp_path, monkeypatch):
    monkeypatch.setenv("SIRTJAX_MODELS", str(tmp_path / "models"))
    model, _ = train.model_of_run(run, name="mine")
    segmentation.save_model(tmp_path / "models" / "mine", model)
    jax.tree.map(np.testing.assert_array_equal, begun_with("mine"), LEARNED)
    jax.tree.map(np.testing.assert_array_equal, begun_with(tmp_path / "models" / "mine"), LEARNED)


def test_a_folder_is_not_in_the_way_of_the_model_of_its_name(run, tmp_path, monkeypatch):
    monkeypatch.setenv("SIRTJAX_MODELS", str(tmp_path / "models"))
    segmentation.save_model(tmp_path / "models" / "mine", train.model_of_run(run, name="mine")[0])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    jax.tree.map(np.testing.assert_array_equal, begun_with("mine"), LEARNED)
    with pytest.raises(ModelError, match=r"mine: is a run without best\.npz"):
        begun_with("./mine")
    # A path in a training file of this folder remains a path.
    recipe = (Path(str(files("sirtjax.configs"))) / "training" / "liver-synthetic.toml").read_text()
    Path("recipe.toml").write_text('weights = "./mine"\n' + recipe)
    with pytest.raises(ModelError, match=r"mine: is a run without best\.npz"):
        initial_variables(train.load_training("recipe.toml", overrides=SMALL))
    jax.tree.map(np.testing.assert_array_equal, begun_with(run.name), LEARNED)


def test_another_network_is_refused(run):
    with pytest.raises(ModelError, match="another network"):
        begun_with(run, "network.features=[2,4]")


def test_a_name_that_is_no_model_is_refused():
    with pytest.raises(ModelError, match="no model is named 'nobody'"):
        begun_with("nobody")


def test_an_ensemble_is_refused(run, tmp_path):
    model, _ = train.model_of_run(run, name="mine")
    double = segmentation.Model(spec=model.spec, folds=model.folds * 2)
    segmentation.save_model(tmp_path / "double", double)
    with pytest.raises(ModelError, match="ensemble of 2"):
        begun_with(tmp_path / "double")


def test_a_folder_is_meant_from_the_training_file(tmp_path, run):
    recipe = (Path(str(files("sirtjax.configs"))) / "training" / "liver-synthetic.toml").read_text()
    (tmp_path / "recipes").mkdir()
    file = tmp_path / "recipes" / "mine.toml"
    file.write_text(f'weights = "../{run.name}"\n' + recipe)
    config = train.load_training(str(file), overrides=SMALL)
    jax.tree.map(np.testing.assert_array_equal, initial_variables(config), LEARNED)


def trained_as(folder, *, classes, regions=False):
    """A training of the small network on files, for channels of other kinds."""
    table = dataset.training(folder, folder, loss={"regions": regions}, network={"classes": classes})
    names = ["liver", "tumour", "vessel"][: classes if regions or classes == 1 else classes - 1]
    return {**table, "classes": [{"name": name, "values": [n]} for n, name in enumerate(names, start=1)]}


def begun_with_other_channels(folder, old, new):
    """The initial weights of a training from a saved model, and the weights of that model."""
    known = train.training_from_dict(trained_as(folder, **old), source="old")
    learned = networks.initialise(known.network, seed=3)
    (folder / "run").mkdir(exist_ok=True)
    (folder / "run" / "config.json").write_text(json.dumps({"config": plain(known)}))
    save_tree(folder / "run" / BEST, learned, {**plain(known), "step": 40, "dsc": 0.5})
    segmentation.save_model(folder / "model", train.model_of_run(folder / "run", name="mine")[0], force=True)
    made = [
        train.training_from_dict({**trained_as(folder, **new), "weights": str(folder / place)}, source="new")
        for place in ("run", "model")
    ]
    return [initial_variables(one) for one in made], learned


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ({"classes": 1}, {"classes": 2}, "1 channels have a sigmoid each and no background, the 2 of this training"),
        ({"classes": 1}, {"classes": 2, "regions": True}, "further ones of network.classes = 2 would begin; train"),
        ({"classes": 2, "regions": True}, {"classes": 2}, "have a softmax with the background first; use the classes"),
        ({"classes": 2}, {"classes": 2, "regions": True}, "2 channels have a softmax with the background first, the 2"),
        ({"classes": 2}, {"classes": 3, "regions": True}, "2 channels have a softmax with the background first, the 3"),
    ],
)
def test_channels_that_mean_something_else_are_refused(old, new, complaint, tmp_path):
    with pytest.raises(ModelError, match=complaint):
        begun_with_other_channels(tmp_path, old, new)


@pytest.mark.parametrize("kind", [{"classes": 1}, {"classes": 2}, {"classes": 2, "regions": True}])
def test_channels_of_the_same_kind_are_taken_as_they_are(kind, tmp_path):
    found, learned = begun_with_other_channels(tmp_path, kind, kind)
    for one in found:
        jax.tree.map(np.testing.assert_array_equal, one, learned)


def test_a_run_before_its_first_validation_is_refused(run):
    (run / BEST).unlink()
    with pytest.raises(ModelError, match=r"run: is a run without best\.npz, which its first validation writes"):
        begun_with(run)


@pytest.mark.slow
def test_further_classes_begin_as_parts_of_the_background(run):
    config = train.load_training("liver-neighbours-synthetic", overrides=[*SMALL, f"weights={run}"])
    image = jax.random.normal(jax.random.key(1), (1, 16, 16, 16, 1))

    def probabilities(network, variables):
        return np.asarray(jax.nn.softmax(networks.apply(network, variables, image), axis=-1))

    found = probabilities(config.network, initial_variables(config))
    given = probabilities(CONFIG.network, LEARNED)
    assert found.shape[-1] == 12
    np.testing.assert_allclose(found[..., 1], given[..., 1], atol=1e-6)
    np.testing.assert_allclose(found[..., 0] * 11, given[..., 0], atol=1e-6)
    np.testing.assert_allclose(found[..., 2:], np.repeat(found[..., :1], 10, axis=-1), atol=1e-7)
