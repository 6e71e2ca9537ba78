"""The figures a registration is judged by, against spheres whose distances are known."""

import numpy as np
import pytest

from sirtjax.registration._mask_figures import MaskEvaluator, quality_of
from sirtjax.spatial import AffineTransform
from sirtjax.volume import Geometry, Volume

RADIUS_MM = 30.0
GRID = Geometry.from_axes((36, 30, 28), spacing_mm=(2.5, 3.0, 3.5), origin_mm=(-44.0, -43.0, -47.0))


def sphere():
    """A sphere about the origin as the share of each voxel, up to a voxel's rounding."""
    points = GRID.to_world(np.stack(np.indices(GRID.shape), axis=-1).reshape(-1, 3))
    distance = np.linalg.norm(points, axis=-1).reshape(GRID.shape)
    return np.clip(0.5 - (distance - RADIUS_MM) / 3.0, 0, 1).astype(np.float32)


@pytest.mark.parametrize("apart_mm", [0.0, 4.0])
def test_a_liver_that_lies_apart(apart_mm):
    bench = MaskEvaluator(
        grid=GRID, occupancy={"liver": sphere()}, floating_liver=Volume(sphere(), GRID, unit="1"), floating={}
    )
    matrix = np.eye(4)
    matrix[0, 3] = apart_mm
    found = quality_of(AffineTransform(matrix), np.array([-0.25, 0.0]), bench)
    # Between two spheres: | |R n + d| - R | over the directions n.
    cosine = (np.arange(20000) + 0.5) / 10000 - 1
    along = np.sqrt(RADIUS_MM**2 + apart_mm**2 - 2 * RADIUS_MM * apart_mm * cosine)
    assert found["msd_mm liver"] == pytest.approx(np.abs(along - RADIUS_MM).mean(), abs=0.15)
    assert found["rmsd_mm"] == found["msd_mm liver"]
    # The volume common to two spheres, over that of one.
    common = 1 - 0.75 * apart_mm / RADIUS_MM + (apart_mm / RADIUS_MM) ** 3 / 16
    assert found["dsc liver"] == pytest.approx(common, abs=0.01)
    assert found["similarity"] == 0.25
