"""The sorted curve of a dose-volume histogram, from doses that are points or spread over an interval."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Real
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# A spread below this fraction of the dose range is a step.
_NARROW = 1e-6
# So many samples are not sorted but counted into so many equal intervals of dose.
_MANY_SAMPLES, _INTERVALS = 2**15, 2**13


def point_curve(
    dose_gy: Real[np.ndarray, " n"], volume_ml: Real[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " levels"], Float[np.ndarray, " levels"]]:
    """Computes the curve of voxels of which only the dose is known.

    Equal doses share one node at the middle of their joint volume. The curve is linear between the nodes.

    Args:
      dose_gy: (n,) dose per voxel, Gy.
      volume_ml: (n,) volume per voxel, mL.

    Returns:
      Doses in Gy, highest first, and the volume in mL above each node, (levels,) each.
    """
    order = np.argsort(-dose_gy, kind="stable")
    dose, volume = dose_gy[order].astype(np.float64), volume_ml[order]
    first = np.flatnonzero(np.append(True, dose[1:] != dose[:-1]))
    joint = np.add.reduceat(volume, first)
    return dose[first], np.cumsum(joint) - joint / 2


def spread_curve(
    dose_gy: Real[np.ndarray, " n"], spread_gy: Real[np.ndarray, " n"], volume_ml: Real[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " nodes"], Float[np.ndarray, " nodes"]]:
    """Computes the curve of samples whose dose is spread evenly over an interval.

    Each sample adds a ramp over its interval, or a step if it has no spread. Equal doses are therefore
    no special case: a plane of voxels across a gradient adds the ramp of its own thickness, and a uniform VOI is
    one step. With more than 2^15 samples, the nodes are 8192 equal intervals of dose and a step is one interval
    wide; the volumes at the nodes are exact.

    Args:
      dose_gy: (n,) middle of the interval of each sample, Gy.
      spread_gy: (n,) width of the interval, Gy; 0 for a uniform dose.
      volume_ml: (n,) volume of each sample, mL.

    Returns:
      Doses in Gy, highest first, and the volume in mL above each, (nodes,), from 0 to the whole volume. A dose
      that appears twice is a step.
    """
    if len(dose_gy) > _MANY_SAMPLES and dose_gy.max() > dose_gy.min():
        return _counted_curve(dose_gy, spread_gy, volume_ml)
    dose, spread, volume = (np.asarray(part, np.float64) for part in (dose_gy, spread_gy, volume_ml))
    ramps = spread > _NARROW * float(np.ptp(dose))
    half, density = spread[ramps] / 2, volume[ramps] / spread[ramps]
    middle, steps = dose[ramps], dose[~ramps]
    node = np.concatenate([middle + half, middle - half, steps, steps])
    order = np.argsort(-node, kind="stable")
    node = node[order]
    nothing = np.zeros(len(steps))
    change = np.concatenate([density, -density, nothing, nothing])[order]
    jump = np.concatenate([np.zeros(2 * len(middle)), nothing, volume[~ramps]])[order]
    fall = -np.diff(node, prepend=node[0])
    above = np.cumsum(jump)
    above += np.cumsum(fall * np.append(0.0, np.cumsum(change)[:-1]))
    # Of nodes at one dose, the first and the last are the ends of a step.
    new = node[1:] != node[:-1]
    ends = np.append(True, new) | np.append(new, True)
    above = np.maximum.accumulate(above[ends])
    return node[ends], above * (float(volume.sum()) / above[-1])


def _counted_curve(dose_gy: NDArray[Any], spread_gy: NDArray[Any], volume_ml: NDArray[Any]) -> tuple[Floats, Floats]:
    """`spread_curve` on equally spaced nodes, by sums over intervals instead of a sort."""
    reach = float(spread_gy.max()) / 2
    lowest = float(dose_gy.min()) - reach
    width = (float(dose_gy.max()) + reach - lowest) / (_INTERVALS - 4)
    middle = (dose_gy - lowest) / width + 2
    half = np.maximum(spread_gy / width, 1.0) / 2
    density = volume_ml / (2 * half)
    # The volume above a node is the sum of max(0, end - node) over the ends of the ramps, linear between nodes.
    kinks = np.zeros(_INTERVALS + 1)
    for ends, weight in ((middle + half, density), (middle - half, -density)):
        at = ends.astype(np.intp)
        kinks += np.bincount(at, weight * (1 - (ends - at)), _INTERVALS + 1)
        kinks += np.bincount(at + 1, weight * (ends - at), _INTERVALS + 1)
    slope = np.cumsum(kinks[::-1])
    above = np.maximum.accumulate(np.append(0.0, np.cumsum(slope)[:-1]))
    node = np.asarray(lowest + width * (np.arange(_INTERVALS, -1, -1) - 2), np.float64)
    return node, above * (float(volume_ml.sum()) / above[-1])
