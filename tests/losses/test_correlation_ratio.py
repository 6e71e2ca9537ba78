import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import interpolate

from sirtjax import losses

correlation_ratio_loss = jax.jit(losses.correlation_ratio_loss, static_argnames="bins")
# Bins at either end that the window of a clipped value reaches into.
PADDING = 2


def draw(count=400, seed=0):
    rng = np.random.default_rng(seed)
    warped = rng.random(count).astype("f4")
    reference = (np.sin(5 * warped) + 0.3 * rng.normal(size=count)).astype("f4")
    return warped, reference, rng.random(count).astype("f4")


def by_loop(warped, reference, weights, bins):
    """The share left within bins, a loop over bins with scipy's cubic spline as their window."""
    window = interpolate.BSpline.basis_element(np.arange(-2.0, 3.0), extrapolate=False)
    weights = np.asarray(weights, "f8")
    place = np.clip(np.asarray(warped, "f8"), 0, 1) * (bins - 2 * PADDING) + PADDING
    mean = np.average(reference, weights=weights)
    within = 0.0
    for bin_number in range(bins):
        share = weights * np.nan_to_num(window(place - bin_number))
        if share.sum() > 0:
            centre = np.average(reference, weights=share)
            within += np.sum(share * (reference - centre) ** 2)
    return within / np.sum(weights * (reference - mean) ** 2)


@pytest.mark.parametrize("bins", [6, 13])
def test_against_a_loop_over_bins(bins):
    warped, reference, weights = draw()
    found = correlation_ratio_loss(warped, reference, bins=bins, weights=weights)
    assert float(found) == pytest.approx(by_loop(warped, reference, weights, bins), abs=2e-5)
    ones = np.ones_like(weights)
    assert float(correlation_ratio_loss(warped, reference, bins=bins)) == pytest.approx(
        by_loop(warped, reference, ones, bins), abs=2e-5
    )


def test_values_by_hand():
    """Far apart in brightness, two tissues fall into bins of their own: within each the variance is 1, between 9."""
    warped = np.float32([0, 0, 1, 1])
    assert float(correlation_ratio_loss(warped, np.float32([-4, -2, 2, 4]), bins=12)) == pytest.approx(0.1, abs=1e-6)
    assert float(correlation_ratio_loss(warped, np.float32([5, 5, -1, -1]), bins=12)) == pytest.approx(0, abs=1e-6)
    # The same mean in both: brightness explains nothing.
    assert float(correlation_ratio_loss(warped, np.float32([-1, 1, -1, 1]), bins=12)) == pytest.approx(1, abs=1e-6)


def test_weights_choose_what_counts():
    warped, reference, _ = draw()
    half = (np.arange(len(warped)) % 2).astype("f4")
    found = correlation_ratio_loss(warped, reference, weights=half)
    alone = correlation_ratio_loss(warped[1::2], reference[1::2])
    assert float(found) == pytest.approx(float(alone), abs=1e-5)
    assert float(correlation_ratio_loss(warped, reference, weights=7 * half)) == pytest.approx(float(found), abs=1e-5)


def test_it_does_not_know_unit_or_sign_of_the_reference_nor_the_order():
    warped, reference, weights = draw()
    expected = float(correlation_ratio_loss(warped, reference, weights=weights))
    assert 0.05 < expected < 0.5
    other = (-300 * reference + 1000).astype("f4")
    assert float(correlation_ratio_loss(warped, other, weights=weights)) == pytest.approx(expected, abs=1e-4)
    order = np.random.default_rng(1).permutation(len(warped))
    shuffled = correlation_ratio_loss(warped[order], reference[order], weights=weights[order])
    assert float(shuffled) == pytest.approx(expected, abs=1e-5)
    # Bins mirror with the brightness of the floating image.
    assert float(correlation_ratio_loss(1 - warped, reference, weights=weights)) == pytest.approx(expected, abs=1e-5)


def test_a_function_of_the_floating_image_is_explained_and_noise_is_not():
    warped, _, _ = draw(4000)
    smooth, noise = (warped - 0.5) ** 2, np.random.default_rng(5).normal(size=len(warped)).astype("f4")
    assert float(correlation_ratio_loss(warped, smooth, bins=32)) < 0.03
    assert float(correlation_ratio_loss(warped, noise, bins=32)) > 0.99


def test_values_beyond_the_window_count_as_its_ends():
    warped, reference, _ = draw()
    wide = (warped * 1.4 - 0.2).astype("f4")
    found = correlation_ratio_loss(wide, reference)
    assert float(found) == pytest.approx(float(correlation_ratio_loss(np.clip(wide, 0, 1), reference)), abs=1e-6)


def test_a_constant_image_gives_one_and_no_nan():
    warped, reference, weights = draw()
    flat = np.full_like(warped, 0.4)
    value, slope = jax.jit(jax.value_and_grad(losses.correlation_ratio_loss, argnums=(0, 1)))(
        jnp.asarray(warped), jnp.asarray(flat)
    )
    assert float(value) == pytest.approx(1, abs=1e-3) and all(np.isfinite(s).all() for s in slope)
    assert float(correlation_ratio_loss(flat, reference)) == pytest.approx(1, abs=1e-5)
    nothing = correlation_ratio_loss(warped, reference, weights=np.zeros_like(weights))
    assert float(nothing) == pytest.approx(1)


def test_gradients_are_zero_where_nothing_can_be_explained():
    """Without weight, with a single point, and with two constant images, of which the reference is zero."""
    warped, reference, weights = draw(40)
    one_point = (np.arange(40) == 3).astype("f4")
    flat = np.full(40, 0.5, "f4")
    find = jax.jit(
        jax.value_and_grad(lambda w, r, weight: losses.correlation_ratio_loss(w, r, weights=weight), argnums=(0, 1, 2))
    )
    for given in (
        (warped, reference, 0 * weights),
        (warped, reference, one_point),
        (flat, 0 * reference, weights),
        (flat, 0 * reference + 3, weights),
    ):
        value, gradients = find(*given)
        assert float(value) == 1.0
        for gradient in gradients:
            np.testing.assert_array_equal(gradient, 0.0)
    value, gradients = find(flat, reference, weights)
    assert float(value) == pytest.approx(1, abs=1e-5) and all(np.isfinite(one).all() for one in gradients)


@pytest.mark.slow
def test_gradient_against_finite_differences_in_either_image():
    warped, reference, weights = draw(60)
    with jax.enable_x64(True):
        warped, reference, weights = (np.asarray(x, "f8") for x in (0.1 + 0.8 * warped, reference, weights))
        value = jax.jit(lambda w, r: correlation_ratio_loss(w, r, weights=weights))
        slopes = jax.jit(jax.grad(value, argnums=(0, 1)))(warped, reference)
        rng = np.random.default_rng(2)
        for number in (0, 1):
            ways = [np.zeros(60), np.zeros(60)]
            ways[number] = rng.normal(size=60)
            high, low = (value(warped + s * ways[0], reference + s * ways[1]) for s in (1e-6, -1e-6))
            assert np.sum(slopes[number] * ways[number]) == pytest.approx(float(high - low) / 2e-6, rel=1e-5)


@pytest.mark.slow
def test_jit_equals_eager():
    warped, reference, weights = draw()
    eager = losses.correlation_ratio_loss(warped, reference, weights=weights)
    compiled = correlation_ratio_loss(warped, reference, weights=weights)
    assert eager.shape == () and eager.dtype == jnp.float32
    assert float(compiled) == pytest.approx(float(eager), abs=1e-6)


def test_errors():
    warped, reference, _ = draw()
    with pytest.raises(ValueError, match="bins must be at least 6, of which 4 are padding, got 5"):
        correlation_ratio_loss(warped, reference, bins=5)
    with pytest.raises(ValueError, match=r"warped must have shape \(n,\), got \(20, 20\)"):
        correlation_ratio_loss(warped.reshape(20, 20), reference)
    with pytest.raises(ValueError, match="warped and reference"):
        correlation_ratio_loss(warped, reference[:-1])
