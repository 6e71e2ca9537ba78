"""The path of a descent: a quasi-Newton method in the logarithms of weights, with a limited step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Steps in natural logarithms: the first is a factor of 2, none is above a factor of 10, one below 2 % ends the path.
FIRST_STEP, LARGEST_STEP, SMALLEST_STEP = math.log(2.0), math.log(10.0), 0.02
# A step that gains less than LOW of what the model predicts is followed by shorter ones, above HIGH by longer ones.
LOW, HIGH, SHRINK, GROW = 0.25, 0.75, 3.0, 2.0
# Powell's limit of the curvature along a step, which keeps the model convex.
LEAST_CURVATURE = 0.2


@dataclass(frozen=True, kw_only=True, eq=False)
class Visited:
    """A point of a descent.

    Attributes:
      logs: (n,) logarithms of the weights.
      value: the minimised number; infinite if it cannot be trusted.
      gradient: (n,) derivative of the value with respect to the logarithms.
    """

    logs: Float64[np.ndarray, " n"]
    value: float
    gradient: Float64[np.ndarray, " n"]


def accepted(visited: Sequence[Visited]) -> int:
    """Returns the index of the point with the lowest value, the first of equal ones."""
    return min(range(len(visited)), key=lambda number: visited[number].value)


def propose(
    visited: Sequence[Visited], *, low: Float64[np.ndarray, " n"], high: Float64[np.ndarray, " n"]
) -> Float64[np.ndarray, " n"] | None:
    """Returns the next point of a descent, or None at its end.

    A pure function of the points so far, so that a path that was interrupted continues in the same way. Curvature
    comes from the differences of gradients (BFGS with Powell's damping). A point that is not lower is not accepted, and
    the next step from the best point is shorter.

    Args:
      visited: points so far, at least the start, in their order.
      low: (n,) lower bounds of the logarithms.
      high: (n,) upper bounds.
    """
    at, radius = visited[0], FIRST_STEP
    size = float(np.linalg.norm(at.gradient))
    if not (math.isfinite(at.value) and math.isfinite(size)) or size == 0:
        return None
    curvature = np.eye(len(at.gradient)) * (size / radius)
    known = False
    for new in visited[1:]:
        step = new.logs - at.logs
        length = float(np.linalg.norm(step))
        if not (math.isfinite(new.value) and np.isfinite(new.gradient).all()):
            radius = length / SHRINK
            continue
        change = new.gradient - at.gradient
        expected = -float(at.gradient @ step + 0.5 * step @ curvature @ step)
        gain = at.value - new.value
        if not known and step @ change > 0:
            # The first step shows the size of the curvature.
            curvature = np.eye(len(step)) * float(change @ change / (step @ change))
        known = True
        curvature = _updated(curvature, step, change)
        if gain < LOW * expected:
            radius = length / SHRINK
        elif gain > HIGH * expected and length > 0.9 * radius:
            radius = min(GROW * radius, LARGEST_STEP)
        if gain > 0:
            at = new
    free = ~(((at.logs <= low) & (at.gradient > 0)) | ((at.logs >= high) & (at.gradient < 0)))
    if radius < SMALLEST_STEP or not free.any():
        return None
    step = np.zeros_like(at.logs)
    step[free] = -np.linalg.solve(curvature[np.ix_(free, free)], at.gradient[free])
    length = float(np.linalg.norm(step))
    if length > radius:
        step *= radius / length
    proposed = np.clip(at.logs + step, low, high)
    return proposed if np.linalg.norm(proposed - at.logs) >= SMALLEST_STEP else None


def _updated(curvature: Floats, step: Floats, change: Floats) -> Floats:
    before = curvature @ step
    along, seen = float(step @ before), float(step @ change)
    if along <= 0:
        return curvature
    if seen < LEAST_CURVATURE * along:
        share = (1 - LEAST_CURVATURE) * along / (along - seen)
        change = share * change + (1 - share) * before
        seen = float(step @ change)
    updated: Floats = curvature - np.outer(before, before) / along + np.outer(change, change) / seen
    return updated
