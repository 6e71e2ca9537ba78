"""Verification (thesis section 8.4): the delivered dose, next to the planned one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sirtjax import dosimetry
from sirtjax.dosimetry import Check
from sirtjax.errors import ConfigError
from sirtjax.ops import weighted_sum
from sirtjax.workflows._assemble import assemble, distinct_checks, prepare, superpose
from sirtjax.workflows._before_after import compare_doses
from sirtjax.workflows._before_after_record import BeforeAfter
from sirtjax.workflows._case import Case, InjectionTable
from sirtjax.workflows._case_images import CaseImages
from sirtjax.workflows._comparison_record import PlanComparison
from sirtjax.workflows._coverage_checks import liver_fraction_away, uninjected_checks
from sirtjax.workflows._decay import (
    STAGED_NOTE,
    InjectionDecay,
    activity_at_injection_mbq,
    image_activity_mbq,
    injection_decay,
)
from sirtjax.workflows._deposit import ActivityAndDose, mean_shunt
from sirtjax.workflows._imaged_nuclide import activity_nuclide_checks
from sirtjax.workflows._interval import interval_checks
from sirtjax.workflows._measured_activity import bremsstrahlung_checks, measured_activity
from sirtjax.workflows._objective_results import delivered_objectives
from sirtjax.workflows._plan_alignment import RegisteredPlan, register_plan
from sirtjax.workflows._plan_comparison import compare_with_plan
from sirtjax.workflows._plan_patient import refuse_other_patient
from sirtjax.workflows._plan_record import TreatmentPlan, read_plan
from sirtjax.workflows._planned_maps import PlannedMaps, read_planned_maps
from sirtjax.workflows._planned_masks import add_planned_masks
from sirtjax.workflows._prescribing import case_objectives
from sirtjax.workflows._products import AllStepResults, Hooks, StepResults
from sirtjax.workflows._results import InjectionResult, Result, ResultVolumes
from sirtjax.workflows._setting import DosimetryContext
from sirtjax.workflows._steps import made_all, made_images
from sirtjax.workflows._treatment_times import treatment_time_checks
from sirtjax.workflows._uncertainty import check_uncertainty, with_intervals
from sirtjax.workflows._unit_maps import unit_maps

Array = NDArray[np.float32]


def verify_case(
    case: Case, *, products: StepResults | None = None, hooks: Hooks | None = None
) -> tuple[Result, ResultVolumes, AllStepResults]:
    """Returns the absorbed dose after treatment, from the 90Y PET or another image of the activity.

    "relative" calibration scales the counts of each territory to the activity injected into it; "absolute" takes
    the image's Bq/mL at their reference time back to the time of injection.

    Args:
      case: the case; its injections carry the delivered activities, `plan` the results.json of the plan.
      products: results of earlier steps.
      hooks: automatic segmentation, another registration, progress.

    Returns:
      The result, its images on the working grid, and the products of the steps.

    Raises:
      InputError: an input of the case cannot be used; the message names it.
    """
    hooks = hooks or Hooks()
    if case.order is not None:
        raise ConfigError("[order] applies to a plan; remove it from the case of a verification, or use --unset order")
    if case.uptake_sites is not None:
        raise ConfigError("[uptake_sites] applies to a plan; remove it from the case, or use --unset uptake_sites")
    check_uncertainty(case)
    plan = None if case.plan is None else read_plan(case.plan)
    if not case.injections or any(table.activity_mbq is None for table in case.injections):
        raise ConfigError("a verification needs the delivered activity_mbq of every one of the [[injections]]")
    images, products = made_images(case, products=products, hooks=hooks)
    checks = (*activity_nuclide_checks(case, images, "verification"), *interval_checks(case, images, "verification"))
    _refuse_absolute_counts(case, images)
    checks = (*checks, *treatment_time_checks(case, images))
    if plan is not None and case.plan is not None:
        refuse_other_patient(case, images, plan, case.plan)
    planned, registered, products = _registered_plan(case, images, plan, products, hooks)
    mapped = made_all(case, products=products, hooks=hooks)
    setting = prepare(case, mapped)
    injected = np.asarray([table.activity_mbq for table in case.injections], np.float64)
    hooks.on_step("dose")
    decay: InjectionDecay | None = None
    image_mbq: float | None = None
    if case.calibration.method == "relative":
        deposit = superpose(setting, *unit_maps(setting), injected)
        if len(setting.treated()) < len(setting.territories):  # otherwise SJ202 says so
            outside = liver_fraction_away(
                np.asarray(setting.mapped.activity.array, np.float32),
                setting.liver,
                list(setting.treated().values()),
                setting.mapped.geometry.spacing_mm,
                fwhm_mm=case.images.activity.resolution_fwhm_mm,
            )
            checks = (*checks, *uninjected_checks(outside))
    else:
        decay = injection_decay(case, images)
        image_mbq = image_activity_mbq(images, decay, setting.nuclide)
        deposit, calibration = _absolute(setting, injected, decay)
        checks = (*checks, *calibration, *_positron_checks(case, images, setting))
    measured, found = measured_activity(case, mapped, setting, deposit, decay)
    checks = (*checks, *found, *bremsstrahlung_checks(case, mapped, setting))
    hooks.on_step("dose-volume histograms")
    objectives = case_objectives(case, setting)
    result, maps = assemble(case, mapped, setting, deposit, objectives, checks=checks)
    rows = tuple(
        _delivered(table, activity, lsf, plan, elapsed_h)
        for table, activity, lsf, elapsed_h in zip(
            setting.injections,
            injected.tolist(),
            setting.shunts,
            decay.elapsed_h if decay is not None else (None,) * len(injected),
            strict=True,
        )
    )
    met, unmet = delivered_objectives(case, setting, deposit, result.vois, objectives, plan)
    result = replace(
        result,
        kind="verification",
        injections=rows,
        notes=(*result.notes, *_absolute_notes(setting, deposit, decay, image_mbq)),
        objectives=met,
        planned={} if plan is None else plan.vois,
        image_activity_mbq=image_mbq,
        measured_activity=measured,
    )
    if case.uncertainty is not None:
        hooks.on_step("intervals")
        result, maps = with_intervals(case, mapped, setting, deposit, result, maps)
    comparison: PlanComparison | None = None
    differences: tuple[Check, ...] = (dosimetry.make_check("SJ510"),)
    if plan is not None:
        comparison, differences = compare_with_plan(case, images, result, plan)
        hooks.on_step("planned and delivered dose")
        both, planned_gy = compare_doses(result, maps, plan, planned, registered)
        result = replace(result, before_after=both)
        if registered is not None:
            differences = (*differences, *registered.checks, *_accepted_checks(both))
            maps = replace(maps, planned_dose_gy=planned_gy, plan_alignment=registered.alignment, plan_ct=registered.ct)
    checks = distinct_checks((*result.checks, *unmet, *differences))
    return replace(result, comparison=comparison, checks=checks), maps, mapped


def _registered_plan(
    case: Case, images: CaseImages, plan: TreatmentPlan | None, products: StepResults, hooks: Hooks
) -> tuple[PlannedMaps | None, RegisteredPlan | None, StepResults]:
    """The plan with its transform, and the steps with its masks where the case has none.

    Without [plan_registration] doses are compared only by VOI.
    """
    table = case.plan_registration
    if table is None or plan is None or case.plan is None:
        return None, None, products
    planned = read_planned_maps(case.plan, plan)
    hooks.on_step("plan-registration.html")
    registered, products = register_plan(case, table, images, plan, planned, products, hooks)
    transform = registered.alignment.transform
    products = add_planned_masks(case, images, products, planned, transform, created=plan.created, hooks=hooks)
    return planned, registered, products


def _accepted_checks(both: BeforeAfter) -> tuple[Check, ...]:
    summary = both.registration
    if summary is None or not summary.accepted:
        return ()
    return dosimetry.accepted_registration_checks(f"plan has the status {summary.status} ({summary.cause})")


def _refuse_absolute_counts(case: Case, images: CaseImages) -> None:
    unit, path = images.activity.volume.unit, case.images.activity.path
    if case.calibration.method == "absolute" and unit != "Bq/mL":
        raise ConfigError(
            f'{path}: calibration.method = "absolute" needs an image in Bq/mL, this one is in {unit}; '
            'use method = "relative"'
        )


def _positron_checks(case: Case, images: CaseImages, setting: DosimetryContext) -> tuple[Check, ...]:
    if setting.nuclide.symbol != "Y-90" or images.relabelling is not None:
        return ()
    fraction = images.activity.source.positron_fraction
    return dosimetry.positron_fraction_checks(fraction, calibrated=case.calibration.factor is not None)


def _absolute(
    setting: DosimetryContext, injected: NDArray[np.float64], decay: InjectionDecay
) -> tuple[ActivityAndDose, tuple[Check, ...]]:
    activity_mbq, checks = activity_at_injection_mbq(setting, decay)
    shunted_mbq = float(injected @ np.asarray(setting.shunts))
    deposit = ActivityAndDose(
        activity_mbq=activity_mbq,
        dose_gy=setting.dose_gy(activity_mbq, setting.method, relative=False),
        other_dose_gy=setting.other_dose_gy(activity_mbq, relative=False),
        injected_mbq=float(injected.sum()),
        lung_shunt_gy=setting.constant_gy_g_per_mbq * shunted_mbq / setting.lungs.mass_g,
        lung_spill_gy=setting.lung_spill_gy(activity_mbq * setting.liver),
        lung_activity_mbq=shunted_mbq,
        lung_shunt_fraction=mean_shunt(injected, setting.shunts),
        lung_mass_g=setting.lungs.mass_g,
    )
    return deposit, (*decay.checks, *checks)


def _absolute_notes(
    setting: DosimetryContext, deposit: ActivityAndDose, decay: InjectionDecay | None, image_mbq: float | None
) -> list[str]:
    """Notes on the activity of an absolute image, relative to the expected one: they show a wrong calibration."""
    if decay is None:
        return []
    shown_mbq = weighted_sum(deposit.activity_mbq, setting.mapped.occupancy["liver"])
    expected_mbq = deposit.injected_mbq - deposit.lung_activity_mbq
    recovery = (
        f"the image shows {shown_mbq:.0f} MBq in the liver at the time of injection, "
        f"{shown_mbq / expected_mbq:.0%} of the activity injected and not shunted to the lungs"
    )
    if image_mbq is None:
        return [recovery, STAGED_NOTE]
    whole = (
        f"the whole image shows {image_mbq:.1f} MBq at the time of injection, "
        f"{image_mbq / deposit.injected_mbq:.0%} of the injected activity"
    )
    return [recovery, whole]


def _delivered(
    table: InjectionTable, activity_mbq: float, lsf: float, plan: TreatmentPlan | None, elapsed_h: float | None
) -> InjectionResult:
    planned_mbq = None if plan is None else plan.planned_mbq.get(table.territory)
    return InjectionResult(
        territory=table.territory,
        activity_mbq=activity_mbq,
        dispensed_mbq=None if table.residual_fraction is None else activity_mbq / (1.0 - table.residual_fraction),
        residual_fraction=table.residual_fraction,
        lung_shunt_fraction=lsf,
        lower_mbq=None,
        upper_mbq=None,
        feasible=True,
        limiting_objective="delivered activity, from the case"
        + ("" if planned_mbq is None else f"; planned {planned_mbq:.0f} MBq"),
        bounds=(),
        planned_mbq=planned_mbq,
        elapsed_h=elapsed_h,
    )
