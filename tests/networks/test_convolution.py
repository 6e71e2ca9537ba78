"""The convolution of the CPU against XLA's own, forward and in both gradients, in all the shapes it may meet."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from sirtjax.networks import _convolution_cpu as cpu
from sirtjax.networks import _weight_gradient_cpu as products
from sirtjax.networks import conv3d, conv3d_transpose

LAYOUT = ("NDHWC", "DHWIO", "NDHWC")
ONES = ((1, 1), (1, 1), (1, 1))
NONE = ((0, 0), (0, 0), (0, 0))


def native(x, w, stride, padding):
    return lax.conv_general_dilated(x, w, stride, padding, dimension_numbers=LAYOUT, precision="highest")


def arrays(shape, kernel, channels, features, *, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(*shape, channels)).astype(np.float32)
    return x, rng.normal(size=(*kernel, channels, features)).astype(np.float32)


def assert_close(found, expected):
    assert found.shape == expected.shape
    scale = float(jnp.abs(expected).max()) or 1.0
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * scale)


def with_gradients(function, x, w):
    y, pull = jax.vjp(function, x, w)
    cotangent = np.random.default_rng(1).normal(size=y.shape).astype(np.float32)
    return y, *pull(cotangent)


CASES = {
    "cube of three": ((1, 8, 7, 6), (3, 3, 3), 6, 5, (1, 1, 1), ONES),
    "odd depth and a batch": ((3, 11, 5, 6), (3, 3, 3), 5, 7, (1, 1, 1), ONES),
    "no depth to tile": ((2, 1, 5, 6), (3, 3, 3), 6, 4, (1, 1, 1), ONES),
    "two slices": ((1, 2, 5, 6), (3, 3, 3), 6, 4, (1, 1, 1), ONES),
    "three slices": ((1, 3, 5, 6), (3, 3, 3), 6, 4, (1, 1, 1), ONES),
    "valid": ((1, 9, 8, 7), (3, 3, 3), 6, 5, (1, 1, 1), NONE),
    "uneven padding": ((1, 7, 6, 5), (3, 3, 3), 5, 6, (1, 1, 1), ((0, 2), (2, 1), (3, 0))),
    "padding wider than the kernel": ((1, 5, 4, 5), (3, 3, 3), 5, 6, (1, 1, 1), ((3, 0), (0, 4), (3, 3))),
    "one channel": ((2, 6, 7, 5), (3, 3, 3), 1, 6, (1, 1, 1), ONES),
    "two channels": ((1, 5, 6, 9), (3, 3, 3), 2, 12, (1, 1, 1), ONES),
    "two channels and features": ((2, 6, 5, 19), (3, 3, 3), 2, 2, (1, 1, 1), ONES),
    "rows of a long kernel": ((1, 7, 6, 9), (3, 2, 7), 4, 3, (2, 2, 1), ((1, 0), (0, 1), (2, 5))),
    "strided few features": ((1, 9, 7, 6), (3, 3, 3), 3, 5, (2, 3, 1), ((1, 0), (1, 1), (2, 1))),
    "one feature": ((1, 6, 7, 5), (3, 3, 3), 6, 1, (1, 1, 1), ONES),
    "strided": ((2, 8, 6, 10), (3, 3, 3), 6, 5, (2, 2, 2), ONES),
    "strided over odd sizes": ((1, 9, 7, 5), (3, 3, 3), 5, 6, (2, 2, 2), ONES),
    "strided one channel": ((1, 9, 7, 6), (3, 3, 3), 2, 6, (2, 1, 2), ONES),
    "strided rows": ((1, 6, 5, 11), (3, 3, 3), 1, 3, (2, 2, 2), ONES),
    "steps of rows longer than the kernel": ((1, 5, 6, 11), (2, 2, 2), 1, 6, (2, 1, 3), NONE),
    "strided unevenly": ((1, 7, 8, 9), (3, 3, 3), 5, 6, (1, 2, 3), ((1, 0), (0, 1), (2, 1))),
    "steps longer than the kernel": ((1, 8, 7, 9), (1, 2, 2), 5, 6, (2, 3, 2), NONE),
    "flat kernel": ((1, 6, 7, 8), (1, 3, 3), 5, 6, (1, 1, 1), ((0, 0), (1, 1), (1, 1))),
    "kernel along the first axes": ((1, 9, 7, 4), (3, 3, 1), 5, 6, (1, 1, 1), NONE),
    "kernel of five by two": ((1, 9, 7, 6), (5, 2, 4), 5, 6, (1, 1, 1), ((2, 2), (0, 1), (1, 2))),
    "a point": ((2, 4, 5, 3), (1, 1, 1), 5, 6, (1, 1, 1), NONE),
    "a strided point": ((1, 5, 6, 7), (1, 1, 1), 5, 6, (2, 1, 3), ((0, 1), (0, 0), (1, 0))),
}


IN_SLABS = (
    "odd depth and a batch",
    "uneven padding",
    "one channel",
    "two channels and features",
    "strided over odd sizes",
    "kernel of five by two",
)


# The rest of the cases takes as long again.
FIRST = (
    "odd depth and a batch",
    "three slices",
    "valid",
    "one channel",
    "two channels and features",
    "strided few features",
    "strided rows",
    "strided",
    "flat kernel",
    "a strided point",
)


@pytest.mark.parametrize(
    ("name", "slab_bytes"),
    [
        *(pytest.param(name, 16e6, marks=[] if name in FIRST else pytest.mark.slow) for name in CASES),
        *(pytest.param(name, 2e3, marks=[] if name == "uneven padding" else pytest.mark.slow) for name in IN_SLABS),
    ],
)
def test_equal_to_xla(monkeypatch, name, slab_bytes):
    shape, kernel, channels, features, stride, padding = CASES[name]
    monkeypatch.setattr(cpu, "SLAB_BYTES", slab_bytes)
    monkeypatch.setattr(products, "PRODUCT_BYTES", slab_bytes)
    x, w = arrays(shape, kernel, channels, features)
    found = jax.jit(lambda x, w: with_gradients(lambda x, w: conv3d(x, w, stride=stride, padding=padding), x, w))(x, w)
    expected = jax.jit(lambda x, w: with_gradients(lambda x, w: native(x, w, stride, padding), x, w))(x, w)
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other)


@pytest.mark.parametrize("tile_bytes", [1e9, 1e3])
@pytest.mark.parametrize(
    "name",
    [
        "odd depth and a batch",
        "valid",
        "uneven padding",
        pytest.param("padding wider than the kernel", marks=pytest.mark.slow),
        pytest.param("strided unevenly", marks=pytest.mark.slow),
        pytest.param("kernel along the first axes", marks=pytest.mark.slow),
    ],
)
def test_gradient_to_kernels_by_minimal_filtering(monkeypatch, name, tile_bytes):
    shape, kernel, channels, features, stride, padding = CASES[name]
    monkeypatch.setattr(products, "MINIMAL_FROM", channels * features)
    monkeypatch.setattr(products, "TILE_BYTES", tile_bytes)
    used = []
    minimal = products._minimal
    monkeypatch.setattr(products, "_minimal", lambda *args, **how: used.append(name) or minimal(*args, **how))
    x, w = arrays(shape, kernel, channels, features)
    found = jax.jit(lambda x, w: with_gradients(lambda x, w: conv3d(x, w, stride=stride, padding=padding), x, w))(x, w)
    expected = jax.jit(lambda x, w: with_gradients(lambda x, w: native(x, w, stride, padding), x, w))(x, w)
    assert used == [name]
    assert_close(found[2], expected[2])


@pytest.mark.slow
def test_many_channels_have_their_gradient_by_minimal_filtering():
    x, w = arrays((1, 9, 6, 5), (3, 3, 3), 32, 33)
    gradient = jax.jit(lambda x, w: with_gradients(conv3d, x, w)[2])
    # A product for each of six tiles' parts in place of one for each slab.
    assert gradient.lower(x, w).as_text().count("stablehlo.dot_general") == 6
    assert_close(gradient(x, w), with_gradients(lambda x, w: native(x, w, (1, 1, 1), ONES), x, w)[2])


def test_slabs_are_used(monkeypatch):
    monkeypatch.setattr(cpu, "SLAB_BYTES", 2e3)
    x, w = arrays((1, 17, 6, 5), (3, 3, 3), 6, 5)
    assert "while" in jax.jit(conv3d).lower(x, w).as_text()
    assert_close(conv3d(x, w), native(x, w, (1, 1, 1), ONES))


def test_minimal_filtering_is_used():
    x, w = arrays((1, 8, 6, 5), (3, 3, 3), 6, 5)
    assert jax.jit(conv3d).lower(x, w).as_text().count("stablehlo.convolution") == 6


def test_large_mean_keeps_its_digits():
    x, w = arrays((1, 12, 8, 8), (3, 3, 3), 32, 16)
    assert_close(conv3d(x + 50, w), native(x + 50, w, (1, 1, 1), ONES))


@pytest.mark.slow
def test_vmap_over_images_and_over_kernels():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 1, 6, 5, 4, 6)).astype(np.float32)
    w = rng.normal(size=(3, 3, 3, 3, 6, 5)).astype(np.float32)

    def xla(x, w):
        return native(x, w, (1, 1, 1), ONES)

    for axes in ((0, None), (None, 0), (0, 0)):
        one, two = (a if axis == 0 else a[0] for a, axis in zip((x, w), axes, strict=True))
        found = jax.jit(jax.vmap(partial(with_gradients, conv3d), axes))(one, two)
        expected = jax.jit(jax.vmap(partial(with_gradients, xla), axes))(one, two)
        for a, b in zip(found, expected, strict=True):
            assert_close(a, b)


def test_half_precision_is_computed_in_single():
    x, w = arrays((1, 8, 6, 5), (3, 3, 3), 6, 5)
    short = [jnp.asarray(a, jnp.bfloat16) for a in (x, w)]
    found = conv3d(*short)
    assert found.dtype == jnp.bfloat16
    expected = native(*(a.astype(jnp.float32) for a in short), (1, 1, 1), ONES)
    np.testing.assert_allclose(found.astype(jnp.float32), expected, rtol=2**-8, atol=1e-2)


TRANSPOSED = {
    "kernel as large as the step": ((2, 3, 4, 2), (2, 2, 2), (2, 2, 2), {}, NONE),
    "flat step": ((1, 3, 4, 2), (1, 2, 3), (1, 2, 3), {}, NONE),
    "three by two": ((2, 3, 4, 2), (3, 3, 3), (2, 2, 2), {"padding": ONES, "output_padding": (1, 1, 1)}, ((1, 2),) * 3),
    "three by two, uneven": ((1, 3, 5, 4), (3, 3, 3), (2, 1, 2), {"padding": ONES}, ONES),
}


@pytest.mark.parametrize("name", TRANSPOSED)
def test_transpose_equal_to_xla(name):
    shape, kernel, stride, options, cut = TRANSPOSED[name]
    x, w = arrays(shape, kernel, 5, 4)

    def expected(x, w):
        padding = [(k - 1 - low, k - 1 - 2 * low + high) for k, (low, high) in zip(kernel, cut, strict=True)]
        return lax.conv_general_dilated(
            x, w[::-1, ::-1, ::-1], (1, 1, 1), padding, lhs_dilation=stride, dimension_numbers=LAYOUT
        )

    def ours(x, w):
        return conv3d_transpose(x, w, stride=stride, **options)

    found, truth = (jax.jit(partial(with_gradients, f))(x, w) for f in (ours, expected))
    for one, other in zip(found, truth, strict=True):
        assert_close(one, other)


@pytest.mark.peers
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "extra"),
    [((2, 2, 2), (2, 2, 2), 0, 0), ((3, 3, 3), (2, 2, 2), 1, 1), ((1, 2, 3), (1, 2, 3), 0, 0)],
)
def test_transpose_equal_to_pytorch(kernel, stride, padding, extra):
    import torch

    x, w = arrays((2, 3, 4, 5), kernel, 5, 4)
    theirs = torch.nn.functional.conv_transpose3d(
        torch.tensor(x).permute(0, 4, 1, 2, 3),
        torch.tensor(w).permute(3, 4, 0, 1, 2),
        stride=stride,
        padding=padding,
        output_padding=extra,
    )
    found = conv3d_transpose(
        x, w, stride=stride, padding=((padding, padding),) * 3, output_padding=(extra, extra, extra)
    )
    assert_close(found, theirs.permute(0, 2, 3, 4, 1).numpy())
