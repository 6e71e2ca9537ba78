import jax
import numpy as np
import pytest

from sirtjax import losses

# Compiled: running every operation by itself would compile each of them.
lncc_loss = jax.jit(losses.lncc_loss, static_argnames="window")
lncc_slope = jax.jit(jax.grad(losses.lncc_loss))


def images(shape=(9, 7, 11)):
    draw = np.random.default_rng(3)
    reference = draw.normal(size=shape)
    return (0.5 * reference + 0.5 * draw.normal(size=shape)).astype("f4"), reference.astype("f4")


@pytest.mark.parametrize("window", [3, 5, 7, 9, 11])
def test_equals_a_correlation_window_by_window(window):
    warped, reference = images()
    weights = np.random.default_rng(4).random(warped.shape)
    squared = np.zeros(warped.shape)
    half = window // 2
    for at in np.ndindex(warped.shape):
        box = tuple(slice(max(0, x - half), x + half + 1) for x in at)
        squared[at] = np.corrcoef(warped[box].ravel(), reference[box].ravel())[0, 1] ** 2
    np.testing.assert_allclose(lncc_loss(warped, reference, window=window), 1 - squared.mean(), atol=1e-4)
    weighted = lncc_loss(warped, reference, window=window, weights=weights.astype("f4"))
    np.testing.assert_allclose(weighted, 1 - np.average(squared, weights=weights), atol=1e-4)


def test_contrast_does_not_matter():
    warped, reference = images()
    expected = lncc_loss(warped, reference)
    np.testing.assert_allclose(lncc_loss(1000 - 500 * warped, 3 * reference - 7), expected, rtol=1e-4)
    assert float(lncc_loss(reference, -2 * reference)) == pytest.approx(0, abs=1e-4)


@pytest.mark.slow
def test_uniform_windows_count_as_uncorrelated():
    warped, reference = images()
    flat = np.full_like(reference, 40.0)
    assert float(lncc_loss(flat, reference)) == pytest.approx(1, abs=1e-4)
    assert float(lncc_loss(flat, flat)) == 1
    for floating in (warped, flat):
        assert np.isfinite(lncc_slope(floating, flat)).all()


def test_what_does_not_fit_is_refused():
    x = np.zeros((4, 5, 6), "f4")
    for window in (4, 1):
        with pytest.raises(ValueError, match=f"window must be odd and at least 3, got {window}"):
            lncc_loss(x, x, window=window)
    with pytest.raises(ValueError, match=r"warped must have shape \(i, j, k\), got \(4, 5\)"):
        lncc_loss(x[..., 0], x[..., 0])
    with pytest.raises(ValueError, match="warped and reference must have the same shape"):
        lncc_loss(x, x[1:])
    with pytest.raises(ValueError, match="warped and weights must have the same shape"):
        lncc_loss(x, x, weights=x[1:])
