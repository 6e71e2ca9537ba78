import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from sirtjax import ops
from sirtjax.registration._lattice import blur, node_positions_mm, phase_offset, phases, sample
from sirtjax.spatial import voxel_centres_mm
from sirtjax.volume import Geometry

SHAPE = (12, 8, 16)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).random(shape).astype(np.float32)


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_phases_are_the_interleaved_sub_lattices(stride):
    array = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    found = np.asarray(jax.jit(phases, static_argnums=1)(array, stride))
    assert found.shape == (stride**3, *(n // stride for n in SHAPE))
    np.testing.assert_array_equal(np.sort(found.ravel()), array.ravel())  # each node once
    for phase in range(stride**3):
        a, b, c = np.asarray(phase_offset(jnp.int32(phase), stride))
        np.testing.assert_array_equal(found[phase], array[a::stride, b::stride, c::stride])


def test_phases_keep_channels():
    array = draw(*SHAPE, 3)
    np.testing.assert_array_equal(phases(array, 2)[5], array[1::2, ::2, 1::2])


@pytest.mark.parametrize(("stride", "phase"), [(1, 0), (2, 0), (2, 6), (4, 27)])
def test_positions_are_those_of_the_geometry(stride, phase):
    spacing_mm, origin_mm = (2.5, 4.0, 3.25), (-40.0, 17.0, 1200.0)
    lattice = Geometry.from_axes(SHAPE, spacing_mm=spacing_mm, origin_mm=origin_mm)
    a, b, c = offset = np.asarray(phase_offset(jnp.int32(phase), stride))
    axes = node_positions_mm(jnp.float32(origin_mm), jnp.float32(spacing_mm), SHAPE, stride, offset)
    expected = voxel_centres_mm(lattice)[a::stride, b::stride, c::stride]
    for axis, found in enumerate(axes):
        np.testing.assert_allclose(np.broadcast_to(found, expected.shape[:3]), expected[..., axis], atol=1e-3)


@pytest.mark.parametrize("channels", [(), (2,)])
def test_blur_is_scipys_inside(channels):
    array, sigma = draw(30, 26, 34, *channels), (1.2, 0.8, 1.6)
    expected = ndimage.gaussian_filter(array, (*sigma, *(0 for _ in channels)), truncate=6, mode="nearest")
    found = np.asarray(jax.jit(blur)(array, jnp.float32(sigma)))
    inner = tuple(slice(int(6 * s) + 1, -int(6 * s) - 1) for s in sigma)
    np.testing.assert_allclose(found[inner], expected[inner], atol=2e-4)


@pytest.mark.slow
def test_blur_keeps_a_constant_up_to_the_faces_and_with_no_width_everything():
    np.testing.assert_allclose(blur(jnp.full(SHAPE, 3.0), jnp.float32([2, 1, 4])), 3.0, atol=1e-5)
    array = draw(*SHAPE)
    np.testing.assert_allclose(blur(array, jnp.zeros(3)), array, atol=1e-6)


def test_samples_are_those_of_ops_and_zero_outside():
    array = draw(*SHAPE, 2)
    index = np.random.default_rng(1).uniform(-3, np.asarray(SHAPE) + 2, size=(200, 3)).astype(np.float32)
    found = np.asarray(jax.jit(lambda a, i: sample(a, (i[:, 0], i[:, 1], i[:, 2])))(array, index))
    expected = np.asarray(ops.sample_linear(array, index, fill=0.0))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    outside = ((index < -0.5) | (index > np.asarray(SHAPE) - 0.5)).any(axis=1)
    assert 20 < outside.sum() < 180 and not found[outside].any() and found[~outside].all()


def test_samples_at_nodes_and_half_way_by_hand():
    array = draw(*SHAPE, 1)
    x, y, z = jnp.float32([2, 2.5]), jnp.float32([3, 3]), jnp.float32([5, 5])
    found = sample(array, (x, y, z))[:, 0]
    np.testing.assert_allclose(found, [array[2, 3, 5, 0], array[2:4, 3, 5, 0].mean()], rtol=1e-5)
