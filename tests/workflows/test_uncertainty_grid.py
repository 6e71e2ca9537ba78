"""Surfaces and volumes of the grid of the simulations, against spheres and planes."""

import numpy as np
import pytest

from sirtjax.uncertainty import regions_of
from sirtjax.workflows._uncertainty_grid import (
    ENGINE_SHAPE,
    FAR_MM,
    FINEST_MM,
    engine_grid,
    extended_fraction,
    signed_distance_mm,
)

SHAPE, SPACING = (110, 90, 96), np.array([2.2, 2.5, 2.3])
CENTRE = np.array(SHAPE) * SPACING / 2 + np.array([0.7, -1.1, 0.4])


def fraction_of(inside, parts=3):
    """The fraction of each voxel of the dose grid where a function of x, y, z in mm holds."""
    axes = [(np.arange(n * parts) + 0.5) / parts * step for n, step in zip(SHAPE, SPACING, strict=True)]
    x, y, z = axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None]
    i, j, k = SHAPE
    return inside(x, y, z).reshape(i, parts, j, parts, k, parts).mean(axis=(1, 3, 5)).astype(np.float32)


def ball(centre, radius):
    return lambda x, y, z: (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2 < radius**2


@pytest.fixture(scope="module")
def liver():
    return fraction_of(ball(CENTRE, 80.0))


@pytest.fixture(scope="module")
def grid(liver):
    return engine_grid(liver > 0, SPACING, margin_mm=15.0)


def centres(grid):
    first = grid.first * SPACING
    axes = [first[k] + (np.arange(n) + 0.5) * grid.spacing_mm for k, n in enumerate(ENGINE_SHAPE)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def test_the_grid_contains_the_liver_with_its_margin(grid):
    low, high = grid.first * SPACING, grid.first * SPACING + np.array(ENGINE_SHAPE) * grid.spacing_mm
    assert (CENTRE - 80.0 - low > 14.0).all() and (high - CENTRE - 80.0 > 14.0).all()
    assert grid.spacing_mm == FINEST_MM + 0.25


def test_a_larger_liver_gets_larger_voxels():
    inside = np.zeros(SHAPE, bool)
    inside[:, 5:85] = True
    grid = engine_grid(inside, SPACING, margin_mm=20.0)
    assert grid.spacing_mm == (80 * 2.5 + 40) / 48


def test_means_keep_totals_and_continue_beyond_the_faces(grid):
    values = fraction_of(ball(CENTRE, 30.0))
    found = grid.means(values)
    total = values.sum(dtype=float) * np.prod(SPACING)
    assert found.sum(dtype=float) * grid.spacing_mm**3 == pytest.approx(total, rel=1e-5)
    assert grid.means(np.full(SHAPE, 3.0, np.float32)) == pytest.approx(3.0, rel=1e-6)


@pytest.mark.parametrize(
    ("radius", "offset"), [(80, (0, 0, 0)), (20, (30, 10, 5)), (10, (-20.3, 15, 7)), (6, (9, 4, -8))]
)
def test_distances_are_those_of_a_sphere_within_a_fraction_of_a_voxel(grid, radius, offset):
    centre = CENTRE + np.array(offset)
    weight = fraction_of(ball(centre, radius))
    volume_ml = float(weight.sum(dtype=float)) * np.prod(SPACING) / 1000
    assert volume_ml == pytest.approx(4 / 3 * np.pi * radius**3 / 1000, rel=0.02)
    found = signed_distance_mm(grid.means(weight, parts=2), grid.spacing_mm, volume_ml=volume_ml)
    true = np.linalg.norm(centres(grid) - centre, axis=-1) - radius
    near = np.abs(true) < 8
    assert np.sqrt(((found - true)[near] ** 2).mean()) < 0.4
    assert np.abs(found - true)[near].max() < 1.0
    assert np.abs(found - true).max() < 3.0
    # The simulations divide the voxels at the surface: their volume is that of the mask.
    everywhere = np.full(found.shape, -FAR_MM, np.float32)
    regions = regions_of(np.stack([found, everywhere, everywhere]), np.full(3, grid.spacing_mm, np.float32), lesions=1)
    assert float(regions[0].sum()) * grid.spacing_mm**3 / 1000 == pytest.approx(volume_ml, rel=0.005)


def test_a_structure_without_surface_is_far_away(grid):
    nothing = np.zeros(tuple(2 * n for n in ENGINE_SHAPE), np.float32)
    assert (signed_distance_mm(nothing, 4.0) == FAR_MM).all()
    assert (signed_distance_mm(nothing + 1, 4.0) == -FAR_MM).all()


def test_a_territory_continues_beyond_the_liver(grid, liver):
    plane = CENTRE[0] + 8.0
    right = fraction_of(lambda x, y, z: ball(CENTRE, 80.0)(x, y, z) & (x < plane))
    whole = grid.means(liver, parts=2)
    found = signed_distance_mm(extended_fraction(grid.means(right, parts=2), whole), grid.spacing_mm)
    points = centres(grid)
    inside = np.linalg.norm(points - CENTRE, axis=-1) < 78.0
    true = points[..., 0] - plane
    near = inside & (np.abs(true) < 10)
    assert np.sqrt(((found - true)[near] ** 2).mean()) < 0.3
    # Outside the liver the sign is that of the nearest tissue, so a contour that grows finds its territory.
    beyond = (np.linalg.norm(points - CENTRE, axis=-1) < 95.0) & (np.abs(true) > 10)
    assert (np.sign(found[beyond]) == np.sign(true[beyond])).mean() > 0.99
