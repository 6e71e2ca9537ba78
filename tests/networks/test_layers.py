"""Layers against values by hand and against NumPy; what a feature keeps for the gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax.networks import _layers as layers
from sirtjax.networks import apply_training, initialise, network_config
from sirtjax.networks._feature import moments, read, scaled


def image(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# Groups of 8, 2 and 1 voxels are added up at once; channels that fill a register.
@pytest.mark.parametrize("shape", [(1, 12, 8, 16, 2), (2, 12, 9, 10, 3), (2, 12, 7, 9, 1), (2, 12, 8, 8, 32)])
def test_moments_keep_their_digits_far_from_zero(shape):
    channel = np.arange(shape[-1], dtype=np.float32)
    x = image(*shape) * (1 + 0.1 * channel) + 1000 + 10 * channel
    mean, variance = jax.jit(moments)(x)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(mean[:, 0, 0, 0], wide.mean(axis=(1, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(variance[:, 0, 0, 0], wide.var(axis=(1, 2, 3)), rtol=1e-4)


def test_gradient_of_moments_is_that_of_their_definition():
    x, a, b = image(2, 4, 3, 5, 2), image(2, 1, 1, 1, 2, seed=1), image(2, 1, 1, 1, 2, seed=2)

    def ours(x):
        mean, variance = moments(x)
        return (a * mean + b * variance).sum()

    def direct(x):
        return (a * x.mean((1, 2, 3), keepdims=True) + b * x.var((1, 2, 3), keepdims=True)).sum()

    np.testing.assert_allclose(jax.jit(jax.grad(ours))(x), jax.jit(jax.grad(direct))(x), atol=1e-6)


def test_instance_norm_scales_and_shifts():
    norm = layers.InstanceNorm(2)
    norm.scale[...] = jnp.array([2.0, 1.0])
    norm.shift[...] = jnp.array([0.5, 0.0])
    x = image(1, 4, 5, 6, 2) * 3 + 7
    y = norm(jnp.asarray(x), training=True).of(x)
    expected = (x - x.mean((1, 2, 3))) / np.sqrt(x.var((1, 2, 3)) + 1e-5) * [2, 1] + [0.5, 0]
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_affine_scales_and_shifts_by_what_is_learned_alone():
    layer = layers.Affine(2)
    x = image(1, 4, 5, 6, 2) * 3 + 7
    np.testing.assert_array_equal(layer(jnp.asarray(x), training=True).of(x), x)
    layer.scale[...] = jnp.array([2.0, 1.0])
    layer.shift[...] = jnp.array([0.5, -1.0])
    np.testing.assert_allclose(layer(jnp.asarray(x), training=False).of(x), x * [2, 1] + [0.5, -1], rtol=1e-6)


def test_batch_norm_uses_the_batch_in_training_and_follows_it():
    norm = layers.BatchNorm(2)
    x = image(3, 2, 3, 4, 2) * 2 + 5
    # Images of different mean: the variance of the batch is more than theirs.
    x += np.arange(3, dtype=np.float32).reshape(3, 1, 1, 1, 1)
    over = (0, 1, 2, 3)
    y = norm(jnp.asarray(x), training=True).of(x)
    np.testing.assert_allclose(y, (x - x.mean(over)) / np.sqrt(x.var(over) + 1e-5), atol=1e-5)
    np.testing.assert_allclose(norm.mean[...], 0.1 * x.mean(over), rtol=1e-5)
    np.testing.assert_allclose(norm.variance[...], 0.9 + 0.1 * x.var(over, ddof=1), rtol=1e-5)
    kept = norm(jnp.asarray(x), training=False).of(x)
    expected = (x - np.asarray(norm.mean[...])) / np.sqrt(np.asarray(norm.variance[...]) + 1e-5)
    np.testing.assert_allclose(kept, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_statistics_come_back_from_training():
    config = network_config(
        {
            "architecture": "monai-unet",
            "classes": 2,
            "features": [2, 3],
            "strides": [2],
            "units": 0,
            "normalisation": "batch",
        }
    )
    variables = initialise(config, seed=0)
    before = variables["statistics"]["top"]["down"]["finish"]["norm"]["mean"]
    _, statistics = jax.jit(apply_training, static_argnums=0)(
        config, variables, image(2, 4, 4, 4, 1), key=jax.random.key(0)
    )
    assert jax.tree.structure(statistics) == jax.tree.structure(variables["statistics"])
    np.testing.assert_array_equal(before, 0)
    assert np.all(np.asarray(statistics["top"]["down"]["finish"]["norm"]["mean"]) != 0)


@pytest.mark.slow
def test_dropout_keeps_the_mean_and_draws_by_key_and_number():
    x = jnp.ones((1, 20, 20, 20, 1))
    dropout, key = layers.Dropout(0.25, 3), jax.random.key(0)
    y = dropout(x, key)
    np.testing.assert_allclose(np.unique(y), [0, 4 / 3], rtol=1e-6)
    np.testing.assert_allclose((y == 0).mean(), 0.25, atol=0.02)
    np.testing.assert_array_equal(dropout(x, key), y)
    assert (layers.Dropout(0.25, 4)(x, key) != y).any()
    assert (dropout(x, jax.random.key(1)) != y).any()
    np.testing.assert_array_equal(dropout(x, None), x)


def test_slopes():
    x = jnp.array([-2.0, 3.0]).reshape(1, 1, 1, 1, 2)
    np.testing.assert_allclose(layers.leaky_relu(x).ravel(), [-0.02, 3], rtol=1e-6)
    np.testing.assert_allclose(layers.ParametricReLU(2)(x).ravel(), [-0.5, 3])


def test_pools_leave_no_voxel_of_a_block_out():
    x = np.arange(4 * 6 * 2, dtype=np.float32).reshape(1, 4, 6, 2, 1)
    np.testing.assert_array_equal(layers.max_pool(x, (2, 3, 2))[0, ..., 0, 0], [[17, 23], [41, 47]])
    np.testing.assert_array_equal(layers.mean_pool(x, (2, 3, 2))[0, ..., 0, 0], [[8.5, 14.5], [32.5, 38.5]])
    assert layers.max_pool(image(1, 5, 7, 9, 2), (2, 2, 2)).shape == (1, 2, 3, 4, 2)


@pytest.mark.slow
def test_repetition():
    x = jnp.array([1.0, 4.0]).reshape(1, 2, 1, 1, 1)
    np.testing.assert_array_equal(layers.repeat(x, (3, 1, 2))[0, :, 0, :, 0], [[1, 1]] * 3 + [[4, 4]] * 3)
    smooth = layers.repeat_smoothly(x, 3)
    assert smooth.shape == (1, 4, 1, 1, 1)
    np.testing.assert_allclose(smooth.ravel(), [1, 2, 3, 4], rtol=1e-6)


def test_smooth_repetition_is_the_mean_over_a_cube():
    x = image(2, 3, 4, 2, 2)
    repeated = np.asarray(layers.repeat(x, (3, 3, 3)))
    windows = np.lib.stride_tricks.sliding_window_view(repeated, (3, 3, 3), axis=(1, 2, 3))
    np.testing.assert_allclose(layers.repeat_smoothly(x, 3), windows.mean(axis=(-3, -2, -1)), atol=1e-5)


@pytest.mark.parametrize("rate", [2, 3, 4])
def test_gradient_of_smooth_repetition_is_its_transpose(rate):
    x = image(2, 3, 4, 2, 2)
    dy = image(2, *(rate * n - 2 for n in (3, 4, 2)), 2, seed=1)
    other = image(2, 3, 4, 2, 2, seed=2)

    @jax.jit
    def products(x, other, dy):
        _, pull = jax.vjp(lambda x: layers.repeat_smoothly(x, rate), x)
        # It is linear, so <L other, dy> is <other, gradient>.
        return (layers.repeat_smoothly(other, rate) * dy).sum(), (other * pull(dy)[0]).sum()

    np.testing.assert_allclose(*products(x, other, dy), rtol=1e-4)


def test_gradient_of_the_largest_is_shared_among_equal_ones():
    # Voxels beyond the last whole block, and blocks with up to eight equal values.
    x = np.random.default_rng(0).integers(0, 3, (2, 5, 4, 7, 2)).astype(np.float32)
    dy = image(2, 2, 2, 2, 2, seed=1)
    _, pull = jax.vjp(lambda x: layers.max_pool(x, (2, 2, 3)), x)
    expected = np.zeros_like(x)
    for n, i, j, k, c in np.ndindex(dy.shape):
        block = (n, slice(2 * i, 2 * i + 2), slice(2 * j, 2 * j + 2), slice(3 * k, 3 * k + 3), c)
        largest = x[block] == x[block].max()
        expected[block] = largest * (dy[n, i, j, k, c] / largest.sum())
    np.testing.assert_allclose(pull(dy)[0], expected, rtol=1e-6)


def test_middle():
    x = np.arange(5 * 4 * 3, dtype=np.float32).reshape(1, 5, 4, 3, 1)
    np.testing.assert_array_equal(layers.crop_centre(x, (3, 2, 2)), x[:, 1:4, 1:3, :2])


@pytest.mark.parametrize(("kernel", "stride"), [((3, 3, 3), (2, 2, 2)), ((3, 3, 3), (3, 1, 2)), ((2, 1, 4), (2, 1, 4))])
def test_transposed_convolution_multiplies_the_size(kernel, stride):
    up = layers.TransposedConvolution(1, 2, kernel=kernel, stride=stride, draw=layers.shapes_alone)
    found = jax.eval_shape(up, jax.ShapeDtypeStruct((1, 3, 4, 5, 1), jnp.float32))
    assert found.shape == (1, 3 * stride[0], 4 * stride[1], 5 * stride[2], 2)


def test_only_what_a_feature_keeps_is_kept_for_the_gradient():
    norm = layers.InstanceNorm(4)

    def large(reader):
        def result(x):
            feature = scaled(x, norm(x, training=True), layers.leaky_relu)
            return reader(lambda x: jnp.sin(x) * jnp.cos(x), feature)

        _, pull = jax.eval_shape(lambda x: jax.vjp(result, x), jnp.asarray(image(1, 8, 8, 8, 4)))
        return sum(leaf.size >= 8**3 * 4 for leaf in jax.tree.leaves(pull))

    # The array itself, for the moments and for the reader.
    assert large(read) == 1
    assert large(lambda function, feature: function(feature.make(*feature.kept))) > 3


@pytest.mark.slow
def test_what_is_run_again_waits_for_the_gradient():
    norm = layers.InstanceNorm(4)

    def at_once(function, feature):
        return jax.checkpoint(lambda *kept: function(feature.make(*kept)))(*feature.kept)

    def held_bytes(reader):
        def grow(x):
            return layers.max_pool(jnp.pad(x, ((0, 0), *((8, 8),) * 3, (0, 0))), (2, 2, 2))

        def result(x):
            features = []
            for _ in range(5):
                features.append(scaled(x, norm(x, training=True), layers.leaky_relu))
                x = reader(lambda x: jnp.cumsum(x, axis=3), features[-1])
            for feature in reversed(features):
                y = x + feature.make(*feature.kept)
                x = reader(grow, scaled(y, norm(y, training=True), layers.leaky_relu))
            return jnp.square(x).sum()

        x = jax.ShapeDtypeStruct((1, 16, 16, 16, 4), jnp.float32)
        return jax.jit(jax.grad(result)).lower(x).compile().memory_analysis().temp_size_in_bytes

    # XLA on a CPU runs again early what `jax.checkpoint` alone guards, and holds it all.
    assert held_bytes(read) < 0.7 * held_bytes(at_once)
