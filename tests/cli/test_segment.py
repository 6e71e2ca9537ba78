"""`sirtjax segment liver` from files to files, with a registration that is known to be right or wrong."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from sirtjax import formats, io, registration, spatial
from sirtjax.registration import Status
from sirtjax.volume import Geometry, LabelMap, Volume

GRID = Geometry.from_axes((40, 34, 16), spacing_mm=(2.5, 2.5, 5.0), origin_mm=(-50, -40, -35))
CENTRE_MM = GRID.centre_mm


def write(folder, name, *, seed, radius_mm=26.0, label=True):
    distance = np.linalg.norm(spatial.voxel_centres_mm(GRID) - CENTRE_MM, axis=-1)
    image = np.where(distance <= radius_mm, 110, 20) + np.random.default_rng(seed).normal(0, 5, GRID.shape)
    io.write_nifti(folder / f"{name}.nii.gz", Volume(image.astype(np.float32), GRID, unit="HU"))
    if label:
        liver = LabelMap.from_mask(distance <= radius_mm, GRID, name="liver")
        io.write_nifti(folder / f"{name}_liver.nii.gz", liver)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    write(folder, "patient", seed=0, label=False)
    (folder / "atlases").mkdir()
    for number, radius_mm in enumerate((24.0, 26.0, 28.0), start=1):
        write(folder / "atlases", f"a{number}", seed=number, radius_mm=radius_mm)
    return folder


@pytest.fixture
def verb(run, monkeypatch, images):
    """The verb over the three atlases, and what was registered with which preset."""
    asked = []
    failing = set()

    def register(reference, floating, *, config):
        asked.append(config)
        status = Status.NO_OVERLAP if len(asked) in failing else Status.SUCCESS
        return SimpleNamespace(transform=spatial.identity(), status=status)

    monkeypatch.setattr("sirtjax.cli._console.use_compilation_cache", lambda: None)
    monkeypatch.setattr(registration, "load_preset", lambda name: name)
    monkeypatch.setattr(registration, "register", register)

    def call(output, *options, image=images / "patient.nii.gz", atlas=images / "atlases"):
        return run("segment", "liver", image, "--method", "atlas", "--atlas", atlas, "-o", output, *options)

    return SimpleNamespace(call=call, asked=asked, failing=failing)


def sphere_ml(radius_mm):
    return 4 / 3 * np.pi * radius_mm**3 / 1000


def test_the_middle_of_three_atlases(verb, tmp_path):
    out = tmp_path / "liver.nii.gz"
    done = verb.call(out, "--json", "--fusion", "majority", "--preset", "image", "--save-probabilities")
    assert done.code == 0
    told = json.loads(done.out)
    assert (told["method"], told["fusion"], told["preset"]) == ("atlas", "majority", "image")
    assert verb.asked == ["image"] * 3
    assert told["volume_ml"] == pytest.approx(sphere_ml(26), rel=0.04)
    assert [one["name"] for one in told["atlases"]] == ["a1", "a2", "a3"]
    assert all(one["used"] and one["status"] == "SUCCESS" for one in told["atlases"])
    assert told["atlases"][1]["weight"] == pytest.approx(1 / 3) and told["atlases"][1]["dsc"] > 0.97
    # Concentric balls: DSC of radii a < b is 2 a^3 / (a^3 + b^3).
    assert told["agreement"]["dsc_min"] == pytest.approx(2 * 24**3 / (24**3 + 28**3), abs=0.03)
    assert told["agreement"]["dsc_min"] < told["agreement"]["dsc_mean"] < 1
    (written,) = formats.read_masks(out).values()
    assert written.geometry.matches(GRID)
    assert written.volume_ml("liver") == pytest.approx(told["volume_ml"])
    probability = formats.read_image(tmp_path / "liver_probability.nii.gz").volume
    assert told["probability"].endswith("liver_probability.nii.gz")
    assert probability.geometry.matches(GRID)
    np.testing.assert_array_equal(np.asarray(probability.array) > 0.5, written.mask("liver"))


def test_a_table_and_an_atlas_left_out(verb, tmp_path):
    verb.failing.add(2)
    done = verb.call(tmp_path / "liver.nii", "--fusion", "weighted")
    assert done.code == 0
    assert "by weighted fusion of 2 atlases, atlases among themselves DSC 0." in done.out
    assert "NO_OVERLAP" in done.out
    assert "atlas a2 left out: NO_OVERLAP, the images hardly overlap after registration" in done.err
    assert (tmp_path / "liver.nii").is_file()


def test_staple(verb, tmp_path):
    done = verb.call(tmp_path / "liver.nii.gz", "--fusion", "staple", "--json")
    one = json.loads(done.out)["atlases"][0]
    assert one["weight"] is None and 0 < one["sensitivity"] <= 1 and 0 < one["specificity"] <= 1
    verb.failing.add(5)
    failed = verb.call(tmp_path / "other.nii.gz", "--fusion", "staple")
    assert failed.code == 1
    assert "2 of 3 atlases usable, staple fusion needs 3 (a2: NO_OVERLAP" in failed.err.splitlines()[-1]
    assert not (tmp_path / "other.nii.gz").exists()


def test_too_few_usable_atlases_exit_with_1(verb, tmp_path):
    verb.failing.update((1, 2))
    done = verb.call(tmp_path / "liver.nii.gz", "--min-atlases", 2)
    assert (done.code, done.out) == (1, "")
    assert "1 of 3 atlases usable" in done.err
    assert list(tmp_path.iterdir()) == []


def test_the_patient_in_the_atlas_folder_is_left_out(verb, images, tmp_path):
    done = verb.call(tmp_path / "liver.nii.gz", "--json", image=images / "atlases" / "a1.nii.gz")
    assert done.code == 0 and len(verb.asked) == 2
    one = json.loads(done.out)["atlases"][0]
    assert (one["used"], one["status"]) == (False, "OWN_IMAGE")
    assert "atlas a1 left out: OWN_IMAGE, it is the patient's own image" in done.err


def test_bad_input_is_one_line_and_exit_2(verb, run, images, tmp_path):
    out = tmp_path / "liver.nii.gz"

    def refused(done, message):
        assert (done.code, done.out) == (2, "")
        assert message in done.err.splitlines()[-1]
        assert verb.asked == []

    refused(run("segment", "liver", images / "patient.nii.gz", "--method", "atlas", "-o", out), "give --atlas DIR")
    refused(verb.call(tmp_path / "liver.mha"), "ends in .nii, .nii.gz or .seg.nrrd")
    refused(verb.call(out, atlas=tmp_path / "none"), "no such folder")
    refused(verb.call(out, "--atlas-label", 7), "no voxel is liver among the values 7")
    refused(verb.call(out, image=images / "nobody.nii.gz"), "no such file")
    few = tmp_path / "few"
    few.mkdir()
    write(few, "only", seed=5)
    refused(verb.call(out, "--fusion", "staple", atlas=few), "1 atlases, but STAPLE requires 3")
    (tmp_path / "liver_probability.nii.gz").write_bytes(b"mine")
    refused(verb.call(out, "--save-probabilities"), "liver_probability.nii.gz: exists already")
    assert not out.exists() and (tmp_path / "liver_probability.nii.gz").read_bytes() == b"mine"


def test_unknown_words_are_refused(run, tmp_path):
    for options in (["--method", "unet"], [], ["--method", "atlas", "--fusion", "mean"]):
        assert run("segment", "liver", "ct.nii.gz", "-o", tmp_path / "out.nii.gz", *options).code == 2
    assert run("segment", "spleen").code == 2


def test_an_existing_output_needs_force(verb, tmp_path):
    out = tmp_path / "liver.nii.gz"
    out.write_bytes(b"mine")
    done = verb.call(out)
    assert done.code == 2 and "exists already" in done.err and out.read_bytes() == b"mine"
    assert verb.call(out, "--force", "--fusion", "majority").code == 0
    assert formats.read_masks(out)
