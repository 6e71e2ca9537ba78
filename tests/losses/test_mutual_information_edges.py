"""Derivatives if a value is the only one in its bin and close to the edge, where products of marginals underflow.

The expected numbers are differences of the formula in NumPy, in double precision.
"""

import jax
import numpy as np
import pytest

from sirtjax import losses

BINS = 32
# Distance of the lone value to the edge of its bin, in bins.
DISTANCES = [0.0, 3e-7, -3e-7, 1e-6, -1e-6, 3e-6, -3e-6, 1e-5, -1e-5, 1e-4, -1e-4, 1e-2]
LOSSES = {
    "mutual_information": losses.mutual_information_loss,
    "normalised_mutual_information": losses.normalised_mutual_information_loss,
}
# Compiled: running each operation separately would compile each of them.
GRADIENTS = {
    name: jax.jit(jax.value_and_grad(lambda w, q, r, f=loss: f(w, r, weights=q), argnums=(0, 1)))
    for name, loss in LOSSES.items()
}


def curvature(loss, warped, weights, reference, along):
    def gradient(values):
        return jax.grad(lambda w: loss(w, reference, weights=weights))(values)

    return along @ jax.jvp(gradient, (warped,), (along,))[1]


CURVATURES = {name: jax.jit(lambda *x, f=loss: curvature(f, *x)) for name, loss in LOSSES.items()}


def lone_value(distance, *, n=40):
    """A sample in which one value is at `distance` bins from the edge between two empty bins."""
    draw = np.random.default_rng(3)
    warped = 0.1 + 0.4 * draw.random(n)
    # 20 / 28 is the edge of bin 22 with 4 bins of padding.
    warped[0] = (20 + distance) / (BINS - 4)
    return warped.astype("f4"), draw.random(n).astype("f4"), (0.5 + draw.random(n)).astype("f4")


def formula(name, warped, weights, reference):
    """The two losses from Mattes' histogram, each window at each bin, in double precision."""
    position = warped * (BINS - 4) + 2
    t = np.abs(np.arange(BINS) - position[:, None])
    window = np.where(t < 1, (4 - 6 * t**2 + 3 * t**3) / 6, np.where(t < 2, (2 - t) ** 3 / 6, 0))
    column = np.minimum(np.floor(reference * (BINS - 4) + 2), BINS - 3)
    p = (window * weights[:, None]).T @ (column[:, None] == np.arange(BINS))
    p /= p.sum()
    entropy = [-np.sum(q[q > 0] * np.log(q[q > 0])) for q in (p, p.sum(0), p.sum(1))]
    if name == "mutual_information":
        return entropy[0] - entropy[1] - entropy[2]
    return -(entropy[1] + entropy[2]) / entropy[0]


def differences(function, point, step=1e-6):
    steps = step * np.eye(len(point))
    return np.array([(function(point + s) - function(point - s)) / (2 * step) for s in steps])


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("name", LOSSES)
def test_value_and_gradients_equal_differences_in_double_precision(name, distance):
    warped, reference, weights = lone_value(distance)
    value, (by_warped, by_weights) = GRADIENTS[name](warped, weights, reference)
    w, r, q = (x.astype("f8") for x in (warped, reference, weights))
    np.testing.assert_allclose(value, formula(name, w, q, r), rtol=1e-5)
    expected = differences(lambda x: formula(name, x, q, r), w)
    np.testing.assert_allclose(by_warped, expected, atol=2e-4 * np.abs(expected).max())
    expected = differences(lambda x: formula(name, w, x, r), q)
    np.testing.assert_allclose(by_weights, expected, atol=2e-4 * np.abs(expected).max())


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("name", LOSSES)
def test_curvature_equals_differences_in_double_precision(name, distance):
    """Derivatives through an optimum need the second derivative too."""
    warped, reference, weights = lone_value(distance)
    along = np.random.default_rng(5).normal(size=len(warped)).astype("f4")
    w, r, q, v = (x.astype("f8") for x in (warped, reference, weights, along))
    lower, middle, upper = (formula(name, w + step * v, q, r) for step in (-1e-5, 0, 1e-5))
    expected = (lower - 2 * middle + upper) / 1e-10
    np.testing.assert_allclose(CURVATURES[name](warped, weights, reference, along), expected, rtol=5e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", LOSSES)
def test_weights_near_the_smallest_float_leave_the_gradient_finite(name):
    warped, reference, weights = lone_value(0.4)
    weights[0] = 1e-36
    value, gradients = GRADIENTS[name](warped, weights, reference)
    expected = formula(name, *(x[1:].astype("f8") for x in (warped, weights, reference)))
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert all(np.isfinite(gradient).all() for gradient in gradients)
