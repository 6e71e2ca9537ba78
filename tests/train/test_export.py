"""A training run becomes a model that segments."""

import json
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax import networks, preprocess, segmentation, synthesis, train
from sirtjax.cli.main import main
from sirtjax.errors import ConfigError, ImageFormatError
from sirtjax.postprocess import FillHoles, LargestComponent, RemoveSmall
from sirtjax.train._config import plain
from sirtjax.train._loop import BEST, STATE
from sirtjax.train._state import first_state
from sirtjax.train._state_file import save_tree
from sirtjax.train._tile_shape import tile_shape
from sirtjax.volume import Geometry, LabelMap, Volume

CONFIG = train.load_training("liver-synthetic", overrides=["network.features=[2,3]", "data.synthesis.shape=[16,16,16]"])


def untrained(folder, *, config=CONFIG, seed=3, step=40):
    """The folder of a run after a validation, with weights that nobody trained."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"config": plain(config)}))
    variables = networks.initialise(config.network, seed=seed)
    save_tree(folder / BEST, variables, {**plain(config), "step": step, "dsc": 0.5})
    return folder


@pytest.fixture
def run(tmp_path):
    return untrained(tmp_path / "run")


@pytest.mark.parametrize(("modality", "is_ct"), [("CT", True), ("MR", False)])
def test_livers_are_shown_to_lesion_models_as_in_random_samples(modality, is_ct):
    preset = synthesis.load_preset("lesions")
    how = synthesis.preprocessing_for(preset)
    grid = Geometry.from_axes((20, 18, 16), spacing_mm=(preset.spacing_mm,) * 3)
    assert how.spacing_mm == grid.spacing_mm
    draw = np.random.default_rng(4)
    # Blocks of two voxels: samples take the median of every second one along each axis.
    values = draw.normal(70, 40, (10, 9, 8)) if is_ct else draw.gamma(2.0, 200.0, (10, 9, 8))
    image = values.astype("f4").repeat(2, 0).repeat(2, 1).repeat(2, 2)
    inside = np.zeros(grid.shape, bool)
    inside[4:14, 4:14, 4:12] = True
    volume = Volume(image, grid, unit="HU" if is_ct else "1")
    around = partial(segmentation.around_organ, LabelMap.from_mask(inside, grid, name="liver"))
    case = preprocess.prepare_fixed([volume], how=how, modality=modality, around=around)
    seen = around(grid, preset.inside.margin_mm)
    expected = synthesis.scale_sample(
        *(jnp.asarray(array) for array in (image, seen, inside)), preset, ct=jnp.bool_(is_ct)
    )
    np.testing.assert_allclose(case.scaled()[..., 0], np.asarray(expected)[case.box], atol=1e-4)
    assert np.ptp(expected[inside]) > 1.5 and inside.sum() < seen.sum() < seen.size
    assert case.image.shape[:3] == tuple(np.ptp(axis) + 1 for axis in np.nonzero(seen))


def test_a_run_becomes_a_model(run):
    model, about = train.model_of_run(run, name="mine", licence="CC0-1.0")
    assert about["step"] == 40 and about["dsc"] == 0.5
    spec = model.spec
    assert (spec.name, spec.task, spec.modalities, spec.licence) == ("mine", "liver", ("CT", "MR"), "CC0-1.0")
    assert spec.labels == {"liver": 1} and spec.activation == "softmax"
    assert spec.tiles.shape == (16, 16, 16) and spec.preprocessing.spacing_mm == (5.0, 5.0, 5.0)
    jax.tree.map(np.testing.assert_array_equal, model.folds[0], networks.initialise(CONFIG.network, seed=3))


def test_the_verb_writes_a_model_that_can_be_read(run, tmp_path, capsys):
    licence = tmp_path / "LICENCE"
    licence.write_text("do what you like")
    target = tmp_path / "model"
    command = ["train", "export", str(run), "--name", "mine", "-o", str(target), "--licence-file", str(licence)]
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 0
    assert "mine: step 40, validation DSC 0.5000" in capsys.readouterr().err
    assert segmentation.read_model(target).spec.name == "mine"


@pytest.mark.parametrize("name", ["site liver", "-x", "my/../x", "", "lebér", "mine\n"])
def test_a_name_that_no_model_can_have_is_refused_before_the_weights_are_read(run, tmp_path, capsys, name):
    for export in (
        lambda: train.model_of_run(tmp_path, name=name),
        lambda: train.model_of_runs([tmp_path], name=name),
        lambda: train.model_of_joint_run(tmp_path, name=name),
    ):
        with pytest.raises(ConfigError, match=r"the name of the model is .*expected letters"):
            export()
    with pytest.raises(SystemExit) as ended:
        main(["train", "export", str(run), f"--name={name}", "-o", str(tmp_path / "model")])
    assert ended.value.code == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "expected letters (A-Z, a-z), digits, '.', '_' and '-', beginning with a letter or digit" in told
    assert not (tmp_path / "model").exists()


DEEPMEDIC = [
    "network.features=[[1,1,1,1,1,1,1,1,1,1],[1,1,1,1,1,1,1,1,1,1],[1,1,1,1,1,1,1,1,1,1]]",
    "network.combined=[2,2]",
]
TINY = {
    "thesis-lesions-3mm-ct": ["network.features=[2,2,2,2]"],
    "thesis-lesions-ct": ["network.features=[2,2,2,2]"],
    "thesis-lesions-generalised": ["network.features=[2,2,2,2]"],
    "lesions-synthetic": ["network.features=[2,2,2,2,2]"],
    "thesis-lesions-mr": ["network.features=[2,2,2,2]"],
    "thesis-liver-synthetic": ["network.features=[2,2,2,2]"],
    "thesis-liver-deepmedic-ct": DEEPMEDIC,
    "thesis-liver-deepmedic-synthetic": DEEPMEDIC,
}


def made_of(recipe, folder, *overrides):
    data = () if recipe.endswith("-synthetic") else ("data.path=nowhere",)
    config = train.load_training(recipe, overrides=[*TINY.get(recipe, ()), *data, *overrides])
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"config": plain(config)}))
    save_tree(folder / BEST, networks.initialise(config.network, seed=3), {**plain(config), "step": 1, "dsc": 0.1})
    return train.model_of_run(folder, name="mine")[0]


@pytest.mark.parametrize(
    ("recipe", "spacing_mm", "tile", "output"),
    [
        ("thesis-lesions-3mm-ct", (3, 3, 3), (189, 162, 162), (163, 136, 136)),
        ("thesis-lesions-ct", (1, 1, 3), (180, 172, 86), (92, 84, 42)),
        ("thesis-lesions-generalised", (1, 1, 3), (180, 172, 86), (92, 84, 42)),
    ],
)
def test_lesions_inside_the_liver(tmp_path, recipe, spacing_mm, tile, output):
    """The thesis' figures (chapter 7), and what is chosen for what it leaves open."""
    spec = made_of(recipe, tmp_path / "run").spec
    how = spec.preprocessing
    assert (how.mask, how.median) == (preprocess.OrganMask(organ="liver", margin_mm=6.0), False)
    assert how.spacing_mm == spacing_mm and how.intensities[0].window == (-200, 200)
    assert (spec.tiles.shape, spec.tiles.overlap) == (tile, 0.5)
    assert networks.output_shape(spec.network, spec.tiles.shape) == output
    assert spec.labels == {"lesion": 1} and segmentation.labels_for_structure(spec, "lesions") == ("lesion",)
    assert spec.postprocess == (RemoveSmall(min_volume_ml=0.1),)
    assert spec.detectability is None  # patients have taught it what noise is
    assert spec.mirror_axes == (0, 1)


@pytest.mark.parametrize(("recipe", "labels"), [("liver-synthetic", None), ("liver-neighbours-synthetic", ("liver",))])
def test_only_the_liver_is_one_component(tmp_path, recipe, labels):
    """Kidneys and lungs, which a network of several structures finds, have two."""
    spec = made_of(recipe, tmp_path / "run").spec
    assert spec.postprocess == (LargestComponent(labels=labels), FillHoles())


def test_lesions_of_random_phantoms_have_limits_of_their_contrast(tmp_path):
    """A network that has seen no image of a patient takes the noise of some for lesions."""
    spec = made_of("lesions-synthetic", tmp_path / "run").spec
    assert spec.detectability == segmentation.load_model("lesions").spec.detectability
    assert spec.detectability == segmentation.LesionDetectability(least_contrast_hu=16.0)


@pytest.mark.parametrize("recipe", ["thesis-lesions-mr", "thesis-lesions-generalised"])
def test_mr_of_lesions_is_relative_to_the_median_of_the_liver(tmp_path, recipe):
    """As in the thesis: the median of the liver becomes 0, whatever the scale and the air around the patient."""
    how = made_of(recipe, tmp_path / "run").spec.preprocessing
    scale = next(one for one in how.intensities if one.modality == "MR")
    rng = np.random.default_rng(4)
    liver = np.zeros((12, 12, 12), bool)
    liver[3:9, 3:9, 3:9] = True
    for gain, air in [(1.0, 0), (7.5, 4)]:
        image = np.pad(gain * np.where(liver, rng.uniform(80, 120, liver.shape), 300.0), air).astype(np.float32)
        low, high = preprocess.intensity_window(image, scale, organ=np.pad(liver, air))
        scaled = (image - low) / (high - low) - 0.5
        assert abs(np.median(scaled[np.pad(liver, air)])) < 1e-6
        assert low == 0 and scale.output == (-0.5, 0.5) and scale.unseen == -0.5


def test_deepmedic_takes_more_at_once_than_in_training(tmp_path):
    spec = made_of("thesis-liver-deepmedic-ct", tmp_path / "run").spec
    assert (spec.preprocessing.median, spec.preprocessing.mask) == (True, None)
    assert (spec.tiles.shape, spec.tiles.overlap) == ((345, 345, 345), 0.0)
    assert networks.output_shape(spec.network, spec.tiles.shape) == (45, 45, 45)
    assert (spec.activation, spec.labels) == ("sigmoid", {"liver": 1})


@pytest.mark.parametrize(
    ("recipe", "tile", "overlap", "activation"),
    [
        ("thesis-liver-synthetic", (189, 162, 162), 0.5, "softmax"),
        ("thesis-liver-deepmedic-synthetic", (168, 168, 168), 0.0, "sigmoid"),
    ],
)
def test_networks_of_the_thesis_trained_with_random_phantoms(tmp_path, recipe, tile, overlap, activation):
    spec = made_of(recipe, tmp_path / "run").spec
    assert (spec.tiles.shape, spec.tiles.overlap) == (tile, overlap)
    assert spec.preprocessing == synthesis.preprocessing_for(
        synthesis.load_preset("hard").model_copy(update={"spacing_mm": 3.0})
    )
    assert (spec.activation, spec.labels) == (activation, {"liver": 1})
    assert spec.modalities == ("CT", "MR") and spec.postprocess == (LargestComponent(), FillHoles())


def test_tiles_of_deepmedic_are_not_too_large():
    table = {"architecture": "deepmedic", "classes": 1, "factors": [1, 3], "features": [[2]] * 2, "combined": [2]}
    config = networks.network_config(table)
    assert tile_shape(config, (21, 30, 66)) == (51, 54, 66)  # outputs 15, 24 and 60: times 3, 2 and 1


@pytest.mark.slow
def test_what_deepmedic_says_does_not_depend_on_what_it_takes_at_once():
    table = {"architecture": "deepmedic", "classes": 1, "factors": [1, 3], "features": [[2, 2]] * 2, "combined": [2]}
    config = networks.network_config(table)
    variables = networks.initialise(config, seed=1)
    assert networks.output_shape(config, (15, 18, 15)) == (3, 6, 3)
    assert tile_shape(config, (15, 18, 15)) == (21, 30, 21)
    image = np.random.default_rng(0).normal(0, 0.1, (1, 21, 30, 21, 1)).astype("f4")
    apply = jax.jit(lambda image: networks.apply(config, variables, image))
    large, small = apply(image), apply(image[:, 3:18, 3:21, 6:21])
    np.testing.assert_allclose(large[:, 3:6, 3:9, 6:9], small, atol=1e-5)
    assert np.std(small) > 1e-4


def test_a_run_on_several_images_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"run: its network takes 2 images of a patient together, .* one; train on"):
        made_of("thesis-lesions-3mm-ct", tmp_path / "run", "network.channels=2")


def test_the_last_weights_are_taken_on_request(run):
    drawn = networks.initialise(CONFIG.network, seed=4)
    state = first_state(networks.initialise(CONFIG.network, seed=5), optimiser=CONFIG.optimiser, seed=0)
    state = replace(state, step=np.int32(60), average=drawn["params"])
    save_tree(run / STATE, state, {})
    model, about = train.model_of_run(run, name="mine", last=True)
    assert about == {"step": 60}
    jax.tree.map(np.testing.assert_array_equal, model.folds[0]["params"], drawn["params"])


def test_several_runs_become_the_mean_of_their_weights(run, tmp_path, capsys):
    others = [untrained(tmp_path / f"run{seed}", seed=seed, step=10 * seed) for seed in (4, 8)]
    target = tmp_path / "model"
    with pytest.raises(SystemExit) as ended:
        main(["train", "export", str(run), *map(str, others), "--name", "mine", "-o", str(target)])
    assert ended.value.code == 0
    assert "mine: step 40 and 40 and 80; written" in capsys.readouterr().err
    drawn = [networks.initialise(CONFIG.network, seed=seed) for seed in (3, 4, 8)]
    mean = jax.tree.map(lambda *arrays: sum(np.float64(one) for one in arrays) / 3, *drawn)
    found = segmentation.read_model(target).folds[0]
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, atol=1e-7), found, mean)


def test_runs_of_other_recipes_have_no_mean(run, tmp_path):
    wider = train.load_training(
        "liver-synthetic", overrides=["network.features=[2,4]", "data.synthesis.shape=[16,16,16]"]
    )
    finer = train.load_training(
        "liver-synthetic",
        overrides=["network.features=[2,3]", "data.synthesis.shape=[16,16,16]", "data.synthesis.spacing_mm=4.0"],
    )
    for name, config in (("wider", wider), ("finer", finer)):
        other = untrained(tmp_path / name, config=config)
        with pytest.raises(ConfigError, match=rf"{name}: makes another model than .*run does .* of one recipe"):
            train.model_of_runs([run, other], name="mine")


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="is not a run of training"):
        train.model_of_run(tmp_path, name="mine")


def test_a_run_without_a_validation_is_refused(run):
    (run / BEST).unlink()
    with pytest.raises(ImageFormatError, match="best"):
        train.model_of_run(run, name="mine")
