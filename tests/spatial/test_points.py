import numpy as np
import pytest
from scipy import ndimage

from sirtjax.errors import ComputationError, GeometryError
from sirtjax.spatial import (
    AffineTransform,
    DisplacementField,
    inverse_transform_points,
    mask_occupancy,
    rigid_matrix,
    transform_points,
    voxel_centres_mm,
)
from sirtjax.volume import Geometry

GRID = Geometry.from_axes(
    (24, 20, 22),
    spacing_mm=(4, 5, 4),
    origin_mm=(-40, -36, -44),
    direction=rigid_matrix((0.2, 0.1, -0.3), (0,) * 3, (0,) * 3)[:3, :3],
)
MATRIX = rigid_matrix((0.1, 0.2, 0.3), (14, -5, 6), (7, 8, 9)) @ np.array(
    [[1.2, 0.1, 0, 0], [0, 0.9, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
)


def fading_field(size_mm, matrix=None, *, seed=0):
    values = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(*GRID.shape, 3)), (3, 3, 3, 0))
    ramps = [np.minimum(np.arange(n), np.arange(n)[::-1]) for n in GRID.shape]
    window = np.minimum(np.minimum.reduce(np.meshgrid(*ramps, indexing="ij")) / 4, 1)
    values *= size_mm / np.abs(values).max()
    return DisplacementField((values * window[..., None]).astype(np.float32), GRID, matrix)


POINTS = np.random.default_rng(1).uniform(-60, 60, (20, 25, 3)) + GRID.centre_mm


@pytest.mark.parametrize("matrix", [None, MATRIX])
def test_undoes_transform_points_inside_and_outside_the_field(matrix):
    field = fading_field(9.0, matrix)
    there = transform_points(field, POINTS)
    assert np.abs(there - POINTS).max() > 3
    np.testing.assert_allclose(inverse_transform_points(field, there), POINTS, atol=1e-3)


def test_affine_is_exact():
    there = transform_points(AffineTransform(MATRIX), POINTS)
    np.testing.assert_allclose(inverse_transform_points(AffineTransform(MATRIX), there), POINTS, atol=1e-9)


@pytest.mark.parametrize("shift_mm", [30.0, 300.0])
def test_a_field_that_holds_a_whole_transform_is_undone_inside_its_grid(shift_mm):
    """Beyond the grid nothing moves, so that a point there is taken to itself as well."""
    grid = Geometry.from_axes((24, 20, 22), spacing_mm=(9.0, 10.0, 9.0), origin_mm=(-100, -90, -100))
    whole = AffineTransform(rigid_matrix((0.05, -0.08, 0.1), (shift_mm, -0.5 * shift_mm, 20.0), (3, 4, 5)))
    centres = voxel_centres_mm(grid)
    waves = 4.0 * np.sin(centres / 40.0)
    field = DisplacementField((transform_points(whole, centres + waves) - centres).astype(np.float32), grid)
    points = np.random.default_rng(3).uniform(-85, 85, (400, 3))
    there = transform_points(field, points)
    np.testing.assert_allclose(inverse_transform_points(field, there), points, atol=1e-2)
    # What no point of the grid reaches stays where it is, as forwards.
    far = np.array([[0.0, 2000.0, 0.0]])
    np.testing.assert_allclose(inverse_transform_points(field, far), far)


def test_a_field_that_stretches_to_three_times_is_solved_too():
    """There the displacement changes by more than its distance, where whole steps run away."""
    grid = Geometry.from_axes((61, 21, 21), spacing_mm=(2, 6, 6), origin_mm=(-60, -60, -60))
    x, y, z = np.moveaxis(voxel_centres_mm(grid), -1, 0)
    # u = 2 x up to 8 mm from the middle, then down to none at 48 mm, along x alone: nothing folds.
    along = np.interp(x, [-48, -8, 8, 48], [0, -16, 16, 0]) * np.cos(np.pi * y / 120) * np.cos(np.pi * z / 120)
    field = DisplacementField(np.stack([along, 0 * along, 0 * along], axis=-1).astype(np.float32), grid)
    points = np.random.default_rng(2).uniform(-50, 50, (300, 3))
    there = transform_points(field, points)
    middle = transform_points(field, np.array([[5.0, 0, 0]]))
    np.testing.assert_allclose(middle, [[15, 0, 0]], atol=1e-5)
    np.testing.assert_allclose(inverse_transform_points(field, there), points, atol=1e-3)


def test_a_carried_contour_is_the_edge_of_the_warped_mask():
    field = fading_field(7.0, MATRIX, seed=3)
    floating = Geometry.from_axes((60, 60, 50), spacing_mm=(2, 2, 2.5), origin_mm=(-45, -60, -55))
    centre = transform_points(field, GRID.centre_mm[None])[0]
    away = voxel_centres_mm(floating) - centre
    sphere = np.linalg.norm(away, axis=-1) < 20
    turn = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    rings = [
        np.stack([r * np.cos(turn), r * np.sin(turn), np.full(60, z)], axis=-1)
        for z, r in ((z, np.sqrt(20**2 - z**2)) for z in (-15.0, -5.0, 0.0, 10.0))
    ]
    contour = inverse_transform_points(field, np.stack(rings) + centre)
    reference = Geometry.from_axes((50, 50, 50), spacing_mm=(1.5, 1.5, 1.5), origin_mm=GRID.centre_mm - 36.75)
    shares = mask_occupancy(sphere, floating, reference, transform=field)
    at = ndimage.map_coordinates(shares, np.moveaxis(reference.to_voxel(contour), -1, 0), order=1)
    # On the edge of a mask half of a voxel is inside; 1 mm further in or out it would be near all or nothing.
    assert at.mean() == pytest.approx(0.5, abs=0.05)
    middle = inverse_transform_points(field, centre[None])
    for factor, low, high in ((0.9, 0.85, 1.01), (1.1, -0.01, 0.15)):
        place = reference.to_voxel(middle + factor * (contour - middle))
        moved = ndimage.map_coordinates(shares, np.moveaxis(place, -1, 0), order=1)
        assert low < moved.mean() < high


def test_none_is_none():
    assert inverse_transform_points(fading_field(5.0), np.zeros((0, 3))).shape == (0, 3)


def test_errors():
    jump = DisplacementField(np.full((*GRID.shape, 3), 9.0, np.float32), GRID)
    # Just beyond the first face: what is displaced lands 9 mm further, what is not stays outside.
    gap = GRID.to_world([[-0.4, 5, 5]])
    with pytest.raises(ComputationError, match=r"1 of 2 points could not be mapped to the reference: .* misses by"):
        inverse_transform_points(jump, np.concatenate([gap, GRID.centre_mm[None]]))
    with pytest.raises(GeometryError, match="singular"):
        inverse_transform_points(AffineTransform(np.diag([1.0, 0, 1, 1])), POINTS)
