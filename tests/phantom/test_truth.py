import numpy as np
import pytest

from sirtjax import spatial
from sirtjax.phantom import Patient, evaluate_grid, load_preset, simulate_patient
from sirtjax.phantom._evaluate import grid_points_mm
from sirtjax.phantom._pose import displacement_mm
from sirtjax.volume import Geometry, LabelMap


@pytest.fixture(scope="module")
def many():
    return simulate_patient(6, load_preset("many-lesions"), sessions=())


def _dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@pytest.mark.parametrize("session", ["spect", "mr"])
def test_displacement_carries_the_diagnostic_labels(patient: Patient, session: str) -> None:
    field, truth = patient.displacements[session], patient.labels[session]["liver"]
    assert 5 < np.abs(field.array).max() < 45
    moved = spatial.resample_labels(patient.labels["diagnostic_ct"]["liver"], truth.geometry, transform=field)
    assert _dice(moved.mask("liver"), truth.mask("liver")) > 0.97
    still = spatial.resample_labels(patient.labels["diagnostic_ct"]["liver"], truth.geometry)
    assert _dice(still.mask("liver"), truth.mask("liver")) < 0.95


def test_displacement_is_exact_at_fine_voxels(patient: Patient) -> None:
    # On a fine grid around a lesion only the voxels at its edge differ.
    pose = patient.poses["spect"]
    centre = np.asarray(patient.anatomy.lesion_centre_mm[0], np.float64)
    fine = Geometry.from_axes((60, 56, 52), spacing_mm=(1.2, 1.3, 1.4), origin_mm=centre - [36, 36, 36])
    diagnostic = evaluate_grid(patient.anatomy, patient.poses["diagnostic_ct"], fine).lesion
    grid = Geometry.from_axes((30, 28, 26), spacing_mm=(2.4, 2.6, 2.8), origin_mm=centre - [33, 35, 38])
    session = evaluate_grid(patient.anatomy, pose, grid).lesion == 1
    points = grid_points_mm(grid)
    array = np.asarray(displacement_mm(pose, points, xp=np)).T.reshape(*grid.shape, 3)
    field = spatial.DisplacementField(np.ascontiguousarray(array, np.float32), grid)
    source = LabelMap.from_mask(diagnostic == 1, fine, name="lesion")
    moved = spatial.resample_labels(source, grid, transform=field).mask("lesion")
    assert session.sum() > 500 and _dice(moved, session) > 0.97


def test_the_diagnostic_ct_does_not_move(patient: Patient) -> None:
    points = np.random.default_rng(0).uniform(-150, 150, (3, 50)).astype(np.float32)
    assert np.abs(displacement_mm(patient.poses["diagnostic_ct"], points, xp=np)).max() == 0
    assert "diagnostic_ct" not in patient.displacements


def test_breathing_decays_with_distance(patient: Patient) -> None:
    from sirtjax.phantom import draw_pose

    pose = draw_pose(
        np.random.default_rng(0), breathing_shift_mm=10.0, rotation_deg=0.0, translation_mm=0.0, deformation_mm=0.0
    )
    points = np.array([[-20, -25, -30], [-20, -25, 140], [-20, 90, -190]], np.float32).T
    shift = displacement_mm(pose, points, xp=np)
    # In free breathing the liver stands 10 mm higher, so its dome shows what the inspiration has 10 mm lower.
    np.testing.assert_allclose(shift[:, 0], [0, -2, -10], atol=1e-5)
    assert np.abs(shift[2, 1:]).max() < 1.5


def test_no_pose_folds_space(patient: Patient) -> None:
    for session in ("spect", "mr", "y90_pet"):
        assert spatial.jacobian_determinant(patient.displacements[session]).min() > 0.5


@pytest.mark.slow
def test_lesions_lie_apart_and_in_the_liver(many: Patient) -> None:
    low, high = [-165, -115, -195], [115, 95, 15]
    grid = Geometry.from_axes((141, 106, 106), spacing_mm=(2.0, 2.0, 2.0), origin_mm=low)
    assert np.all(grid.to_world(np.asarray(grid.shape) - 1) >= np.asarray(high))
    sample = evaluate_grid(many.anatomy, many.poses["diagnostic_ct"], grid)
    count = many.lesion_count()
    assert 10 <= count <= 12
    from scipy.ndimage import binary_dilation

    for number in range(1, count + 1):
        mask = sample.lesion == number
        nominal = many.numbers["lesions"][number - 1]["nominal_volume_ml"]
        measured = float(mask.sum()) * grid.voxel_volume_ml
        assert measured == pytest.approx(nominal, rel=0.12 if nominal > 2 else 0.35), number
        shell = binary_dilation(mask) & ~mask
        assert (sample.lesion[shell] == 0).all()
        assert (sample.liver_mm[mask] < -1).all()


def test_necrosis_lies_in_its_lesion(patient: Patient) -> None:
    maps = patient.labels["diagnostic_ct"]
    necrosis, lesion = np.asarray(maps["necrosis"].array), np.asarray(maps["lesions"].array)
    assert np.array_equal(lesion[necrosis > 0], necrosis[necrosis > 0])
    for number, row in enumerate(patient.numbers["lesions"], start=1):
        assert (necrosis == number).any() == row["necrotic_core"]


def test_segments_and_territories_fill_the_liver(patient: Patient) -> None:
    maps = patient.labels["diagnostic_ct"]
    liver = maps["liver"].mask("liver")
    segments, territories = np.asarray(maps["segments"].array), np.asarray(maps["territories"].array)
    assert np.array_equal(segments > 0, liver) and np.array_equal(territories > 0, liver)
    assert set(np.unique(segments)) == set(range(9))
    parenchyma = liver & (np.asarray(maps["lesions"].array) == 0)
    assert np.array_equal(territories[parenchyma] == 1, segments[parenchyma] >= 5)
    for number in range(1, patient.lesion_count() + 1):
        assert len(np.unique(territories[np.asarray(maps["lesions"].array) == number])) == 1


def test_vessels_branch_inside_the_liver(patient: Patient) -> None:
    vessels, liver = patient.labels["diagnostic_ct"]["vessels"], patient.labels["diagnostic_ct"]["liver"].mask("liver")
    for name in ("portal_vein", "hepatic_vein"):
        inside = (vessels.mask(name) & liver).sum() * vessels.geometry.voxel_volume_ml
        assert 5 < inside < 150, name
