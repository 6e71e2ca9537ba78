import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from sirtjax.ops import flat_grid, hold, sample_cubic, sample_flat_linear, sample_linear, sample_nearest

RNG = np.random.default_rng(3)
ARRAY = RNG.normal(size=(4, 3, 5)).astype(np.float32)
POINTS = RNG.uniform(-0.4, 3.2, size=(2, 11, 3)).astype(np.float32) * np.float32([1.0, 0.7, 1.3])
SAMPLERS = [sample_nearest, sample_linear, sample_cubic]


def test_linear_by_hand():
    array = np.zeros((2, 2, 2), np.float32)
    array[1, 0, 0], array[1, 1, 0] = 8.0, 16.0
    points = np.array([[0.25, 0, 0], [1, 0.5, 0], [0.5, 0.5, 0.5], [1.4, 0.0, -0.4]])
    np.testing.assert_allclose(sample_linear(array, points), [2, 12, 3, 8])


def test_nearest_takes_the_higher_index_half_way():
    array = np.arange(4, dtype=np.int16).reshape(4, 1, 1)
    points = np.array([[0.5, 0, 0], [1.49, 0, 0], [-0.5, 0, 0], [3.5, 0, 0], [0.0, 0.5, 0.0]])
    found = sample_nearest(array, points, fill=-7)
    assert found.dtype == np.int16
    np.testing.assert_array_equal(found, [1, 1, 0, -7, -7])


@pytest.mark.parametrize("sample", SAMPLERS)
def test_values_at_voxels_are_the_voxels(sample):
    ijk = np.stack(np.meshgrid(*(np.arange(n) for n in ARRAY.shape), indexing="ij"), axis=-1)
    np.testing.assert_allclose(sample(ARRAY, ijk.astype(np.float32)), ARRAY, atol=2e-6)


@pytest.mark.parametrize("sample", SAMPLERS)
def test_outside_and_not_a_number_get_the_fill(sample):
    points = np.array([[-0.51, 1, 1], [1, 2.5, 1], [1, 1, 99], [np.nan, 1, 1], [1e30, 1, 1]], np.float32)
    np.testing.assert_array_equal(sample(ARRAY, points, fill=-3.0), np.full(5, -3.0, np.float32))
    np.testing.assert_array_equal(sample(jnp.asarray(ARRAY), jnp.asarray(points), fill=-3.0), np.full(5, -3.0))


@pytest.mark.slow
@pytest.mark.parametrize("sample", SAMPLERS)
def test_numpy_jax_and_jit_agree(sample):
    on_host = sample(ARRAY, POINTS)
    assert isinstance(on_host, np.ndarray)
    eager = sample(jnp.asarray(ARRAY), jnp.asarray(POINTS))
    np.testing.assert_allclose(on_host, eager, atol=3e-6)
    np.testing.assert_allclose(jax.jit(sample)(ARRAY, POINTS), eager, atol=3e-6)


@pytest.mark.parametrize("sample", [sample_nearest, sample_linear])
def test_channels_are_sampled_each(sample):
    stacked = np.stack([ARRAY, 2 * ARRAY], axis=-1)
    found = sample(stacked, POINTS, fill=1.5)
    assert found.shape == (2, 11, 2)
    np.testing.assert_allclose(found[..., 0], sample(ARRAY, POINTS, fill=1.5), atol=1e-6)
    np.testing.assert_allclose(found[..., 1], sample(2 * ARRAY, POINTS, fill=1.5), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("sample", [sample_linear, sample_cubic])
def test_gradients_in_values_and_indices(sample):
    fractions = np.random.default_rng(1).uniform(0.1, 0.9, (6, 3))
    inner = jnp.asarray(fractions + np.array([[1.0, 0.0, 2.0]]), jnp.float32)
    check_grads(jax.jit(lambda a: sample(a, inner)), (jnp.asarray(ARRAY),), order=1, modes=["fwd", "rev"], rtol=1e-2)
    check_grads(jax.jit(lambda p: sample(ARRAY, p)), (inner,), order=1, modes=["rev"], rtol=2e-2, eps=1e-2)


def test_gradient_is_zero_outside_not_nan():
    points = jnp.asarray([[np.nan, 0, 0], [-3.0, 0, 0]], jnp.float32)
    slope = jax.jit(jax.grad(lambda p: sample_linear(jnp.asarray(ARRAY), p).sum()))(points)
    np.testing.assert_array_equal(slope, np.zeros((2, 3)))


@pytest.mark.parametrize("half", [0.5, 0.3, 0.05])
def test_half_width_is_the_mean_over_a_box_of_that_size(half):
    points = np.random.default_rng(2).uniform(0.4, 1.6, (20, 3))
    lattice = (np.arange(40) + 0.5) / 20 - 1
    offsets = np.stack(np.meshgrid(*[lattice * half] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    array = ARRAY.astype(np.float64)
    brute = [sample_nearest(array, p + offsets).mean() for p in points]
    grid = flat_grid(array)
    found = sample_flat_linear(grid, tuple(points.T), half_width=(half, half, half))
    np.testing.assert_allclose(found, brute, atol=0.06)


def test_flat_grid_of_a_padded_buffer_gives_the_same():
    buffer = np.full(1000, np.nan, np.float32)
    buffer[: ARRAY.size] = ARRAY.ravel()
    grid = flat_grid(ARRAY)._replace(flat=buffer)
    np.testing.assert_array_equal(
        sample_flat_linear(grid, tuple(np.moveaxis(POINTS, -1, 0))), sample_linear(ARRAY, POINTS)
    )


@pytest.mark.parametrize("at", [(3.0, 4.0, 2.0), (0.0, 4.0, 2.0), (3.25, 0.0, 0.0), (2.5, 1.5, 3.75)])
@pytest.mark.slow
def test_the_derivative_on_a_voxel_centre_is_that_of_the_interval_above(at):
    # In a linear image, the intervals on both sides have the same derivative, so it must not be a part of it.
    i, j, k = np.meshgrid(*(np.arange(n) for n in (7, 6, 5)), indexing="ij")
    image = jnp.asarray(2.0 * i + 3.0 * j + 5.0 * k, jnp.float32)
    point = jnp.asarray(at, jnp.float32)
    np.testing.assert_allclose(jax.grad(lambda x: sample_linear(image, x[None])[0])(point), [2, 3, 5], rtol=1e-6)
    # With a kink it is the one above, and beyond the last voxel the value is held.
    bent = jnp.asarray([0.0, 1.0, 5.0, 6.0], jnp.float32).reshape(4, 1, 1)
    slope = jax.vmap(jax.grad(lambda x: sample_linear(bent, jnp.array([[x, 0.0, 0.0]]))[0]))
    np.testing.assert_allclose(slope(jnp.array([0.0, 1.0, 2.0, 3.0, -0.25, 3.25])), [1, 4, 1, 0, 0, 0])


@pytest.mark.parametrize("parts", [1, 2, 4])
@pytest.mark.slow
def test_the_derivative_of_a_mean_over_parts_does_not_depend_on_their_number(parts):
    bent = jnp.asarray([0.0, 1.0, 5.0, 6.0, 2.0], jnp.float32).reshape(5, 1, 1)
    offsets = (np.arange(parts, dtype=np.float32) + 0.5) / parts - 0.5

    def mean_over_voxel(x):
        points = x + offsets
        zero = jnp.zeros_like(points)
        found = sample_flat_linear(flat_grid(bent), (points, zero, zero), half_width=(0.5 / parts, 0.5, 0.5))
        return found.mean()

    centres = jnp.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(jax.vmap(mean_over_voxel)(centres), [1, 5, 6], rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(jax.grad(mean_over_voxel))(centres), [4, 1, -4], rtol=1e-5)


def test_hold_keeps_the_derivative_at_its_ends():
    x = np.array([-1.0, 0.0, 0.5, 2.0, 3.0], np.float32)
    np.testing.assert_array_equal(hold(x, 0.0, 2.0), np.clip(x, 0.0, 2.0))
    np.testing.assert_array_equal(jax.vmap(jax.grad(lambda v: hold(v, 0.0, 2.0)))(jnp.asarray(x)), [0, 1, 1, 1, 0])
