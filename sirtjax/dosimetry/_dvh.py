from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

from sirtjax.dosimetry._dvh_curve import point_curve, spread_curve
from sirtjax.dosimetry._dvh_rounding import ROUNDS, rounding_step_gy, smoothed_within
from sirtjax.dosimetry._dvh_samples import (
    SLIVER,
    Box,
    coarse_fraction,
    subsamples_for,
    subvoxel_samples,
    voxel_spreads_gy,
)
from sirtjax.errors import GeometryError, InputError

Floats = NDArray[np.float64]

# Occupancies come from float32 arithmetic, doses from FFTs: both may overshoot by rounding.
_ROUNDING = 1e-4
# Reconstructions and convolutions may ring slightly below zero, as a fraction of the highest dose of the grid.
_RINGING = 1e-2
# Larger VOIs keep rounded doses, an error of at most half a step; smoothing them takes longer than the rest.
_ROUNDING_VOXELS = 2**15


@dataclass(frozen=True, kw_only=True)
class Dvh:
    """The dose-volume histogram of one VOI, kept as its sorted curve rather than as bins.

    The volume of each sample is spread over the doses between the faces of its part of the voxel, so that the curve
    does not depend on whether doses are equal. With one sample per voxel, it runs linearly through the distinct
    doses at the middle of their volumes instead. It ends at the maximum for 0 and at the minimum for the whole
    volume, and is monotone. D_x and V_x are inverses of each other on it.

    Attributes:
      name: name of the VOI.
      volume_ml: volume on the dose grid, partial voxels counted by their occupancy.
      volume_outside_ml: volume of the VOI that the dose grid does not cover.
      mean_gy: occupancy-weighted mean of the voxels' doses, which is energy divided by mass if the density is
        uniform, and adds up over VOIs that share voxels. The curve places the occupied part of an edge voxel within
        the voxel, therefore the area below it can differ from the mean for small VOIs.
      std_gy: occupancy-weighted standard deviation of the dose.
      minimum_gy: lowest dose of a sample inside the VOI, D100.
      maximum_gy: highest dose of a sample inside the VOI, D0.
      voxels: number of dose voxels that the VOI overlaps.
      subsamples: samples per axis and voxel used for the curve.
      curve_dose_gy: (n,) doses of the samples, highest first.
      curve_volume_ml: (n,) volume receiving at least that dose, ascending.
    """

    name: str
    volume_ml: float
    volume_outside_ml: float
    mean_gy: float
    std_gy: float
    minimum_gy: float
    maximum_gy: float
    voxels: int
    subsamples: int
    curve_dose_gy: Float[np.ndarray, " nodes"]
    curve_volume_ml: Float[np.ndarray, " nodes"]

    def dose_at_percent_gy(self, percent: float) -> float:
        """Returns D_x: the minimum dose to the hottest `percent` of the volume; D0 is the maximum.

        Raises:
          InputError: `percent` is not within 0 to 100.
        """
        if not 0 <= percent <= 100:
            raise InputError(f"D_x of {self.name!r}: x must be within 0 and 100 %, got {percent}")
        return self._dose_gy(self.volume_ml * percent / 100)

    def dose_at_volume_gy(self, volume_ml: float) -> float:
        """Returns D_xmL: the minimum dose to the hottest `volume_ml` of the VOI.

        Raises:
          InputError: the VOI is smaller than that, or the volume is negative.
        """
        if not 0 <= volume_ml <= self.volume_ml * (1 + 1e-9):
            raise InputError(
                f"D_x of {self.name!r}: {volume_ml} mL requested, the VOI has {self.volume_ml:.4g} mL; "
                "request a smaller volume or a percentage"
            )
        return self._dose_gy(volume_ml)

    def volume_at_dose_ml(self, dose_gy: ArrayLike) -> np.float64 | Float[np.ndarray, "..."]:
        """Returns V_x in mL: the volume that receives at least `dose_gy`; an array yields the DVH."""
        dose = np.asarray(dose_gy, np.float64)
        inside = np.interp(-dose, -self.curve_dose_gy, self.curve_volume_ml)
        return np.where(dose <= self.minimum_gy, self.volume_ml, np.where(dose > self.maximum_gy, 0.0, inside))

    def percent_at_dose(self, dose_gy: ArrayLike) -> np.float64 | Float[np.ndarray, "..."]:
        """Returns V_x in %: the fraction that receives at least `dose_gy`; an array yields the DVH."""
        return self.volume_at_dose_ml(dose_gy) * (100 / self.volume_ml)

    def differential_ml_per_gy(self, edges_gy: ArrayLike) -> Float[np.ndarray, " bins"]:
        """Returns the differential DVH: volume per Gy in each bin of `edges_gy`, (edges - 1,).

        The last bin is closed above, so that edges from the minimum to the maximum hold the whole volume.

        Raises:
          InputError: the edges don't increase.
        """
        edges = np.asarray(edges_gy, np.float64)
        if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all():
            raise InputError(f"differential DVH of {self.name!r}: needs two or more increasing edges in Gy")
        reached = np.asarray(self.volume_at_dose_ml(edges))
        reached[-1] = np.where(edges[-1] >= self.maximum_gy, 0.0, reached[-1])
        return -np.diff(reached) / np.diff(edges)

    def _dose_gy(self, volume_ml: float) -> float:
        if volume_ml >= self.volume_ml * (1 - 1e-12):
            return self.minimum_gy
        if volume_ml <= 0:
            return self.maximum_gy
        return float(np.interp(volume_ml, self.curve_volume_ml, self.curve_dose_gy))


def dvh_from_arrays(
    dose_gy: ArrayLike,
    weight: ArrayLike,
    voxel_volume_ml: float,
    *,
    name: str = "VOI",
    subsamples: int | None = None,
    voi_volume_ml: float | None = None,
    allow_truncated: bool = False,
    signed: bool = False,
) -> Dvh:
    """Computes the DVH of a VOI with sub-voxel accuracy; edge voxels count by their occupancy.

    A VOI of few voxels is sampled within its voxels (`subsamples` points along each axis): the dose linearly
    between the neighbours, the occupied part of an edge voxel towards its occupied neighbours. Volumes are
    conserved voxel by voxel, and so is the mean dose of every voxel that lies wholly inside. Doses that were rounded to
    a common step are smoothed within that step for the curve, in VOIs of up to 32768 voxels.

    Args:
      dose_gy: (i, j, k) dose per voxel.
      weight: (i, j, k) fraction of each dose voxel inside the VOI, in [0, 1]; or (n i, n j, n k), the same on
        a grid n times as fine, for a lesion of about one voxel (then `subsamples` is n and not given).
      voxel_volume_ml: volume of one dose voxel.
      name: name of the VOI in messages.
      subsamples: points per axis and voxel; by default as many as make 4096 samples in the VOI (at most 12). With 1
        each voxel is one dose without a spread, as in `pack_voi`.
      voi_volume_ml: volume of the VOI on its own grid; gives the part that the dose grid cuts off.
      allow_truncated: accept a VOI of which more than 1 % lies outside the dose grid; the DVH is then of the
        part inside.
      signed: accept doses below zero, as voxels have after the subtraction of a background.

    Returns:
      The curve and its summary.

    Raises:
      InputError: the VOI is empty, a weight is outside [0, 1], a dose is not finite, or below
        zero by more than 1 % of the highest dose without `signed`.
      GeometryError: shapes differ, or more than 1 % of the VOI lies outside the dose grid.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import dosimetry
      >>> dose = np.full((6, 6, 6), 60.0)
      >>> inside = np.zeros(dose.shape)
      >>> inside[2:4, 2:4, 2:4] = 1.0
      >>> dvh = dosimetry.dvh_from_arrays(dose, inside, 0.5)
      >>> round(dvh.volume_ml, 3), round(float(dvh.mean_gy), 3), round(float(dvh.dose_at_percent_gy(70)), 3)
      (4.0, 60.0, 60.0)
    """
    dose: NDArray[Any] = np.asarray(dose_gy)
    fine: NDArray[Any] = np.asarray(weight)
    factor = _refinement(dose.shape, fine.shape, name)
    share = fine.astype(np.uint8, copy=False) if fine.dtype == np.bool_ else fine
    if factor > 1:
        if subsamples is not None:
            raise InputError(f"DVH of {name!r}: a weight {factor} times as fine sets the subsamples; leave them out")
        _check_weights(float(fine.min()), float(fine.max()), name)
        share, subsamples = coarse_fraction(fine, factor), factor
    box = _box_of(share, name)
    part_dose, part_fraction = dose[box], share[box]
    inside = part_fraction > SLIVER
    _check_values(part_dose[inside], part_fraction[inside], float(part_fraction.min()), name)
    lowest_gy = float(part_dose[inside].min())
    if not signed and lowest_gy < 0 and lowest_gy < -_RINGING * float(np.nanmax(dose)):
        raise InputError(f"DVH of {name!r}: the dose falls to {lowest_gy:.4g} Gy in the VOI; correct the dose map")
    voxels = int(inside.sum())
    count = subsamples_for(voxels) if subsamples is None else subsamples
    if count < 1:
        raise InputError(f"DVH of {name!r}: subsamples must be at least 1, got {count}")
    samples: NDArray[Any] = part_dose[inside]
    shares: NDArray[Any] = part_fraction[inside].astype(np.float64)
    total = float(shares.sum())
    mean_gy = float((samples * shares).sum()) / total
    spreads: NDArray[Any] | None = None
    if subsamples != 1 and voxels <= _ROUNDING_VOXELS:
        dose = _unrounded(dose, box, inside)
    if count > 1:
        given = fine if factor > 1 else None
        samples, spreads, shares = subvoxel_samples(dose, share, box, inside, subsamples=count, fine=given)
        used = shares > 0
        samples, spreads, shares = samples[used], spreads[used], shares[used]
        if not np.isfinite(samples).all():
            raise InputError(f"DVH of {name!r}: the dose beside the VOI is not finite; correct the dose map")
        if factor > 1:
            mean_gy = float((samples * shares).sum() / shares.sum())
    elif subsamples is None:
        samples, spreads = dose[box][inside], voxel_spreads_gy(dose, box, inside)
    volume_ml = total * voxel_volume_ml
    return _summary(
        samples,
        spreads,
        shares * (volume_ml / float(shares.sum())),
        mean_gy,
        name=name,
        voxels=voxels,
        subsamples=count,
        volume_outside_ml=_outside_ml(volume_ml, voi_volume_ml, name, allow_truncated=allow_truncated),
    )


def _refinement(dose_shape: tuple[int, ...], weight_shape: tuple[int, ...], name: str) -> int:
    """The number of the weight's voxels in a dose voxel along each axis."""
    if len(dose_shape) == len(weight_shape) == 3 and min(dose_shape) > 0:
        factor = weight_shape[0] // dose_shape[0]
        if factor > 0 and weight_shape == tuple(factor * n for n in dose_shape):
            return factor
    raise GeometryError(
        f"DVH of {name!r}: dose {dose_shape} and weight {weight_shape} must be one (i, j, k) grid, or the weight "
        "a whole number of times as fine; compute the occupancy on the dose grid"
    )


def _box_of(share: NDArray[Any], name: str) -> Box:
    """Bounding box of the voxels with weight; one pass over the grid, axis by axis on ever smaller parts."""
    part, box = share, []
    for axis in range(3):
        # Later axes are searched within the box found so far.
        rest = tuple(a for a in range(3) if a != axis)
        used = np.flatnonzero(part.any(axis=rest))
        if used.size == 0:
            raise InputError(
                f"DVH of {name!r}: the VOI is empty on the dose grid; check that it overlaps the dose and is "
                "in the same frame of reference"
            )
        span = slice(int(used[0]), int(used[-1]) + 1)
        box.append(span)
        part = part[(slice(None),) * axis + (span,)]
    return box[0], box[1], box[2]


def _check_values(dose: NDArray[Any], share: NDArray[Any], lowest: float, name: str) -> None:
    if not np.isfinite(dose).all():
        raise InputError(f"DVH of {name!r}: a dose inside the VOI is not finite; correct the dose map")
    if dose.size == 0 or not np.isfinite(share).all():
        raise InputError(f"DVH of {name!r}: no voxel has a finite weight above {SLIVER:g}; check the mask")
    _check_weights(lowest, float(share.max()), name)


def _check_weights(lowest: float, highest: float, name: str) -> None:
    if lowest < -_ROUNDING or highest > 1 + _ROUNDING:
        raise InputError(
            f"DVH of {name!r}: weights run from {lowest:.4g} to {highest:.4g}, expected occupancies in [0, 1]"
        )


def _unrounded(dose: NDArray[Any], box: Box, inside: NDArray[np.bool_]) -> NDArray[Any]:
    """The dose, smoothed in and around the VOI within the step to which it was rounded; unchanged if it was not."""
    step_gy = rounding_step_gy(dose[box], inside)
    if step_gy == 0:
        return dose
    around = tuple(slice(max(span.start - ROUNDS, 0), span.stop + ROUNDS) for span in box)
    smoothed = dose.astype(np.float32)
    smoothed[around] = smoothed_within(dose[around], step_gy)
    return smoothed


def _outside_ml(volume_ml: float, voi_volume_ml: float | None, name: str, *, allow_truncated: bool) -> float:
    if voi_volume_ml is None:
        return 0.0
    missing = voi_volume_ml - volume_ml
    if missing > 0.01 * voi_volume_ml and not allow_truncated:
        raise GeometryError(
            f"DVH of {name!r}: {missing:.4g} of {voi_volume_ml:.4g} mL lie outside the dose grid; compute "
            "the dose on a larger grid, or allow a truncated VOI"
        )
    return max(0.0, missing)


def _summary(
    samples: NDArray[Any],
    spreads: NDArray[Any] | None,
    volumes_ml: Floats,
    mean_gy: float,
    *,
    name: str,
    voxels: int,
    subsamples: int,
    volume_outside_ml: float,
) -> Dvh:
    volume_ml = float(volumes_ml.sum())
    # Not `@`: its threads cost more than the sum.
    middle = float((samples * volumes_ml).sum()) / volume_ml
    variance = float((np.square(samples - middle) * volumes_ml).sum()) / volume_ml
    if spreads is None:
        dose, above = point_curve(samples, volumes_ml)
    else:
        variance += float((np.square(spreads) * volumes_ml).sum()) / (12 * volume_ml)
        dose, above = spread_curve(samples, spreads, volumes_ml)
    # Slivers at the edge keep their volume but do not set the extremes. Points within a voxel are in or out; the
    # dose of a whole voxel counts regardless of its occupancy.
    reached = samples[volumes_ml >= 0.5 * volumes_ml.max()] if subsamples > 1 else samples
    lowest, highest = min(float(reached.min()), mean_gy), max(float(reached.max()), mean_gy)
    return Dvh(
        name=name,
        volume_ml=volume_ml,
        volume_outside_ml=volume_outside_ml,
        mean_gy=mean_gy,
        std_gy=float(np.sqrt(variance)),
        minimum_gy=lowest,
        maximum_gy=highest,
        voxels=voxels,
        subsamples=subsamples,
        curve_dose_gy=np.clip(dose, lowest, highest),
        curve_volume_ml=above,
    )
