import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, linalg, ndimage

from sirtjax.spatial import (
    DisplacementField,
    integrate_velocity,
    jacobian_determinant,
    transform_points,
    voxel_centres_mm,
)
from sirtjax.volume import Geometry

SPACING_MM = (2.0, 3.0, 4.0)
GRID = Geometry.from_axes((22, 18, 16), spacing_mm=SPACING_MM, origin_mm=(-21, -25.5, -30))
INNER = (slice(6, -6),) * 3


def rough(size_mm, *, sigma=1.5, seed=0):
    """Noise with structure of a few voxels that fades out at the faces."""
    values = ndimage.gaussian_filter(
        np.random.default_rng(seed).normal(size=(*GRID.shape, 3)), (sigma, sigma, sigma, 0), mode="constant"
    )
    ramps = [np.minimum(np.arange(n), np.arange(n)[::-1]) for n in GRID.shape]
    window = np.minimum(np.minimum.reduce(np.meshgrid(*ramps, indexing="ij")) / 4, 1)[..., None]
    return (values * window * size_mm / np.abs(values).max()).astype(np.float32)


def test_a_constant_velocity_shifts():
    velocity = np.broadcast_to(np.float32([1.5, -2.0, 3.0]), (*GRID.shape, 3))
    found = integrate_velocity(velocity, SPACING_MM)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[INNER], velocity[INNER], rtol=1e-5)


@pytest.mark.parametrize("library", [np, jnp])
def test_a_linear_velocity_is_the_matrix_exponential(library):
    matrix = np.array([[0.12, 0.15, -0.05], [-0.2, -0.1, 0.05], [0.1, 0.0, 0.08]])
    points = voxel_centres_mm(GRID)
    velocity = library.asarray((points @ matrix.T).astype(np.float32))
    expected = points @ (linalg.expm(matrix) - np.eye(3)).T
    found = np.asarray(integrate_velocity(velocity, library.asarray(SPACING_MM), squarings=9))
    assert np.abs(expected[INNER]).max() > 2
    np.testing.assert_allclose(found[INNER], expected[INNER], atol=5e-3)


def test_points_follow_the_flow():
    """Against the path of each point through the velocity, integrated by scipy."""
    velocity = rough(5.0, sigma=2.5)
    flow = DisplacementField(velocity, GRID)
    start = voxel_centres_mm(GRID)[5:-5:3, 5:-5:3, 5:-5:3]

    def along(_, x):
        points = x.reshape(-1, 3)
        return (transform_points(flow, points) - points).ravel()

    path = integrate.solve_ivp(along, (0, 1), start.ravel(), rtol=1e-6, atol=1e-6)
    expected = path.y[:, -1].reshape(start.shape) - start
    found = integrate_velocity(velocity, SPACING_MM)[5:-5:3, 5:-5:3, 5:-5:3]
    assert np.abs(expected).max() > 2
    np.testing.assert_allclose(found, expected, atol=0.15)


def test_the_opposite_velocity_undoes_it():
    velocity = rough(5.0, sigma=2.5, seed=1)
    there, back = (DisplacementField(integrate_velocity(v, SPACING_MM), GRID) for v in (velocity, -velocity))
    points = voxel_centres_mm(GRID)[INNER]
    moved = transform_points(there, points)
    assert np.abs(moved - points).max() > 2
    missed = np.linalg.norm(transform_points(back, moved) - points, axis=-1)
    # What is left is the interpolation between voxels of 2 to 4 mm.
    assert missed.mean() < 0.1 and missed.max() < 0.3


def test_a_rough_velocity_does_not_fold_where_its_displacement_does():
    velocity = rough(12.0, sigma=1.8, seed=2)
    assert jacobian_determinant(DisplacementField(velocity, GRID)).min() < -0.2
    assert jacobian_determinant(DisplacementField(integrate_velocity(velocity, SPACING_MM), GRID)).min() > 0.02


def test_no_squaring_is_the_velocity_itself():
    velocity = rough(3.0)
    np.testing.assert_array_equal(integrate_velocity(velocity, SPACING_MM, squarings=0), velocity)


def test_jit_equals_the_host_and_takes_a_traced_spacing():
    velocity = rough(4.0)
    found = jax.jit(integrate_velocity)(velocity, np.float32(SPACING_MM))
    np.testing.assert_allclose(found, integrate_velocity(velocity, SPACING_MM), atol=1e-4)


def test_unit_of_length_does_not_matter():
    velocity = rough(4.0)
    found = integrate_velocity(10 * velocity, 10 * np.asarray(SPACING_MM))
    np.testing.assert_allclose(found, 10 * integrate_velocity(velocity, SPACING_MM), atol=1e-3)


@pytest.mark.slow
def test_gradient_against_finite_differences():
    small = rough(4.0, sigma=2.0)[6:16, 5:13, 4:11]
    weights = np.random.default_rng(3).normal(size=small.shape).astype(np.float32)

    @jax.jit
    def score(velocity, spacing_mm):
        return (integrate_velocity(velocity, spacing_mm) * weights).sum()

    velocity, spacing = jnp.asarray(small), jnp.asarray(SPACING_MM, jnp.float32)
    by_velocity, by_spacing = jax.jit(jax.grad(score, argnums=(0, 1)))(velocity, spacing)
    rng = np.random.default_rng(4)
    for _ in range(6):
        way = ndimage.gaussian_filter(rng.normal(size=small.shape), (1, 1, 1, 0)).astype(np.float32)
        ends = [float(score(velocity + step * way, spacing)) for step in (0.02, -0.02)]
        assert float((by_velocity * way).sum()) == pytest.approx((ends[0] - ends[1]) / 0.04, rel=2e-2, abs=0.02)
    ends = [float(score(velocity, spacing.at[1].add(step))) for step in (0.01, -0.01)]
    assert float(by_spacing[1]) == pytest.approx((ends[0] - ends[1]) / 0.02, rel=3e-2, abs=0.02)


@pytest.mark.slow
def test_errors():
    with pytest.raises(ValueError, match=r"must have shape \(i, j, k, 3\), got \(4, 4, 3\)"):
        integrate_velocity(np.zeros((4, 4, 3), np.float32), SPACING_MM)
    with pytest.raises(ValueError, match="squarings must be 0 or more, got -1"):
        integrate_velocity(rough(1.0), SPACING_MM, squarings=-1)
