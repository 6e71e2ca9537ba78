"""The treatment record of a result, and the origin of its lung shunt fraction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class LiverFunctionRecord:
    """Laboratory values and scores of liver function; None for each that is not provided.

    Attributes:
      date: day of the blood sample, ISO 8601.
      bilirubin_umol_per_l: total bilirubin in umol/L.
      bilirubin_as_stated: value and unit of the case; empty without one.
      albumin_g_per_l: albumin in g/L.
      albi: ALBI score computed from both; None without them.
      albi_grade: grade of the computed score.
      stated_albi, stated_albi_grade: score and grade that the case states.
      child_pugh_class, child_pugh_points: class, from the points if only they are stated, and points.
    """

    date: str | None = None
    bilirubin_umol_per_l: float | None = None
    bilirubin_as_stated: str = ""
    albumin_g_per_l: float | None = None
    albi: float | None = None
    albi_grade: int | None = None
    stated_albi: float | None = None
    stated_albi_grade: int | None = None
    child_pugh_class: str | None = None
    child_pugh_points: int | None = None


@dataclass(frozen=True)
class VialRecord:
    """One vial or syringe of an injection; None for each value that is not provided.

    Attributes:
      territory: territory of the injection.
      lot: lot or batch number.
      calibrated_mbq: ordered activity at the calibration time.
      calibration_time: calibration time, ISO 8601.
      vial_mbq: activity measured in the vial at `vial_time`.
      vial_time: time of this measurement, ISO 8601.
      expected_mbq: calibrated activity, decayed to `vial_time`.
      residual_mbq: measured residual, decay-corrected to `vial_time`.
      residual_fraction: residual as a fraction of the activity in the vial.
      residual_method: "dose calibrator" or "survey meter".
      delivered_mbq: activity in the vial less the residual, at the time of injection.
    """

    territory: str
    lot: str | None
    calibrated_mbq: float | None
    calibration_time: str | None
    vial_mbq: float | None
    vial_time: str | None
    expected_mbq: float | None
    residual_mbq: float | None
    residual_fraction: float | None
    residual_method: Literal["dose calibrator", "survey meter"] | None
    delivered_mbq: float | None


@dataclass(frozen=True)
class TreatmentRecord:
    """The treatment record of a plan or a verification.

    Attributes:
      prescriber, physicist: names of staff; None if the case states none.
      treatment_date: day of the treatment, ISO 8601.
      paper: paper size of the PDF.
      liver_function: laboratory values and scores.
      vials: one record per vial, in the order of the case.
      imaging_dates: day of each image by its role, ISO 8601.
    """

    prescriber: str | None = None
    physicist: str | None = None
    treatment_date: str | None = None
    paper: Literal["A4", "Letter"] = "A4"
    liver_function: LiverFunctionRecord = field(default_factory=LiverFunctionRecord)
    vials: tuple[VialRecord, ...] = ()
    imaging_dates: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RegionCounts:
    """The counts of one organ that a lung shunt fraction was computed from.

    Attributes:
      region: "lungs" or "liver".
      counts: counts in the organ; of two views their geometric mean, above the background.
      anterior, posterior: counts in both planar views, with the background; None from SPECT.
      anterior_background, posterior_background: counts of the background in the ROI; 0 without a ROI "background",
        None from SPECT.
    """

    region: Literal["lungs", "liver"]
    counts: float
    anterior: float | None = None
    posterior: float | None = None
    anterior_background: float | None = None
    posterior_background: float | None = None


@dataclass(frozen=True)
class PlanarBlurRecord:
    """The lung shunt fraction of planar views with and without the counts that their blur moved.

    Attributes:
      applied: whether the plan uses the corrected fraction.
      fwhm_mm: resolution of the views, as stated in the case.
      fwhm_uncertainty: relative standard uncertainty of the resolution, as stated in the case.
      uncorrected: fraction of the views as they are.
      corrected: fraction without blur.
      narrow, wide: corrected fraction if the resolution is smaller or larger by its uncertainty.
      explained_fraction: fraction of the lung counts that the blur explains; negative if the lungs lost counts.
    """

    applied: bool
    fwhm_mm: float
    fwhm_uncertainty: float
    uncorrected: float
    corrected: float
    narrow: float
    wide: float
    explained_fraction: float

    @property
    def relative_size(self) -> float:
        """Relative standard uncertainty of `corrected` due to the resolution."""
        return max(abs(self.narrow - self.corrected), abs(self.wide - self.corrected)) / max(self.corrected, 1e-9)


@dataclass(frozen=True)
class LungShuntRecord:
    """The origin of the lung shunt fraction.

    Attributes:
      fraction: lung shunt fraction of the case; an injection can have another one.
      method: "spect", "planar", "planar, corrected" or "value".
      source: source of the number.
      images: file names of the images that were counted.
      counts: counts of lungs and liver; empty for a stated number.
      blur: fraction of planar views with and without blur; None if the case does not state their resolution.
    """

    fraction: float
    method: str
    source: str
    images: tuple[str, ...] = ()
    counts: tuple[RegionCounts, ...] = ()
    blur: PlanarBlurRecord | None = None
