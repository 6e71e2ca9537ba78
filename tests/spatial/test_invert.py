import numpy as np
import pytest
from scipy import ndimage

from sirtjax.errors import ComputationError, GeometryError
from sirtjax.spatial import (
    AffineTransform,
    DisplacementField,
    invert,
    invert_field,
    jacobian_determinant,
    rigid_matrix,
    transform_points,
)
from sirtjax.volume import Geometry

GRID = Geometry.from_axes(
    (24, 20, 22),
    spacing_mm=(4, 5, 4),
    origin_mm=(-40, -36, -44),
    direction=rigid_matrix((0.2, 0.1, -0.3), (0,) * 3, (0,) * 3)[:3, :3],
)


def fading_field(size_mm, *, seed=0) -> DisplacementField:
    values = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(*GRID.shape, 3)), (3, 3, 3, 0))
    ramps = [np.minimum(np.arange(n), np.arange(n)[::-1]) for n in GRID.shape]
    window = np.minimum(np.minimum.reduce(np.meshgrid(*ramps, indexing="ij")) / 4, 1)
    values *= size_mm / np.abs(values).max()
    return DisplacementField((values * window[..., None]).astype(np.float32), GRID)


def test_affine():
    matrix = rigid_matrix((0.1, 0.2, 0.3), (4, 5, 6), (7, 8, 9)) @ np.diag([1.2, 0.9, 1.0, 1.0])
    back = invert(AffineTransform(matrix))
    points = np.random.default_rng(0).normal(size=(9, 3)) * 50
    np.testing.assert_allclose(
        transform_points(back, transform_points(AffineTransform(matrix), points)), points, atol=1e-9
    )
    with pytest.raises(GeometryError, match="singular"):
        invert(AffineTransform(np.diag([1.0, 1.0, 0.0, 1.0])))


def test_field_round_trip_at_its_voxels():
    field = fading_field(9.0)
    found = invert_field(field)
    assert found.residual_mm < 1e-3
    centres = GRID.to_world(np.stack(np.meshgrid(*map(np.arange, GRID.shape), indexing="ij"), axis=-1))
    there = centres + found.field.array
    missed = np.linalg.norm(transform_points(field, there) - centres, axis=-1)
    assert missed.max() < 2e-3
    assert missed.max() == pytest.approx(found.residual_mm, abs=1e-3)


def test_field_round_trip_between_voxels_and_on_another_grid():
    field = fading_field(9.0, seed=1)
    finer = Geometry.from_axes((60, 60, 60), spacing_mm=(2, 2, 2), origin_mm=GRID.centre_mm - 59)
    back = invert(field, geometry=finer)
    assert back.geometry == finer
    points = np.random.default_rng(1).uniform(-25, 25, (200, 3)) + GRID.centre_mm
    assert np.abs(transform_points(back, transform_points(field, points)) - points).max() < 0.15


def test_a_folding_field_is_reported():
    field = fading_field(150.0)
    assert invert_field(field, iterations=20).residual_mm > 1
    with pytest.raises(ComputationError, match=r"could not be inverted: after 20 steps the inverse misses by .* mm"):
        invert(field, iterations=20)


def test_a_swirl_is_inverted():
    """A quarter turn in the middle that fades outwards keeps volumes, and plain iteration runs away from it."""
    away = GRID.to_world(np.moveaxis(np.indices(GRID.shape), 0, -1)) - GRID.centre_mm
    angle = 1.5 * np.exp(-((np.linalg.norm(away, axis=-1) / 16) ** 2))
    x, y, _ = np.moveaxis(away, -1, 0)
    turned = np.stack([np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y, away[..., 2]], -1)
    field = DisplacementField((turned - away).astype(np.float32), GRID)
    assert np.abs(field.array).max() > 9 and jacobian_determinant(field).min() > 0
    found = invert_field(field)
    assert found.residual_mm < 1e-2
    points = GRID.to_world(np.argwhere(np.linalg.norm(away, axis=-1) < 20))
    assert np.abs(transform_points(field, transform_points(found.field, points)) - points).max() < 0.02
