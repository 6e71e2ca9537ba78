"""The intervals of mean doses by the formulas of the EANM guidance, without simulations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from scipy import special

from sirtjax import uncertainty
from sirtjax.partial_volume import sphere_recovery
from sirtjax.workflows._results import Result, VoiResult
from sirtjax.workflows._uncertainty_record import Interval, UncertaintyResult, UncertaintyRow, UncertaintySource
from sirtjax.workflows._uncertainty_rows import CorrectedVoi, small_lesion_reason

KINDS = ("lesion", "normal liver", "liver")
# Relative step of the resolution in the derivative of the recovery.
STEP = 0.02
# Sources of the case that the formulas do not contain.
OMITTED = ("counts", "registration", "lesion_shift", "territories", "kernel", "lung_mass", "uptake", "outside")
NOT_INCLUDED = (
    "The formulas treat each VOI as a sphere without activity around it.",
    "They omit fits of time-activity curves: microspheres stay where they are.",
    "They have no intervals of D70, volumes, T/N, BED, TCP, lung dose and activities.",
)


def eanm_intervals(
    empty: UncertaintyResult,
    result: Result,
    corrected: Mapping[str, CorrectedVoi],
    *,
    absolute: bool = False,
    stated: Sequence[str] = (),
) -> UncertaintyResult:
    """Returns the intervals of the mean doses of lesions and liver by the formulas of the guidance.

    The standard deviation of a contour is that of one edge, so that a diameter has sqrt(2) of it. The relative
    uncertainty of the resolution becomes that of the recovery of the sphere. An interval is normal about the corrected
    dose, and ends at 0.

    Args:
      empty: result without rows, with level, resolution and sources.
      result: plan or verification.
      corrected: corrected metrics by VOI.
      absolute: whether the image states the activity: residual and lung shunt then have no effect on these doses.
      stated: names of the sources that the case states, also of those whose size the formulas do not need.
    """
    sizes = {source.name: source for source in empty.sources}
    left_out = tuple(f"The EANM method does not include `{name}`." for name in OMITTED if name in {*sizes, *stated})
    rows = []
    for voi in result.vois:
        found = corrected.get(voi.name)
        if voi.kind in KINDS and found is not None:
            rows += _rows(voi, found, sizes, empty, _of_delivery(voi, sizes, result, absolute=absolute))
    return replace(
        empty,
        method="eanm",
        samples=0,
        budget_samples=None,
        status="intervals",
        message="",
        not_included=(*NOT_INCLUDED, *left_out, *empty.not_included),
        rows=tuple(rows),
    )


def _of_delivery(
    voi: VoiResult, sizes: Mapping[str, UncertaintySource], result: Result, *, absolute: bool
) -> dict[str, float]:
    """The relative uncertainty of the activity in the liver, by residual and lung shunt."""
    if absolute:
        return {"residual": 0.0, "lung_shunt": 0.0}
    shunts = {one.territory: one.lung_shunt_fraction for one in result.injections}
    # A VOI of several territories has the mean, weighted by the activities.
    fraction = shunts.get(voi.territory or "", result.lung_shunt_fraction)
    residual, shunt = (sizes[name].sizes[0] if name in sizes else 0.0 for name in ("residual", "lung_shunt"))
    # The activity in the liver is what the lungs leave.
    return {"residual": residual, "lung_shunt": shunt * fraction / (1.0 - fraction)}


def _rows(
    voi: VoiResult,
    corrected: CorrectedVoi,
    sizes: Mapping[str, UncertaintySource],
    empty: UncertaintyResult,
    delivery: Mapping[str, float],
) -> list[UncertaintyRow]:
    reason = small_lesion_reason(voi) or ("" if corrected.mean_gy > 0 else "the corrected value is not above 0")
    interval = None if reason else _interval(voi, corrected.mean_gy, sizes, empty, delivery)
    mean = UncertaintyRow(
        voi=voi.name,
        kind=voi.kind,
        metric="mean",
        threshold_gy=None,
        unit="Gy",
        value=voi.mean_gy,
        corrected=corrected.mean_gy,
        status="no interval" if interval is None else "interval",
        reason=reason,
        interval=interval,
    )
    d70 = replace(
        mean,
        metric="D70",
        value=voi.d_gy.get("70"),
        corrected=None,
        status="no interval",
        reason=reason or "the EANM method has mean doses only",
        interval=None,
    )
    return [mean, d70]


def _interval(
    voi: VoiResult,
    mean_gy: float,
    sizes: Mapping[str, UncertaintySource],
    empty: UncertaintyResult,
    delivery: Mapping[str, float],
) -> Interval:
    def size(name: str) -> float:
        return sizes[name].sizes[0] if name in sizes else 0.0

    radius_mm = (750.0 * voi.volume_ml / math.pi) ** (1 / 3)
    sharper, coarser = (float(sphere_recovery(radius_mm, empty.fwhm_mm * (1.0 + sign * STEP))) for sign in (-1.0, 1.0))
    by_resolution = abs(sharper - coarser) / (STEP * (sharper + coarser))
    found = uncertainty.eanm_dose_uncertainty(
        voi.volume_ml,
        diameter_uncertainty_mm=math.sqrt(2.0) * size("contours"),
        fwhm_mm=empty.fwhm_mm,
        calibration_fraction=size("calibration"),
        recovery_fraction=by_resolution * size("resolution"),
        density_fraction=size("density"),
        other={**delivery, "half_life": size("half_life")},
    )
    deviation = found.dose * mean_gy
    reach = float(special.ndtri(0.5 + empty.level / 2)) * deviation
    names = {"boundary": "contours", "recovery": "resolution"}
    return Interval(
        median=mean_gy,
        expectation=mean_gy,
        relative_bias=0.0,
        standard_deviation=deviation,
        standard_deviation_error=0.0,
        lower=max(mean_gy - reach, 0.0),
        upper=mean_gy + reach,
        budget={names.get(name, name): part for name, part in found.by_source.items()},
    )
