"""Decay between injections and the image: each injection's activity is taken back to its own time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray
from scipy import ndimage

from sirtjax import dosimetry
from sirtjax.dosimetry import Check, Nuclide
from sirtjax.ops import weighted_sum
from sirtjax.workflows._case import Case, InjectionTable
from sirtjax.workflows._case_images import CaseImages
from sirtjax.workflows._setting import DosimetryContext

Array = NDArray[np.float32]

# Times of one treatment as they are typed in: within a second they are the same.
SAME_TIME_H = 1.0 / 3600.0
STAGED_NOTE = (
    "the injections were at different times: the activity of each voxel was decay-corrected to the injection into its "
    "territory, in voxels of several territories by their fractions, and outside of them to that of the nearest one"
)


@dataclass(frozen=True)
class InjectionDecay:
    """The time from each injection to the reference time of the image's activity.

    Attributes:
      elapsed_h: hours from each injection to the reference time of the image; negative if the injection is later; None
        if one of the two times is unknown.
      times: time of each injection, from the case or the header of the image; None if unknown.
      reference: reference time of the image's activity; None if unknown.
      checks: SJ601 for each time that is unknown.
    """

    elapsed_h: tuple[float | None, ...]
    times: tuple[datetime | None, ...]
    reference: datetime | None
    checks: tuple[Check, ...]

    @property
    def staged(self) -> bool:
        """Whether the injections differ in time."""
        hours = self.corrected_h
        return max(hours) - min(hours) > SAME_TIME_H

    @property
    def corrected_h(self) -> tuple[float, ...]:
        """The hours to correct for: 0 if they are unknown."""
        return tuple(0.0 if hours is None else hours for hours in self.elapsed_h)


def injection_decay(case: Case, images: CaseImages) -> InjectionDecay:
    """Returns the hours from each injection of the case to the reference time of the activity image.

    The injection time of the DICOM header counts if the case states no time at all: it names one injection only. It
    does not count for an image that was acquired under the label of another nuclide.

    Raises:
      ConfigError: one time has a time zone and the other has none.
    """
    source = images.activity.source
    reference = case.calibration.reference_time or source.reference_time
    if images.relabelling is not None:
        # The scanner's decay correction was undone, to the start of the acquisition.
        reference = images.relabelling.acquisition_start
    stated = any(table.time is not None for table in case.injections)
    # Under the label of another nuclide, the header's injection may be completed to the day of that nuclide.
    own = stated or images.relabelling is not None
    times = tuple(table.time if own else source.injection_time for table in case.injections)
    elapsed = tuple(
        None if time is None or reference is None else dosimetry.hours_between(time, reference) for time in times
    )
    checks: list[Check] = []
    if reference is None:
        checks += dosimetry.calibration_checks("the activity image", reference_time_known=False)
    for table, time in zip(case.injections, times, strict=True):
        checks += dosimetry.calibration_checks(_name(table), reference_time_known=time is not None)
    return InjectionDecay(elapsed, times, reference, tuple(checks))


def _name(table: InjectionTable) -> str:
    return f"the injection into {table.territory}"


def activity_at_injection_mbq(
    setting: DosimetryContext, decay: InjectionDecay
) -> tuple[Float32[np.ndarray, "i j k"], tuple[Check, ...]]:
    """Takes the activity of an absolute image back to the injections.

    A voxel in one injected territory is corrected from the time of that injection. A voxel in several is divided
    between them in proportion to its fraction in each. A voxel in none (scatter, motion, untreated liver) is treated as
    the nearest injected territory.

    Args:
      setting: the mapped case; its activity in Bq/mL.
      decay: result of `injection_decay`, in the order of the injections.

    Returns:
      (i, j, k) MBq per voxel, each at its own injection, and the check of the activity outside all territories.
    """
    concentration = np.asarray(setting.mapped.activity.array, np.float32)
    hours = decay.corrected_h
    if not decay.staged:
        return _back(setting, concentration, hours[0]), ()
    shares = _shares(list(setting.treated().values()), setting.mapped.geometry.spacing_mm)
    activity = np.zeros_like(concentration)
    for share, elapsed_h in zip(shares, hours, strict=True):
        activity += _back(setting, concentration * share, elapsed_h)
    return activity, dosimetry.staged_activity_checks(_fraction_outside(setting, activity))


def image_activity_mbq(images: CaseImages, decay: InjectionDecay, nuclide: Nuclide) -> float | None:
    """Returns the activity in the whole image at the time of injection, MBq.

    It shows whether the image is complete and its unit right; the working grid covers only a part of the image.

    Args:
      images: the images of the case; the activity in Bq/mL.
      decay: result of `injection_decay`.
      nuclide: the record with the half-life.

    Returns:
      The activity; None after staged injections, because a voxel far from the liver belongs to none of them.
    """
    if decay.staged:
        return None
    volume = images.activity.volume
    return float(
        dosimetry.absolute_activity_mbq(
            np.asarray(np.sum(volume.array, dtype=np.float64)),
            voxel_volume_ml=np.float64(volume.geometry.voxel_volume_ml),
            elapsed_h=np.float64(decay.corrected_h[0]),
            half_life_h=np.float64(nuclide.half_life_h),
        )
    )


def _back(setting: DosimetryContext, concentration: Array, elapsed_h: float) -> Array:
    activity = dosimetry.absolute_activity_mbq(
        concentration,
        voxel_volume_ml=np.float32(setting.mapped.geometry.voxel_volume_ml),
        elapsed_h=np.float32(elapsed_h),
        half_life_h=np.float32(setting.nuclide.half_life_h),
    )
    return np.asarray(activity, np.float32)


def _shares(territories: Sequence[Array], spacing_mm: tuple[float, float, float]) -> list[Array]:
    """Returns the fraction of each voxel's activity in each territory, (i, j, k) each, of sum 1 everywhere."""
    total = np.asarray(np.sum(territories, axis=0), np.float32)
    nearest = ndimage.distance_transform_edt(
        total <= 0, sampling=spacing_mm, return_distances=False, return_indices=True
    )
    at = tuple(nearest)
    return [(territory[at] / total[at]).astype(np.float32) for territory in territories]


def _fraction_outside(setting: DosimetryContext, activity_mbq: Array) -> float:
    treated = np.zeros_like(setting.liver)
    for weight in setting.treated().values():
        treated = np.maximum(treated, weight)
    in_liver = weighted_sum(activity_mbq, setting.liver)
    outside = weighted_sum(activity_mbq, np.clip(setting.liver - treated, 0.0, 1.0))
    return outside / in_liver if in_liver > 0 else 0.0
