"""Doses that were stored in whole steps, as in an RTDOSE of integers: the step, and a smooth dose within it."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Real
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float64]

# So many voxels of a VOI show whether its doses are rounded.
_ENOUGH_VOXELS = 4096
# A smaller step does not matter, and float32 may have made it.
_MIN_STEP = 1e-5
# Uniform regions and their partial voxels are few levels with steep steps between them; they are not rounded.
_MIN_LEVELS, _MANY_LEVELS = 5, 30
_SINGLE_STEPS = 0.5
# Rounds of smoothing; each uses the neighbours.
ROUNDS = 4


def rounding_step_gy(dose_gy: Real[np.ndarray, "i j k"], inside: Bool[np.ndarray, "i j k"]) -> float:
    """Finds the step to which the doses of a VOI were rounded.

    Args:
      dose_gy: (i, j, k) dose per voxel.
      inside: (i, j, k) the voxels of the VOI.

    Returns:
      The step in Gy; 0 if the doses are not multiples of one, or so few that they can be the doses of regions.
    """
    at = np.flatnonzero(inside)
    at = at[:: -(-len(at) // _ENOUGH_VOXELS)]
    dose = np.asarray(dose_gy.ravel()[at], np.float64)
    levels = np.unique(dose)
    step = _common_step(np.diff(levels), _MIN_STEP * float(np.abs(levels).max()))
    if step == 0:
        return 0.0
    count = round(float(levels[-1] - levels[0]) / step)
    if count + 1 < _MIN_LEVELS:
        return 0.0
    return step if count >= _MANY_LEVELS or _is_gradual(dose_gy, at, step) else 0.0


def smoothed_within(dose_gy: Real[np.ndarray, "i j k"], step_gy: float) -> Float[np.ndarray, "i j k"]:
    """Smooths rounded doses without leaving the interval that each was rounded from.

    A mean over the neighbours keeps a linear dose and averages its rounding.

    Args:
      dose_gy: (i, j, k) rounded dose.
      step_gy: the step of the rounding.

    Returns:
      (i, j, k) doses within half a step of the given ones.
    """
    stored = np.asarray(dose_gy, np.float64)
    dose = stored
    for _ in range(ROUNDS):
        # Continued linearly beyond the edge, so that a linear dose stays as it is there too.
        wide = np.pad(dose, [(int(n > 1),) * 2 for n in dose.shape], mode="reflect", reflect_type="odd")
        mean = ndimage.uniform_filter(wide, [3 if n > 1 else 1 for n in dose.shape], mode="nearest")
        mean = mean[tuple(slice(1, -1) if n > 1 else slice(None) for n in dose.shape)]
        dose = np.clip(np.where(np.isfinite(mean), mean, stored), stored - step_gy / 2, stored + step_gy / 2)
    return dose


def _common_step(gaps: Floats, smallest: float) -> float:
    """The largest number of which all gaps are multiples, by Euclid's algorithm; 0 if that is below `smallest`."""
    gaps = gaps[gaps > smallest / 10]
    step = float(gaps.min(initial=np.inf))
    while smallest < step < np.inf:
        rest = np.abs(gaps - step * np.round(gaps / step))
        rest = rest[rest > smallest / 10]
        if rest.size == 0:
            return step
        step = float(rest.min())
    return 0.0


def _is_gradual(dose_gy: NDArray[Any], at: NDArray[np.intp], step_gy: float) -> bool:
    """Whether most neighbours of different dose differ by one step, as rounding makes of a small gradient."""
    voxel = np.array(np.unravel_index(at, dose_gy.shape))
    differences = []
    for axis in range(3):
        beside = voxel.copy()
        beside[axis] = np.minimum(beside[axis] + 1, dose_gy.shape[axis] - 1)
        differences.append(np.abs(dose_gy[tuple(beside)] - dose_gy[tuple(voxel)]))
    jumps = np.concatenate(differences)
    jumps = jumps[jumps > step_gy / 2]
    return jumps.size > 0 and float((jumps < 1.5 * step_gy).mean()) >= _SINGLE_STEPS
