"""Steps by the linearised problem from the best point of the searches, and how far a point is from an optimum."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from sirtjax.optimal._composite import LinearModel, best_step, linear_model, with_differences
from sirtjax.optimal._smooth_problem import SmoothProblem

# Largest changes of an activity in a step, in units: the first, the smallest and that of the test of the optimum.
FIRST, SMALLEST, TESTED = 0.01, 5e-4, 0.002
STEPS, CUTS = 20, 10
# A step gains enough if it gains this fraction of what the linearised problem promises; then the box grows.
KEPT, ENOUGH = 0.3, 0.1
# Relative gain below which the steps end.
NO_GAIN = 1e-6
# The gradient that remains at which a point needs no further examination.
SMALL = 0.1
# A gain below this fraction of the objective per own bound is small: at an optimum within the limits it is 0.
LEAST_GRADIENT = 0.04


def refined(
    smooth: SmoothProblem, best: tuple[Float[np.ndarray, " n"], float]
) -> tuple[Float[np.ndarray, " n"], float]:
    """Returns a better point near one, or the same; the exact metrics decide.

    Args:
      smooth: the problem.
      best: units and exact objective of the point.
    """
    radius, model = FIRST, linear_model(smooth, best[0])
    for _ in range(STEPS):
        step = best_step(model, radius)
        if step.bound <= NO_GAIN:
            break
        trial, gain = _tried(smooth, model, best[1], step.change)
        if trial[1] > best[1]:
            best, model = trial, linear_model(smooth, trial[0])
        radius *= 2 if step.change.any() and gain > KEPT * step.gain else 0.25
        if radius < SMALLEST:
            break
    return best


def examined(
    smooth: SmoothProblem, best: tuple[Float[np.ndarray, " n"], float]
) -> tuple[float, tuple[Float[np.ndarray, " n"], float] | None]:
    """Computes the part of the gradient that limits and kinks leave: 0 at an optimum, 1 far from it.

    The step that the linearised problem promises to gain most is tried. If it does not gain, there is a kink of the
    histograms, which the derivatives at the other side of it describe. They are added, and the next step is tried.

    Args:
      smooth: the problem.
      best: units and exact objective of the point.

    Returns:
      The remaining gradient, and a better point if one was found.
    """
    model = linear_model(smooth, best[0])
    free = max(best_step(model, TESTED, limited=False).gain, LEAST_GRADIENT * TESTED)
    for _ in range(CUTS):
        step = best_step(model, TESTED)
        if step.bound <= SMALL * free or not step.change.any():
            break
        trial, gain = _tried(smooth, model, best[1], step.change)
        if gain > ENOUGH * step.gain:
            return min(step.bound / free, 1.0), trial
        model = with_differences(model, smooth, step.change)
    return min(max(best_step(model, TESTED).bound, 0.0) / free, 1.0), None


def _tried(
    smooth: SmoothProblem, model: LinearModel, value: float, step: Float[np.ndarray, " n"]
) -> tuple[tuple[Float[np.ndarray, " n"], float], float]:
    """The point after a step within the limits, and the relative gain of the exact objective."""
    trial = smooth.exact(np.clip(model.units + step, 0, smooth.most))
    return trial, (trial[1] - value) / (abs(value) or 1.0)
