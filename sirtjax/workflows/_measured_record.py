"""The activity that an image shows after treatment, as records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MeasuredKind = Literal["injected", "liver", "lungs", "extrahepatic", "elsewhere", "image", "missing", "residual"]


@dataclass(frozen=True)
class BackgroundResult:
    """The background that was measured in a VOI and subtracted from every voxel of the activity image.

    Attributes:
      unit: unit of the next three numbers, "Bq/mL", or "counts" per voxel.
      mean, std: mean and standard deviation of the voxels.
      standard_error: standard error of the mean, with the correlation of the noise between voxels.
      voxels: number of voxels.
      independent_samples: number of independent voxels with the same standard error; None without noise.
      volume_ml: volume of the VOI as contoured.
      seen_fraction: fraction of the VOI that the activity image shows.
      liver_fraction: fraction of the liver's activity that was subtracted.
      nearest, distance_mm: nearest tissue with activity, and its distance from the VOI.
    """

    unit: str
    mean: float
    std: float
    standard_error: float
    voxels: int
    independent_samples: float | None
    volume_ml: float
    seen_fraction: float
    liver_fraction: float
    nearest: str
    distance_mm: float


@dataclass(frozen=True)
class RelabellingResult:
    """The correction of a PET that was acquired under the label of another nuclide.

    Attributes:
      nuclide: nuclide of the label.
      half_life_s, positron_fraction: constants that the scanner used; no positron fraction if a calibration factor
        contains its ratio to that of 90Y.
      decay_correction: "NONE", "START" or "ADMIN".
      in_frame_corrected: whether the scanner corrected the decay during the frame.
      decay_factor: factor of the scanner's decay correction, which was undone.
      frame_duration_s, acquisition_start: duration and start (ISO 8601) of the acquisition, to which the corrected
        image refers.
      factor: factor by which the image was multiplied.
    """

    nuclide: str
    half_life_s: float
    positron_fraction: float | None
    decay_correction: Literal["NONE", "START", "ADMIN"]
    in_frame_corrected: bool
    decay_factor: float
    frame_duration_s: float
    acquisition_start: str
    factor: float


@dataclass(frozen=True)
class LungMeasurement:
    """The activity of the lungs by one part of them.

    Attributes:
      margin_mm: distance from the liver within which the lungs were left out; None for the whole lungs.
      measured_ml: volume that was measured.
      activity_mbq: activity of the lungs at the injection: mean concentration of the measured part times the volume of
        the lungs.
      standard_error_mbq: standard error of the activity, from the noise of the voxels and of the subtracted background;
        None if the measured part has too few voxels.
      fraction, fraction_standard_error: activity of the lungs divided by that of lungs and liver.
      dose_gy: mean lung dose of this activity.
    """

    margin_mm: float | None
    measured_ml: float
    activity_mbq: float
    standard_error_mbq: float | None
    fraction: float
    fraction_standard_error: float | None
    dose_gy: float


@dataclass(frozen=True)
class MeasuredLungs:
    """The lungs after treatment, next to the lung shunt of the case.

    Attributes:
      planned_fraction, planned_mbq, planned_dose_gy: lung shunt fraction of the case, with its activity and mean dose.
      seen_fraction: fraction of the lungs that the activity image shows.
      whole: the whole lungs.
      outside_margin: the lungs without the margin along the liver; None if the case states no margin.
    """

    planned_fraction: float
    planned_mbq: float
    planned_dose_gy: float
    seen_fraction: float
    whole: LungMeasurement
    outside_margin: LungMeasurement | None


@dataclass(frozen=True)
class ActivityRow:
    """The activity of one region.

    Attributes:
      name, kind: name and type of the region.
      volume_ml: volume in the activity image; None if it is not a region.
      activity_mbq: activity at the injection.
      standard_error_mbq: standard error of it, as far as the noise is known; None if it is not.
      injected_fraction: activity divided by the injected activity.
      mean_gy, max_gy: mean and highest dose by local deposition, of an extrahepatic VOI.
    """

    name: str
    kind: MeasuredKind
    volume_ml: float | None
    activity_mbq: float
    standard_error_mbq: float | None
    injected_fraction: float
    mean_gy: float | None = None
    max_gy: float | None = None


@dataclass(frozen=True)
class MeasuredActivity:
    """The activity that the image after treatment shows in lungs, other organs and the whole field.

    Attributes:
      calibration: "absolute", or "relative" if the activities are those of the counts as fractions of the injection.
      background: subtracted background; None if the case names no VOI for it.
      relabelling: correction of another nuclide's label; None if there is none.
      lungs: lungs; None without a lung mask.
      extrahepatic: one row per VOI of [masks.extrahepatic], without its part in liver and lungs.
      balance: injected, found and missing activity; empty with relative calibration, which sets it.
      found_fraction: activity of the image divided by the injected activity; None with relative calibration.
    """

    calibration: Literal["relative", "absolute"]
    background: BackgroundResult | None
    relabelling: RelabellingResult | None
    lungs: MeasuredLungs | None
    extrahepatic: tuple[ActivityRow, ...]
    balance: tuple[ActivityRow, ...]
    found_fraction: float | None
