"""`sirtjax segment liver --with` from files to files, with a threshold as network and a known registration."""

import errno
import json

import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax import formats, io, registration, segmentation, spatial
from sirtjax.networks import PlainConvUNetConfig
from sirtjax.postprocess import LargestComponent
from sirtjax.preprocess import FixedPreprocessing, IntensityScale
from sirtjax.registration import RegistrationResult, Status
from sirtjax.segmentation import Model, ModelSpec, Tiles
from sirtjax.volume import Geometry, LabelMap, Volume

GRID = Geometry.from_axes((56, 48, 40), spacing_mm=(5.0, 5.0, 5.0), origin_mm=(-137.5, -117.5, -97.5))
FINE = Geometry.from_axes((70, 60, 50), spacing_mm=(4.0, 4.0, 4.0), origin_mm=(-125.0, -125.0, -88.0))
SHIFT_MM = np.array([12.0, -8.0, 9.0])
RADII_MM = np.array([70.0, 60.0, 50.0])
VOLUME_ML = 4 / 3 * np.pi * RADII_MM.prod() / 1000


def threshold(variables, tiles):
    logit = (tiles[..., 0] - variables["middle"]) * 60
    return jnp.stack([jnp.zeros_like(logit), logit], axis=-1)


def write(folder, name, geometry, centre_mm):
    points = spatial.voxel_centres_mm(geometry) - centre_mm
    liver = np.linalg.norm(points / RADII_MM, axis=-1) < 1
    hu = np.where((points[..., 0] / 120) ** 2 + (points[..., 1] / 100) ** 2 < 1, 40.0, -1000.0)
    hu[liver] = 150
    hu += np.random.default_rng(len(name)).normal(0, 4, geometry.shape)
    io.write_nifti(folder / f"{name}.nii.gz", Volume(hu.astype(np.float32), geometry, unit="HU"))
    io.write_labels(folder / f"{name}_liver.nii.gz", LabelMap.from_mask(liver, geometry, name="liver"))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    write(folder, "spect_ct", GRID, np.zeros(3))
    write(folder, "diagnostic", FINE, SHIFT_MM)
    return folder


@pytest.fixture
def found(monkeypatch):
    """What the registration finds: its shift and status. The installed liver model is a threshold."""
    state = {"shift_mm": SHIFT_MM, "status": Status.SUCCESS, "presets": []}

    def register(reference, floating, *, config):
        state["presets"].append(config)
        matrix = np.eye(4)
        matrix[:3, 3] = state["shift_mm"]
        transform = spatial.AffineTransform(matrix)
        return RegistrationResult(
            transform=transform,
            affine=transform,
            status=state["status"],
            notes=("a known shift",),
            stages=(),
            folding_fraction=0.0,
            quality={"final": {"similarity": 0.5}},
            config=config,
        )

    scale = IntensityScale(modality="CT", window=(-200, 200))
    spec = ModelSpec(
        name="bright",
        task="liver",
        modalities=("CT",),
        labels={"liver": 1},
        network=PlainConvUNetConfig(features=(2, 2), classes=2),
        preprocessing=FixedPreprocessing(spacing_mm=(5, 5, 5), intensities=(scale,)),
        tiles=Tiles(shape=(32, 32, 32)),
        mirror_axes=(0,),
        postprocess=(LargestComponent(),),
    )
    model = Model(spec=spec, folds=({"middle": np.float32(0.24)},))
    monkeypatch.setattr("sirtjax.segmentation._fixed_model.network_function", lambda config: threshold)
    monkeypatch.setattr("sirtjax.cli._console.use_compilation_cache", lambda: None)
    monkeypatch.setattr(segmentation, "load_model", lambda name: model)
    monkeypatch.setattr(registration, "register", register)
    return state


@pytest.fixture
def call(run, found, images, tmp_path):
    """Runs the command with the files of the patient, and more options."""

    def command(*options, output="liver.nii.gz", labels=True, modality=True):
        given = ["--with", images / "diagnostic.nii.gz"]
        given += ["--with-labels", images / "diagnostic_liver.nii.gz"] if labels else []
        given += ["--modality", "CT", "--with-modality", "CT"] if modality else []
        return run("segment", "liver", images / "spect_ct.nii.gz", "-o", tmp_path / output, *given, *options)

    return command


def test_liver_transform_and_record(call, found, images, tmp_path):
    done = call("--json", "--save-probabilities", "--preview", tmp_path / "look.png")
    assert done.code == 0, done.err
    assert "review it" not in done.err
    names = ("", "_probability", "_uncertainty")
    written = {f"liver{name}.nii.gz" for name in names} | {"liver_transform.h5", "liver_result.json", "look.png"}
    assert {path.name for path in tmp_path.iterdir()} == written
    told = json.loads(done.out)
    assert told == json.loads((tmp_path / "liver_result.json").read_text())
    (liver,) = formats.read_masks(tmp_path / "liver.nii.gz").values()
    (truth,) = formats.read_masks(images / "spect_ct_liver.nii.gz").values()
    a, b = liver.mask("liver"), truth.mask("liver")
    assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.98
    assert told["volume_ml"] == pytest.approx(VOLUME_ML, rel=0.02)
    assert told["method"] == "diagnostic image and bright" and told["verified"] is False and told["flags"] == []
    assert told["check"]["agreement"]["dsc"] > 0.95 and told["diagnostic"]["agreement"]["dsc"] > 0.95
    record = told["registration"]
    assert record["status"] == "success" and record["quality"] == {"final": {"similarity": 0.5}}
    assert record["provenance"]["preset"] == "image" and record["notes"] == ["a known shift"]
    assert set(record["provenance"]["inputs"]) == {"reference", "floating", "floating liver"}
    transform = io.read_transform(tmp_path / "liver_transform.h5", reference=GRID)
    np.testing.assert_allclose(spatial.transform_points(transform, np.zeros((1, 3))), [SHIFT_MM], atol=1e-6)
    probability = formats.read_image(tmp_path / "liver_probability.nii.gz").volume
    assert (np.asarray(probability.array) > 0.5).sum() == pytest.approx(a.sum(), rel=0.002)
    assert found["presets"] == [registration.load_preset("image")]


def test_a_table_and_a_preset(call, found):
    done = call("--with-preset", "descriptor")
    assert done.code == 0 and found["presets"] == [registration.load_preset("descriptor")]
    assert "DSC of the warped liver and the network's" in done.out and "success" in done.out
    assert "liver_transform.h5" in done.err


def test_a_disagreement_is_flagged(call, found):
    found["shift_mm"] = SHIFT_MM + np.array([35.0, 0.0, 0.0])
    done = call("--json")
    told = json.loads(done.out)
    assert done.code == 0 and [flag["code"] for flag in told["flags"]] == ["disagreement"]
    assert "review it: the warped liver disagrees" in done.err and told["check"]["agreement"]["dsc"] < 0.8


def test_a_failed_registration_writes_nothing(call, found, tmp_path):
    for status in (Status.FOLDED, Status.NO_OVERLAP, Status.UNCONFIRMED):
        found.update(status=status, shift_mm=SHIFT_MM + np.array([35.0, 0.0, 0.0]))
        done = call()
        assert (done.code, done.out) == (1, "") and list(tmp_path.iterdir()) == []
        last = done.err.splitlines()[-1]
        assert f"registration of the diagnostic image, {status.name.lower().replace('_', ' ')}: " in last
        assert status.remedy in last


def test_an_unconfirmed_registration_is_flagged_if_the_livers_agree(call, found):
    found["status"] = Status.UNCONFIRMED
    done = call("--json")
    told = json.loads(done.out)
    assert done.code == 0 and [flag["code"] for flag in told["flags"]] == ["registration"]
    assert told["registration"]["status"] == "unconfirmed" and "[registration]" in done.err


def test_wrong_options_are_one_line_and_exit_2(call, run, found, images, tmp_path):
    def refused(done, message):
        assert (done.code, done.out) == (2, "")
        assert message in done.err.splitlines()[-1]

    refused(call("--with-preset", "cnn"), "guided by liver masks of both images")
    refused(call("--with-preset", "none"), "none")
    refused(call(modality=False), "add --modality CT or --modality MR")
    refused(call("--modality", "CT", modality=False), "add --with-modality CT or --with-modality MR")
    refused(call("--liver-name", "spleen"), "choose the liver with --liver-name")
    refused(call("--liver-name", "liver", labels=False), "add --with-labels or omit it")
    refused(call("--method", "atlas", "--atlas", images), "require --with and --method network")
    image, output = images / "spect_ct.nii.gz", tmp_path / "liver.nii.gz"
    labels = images / "diagnostic_liver.nii.gz"
    refused(run("segment", "liver", image, "-o", output, "--with-labels", labels), "require --with")
    refused(run("segment", "liver", image, "-o", output, "--with", images / "none.nii.gz", "--modality", "CT"), "none")
    assert found["presets"] == [] and list(tmp_path.iterdir()) == []
    (tmp_path / "liver_transform.h5").write_bytes(b"mine")
    refused(call(), "liver_transform.h5: exists already")
    assert (tmp_path / "liver_transform.h5").read_bytes() == b"mine"


@pytest.mark.parametrize("function", ["write_labels", "write_transform"])
def test_a_late_write_error_leaves_no_file(call, tmp_path, monkeypatch, function):
    def full(path, *arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(io, function, full)
    done = call()
    assert (done.code, done.out) == (2, "") and "free space" in done.err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
