import numpy as np
import pytest

from sirtjax.phantom import Patient, evaluate_grid, evaluate_points
from sirtjax.phantom._evaluate import grid_points_mm
from sirtjax.phantom._tissues import TISSUES
from sirtjax.volume import Geometry


@pytest.mark.slow
def test_leaving_out_the_air_changes_nothing(patient: Patient) -> None:
    # Oblique and flipped, much larger than the patient, so that most of it is skipped.
    turn = np.array([[0.8, 0.0, -0.6], [0.0, -1.0, 0.0], [0.6, 0.0, 0.8]])
    grid = Geometry.from_axes((61, 58, 47), spacing_mm=(11.0, 9.0, 10.0), origin_mm=(-150, 270, -400), direction=turn)
    table = np.random.default_rng(1).normal(size=(TISSUES, 2)).astype(np.float32)
    pose = patient.poses["mr"]
    blur_mm = float(np.cbrt(11.0 * 9.0 * 10.0))
    skipped = evaluate_grid(patient.anatomy, pose, grid, table=table)
    whole = evaluate_points(patient.anatomy, pose, grid_points_mm(grid), table=table, blur_mm=blur_mm)
    assert (skipped.liver_mm == 1e3).mean() > 0.5
    for name in ("value", "organ", "lesion", "necrosis", "segment", "vessel"):
        np.testing.assert_array_equal(getattr(skipped, name).reshape(getattr(whole, name).shape), getattr(whole, name))


@pytest.mark.slow
def test_points_of_any_number_in_one_program(patient: Patient) -> None:
    points = np.random.default_rng(2).uniform(-120, 120, (3, 20000)).astype(np.float32)
    pose = patient.poses["spect"]
    together = evaluate_points(patient.anatomy, pose, points)
    apart = evaluate_points(patient.anatomy, pose, points[:, 7000:7123])
    np.testing.assert_array_equal(together.organ[7000:7123], apart.organ)
    assert together.organ.shape == (20000,) and together.value.shape == (20000, 0)


def test_grid_points_follow_the_affine() -> None:
    grid = Geometry.from_axes((3, 4, 5), spacing_mm=(1.0, 2.0, 3.0), origin_mm=(9.0, 8.0, 7.0))
    points = grid_points_mm(grid).reshape(3, 3, 4, 5)
    np.testing.assert_allclose(points[:, 2, 3, 1], grid.to_world([2, 3, 1]))
