"""The activity that the image after treatment shows in liver, lungs, other organs and the whole field."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from jaxtyping import Float32

from sirtjax import dosimetry
from sirtjax.dosimetry import Check, make_check
from sirtjax.errors import ConfigError
from sirtjax.workflows._background_result import background_result, relabelling_result
from sirtjax.workflows._case import Case
from sirtjax.workflows._decay import InjectionDecay
from sirtjax.workflows._deposit import ActivityAndDose
from sirtjax.workflows._measured_checks import balance_checks, extrahepatic_checks
from sirtjax.workflows._measured_lungs import measured_lungs
from sirtjax.workflows._measured_record import ActivityRow, MeasuredActivity, MeasuredKind, MeasuredLungs
from sirtjax.workflows._measured_regions import ActivityScale, MeasuredRegions, measured_regions
from sirtjax.workflows._products import AllStepResults
from sirtjax.workflows._setting import DosimetryContext


def measured_activity(
    case: Case,
    products: AllStepResults,
    setting: DosimetryContext,
    deposit: ActivityAndDose,
    decay: InjectionDecay | None,
) -> tuple[MeasuredActivity | None, tuple[Check, ...]]:
    """Returns the activity of the image after treatment by region, and its checks.

    Args:
      case: the case.
      products: results of the steps; the activity image with all its corrections.
      setting: constants, territories and lung shunt.
      deposit: injected activity, and that of the planned lung shunt.
      decay: times of an absolute calibration; None for a relative one.

    Returns:
      The activities and checks; None without anything to measure: a relative calibration without lung mask,
      extrahepatic VOIs, background and another nuclide's label.

    Raises:
      InputError: a VOI of the case is outside the image, or the background VOI overlaps an organ.
    """
    if case.after_treatment.lung_margin_mm is not None and products.lungs is None:
        raise ConfigError("after_treatment.lung_margin_mm requires [masks.lungs]")
    images = products.images
    asked = products.lungs is not None or case.masks.extrahepatic is not None
    if decay is None and not asked and images.background is None and images.relabelling is None:
        return None, ()
    regions = measured_regions(case, products)
    checks: list[Check] = []
    background = None
    if images.background is not None:
        background, found = background_result(case, images, regions)
        checks += found
    absolute = None if decay is None else _absolute_scale(regions, setting, deposit, decay)

    def scale_with(lung_counts: float) -> ActivityScale:
        return absolute or _relative_scale(regions, deposit, lung_counts)

    lungs, lung_counts = None, 0.0
    if regions.lungs is not None:
        lungs, found = measured_lungs(case, regions, regions.lungs, scale_with, setting, deposit)
        checks += found
        lung_counts = regions.whole_lungs_total(regions.lungs)
    scale = scale_with(lung_counts)
    extrahepatic = tuple(_extrahepatic(regions, name, scale, setting, deposit) for name in regions.extrahepatic)
    for row in extrahepatic:
        checks += extrahepatic_checks(
            row.name, activity_mbq=row.activity_mbq, standard_error_mbq=row.standard_error_mbq
        )
    if decay is not None and asked and background is None and setting.nuclide.symbol == "Y-90":
        checks.append(make_check("SJ610"))
    balance: tuple[ActivityRow, ...] = ()
    fraction = None
    if decay is not None:
        balance = _balance(regions, lungs, scale, setting, deposit, extrahepatic)
        (fraction,) = (row.injected_fraction for row in balance if row.kind == "image")
        table = case.after_treatment
        checks += balance_checks(
            fraction, limits=table.balance_limits, source=table.balance_source, staged=decay.staged
        )
    result = MeasuredActivity(
        calibration=case.calibration.method,
        background=background,
        relabelling=None if images.relabelling is None else relabelling_result(images.relabelling),
        lungs=lungs,
        extrahepatic=extrahepatic,
        balance=balance,
        found_fraction=fraction,
    )
    return result, tuple(checks)


def bremsstrahlung_checks(case: Case, products: AllStepResults, setting: DosimetryContext) -> tuple[Check, ...]:
    """Returns SJ608: the image is a 90Y bremsstrahlung SPECT, a gamma camera image or one in counts."""
    image = products.images.activity
    camera = image.source.modality == "NM" or (image.source.modality is None and image.volume.unit == "counts")
    if setting.nuclide.symbol != "Y-90" or not camera:
        return ()
    fwhm_mm = case.images.activity.resolution_fwhm_mm
    stated = "resolution not stated: set images.activity.resolution_fwhm_mm"
    return (make_check("SJ608", where=stated if fwhm_mm is None else f"resolution {fwhm_mm:g} mm FWHM"),)


def _absolute_scale(
    regions: MeasuredRegions, setting: DosimetryContext, deposit: ActivityAndDose, decay: InjectionDecay
) -> ActivityScale:
    """MBq at the injection per Bq/mL; staged injections have the mean decay, weighted by their activities."""
    injected = np.asarray([table.activity_mbq for table in setting.injections], np.float64)
    left = [
        float(dosimetry.decay_factor(np.float64(hours), half_life_h=np.float64(setting.nuclide.half_life_h)))
        for hours in decay.corrected_h
    ]
    return ActivityScale(regions.voxel_ml * 1e-6 * float(injected.sum()) / float(injected @ np.asarray(left)))


def _relative_scale(regions: MeasuredRegions, deposit: ActivityAndDose, lung_counts: float) -> ActivityScale:
    """MBq per count: the injected activity is in liver, whole lungs and extrahepatic VOIs."""
    counts = lung_counts + sum(regions.total(weight) for weight in (regions.liver, *regions.extrahepatic.values()))
    if counts <= 0:
        raise ConfigError("the activity image shows no counts in liver, lungs and extrahepatic VOIs; check the masks")
    return ActivityScale(deposit.injected_mbq / counts)


def _extrahepatic(
    regions: MeasuredRegions, name: str, scale: ActivityScale, setting: DosimetryContext, deposit: ActivityAndDose
) -> ActivityRow:
    weight = regions.extrahepatic[name]
    gy_per_mbq_per_ml = setting.constant_gy_g_per_mbq / setting.protocol.liver_density.value
    activity_mbq = scale.mbq(regions.total(weight))
    volume_ml = regions.volume_ml(weight)
    inside = weight >= min(0.5, float(weight.max()))
    highest = scale.mbq(float(regions.image[inside].max())) / regions.voxel_ml
    noise = regions.noise_of_mean(weight)
    return ActivityRow(
        name=name,
        kind="extrahepatic",
        volume_ml=volume_ml,
        activity_mbq=activity_mbq,
        standard_error_mbq=None if noise is None else scale.mbq(regions.error_of_total(weight, noise)),
        injected_fraction=activity_mbq / deposit.injected_mbq,
        mean_gy=gy_per_mbq_per_ml * activity_mbq / volume_ml,
        max_gy=gy_per_mbq_per_ml * highest,
    )


def _balance(
    regions: MeasuredRegions,
    lungs: MeasuredLungs | None,
    scale: ActivityScale,
    setting: DosimetryContext,
    deposit: ActivityAndDose,
    extrahepatic: tuple[ActivityRow, ...],
) -> tuple[ActivityRow, ...]:
    injected = deposit.injected_mbq

    def row(name: str, kind: MeasuredKind, mbq: float, weight: Float32[np.ndarray, "i j k"] | None) -> ActivityRow:
        # The error of the subtracted background is the same in every voxel.
        error = None if weight is None else regions.error_of_total(weight, 0.0)
        return ActivityRow(
            name=name,
            kind=kind,
            volume_ml=None if weight is None else regions.volume_ml(weight),
            activity_mbq=mbq,
            standard_error_mbq=None if not error else scale.mbq(error),
            injected_fraction=mbq / injected,
        )

    named = {"liver": regions.liver} | ({} if regions.lungs is None else {"lungs": regions.lungs.weight})
    kinds: dict[str, MeasuredKind] = {"liver": "liver", "lungs": "lungs"}
    found = [row(name, kinds[name], scale.mbq(regions.total(weight)), weight) for name, weight in named.items()]
    if lungs is not None:
        error_mbq = lungs.whole.standard_error_mbq
        # The balance has only what the image shows.
        found[1] = replace(found[1], standard_error_mbq=None if error_mbq is None else error_mbq * lungs.seen_fraction)
    found += extrahepatic
    everything = np.ones_like(regions.image)
    total_mbq = scale.mbq(regions.total(everything))
    rest = everything - np.minimum(sum((*named.values(), *regions.extrahepatic.values())), 1.0)
    found.append(row("elsewhere in the image", "elsewhere", total_mbq - sum(one.activity_mbq for one in found), rest))
    rows = [row("injected", "injected", injected, None), *found, row("whole image", "image", total_mbq, everything)]
    rows.append(row("missing", "missing", injected - total_mbq, None))
    fractions = [table.residual_fraction for table in setting.injections]
    if all(fraction is not None for fraction in fractions):
        remained = sum(
            (table.activity_mbq or 0.0) * fraction / (1.0 - fraction)
            for table, fraction in zip(setting.injections, fractions, strict=True)
            if fraction is not None
        )
        rows.insert(0, row("residual in vial and catheter", "residual", remained, None))
    return tuple(one for one in rows if math.isfinite(one.activity_mbq))
