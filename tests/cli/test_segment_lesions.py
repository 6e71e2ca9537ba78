"""From a training inside the liver to `sirtjax segment lesions`."""

import json
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from sirtjax import io, networks, segmentation, train
from sirtjax.networks import PlainConvUNetConfig
from sirtjax.postprocess import LargestComponent
from sirtjax.preprocess import FixedPreprocessing, IntensityScale
from sirtjax.segmentation import Model, ModelSpec, Tiles, _model_library
from sirtjax.train._config import plain
from sirtjax.train._loop import BEST
from sirtjax.train._state_file import save_tree
from sirtjax.volume import Geometry, LabelMap, Volume

sys.path.append(str(Path(__file__).parents[1] / "train"))
import dataset

GRID = Geometry.from_axes((48, 44, 24), spacing_mm=(2.5, 2.5, 5.0), origin_mm=(-60, -55, 140))
TRAINING = """
schema = 2
task = "lesions"
source = "test"
classes = [{ name = "lesion", values = [2] }]
loss = { terms = [{ kind = "soft-dice" }] }
optimiser = { kind = "adam", learning_rate = 0.02 }
trainer = { epochs = 30, batch_size = 2, validate_every_epochs = 10 }
[network]
architecture = "plain-conv-unet"
classes = 2
features = [4, 8]
convolutions = [1, 1]
decoder_convolutions = [1]
deep_supervision = false
[data]
kind = "files"
path = "data"
cache = "cache"
patch_shape = [16, 16, 16]
validation = 0.4
threads = 1
median = true
mask = { values = [1, 2], margin_mm = 6.0 }
preprocessing = { spacing_mm = [2.0, 2.0, 3.0], intensities = [{ modality = "CT", window = [-200.0, 200.0] }] }
"""


def training_file(folder):
    dataset.nnunet(folder / "data")
    (folder / "t.toml").write_text(TRAINING)
    return folder / "t.toml"


@pytest.fixture
def call(run, monkeypatch):
    from sirtjax.cli import _console
    from sirtjax.cli import train as verb

    monkeypatch.setattr(verb, "use_compilation_cache", lambda: None)
    monkeypatch.setattr(_console, "use_compilation_cache", lambda: None)
    return run


@pytest.fixture
def exported(call, tmp_path):
    """The folder of a model made of a run whose weights nobody trained."""
    config = train.load_training(str(training_file(tmp_path)))
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"config": plain(config)}))
    variables = networks.initialise(config.network, seed=2)
    save_tree(folder / BEST, variables, {**plain(config), "step": 9, "dsc": 0.1})
    done = call("train", "export", folder, "--name", "mine", "-o", tmp_path / "model")
    assert done.code == 0, done.err
    return tmp_path / "model"


def scene():
    i, j, k = np.indices(GRID.shape)
    labels = np.zeros(GRID.shape, np.uint8)
    labels[((i - 24) / 14) ** 2 + ((j - 22) / 13) ** 2 + ((k - 12) / 8) ** 2 < 1] = 1
    labels[((i - 28) / 4) ** 2 + ((j - 22) / 4) ** 2 + ((k - 12) / 2) ** 2 < 1] = 2
    hu = np.where(((i - 24) / 22) ** 2 + ((j - 22) / 20) ** 2 < 1, np.array([-60.0, 110.0, 30.0])[labels], -1000.0)
    return (hu + np.random.default_rng(0).normal(0, 8, GRID.shape)).astype("f4"), labels


@pytest.fixture
def images(tmp_path):
    hu, labels = scene()
    io.write_nifti(tmp_path / "ct.nii.gz", Volume(hu, GRID, unit="HU"))
    io.write_nifti(tmp_path / "liver.nii.gz", LabelMap.from_mask(labels > 0, GRID, name="liver"))
    both = LabelMap(labels, GRID, names=((1, "liver"), (2, "tumour")))
    io.write_nifti(tmp_path / "both.nii.gz", both)
    plain_names = LabelMap(labels, GRID, names=((1, "Organ"), (2, "tumour")))
    io.write_nifti(tmp_path / "named.nii.gz", plain_names)
    empty = LabelMap(np.zeros(GRID.shape, np.uint8), GRID, names=((1, "liver"),))
    io.write_nifti(tmp_path / "empty.nii.gz", empty)
    far = Geometry.from_axes(GRID.shape, spacing_mm=GRID.spacing_mm, origin_mm=(-60, -55, 500))
    io.write_nifti(tmp_path / "other.nii.gz", LabelMap.from_mask(labels > 0, far, name="liver"))
    return tmp_path


def threshold(variables, tiles):
    logit = tiles[..., 0] * 60
    return jnp.stack([jnp.zeros_like(logit), logit], axis=-1)


@pytest.fixture
def liver_model(monkeypatch):
    """The installed model "liver" takes what is above 0 HU; all other networks are what they are."""
    spec = ModelSpec(
        name="liver",
        task="liver",
        modalities=("CT",),
        labels={"liver": 1},
        network=PlainConvUNetConfig(features=(2, 2), classes=2),
        preprocessing=FixedPreprocessing(
            spacing_mm=(2.5, 2.5, 5), intensities=(IntensityScale(modality="CT", window=(-200, 200)),)
        ),
        tiles=Tiles(shape=(24, 24, 20)),
        postprocess=(LargestComponent(),),
    )
    model = Model(spec=spec, folds=({"none": np.float32(0)},))
    load, function = segmentation.load_model, segmentation.network_function

    class Entry:
        name = "liver"

    for place in (segmentation, _model_library):
        monkeypatch.setattr(place, "list_models", lambda: (Entry(),))
        monkeypatch.setattr(place, "load_model", lambda name: model if str(name) == "liver" else load(name))
    monkeypatch.setattr(
        "sirtjax.segmentation._fixed_model.network_function",
        lambda config: threshold if config == spec.network else function(config),
    )


@pytest.mark.slow
def test_an_exported_run_segments_in_a_liver_given_or_found(call, exported, images, liver_model):
    told = {}
    for name, options in {
        "given": ["--liver", images / "liver.nii.gz"],
        "both": ["--liver", images / "both.nii.gz"],
        "named": ["--liver", images / "named.nii.gz", "--liver-name", "organ"],
        "found": [],
    }.items():
        out = images / f"{name}-lesions.nii.gz"
        options = ["--modality", "CT", "--model", exported, "--json", *options]
        done = call("segment", "lesions", images / "ct.nii.gz", "-o", out, *options)
        assert done.code == 0, done.err
        told[name] = json.loads(done.out)["liver"]
        draft = "in an unreviewed liver mask of the model 'liver', " in " ".join(done.err.split())
        assert draft == (name == "found")
        assert ("check the liver: " in done.err) == (name == "found")
    assert told["given"]["method"] == "given" and told["given"]["verified"] is None
    assert told["found"]["method"] == "liver" and told["found"]["verified"] is False
    assert [flag["code"] for flag in told["found"]["flags"]] == ["volume"]
    assert told["both"] == told["named"] == told["given"]
    assert told["found"]["volume_ml"] == pytest.approx(told["given"]["volume_ml"], rel=0.05)
    masks = {name: _mask(images / f"{name}-lesions.nii.gz") for name in told}
    for name in ("both", "named"):
        np.testing.assert_array_equal(masks["given"], masks[name])
    # A network with weights at random says something; nothing of it lies away from the liver.
    assert masks["given"].any() and masks["found"].any()
    near = ndimage.distance_transform_edt(scene()[1] == 0, sampling=GRID.spacing_mm) < 6 + 5
    assert not (masks["given"] & ~near).any() and not (masks["found"] & ~near).any()


def _mask(path):
    return np.asarray(io.read_nifti_array(path)[0]) > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "the model 'mine' does not find the liver; add --liver MASK"),
        (["--liver", "empty.nii.gz"], "empty.nii.gz"),
        (["--liver", "other.nii.gz"], "of the liver's mask 0% is in the image; use the mask contoured on this"),
        (["--liver-name", "liver"], "--liver-name selects one of the masks of --liver; add --liver or omit it"),
        (["--liver", "named.nii.gz"], "contains the masks Organ, tumour; choose the liver with --liver-name"),
        (["--liver", "nothing.nii.gz"], "nothing.nii.gz: no such file"),
        (["--liver", "liver.nii.gz", "--min-volume-ml", "-1"], "min-volume-ml"),
    ],
)
def test_what_can_t_be_done_is_one_line(call, exported, images, monkeypatch, options, message):
    for place in (segmentation, _model_library):
        monkeypatch.setattr(place, "list_models", lambda: ())
    options = [images / one if one.endswith(".gz") else one for one in options]
    out = images / "out.nii.gz"
    done = call(
        "segment", "lesions", images / "ct.nii.gz", "-o", out, "--modality", "CT", "--model", exported, *options
    )
    assert (done.code, done.out) == (2, "")
    assert message in (done.err if "--min-volume-ml" in options else done.err.splitlines()[-1])
    assert not out.exists()


@pytest.mark.slow
def test_a_training_inside_the_liver_finds_lesions(call, tmp_path):
    # A median over 27 voxels leaves little of tumours of 3 x 3 x 2. Half as many epochs end on the way up.
    words = ["--set", "data.median=false", "--set", "trainer.epochs=60", "--json"]
    done = call("train", "segmentation", training_file(tmp_path), "-o", tmp_path / "run", *words)
    assert done.code == 0, done.err
    assert json.loads(done.out)["best_dsc"] > 0.9
    done = call("train", "export", tmp_path / "run", "--name", "mine", "-o", tmp_path / "model")
    assert done.code == 0, done.err
    hu, labels = dataset.case(11)
    grid = Geometry.from_axes(hu.shape, spacing_mm=(2, 2, 4), origin_mm=(-20, -20, 0))
    io.write_nifti(tmp_path / "ct.nii.gz", Volume(hu, grid, unit="HU"))
    io.write_nifti(tmp_path / "liver.nii.gz", LabelMap.from_mask(labels > 0, grid, name="liver"))
    options = ["--liver", tmp_path / "liver.nii.gz", "--modality", "CT", "--model", tmp_path / "model"]
    done = call("segment", "lesions", tmp_path / "ct.nii.gz", "-o", tmp_path / "out.nii.gz", *options)
    assert done.code == 0, done.err
    found = _mask(tmp_path / "out.nii.gz")
    assert 2 * (found & (labels == 2)).sum() / (found.sum() + (labels == 2).sum()) > 0.9
