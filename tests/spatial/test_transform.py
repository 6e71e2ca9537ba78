import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from sirtjax.spatial import AffineTransform, DisplacementField, compose, rigid_matrix, transform_points
from sirtjax.volume import Geometry

RNG = np.random.default_rng(11)
GRID = Geometry.from_axes((20, 18, 22), spacing_mm=(4, 4, 4), origin_mm=(-40, -36, -44))
AFFINE = AffineTransform(rigid_matrix((0.1, -0.05, 0.2), (3, -2, 1), (0, 0, 0)))
OTHER = AffineTransform(rigid_matrix((0.0, 0.1, 0.0), (0, 5, 1), (3, 3, 3)) @ np.diag([1.1, 0.9, 1.0, 1.0]))
POINTS = RNG.uniform(-20, 20, (50, 3))


def field(seed) -> DisplacementField:
    values = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(*GRID.shape, 3)), (3, 3, 3, 0))
    return DisplacementField((values * 60).astype(np.float32), GRID)


def test_affine_points_by_hand():
    shift = AffineTransform(np.array([[2, 0, 0, 1], [0, 1, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1.0]]))
    np.testing.assert_allclose(transform_points(shift, [[1, 1, 1]]), [[3, 3, 4]])
    np.testing.assert_allclose(transform_points(shift, np.array([1.0, 1, 1])), [3, 3, 4])


def test_compose_applies_the_inner_first():
    found = compose(OTHER, AFFINE)
    assert isinstance(found, AffineTransform)
    expected = transform_points(OTHER, transform_points(AFFINE, POINTS))
    np.testing.assert_allclose(transform_points(found, POINTS), expected, atol=1e-9)


@pytest.mark.parametrize(
    ("outer", "inner"), [(AFFINE, field(0)), (field(0), AFFINE), (field(0), field(1))], ids=["af", "fa", "ff"]
)
def test_compose_with_fields(outer, inner):
    found = compose(outer, inner)
    assert isinstance(found, DisplacementField)
    expected = transform_points(outer, transform_points(inner, POINTS))
    # Sampling on a grid of 4 mm costs some interpolation error when both bend.
    np.testing.assert_allclose(transform_points(found, POINTS), expected, atol=0.25)


def test_field_after_affine_is_exact_at_the_carried_grid():
    outer = field(0)
    found = compose(outer, AFFINE)
    points = found.geometry.to_world(RNG.uniform(0, 16, (50, 3)))
    expected = transform_points(outer, transform_points(AFFINE, points))
    np.testing.assert_allclose(transform_points(found, points), expected, atol=1e-3)


def test_compose_on_a_chosen_grid():
    grid = Geometry.from_axes((30, 30, 30), spacing_mm=(2, 2, 2), origin_mm=(-30, -30, -30))
    found = compose(AFFINE, field(0), geometry=grid)
    assert found.geometry == grid


@pytest.mark.slow
def test_numpy_stays_numpy_and_jax_is_differentiable():
    assert isinstance(transform_points(field(0), POINTS), np.ndarray)
    array = jnp.asarray(field(0).array)

    def total(u, points):
        return transform_points(DisplacementField(u, GRID), points)[..., 0].sum()

    points = jnp.asarray(POINTS, jnp.float32)
    by_array, by_points = jax.jit(jax.grad(total, argnums=(0, 1)))(array, points)
    # Each point's interpolation weights sum to one, on the first component alone.
    assert float(by_array[..., 0].sum()) == pytest.approx(50, rel=1e-5)
    assert float(jnp.abs(by_array[..., 1:]).max()) == 0
    step = 0.05
    moved = np.asarray(total(array, points.at[7, 1].add(step)) - total(array, points.at[7, 1].add(-step)))
    assert float(by_points[7, 1]) == pytest.approx(float(moved) / (2 * step), abs=2e-2)
