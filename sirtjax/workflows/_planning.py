"""Step 7: from the dose of one MBq through each catheter position to the activities, and the plan around them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sirtjax.workflows._assemble import assemble, prepare, superpose
from sirtjax.workflows._case import Case
from sirtjax.workflows._case_ordering import case_order, check_order
from sirtjax.workflows._extrahepatic import check_organs, search_margin_mm, uptake_sites
from sirtjax.workflows._imaged_nuclide import activity_nuclide_checks
from sirtjax.workflows._interval import interval_checks
from sirtjax.workflows._objective_results import objective_results
from sirtjax.workflows._optimal import optimal_checks, optimal_result
from sirtjax.workflows._optimal_robust import check_robust, robust_choice
from sirtjax.workflows._outcome_record import outcome_result
from sirtjax.workflows._prescribing import (
    case_objectives,
    case_outcome_model,
    injection_result,
    optimise_case,
    prescribe_case,
    prescription_facts,
    voi_doses,
)
from sirtjax.workflows._products import AllStepResults, Hooks, StepResults
from sirtjax.workflows._required import check_prescription
from sirtjax.workflows._results import Result, ResultVolumes
from sirtjax.workflows._steps import made_all, made_images
from sirtjax.workflows._uncertainty import check_uncertainty, with_intervals
from sirtjax.workflows._unit_maps import unit_maps


def plan_case(
    case: Case, *, products: StepResults | None = None, hooks: Hooks | None = None
) -> tuple[Result, ResultVolumes, AllStepResults]:
    """Returns a treatment plan: the seven steps of thesis section 8.3, from case to prescription.

    Args:
      case: the case.
      products: results of earlier steps, which are used unchanged.
      hooks: automatic segmentation, another registration, progress.

    Returns:
      The result, its images on the working grid, and the products of the steps.

    Raises:
      InputError: an input of the case cannot be used; the message names it.
    """
    hooks = hooks or Hooks()
    check_prescription(case)
    check_order(case)
    check_uncertainty(case)
    check_robust(case)
    search_margin_mm(case)
    images, products = made_images(case, products=products, hooks=hooks)
    check_organs(case, images, hooks)
    checks = (*activity_nuclide_checks(case, images, "plan"), *interval_checks(case, images, "plan"))
    mapped = made_all(case, products=products, hooks=hooks)
    setting = prepare(case, mapped)
    hooks.on_step("dose")
    unit_activity, unit_dose = unit_maps(setting)
    hooks.on_step("prescription")
    remaining = 1.0 - np.asarray(setting.shunts)
    objectives = case_objectives(case, setting)
    model = case_outcome_model(case, setting)
    doses = voi_doses(case, setting, unit_activity, unit_dose, remaining)
    best = optimise_case(case, setting, doses, objectives) if case.prescription.strategy == "optimal" else None
    if best is not None and case.prescription.limit_probability is not None:
        hooks.on_step("robust optimum")
        best = robust_choice(case, mapped, setting, unit_activity, unit_dose, best)
    prescription = prescribe_case(case, setting, doses, objectives, optimum=best)
    if best is not None:
        checks = (*checks, *optimal_checks(best))
    chosen = np.asarray([territory.chosen_mbq for territory in prescription.territories])
    deposit = superpose(setting, unit_activity, unit_dose, chosen)
    hooks.on_step("dose-volume histograms")
    result, maps = assemble(case, mapped, setting, deposit, objectives, checks=(*checks, *prescription.checks))
    injections = tuple(
        injection_result(territory, lsf, prescription, optimum="" if best is None else best.label)
        for territory, lsf in zip(prescription.territories, setting.shunts, strict=True)
    )
    met = objective_results(prescription.outcomes)
    methods = (*result.methods, *prescription_facts(case, setting))
    order, missing = case_order(case, injections, result.vois, nuclide=setting.nuclide.name)
    sites, outside = uptake_sites(case, mapped, setting, injections, hooks)
    result = replace(
        result,
        checks=(*result.checks, *missing, *outside),
        order=order,
        uptake_sites=sites,
        outcome=outcome_result(prescription, model),
        optimal=None if best is None else optimal_result(best),
    )
    result = replace(result, injections=injections, objectives=met, methods=methods)
    if case.uncertainty is not None:
        hooks.on_step("intervals")
        result, maps = with_intervals(case, mapped, setting, deposit, result, maps, optimum=best)
    return result, maps, mapped
