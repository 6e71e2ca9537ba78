"""A training run becomes a model that segments."""

import json

import jax
import numpy as np
import pytest

from sirtjax import networks, phantom, preprocess, segmentation, train
from sirtjax.cli.main import main
from sirtjax.errors import ConfigError, ImageFormatError
from sirtjax.train._config import plain
from sirtjax.train._loop import BEST
from sirtjax.train._state_file import save_tree

CONFIG = train.load_training("liver-synthetic", overrides=["network.features=[2,3]", "data.synthesis.shape=[16,16,16]"])


@pytest.fixture
def run(tmp_path):
    """The folder of a run after a validation, with weights that nobody trained."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"config": plain(CONFIG)}))
    variables = networks.initialise(CONFIG.network, seed=3)
    save_tree(folder / BEST, variables, {**plain(CONFIG), "step": 40, "dsc": 0.5})
    return folder


@pytest.mark.parametrize(("modality", "is_ct"), [("CT", True), ("MR", False)])
def test_images_are_scaled_as_random_samples_are(modality, is_ct):
    draw = np.random.default_rng(2)
    image = draw.normal(60, 300, (20, 18, 16)) if is_ct else draw.gamma(2.0, 200.0, (20, 18, 16))
    image = np.where(draw.random(image.shape) < 0.3, -1000 if is_ct else 3.0, image).astype("f4")
    # Samples take percentiles from every third voxel along each axis: here those are all there is.
    image = image.repeat(3, 0).repeat(3, 1).repeat(3, 2)
    how = train.synthetic_preprocessing(CONFIG.data.synthesis)
    (scale,) = (one for one in how.intensities if one.modality == modality)
    expected = phantom.normalised(image, np.ones(image.shape, bool), ct=is_ct)
    np.testing.assert_allclose(preprocess.scale_intensity(image, scale), expected, atol=0.01)
    assert np.ptp(expected) > 1.5


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


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="is no run of training"):
        train.model_of_run(tmp_path, name="mine")


def test_a_run_without_a_validation_is_refused(run):
    (run / BEST).unlink()
    with pytest.raises(ImageFormatError, match="best"):
        train.model_of_run(run, name="mine")
