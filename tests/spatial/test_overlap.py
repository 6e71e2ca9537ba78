import numpy as np
import pytest

from sirtjax.spatial import overlap_fraction, rigid_matrix
from sirtjax.volume import Geometry


def test_aligned_grids_by_hand():
    # Outer faces: i from -1 to 19, j from -1.5 to 13.5, k from -0.5 to 7.5 mm.
    first = Geometry.from_axes((10, 5, 8), spacing_mm=(2, 3, 1))
    # From 9 to 29, from 3.5 to 33.5, from -5.5 to 4.5 mm: shared 10 of 20, 10 of 15, 5 of 8.
    other = Geometry.from_axes((20, 30, 10), spacing_mm=(1, 1, 1), origin_mm=(9.5, 4, -5))
    assert overlap_fraction(first, other) == pytest.approx(10 / 20 * 10 / 15 * 5 / 8, rel=1e-6)


def test_within_and_apart():
    first = Geometry.from_axes((10, 5, 8), spacing_mm=(2, 3, 1))
    large = Geometry.from_axes((90, 90, 90), spacing_mm=(1, 1, -1), origin_mm=(-30, -30, 60))
    assert overlap_fraction(first, large) == pytest.approx(1, abs=1e-9)
    assert overlap_fraction(first, Geometry.from_axes((5, 5, 5), spacing_mm=(1, 1, 1), origin_mm=(99, 0, 0))) == 0


@pytest.mark.parametrize("seed", range(4))
def test_oblique_grids_equal_random_points(seed):
    rng = np.random.default_rng(seed)
    turn = rigid_matrix(rng.uniform(-1, 1, 3), (0, 0, 0), (0, 0, 0))[:3, :3]
    first = Geometry.from_axes((20, 16, 12), spacing_mm=(2, 2, 3), origin_mm=(-19, -15, -17), direction=turn)
    other = Geometry.from_axes((30, 20, 20), spacing_mm=(1, 2, 1.5), origin_mm=(-10, -20, -12))
    points = rng.uniform(-0.5, np.asarray(first.shape) - 0.5, (200_000, 3))
    place = other.to_voxel(first.to_world(points))
    inside = ((place >= -0.5) & (place < np.asarray(other.shape) - 0.5)).all(axis=1)
    assert overlap_fraction(first, other) == pytest.approx(inside.mean(), abs=6e-3)
