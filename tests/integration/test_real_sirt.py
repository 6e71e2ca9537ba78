"""Two real SIRT patients, from their unmodified NRRD files: 90Y PET after treatment and 99mTc-MAA SPECT before it.

The expected values come from NumPy on the raw arrays, and from the published table of another program.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from typer.testing import CliRunner

from sirtjax.cli.main import app

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
# Constants of the 3D Slicer extension Taranis: its defaults, and its table of patient 1 (25 h after injection).
CONSTANT_GY_KG_PER_GBQ, HALF_LIFE_H, DENSITY_G_PER_ML, ELAPSED_H = 49.67, 64.2, 1.05, 25.0
PUBLISHED_TOTAL_MBQ, PUBLISHED_LIVER_MBQ = 1470.92, 1374.85
PUBLISHED_GY = {
    "liver": 43.63,
    "Tumor 1": 89.25,
    "Tumor 2": 215.9,
    "Tumor 3": 87.0,
    "Tumor 4": 361.0,
    "Tumor 5": 250.3,
    "Tumor 6": 31.6,
}
# Values of the segments as (layer, value), from the headers.
PET_SEGMENTS = {"liver": (0, 1), **{f"Tumor {n}": (1, n) for n in range(1, 7)}}
SPECT_SEGMENTS = {"liver": (1, 1), "Tumor 1": (0, 6), "Tumor 2": (0, 7), "perfused volume": (2, 1)}


@pytest.fixture(scope="module")
def source(shared_data):
    folder = shared_data / "sirt-y90-pet-maa-spect"
    if not folder.is_dir():
        pytest.skip(f"no real SIRT images at {folder}")
    return folder


@pytest.fixture(scope="module")
def run(source, tmp_path_factory):
    """Runs a documented command with further options; its results.json and its folder."""
    folder = tmp_path_factory.mktemp("real-sirt")
    for case in EXAMPLES.glob("*.toml"):
        (folder / case.name).write_text(case.read_text())
    (folder / "taranis-samples").symlink_to(source, target_is_directory=True)

    def command(kind, case, *options):
        output = tmp_path_factory.mktemp(kind) / "out"
        found = CliRunner().invoke(app, [kind, str(folder / case), "-o", str(output), *options])
        assert found.exit_code == 0, found.output
        return json.loads((output / "results.json").read_text()), output

    return command


@pytest.fixture(scope="module")
def verified(run):
    return run("verify", "y90-pet.toml")


@pytest.fixture(scope="module")
def planned(run):
    return run("plan", "maa-spect.toml")


def means(image_path, segments_path, segments):
    """Mean of the image and volume in mL of each segment, by sampling every voxel of the segment at 27 points."""
    image, labels = sitk.ReadImage(str(image_path)), sitk.ReadImage(str(segments_path), sitk.sitkVectorUInt8)
    values = np.maximum(sitk.GetArrayFromImage(image).astype(np.float64), 0.0)
    layers = sitk.GetArrayFromImage(labels)
    # Both grids run along the world's axes, in either direction.
    steps = [np.diag(np.reshape(grid.GetDirection(), (3, 3))) * grid.GetSpacing() for grid in (image, labels)]
    origins = [np.asarray(grid.GetOrigin()) for grid in (image, labels)]
    found = {}
    for name, (layer, value) in segments.items():
        kji = np.argwhere(layers[..., layer] == value)
        inside = []
        for shift in np.ndindex(3, 3, 3):
            points = origins[1] + (kji[:, ::-1] + (np.asarray(shift) - 1) / 3) * steps[1]
            ijk = np.rint((points - origins[0]) / steps[0]).astype(int)
            inside.append(values[ijk[:, 2], ijk[:, 1], ijk[:, 0]].mean())
        found[name] = (float(np.mean(inside)), len(kji) * float(np.prod(labels.GetSpacing())) / 1000)
    total = float(values.sum()) * float(np.prod(image.GetSpacing())) / 1000
    return found, total


def vois(result):
    return {voi["name"]: voi for voi in result["vois"]}


def test_pet_activity_is_that_of_the_raw_array_and_of_the_published_table(verified, source):
    result, _ = verified
    _, total_bq = means(source / "patient_1_Y90_PET.nrrd", source / "patient_1_Segmentation.seg.nrrd", {})
    at_injection_mbq = total_bq * 1e-6 * 2 ** (ELAPSED_H / HALF_LIFE_H)
    assert result["image_activity_mbq"] == pytest.approx(at_injection_mbq, rel=1e-6)
    assert result["image_activity_mbq"] == pytest.approx(PUBLISHED_TOTAL_MBQ, rel=5e-4)
    assert vois(result)["liver"]["activity_mbq"] == pytest.approx(PUBLISHED_LIVER_MBQ, rel=0.01)


def test_pet_doses_are_those_of_numpy(verified, source):
    result, _ = verified
    found, _ = means(source / "patient_1_Y90_PET.nrrd", source / "patient_1_Segmentation.seg.nrrd", PET_SEGMENTS)
    factor = 1e-6 * 2 ** (ELAPSED_H / HALF_LIFE_H) * CONSTANT_GY_KG_PER_GBQ / DENSITY_G_PER_ML
    rows = vois(result)
    for name, (bq_per_ml, volume_ml) in found.items():
        # The product interpolates the mask between its voxels of 0.8 x 0.8 x 2.2 mm, which small lesions show.
        assert rows[name]["mean_gy"] == pytest.approx(bq_per_ml * factor, rel=5e-3 if volume_ml > 10 else 0.03), name
        assert rows[name]["volume_ml"] == pytest.approx(volume_ml, rel=2e-3), name


def test_pet_doses_against_the_published_table(verified):
    rows = vois(verified[0])
    for name, dose_gy in PUBLISHED_GY.items():
        # The other program counts voxels of the PET whose centre is inside, so that small lesions change their shape.
        tolerance = 0.01 if rows[name]["volume_ml"] > 10 else 0.12
        assert rows[name]["mean_gy"] == pytest.approx(dose_gy, rel=tolerance), name


def test_the_dose_of_small_lesions_depends_on_the_method(run, verified):
    kernel = vois(run("verify", "y90-pet.toml", "--set", "dose.method=kernel", "--no-pdf")[0])
    local = vois(verified[0])
    ratios = {name: kernel[name]["mean_gy"] / local[name]["mean_gy"] for name in PUBLISHED_GY}
    assert ratios["liver"] == pytest.approx(0.994, abs=5e-3)
    assert ratios["Tumor 2"] == pytest.approx(0.975, abs=5e-3)
    assert all(0.72 < ratios[name] < 0.90 for name in ("Tumor 3", "Tumor 4", "Tumor 5", "Tumor 6"))


def test_what_the_pet_report_states(verified):
    result, output = verified
    assert {check["code"] for check in result["checks"]} >= {"SJ105", "SJ510"}
    assert "SJ601" not in {check["code"] for check in result["checks"]}
    page = (output / "report.html").read_text()
    assert "the whole image shows 1470.9 MBq at the time of injection, 105% of the injected activity" in page
    assert "y90-clinical" in page and (output / "report.pdf").is_file()


def test_spect_doses_are_those_of_numpy(planned, source):
    result, _ = planned
    found, _ = means(source / "patient_2_SPECT.nrrd", source / "patient_2_Segmentation.seg.nrrd", SPECT_SEGMENTS)
    rows = vois(result)
    (row,) = result["injections"]
    perfused_counts, perfused_ml = found["perfused volume"]
    # No voxel has more dose than its counts give, at the edge of liver and territory neither.
    brightest = sitk.GetArrayFromImage(sitk.ReadImage(str(source / "patient_2_SPECT.nrrd"))).max()
    largest = (
        row["activity_mbq"] * brightest / (perfused_counts * perfused_ml) * CONSTANT_GY_KG_PER_GBQ / DENSITY_G_PER_ML
    )
    assert rows["perfused volume"]["max_gy"] <= largest * 1.01
    for name in ("Tumor 1", "Tumor 2", "perfused volume"):
        counts, volume_ml = found[name]
        mbq_per_ml = row["activity_mbq"] * counts / (perfused_counts * perfused_ml)
        expected = mbq_per_ml * CONSTANT_GY_KG_PER_GBQ / DENSITY_G_PER_ML
        assert rows[name]["mean_gy"] == pytest.approx(expected, rel=0.01), name
        assert rows[name]["volume_ml"] == pytest.approx(volume_ml, rel=2e-3), name


def test_the_activity_gives_the_limit_of_the_perfused_normal_liver(planned, source):
    result, output = planned
    found, _ = means(source / "patient_2_SPECT.nrrd", source / "patient_2_Segmentation.seg.nrrd", SPECT_SEGMENTS)
    (row,) = result["injections"]
    assert row["limiting_objective"] == "mean(normal perfused volume) <= 40 Gy"
    content = {name: counts * volume_ml for name, (counts, volume_ml) in found.items()}
    normal_ml = found["perfused volume"][1] - found["Tumor 1"][1] - found["Tumor 2"][1]
    fraction = 1 - (content["Tumor 1"] + content["Tumor 2"]) / content["perfused volume"]
    expected_mbq = 40 * DENSITY_G_PER_ML * normal_ml / (CONSTANT_GY_KG_PER_GBQ * fraction)
    assert row["activity_mbq"] == pytest.approx(expected_mbq, rel=0.02)
    assert "SJ203" in {check["code"] for check in result["checks"]}
    assert (output / "report.html").is_file()
