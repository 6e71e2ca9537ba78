"""A training begins with drawn weights, or with those of a run or a model."""

import json
from importlib.resources import files
from pathlib import Path

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
