"""The activity of the lungs after treatment, with and without the margin along the liver."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float32
from scipy import ndimage

from sirtjax.dosimetry import Check
from sirtjax.errors import ConfigError
from sirtjax.workflows._case import Case
from sirtjax.workflows._deposit import ActivityAndDose
from sirtjax.workflows._measured_checks import measured_lung_checks
from sirtjax.workflows._measured_record import LungMeasurement, MeasuredLungs
from sirtjax.workflows._measured_regions import ActivityScale, LungWeights, MeasuredRegions
from sirtjax.workflows._setting import DosimetryContext


def measured_lungs(
    case: Case,
    regions: MeasuredRegions,
    lungs: LungWeights,
    scale_with: Callable[[float], ActivityScale],
    setting: DosimetryContext,
    deposit: ActivityAndDose,
) -> tuple[MeasuredLungs, tuple[Check, ...]]:
    """Returns activity, fraction and dose of the lungs, with and without the margin, and checks.

    Args:
      case: case with the margin.
      regions: activity image and its regions.
      lungs: lungs on the grid of the activity image.
      scale_with: conversion to MBq for the counts of the whole lungs. A relative calibration divides the injected
        activity among liver, lungs and extrahepatic VOIs, so that each measurement has its own.
      setting: dose constant, lung mass and limits.
      deposit: activity and dose of the lung shunt of the case.

    Raises:
      ConfigError: no lung remains without the margin.
    """
    margin_mm = case.after_treatment.lung_margin_mm
    seen_ml = regions.volume_ml(lungs.weight)
    if seen_ml <= 0:
        raise ConfigError("masks.lungs: no lung is in the activity image; check the mask, or remove it")
    inner = None if margin_mm is None else _without_margin(regions, lungs.weight, margin_mm)
    quiet = lungs.weight if inner is None else inner
    noise = regions.noise_of_mean(quiet)

    def measured(weight: Float32[np.ndarray, "i j k"], whole_ml: float, margin: float | None) -> LungMeasurement:
        volume_ml = regions.volume_ml(weight)
        extended = whole_ml / volume_ml
        counts = regions.whole_lungs_total(lungs) if margin is None else extended * regions.total(weight)
        scale = scale_with(counts)
        activity_mbq, liver_mbq = scale.mbq(counts), scale.mbq(regions.total(regions.liver))
        error_mbq = None
        if noise is not None:
            # The noise of the part without blurred liver, for the volume that was measured.
            of_mean = noise * (regions.volume_ml(quiet) / volume_ml) ** 0.5
            error_mbq = extended * scale.mbq(regions.error_of_total(weight, of_mean))
        both = activity_mbq + liver_mbq
        fraction = activity_mbq / both
        return LungMeasurement(
            margin_mm=margin,
            measured_ml=volume_ml,
            activity_mbq=activity_mbq,
            standard_error_mbq=error_mbq,
            fraction=fraction,
            fraction_standard_error=None if error_mbq is None else error_mbq * liver_mbq / both**2,
            dose_gy=setting.constant_gy_g_per_mbq * activity_mbq / deposit.lung_mass_g,
        )

    whole = measured(lungs.weight, lungs.whole_ml, None)
    outside = None if inner is None else measured(inner, lungs.whole_ml, margin_mm)
    result = MeasuredLungs(
        planned_fraction=deposit.lung_shunt_fraction,
        planned_mbq=deposit.lung_activity_mbq,
        planned_dose_gy=deposit.lung_shunt_gy,
        seen_fraction=min(seen_ml / lungs.whole_ml, 1.0),
        whole=whole,
        outside_margin=outside,
    )
    used = whole if outside is None else outside
    checks = measured_lung_checks(
        measured_fraction=used.fraction,
        standard_error=used.fraction_standard_error,
        planned_fraction=result.planned_fraction,
        basis="whole lungs" if outside is None else f"lungs farther than {margin_mm:g} mm from the liver",
        dose_gy=used.dose_gy,
        previous_gy=case.dose.previous_lung_gy,
        single_limit_gy=setting.protocol.lung_single.value,
        cumulative_limit_gy=setting.protocol.lung_cumulative.value,
        seen_fraction=result.seen_fraction,
    )
    return result, checks


def _without_margin(
    regions: MeasuredRegions, weight: Float32[np.ndarray, "i j k"], margin_mm: float
) -> Float32[np.ndarray, "i j k"]:
    distance_mm = ndimage.distance_transform_edt(regions.liver < 0.5, sampling=regions.spacing_mm)
    inner = np.where(distance_mm > margin_mm, weight, np.float32(0))
    if inner.sum() <= 0:
        raise ConfigError(
            f"after_treatment.lung_margin_mm = {margin_mm:g}: no lung is farther than this from the liver; use less"
        )
    return inner
