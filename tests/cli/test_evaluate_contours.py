"""`sirtjax evaluate contours`: contours or probabilities to a table of the case file, and what it refuses."""

import json
import tomllib

import numpy as np
import pytest
from scipy import ndimage

from sirtjax import io
from sirtjax.volume import Geometry, LabelMap, Volume

SHAPE, SPACING = (48, 48, 36), (1.5, 1.5, 2.0)
AXES = np.meshgrid(*((np.arange(n) - n / 2) * s for n, s in zip(SHAPE, SPACING, strict=True)), indexing="ij")


def write(path, *, seed, size_mm=2.0, origin_mm=(0.0, 0.0, 0.0)):
    """A large structure 1 and a small structure 2, with their own errors."""
    labels = np.zeros(SHAPE, np.uint8)
    for value, (x, radius) in enumerate(((-8.0, 20.0), (24.0, 8.0)), start=1):
        noise = np.random.default_rng([seed, value]).standard_normal([2 * n for n in SHAPE])
        field = ndimage.gaussian_filter(noise, [6.0 / s for s in SPACING], mode="wrap")
        field = (field / field.std())[tuple(slice(n) for n in SHAPE)]
        distance = np.sqrt((AXES[0] - x) ** 2 + AXES[1] ** 2 + AXES[2] ** 2)
        labels[distance < radius + size_mm * field] = value
    geometry = Geometry.from_axes(SHAPE, spacing_mm=SPACING, origin_mm=origin_mm, direction=np.eye(3))
    io.write_labels(path, LabelMap(labels, geometry, names=((1, "liver"), (2, "lesion"))))
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("observers")
    return [write(folder / f"{name}.nii.gz", seed=seed) for seed, name in enumerate(("anna", "ben", "carla", "dora"))]


def test_size_and_correlation_as_a_table_of_the_case(run, files):
    found = json.loads(run("evaluate", "contours", *files, "--json").out)
    assert found["observers"] == 4 and set(found["structures"]) == {"liver", "lesion"}
    assert found["structures"]["liver"]["size_mm"] == pytest.approx(2.0, rel=0.3)
    assert 8.0 < found["correlation_mm"] < 30.0
    done = run("evaluate", "contours", *files)
    shown = done.out + done.err
    table = tomllib.loads(shown[shown.index("[uncertainty.contours]") :])["uncertainty"]["contours"]
    assert table["size_mm"] == pytest.approx(found["size_mm"], abs=0.01)
    assert table["evidence"] == "measured" and "4 observers" in table["origin"]


def test_one_structure_only(run, files):
    found = json.loads(run("evaluate", "contours", *files, "--label", "lesion", "--json").out)
    assert set(found["structures"]) == {"lesion"}


def test_what_is_refused(run, files, tmp_path):
    moved = write(tmp_path / "moved.nii.gz", seed=5, origin_mm=(5.0, 0.0, 0.0))
    for arguments, words in (
        ([files[0]], "at least two observers, got 1"),
        ([*files[:2], moved], "moved.nii.gz: another grid than"),
        ([*files, "--label", "spleen"], "spleen is not in every file"),
        ([files[0], tmp_path / "none.nii.gz"], "none.nii.gz"),
    ):
        done = run("evaluate", "contours", *arguments)
        assert done.code != 0 and words in " ".join(done.err.split())


def test_probabilities_of_a_network_as_a_table_of_the_case(run, tmp_path):
    distance = np.sqrt(sum(axis**2 for axis in AXES))
    geometry = Geometry.from_axes(SHAPE, spacing_mm=SPACING, origin_mm=(0.0, 0.0, 0.0), direction=np.eye(3))
    path = tmp_path / "liver_probability.nii.gz"
    io.write_nifti(path, Volume((1.0 / (1.0 + np.exp((distance - 22.0) / 1.2))).astype(np.float32), geometry, unit="1"))
    arguments = ("--probability", path, "--correlation-mm", "20")
    done = run("evaluate", "contours", *arguments)
    shown = done.out + done.err
    table = tomllib.loads(shown[shown.index("[uncertainty.contours]") :])["uncertainty"]["contours"]
    # The integral of p (1 - p) of a logistic function is its scale.
    assert table["size_mm"] == pytest.approx(1.2 * np.sqrt(np.pi), rel=0.05)
    assert table["correlation_mm"] == 20 and table["evidence"] == "assumed"
    assert json.loads(run("evaluate", "contours", *arguments, "--json").out)["correlation_mm"] == 20
    for wrong, words in (
        (arguments[:2], "belong together"),
        ((*arguments, "--label", "liver"), "belong together"),
        ((path, *arguments), "belong together"),
        ((*arguments[:3], "2"), "expected 5 to 100"),
        ((), "at least two observers, got 0"),
    ):
        done = run("evaluate", "contours", *wrong)
        assert done.code != 0 and words in " ".join(done.err.split())
