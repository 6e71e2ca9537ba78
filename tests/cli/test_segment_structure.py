"""`sirtjax segment liver|lesions|lungs|body` from files to files, with a network that is a threshold."""

import errno
import json

import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax import formats, io, segmentation
from sirtjax.networks import PlainConvUNetConfig
from sirtjax.postprocess import LargestComponent
from sirtjax.preprocess import FixedPreprocessing, IntensityScale
from sirtjax.reports import _segment_file
from sirtjax.segmentation import Model, ModelSpec, Tiles, _model_library
from sirtjax.volume import Geometry, LabelMap, Volume

GRID = Geometry.from_axes((60, 50, 30), spacing_mm=(4.5, 4.5, 6.0), origin_mm=(-133, -110, -87))


def scene():
    i, j, k = np.indices(GRID.shape).astype(np.float32)
    x, y, z = i * 4.5 - 133, j * 4.5 - 110, k * 6.0 - 87
    hu = np.full(GRID.shape, -1000.0, np.float32)
    hu[(x / 120) ** 2 + (y / 95) ** 2 < 1] = 40
    liver = (x / 70) ** 2 + (y / 60) ** 2 + (z / 55) ** 2 < 1
    hu[liver] = 150
    lesion = np.linalg.norm(np.stack([x - 10, y, z]), axis=0) < 18
    hu[lesion] = 195
    lungs = (np.abs(np.abs(x) - 55) < 35) & (np.abs(y) < 50) & (z > 62)
    hu[lungs] = -800
    return hu + np.random.default_rng(0).normal(0, 3, GRID.shape).astype(np.float32), liver, lesion, lungs


def threshold(variables, tiles):
    logit = (tiles[..., 0] - variables["middle"]) * 60
    return jnp.stack([jnp.zeros_like(logit), logit], axis=-1)


def made(name, middle):
    spec = ModelSpec(
        name=name,
        task=name,
        modalities=("CT",),
        labels={name: 1},
        network=PlainConvUNetConfig(features=(2, 2), classes=2),
        preprocessing=FixedPreprocessing(
            spacing_mm=(5, 5, 6), intensities=(IntensityScale(modality="CT", window=(-200, 200)),)
        ),
        tiles=Tiles(shape=(24, 24, 20)),
        mirror_axes=(0,),
        postprocess=(LargestComponent(),) if name == "liver" else (),
        source="a threshold",
        licence="CC0-1.0",
    )
    return Model(spec=spec, folds=({"middle": np.float32(middle)},))


@pytest.fixture
def installed(monkeypatch):
    """Names of installed models -> models; emptied or filled by a test."""
    found = {"liver": made("liver", 0.24), "lesions": made("lesions", 0.43)}

    class Entry:
        def __init__(self, name):
            self.name = name

    monkeypatch.setattr("sirtjax.cli._console.use_compilation_cache", lambda: None)
    monkeypatch.setattr("sirtjax.segmentation._fixed_model.network_function", lambda config: threshold)
    monkeypatch.setattr("sirtjax.segmentation._quality_ensemble.network_function", lambda config: threshold)
    for place in (segmentation, _model_library):
        monkeypatch.setattr(place, "list_models", lambda: tuple(Entry(name) for name in found))
        monkeypatch.setattr(place, "load_model", lambda name: found[str(name)])
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("images")
    hu, liver, _, _ = scene()
    io.write_nifti(where / "ct.nii.gz", Volume(hu, GRID, unit="HU"))
    io.write_nifti(where / "unknown.nii.gz", Volume(hu, GRID, unit="1"))
    io.write_nifti(where / "offset.nii.gz", Volume(hu + 1024, GRID, unit="HU"))
    io.write_nifti(where / "slice.nii.gz", Volume(hu[:, :, :1], _thin(), unit="HU"))
    io.write_nifti(where / "nothing.nii.gz", Volume(np.where(hu > 20, 20, hu), GRID, unit="HU"))
    io.write_nifti(where / "mask.nii.gz", LabelMap.from_mask(liver, GRID, name="liver"))
    return where


def _thin():
    return Geometry.from_axes((*GRID.shape[:2], 1), spacing_mm=GRID.spacing_mm)


def dsc(path, name, mask):
    labels = formats.read_masks(path)[name]
    assert labels.geometry.matches(GRID)
    found = labels.mask(name)
    return 2 * (found & mask).sum() / (found.sum() + mask.sum())


def test_a_liver_with_everything_that_can_be_written(run, installed, folder, tmp_path):
    out, picture = tmp_path / "liver.nii.gz", tmp_path / "look.png"
    options = ["--save-probabilities", "--preview", picture, "--json", "--mirror", "--device", "cpu"]
    done = run("segment", "liver", folder / "ct.nii.gz", "-o", out, *options)
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert (told["structure"], told["method"], told["verified"]) == ("liver", "liver", False)
    assert told["model"] == {"name": "liver", "source": "a threshold", "licence": "CC0-1.0"}
    assert told["volume_ml"] == pytest.approx(968, rel=0.04) and told["flags"] == []
    assert told["quality"] is None
    assert set(told["timings_s"]) == {"read", "prepare", "network", "restore", "write"}
    liver = scene()[1]
    assert dsc(out, "liver", liver) > 0.96
    likely = formats.read_image(told["probability"]).volume
    assert likely.geometry.matches(GRID) and likely.unit == "1"
    assert 2 * ((likely.array > 0.5) & liver).sum() / ((likely.array > 0.5).sum() + liver.sum()) > 0.96
    np.testing.assert_array_equal(likely.array * 1024, np.round(likely.array * 1024))
    entropy = formats.read_image(tmp_path / "liver_uncertainty.nii.gz").volume.array
    assert 0.3 < entropy.max() <= np.log(2) + 1e-5 and entropy.min() >= 0
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" and told["preview"] == str(picture)
    assert "network, 1 of " in done.err


@pytest.mark.parametrize(("intercept", "doubtful"), [(-1.5, True), (-3.5, False)])
def test_the_estimated_quality_is_told(run, installed, folder, tmp_path, intercept, doubtful):
    term = segmentation.EvidenceWeight(name="faint", low=-6, high=0, centre=-3, scale=1, weight=0.01)
    regression = segmentation.Regression(terms=(term,), intercept=intercept)
    calibration = segmentation.QualityCalibration(
        regressions=(regression,), low_quantile=-0.2, high_quantile=0.2, source="a test"
    )
    model = installed["liver"]
    spec = model.spec.model_copy(update={"quality": calibration})
    installed["liver"] = segmentation.Model(spec=spec, folds=model.folds)
    done = run("segment", "liver", folder / "ct.nii.gz", "-o", tmp_path / "l.nii.gz", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    quality = told["quality"]
    assert quality["estimated_dsc"] == pytest.approx(1 - np.exp(intercept), abs=0.02)
    low, high = quality["interval_90"]
    assert low < quality["estimated_dsc"] < high
    assert quality["doubtful"] == doubtful == ("quality" in [flag["code"] for flag in told["flags"]])
    assert ("review it: the estimated DSC of the liver is" in done.err) == doubtful
    assert set(quality["evidence"]) == set(segmentation.EVIDENCE_WORDS)
    assert told["timings_s"]["quality"] > 0
    table = run("segment", "liver", folder / "ct.nii.gz", "-o", tmp_path / "l.nii.gz", "--force")
    assert f"{quality['estimated_dsc']:.2f}" in table.out and "estimated DSC" in table.out


def test_a_table_without_json(run, installed, folder, tmp_path):
    done = run("segment", "liver", folder / "unknown.nii.gz", "-o", tmp_path / "l.nii", "--modality", "CT")
    assert done.code == 0
    assert "automatic, not verified" in done.out and " mL" in done.out and "network" in done.out


def test_flags_are_told(run, installed, folder, tmp_path):
    installed["liver"] = made("liver", 0.0)  # the body, too
    done = run("segment", "liver", folder / "ct.nii.gz", "-o", tmp_path / "l.nii", "--json")
    assert done.code == 0
    assert {"volume", "truncated"} >= {flag["code"] for flag in json.loads(done.out)["flags"]} >= {"truncated"}
    assert "review it: the image truncates the liver" in done.err


@pytest.mark.parametrize("given", [True, False])
def test_lesions_in_the_liver_given_or_found(run, installed, folder, tmp_path, given):
    out = tmp_path / "lesions.nii.gz"
    options = ["--liver", folder / "mask.nii.gz"] if given else []
    done = run("segment", "lesions", folder / "ct.nii.gz", "-o", out, "--json", *options)
    assert done.code == 0, done.err
    assert dsc(out, "lesions", scene()[2]) > 0.85
    if not given:
        del installed["liver"]
        alone = run("segment", "lesions", folder / "ct.nii.gz", "-o", out, "--force")
        assert alone.code == 2
        assert "'lesions' does not find the liver; add --liver MASK" in alone.err


def test_lungs_and_body_need_no_model(run, installed, folder, tmp_path):
    installed.clear()
    _, _, _, lungs = scene()
    done = run("segment", "lungs", folder / "ct.nii.gz", "-o", tmp_path / "lungs.nii.gz", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["model"] is None
    assert dsc(tmp_path / "lungs.nii.gz", "lungs", lungs) > 0.9
    done = run("segment", "body", folder / "ct.nii.gz", "-o", tmp_path / "body.nii.gz", "--preview", tmp_path / "b.png")
    assert done.code == 0 and (tmp_path / "b.png").is_file()
    assert dsc(tmp_path / "body.nii.gz", "body", scene()[0] > -900) > 0.97


@pytest.mark.parametrize(
    ("verb", "image", "options", "message"),
    [
        ("liver", "unknown.nii.gz", [], "does not state the modality; add --modality CT or --modality MR"),
        ("liver", "offset.nii.gz", [], "the values are inverted or have an offset"),
        ("liver", "slice.nii.gz", [], "60x50x1 voxels over 6 mm at its thinnest"),
        ("liver", "nothing.nii.gz", [], "no liver was found in the image by the model 'liver'"),
        (
            "liver",
            "unknown.nii.gz",
            ["--modality", "MR"],
            "was trained for CT, but the image is MR; choose another",
        ),
        ("liver", "nobody.nii.gz", [], "no such file"),
        ("liver", "ct.nii.gz", ["--model", "lesions"], "finds lesions, no liver; choose another --model"),
        ("liver", "ct.nii.gz", ["--device", "gpu"], "--device gpu: not available, JAX finds cpu"),
        ("liver", "ct.nii.gz", ["--atlas", "somewhere"], "--atlas requires --method atlas"),
        ("liver", "ct.nii.gz", ["--method", "atlas", "--mirror"], "are for --method network; leave them out"),
        ("liver", "ct.nii.gz", ["--preview", "look.jpg"], "expected a name that ends in .png"),
        ("lungs", "ct.nii.gz", ["--save-probabilities"], "by HU have no probabilities"),
        ("body", "unknown.nii.gz", ["--modality", "MR"], "found by HU only on a CT; for an MR give --model"),
        ("lungs", "unknown.nii.gz", [], "does not state the modality"),
    ],
)
def test_what_can_t_be_done_is_one_line_and_leaves_nothing(
    run, installed, folder, tmp_path, verb, image, options, message
):
    done = run("segment", verb, folder / image, "-o", tmp_path / "out.nii.gz", *options)
    assert (done.code, done.out) == (2, "")
    assert message in done.err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_without_a_model_one_line_says_how_to_get_one(run, installed, folder, tmp_path):
    installed.clear()
    for verb in ("liver", "lesions"):
        done = run("segment", verb, folder / "ct.nii.gz", "-o", tmp_path / "out.nii.gz")
        assert done.code == 2
        assert f"no model for {verb} is installed; sirtjax models import takes" in done.err.splitlines()[-1]


def test_nothing_is_replaced_without_force(run, installed, folder, tmp_path):
    for name in ("out.nii.gz", "out_probability.nii.gz", "look.png"):
        (tmp_path / name).write_bytes(b"mine")
        options = ["--save-probabilities", "--preview", tmp_path / "look.png"]
        done = run("segment", "liver", folder / "ct.nii.gz", "-o", tmp_path / "out.nii.gz", *options)
        assert done.code == 2 and f"{name}: exists already" in done.err
        assert (tmp_path / name).read_bytes() == b"mine"
        (tmp_path / name).unlink()
    gone = run("segment", "liver", folder / "ct.nii.gz", "-o", tmp_path / "no" / "out.nii.gz")
    assert gone.code == 2 and "no such folder; create it first" in gone.err


@pytest.mark.parametrize("failing", ["write_preview", "write_labels"])
def test_if_one_file_cannot_be_written_there_is_none(run, installed, folder, tmp_path, monkeypatch, failing):
    def full(path, *given, **options):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(*((_segment_file, failing) if failing == "write_preview" else (io, failing)), full)
    (tmp_path / "liver_probability.nii.gz").write_bytes(b"mine")
    options = ["--save-probabilities", "--preview", tmp_path / "look.png", "--force"]
    done = run("segment", "liver", folder / "ct.nii.gz", "-o", tmp_path / "liver.nii.gz", *options)
    name = {"write_preview": "look.png", "write_labels": "liver.nii.gz"}[failing]
    assert done.code == 2 and f"{name}: cannot be written there (No space left on device)" in done.err.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["liver_probability.nii.gz"]
    assert (tmp_path / "liver_probability.nii.gz").read_bytes() == b"mine"
