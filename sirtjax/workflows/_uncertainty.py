"""The intervals of a plan or verification, from the sources of its case."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from sirtjax.errors import ConfigError, InputError
from sirtjax.workflows._biology import Biology, biology_sets
from sirtjax.workflows._case import Case
from sirtjax.workflows._case_uncertainty import SurfaceSourceTable, UncertaintyTable
from sirtjax.workflows._contours import where_to_check
from sirtjax.workflows._deposit import ActivityAndDose
from sirtjax.workflows._lesion_overlap import overlap_message
from sirtjax.workflows._optimal import OptimalChoice
from sirtjax.workflows._optimal_probability import plan_probability, probability_checks
from sirtjax.workflows._products import AllStepResults
from sirtjax.workflows._results import Result, ResultVolumes
from sirtjax.workflows._setting import DosimetryContext
from sirtjax.workflows._uncertainty_activity import ActivityInputs, activity_rows
from sirtjax.workflows._uncertainty_checks import uncertainty_checks
from sirtjax.workflows._uncertainty_cores import Necrosis, necrosis
from sirtjax.workflows._uncertainty_eanm import eanm_intervals
from sirtjax.workflows._uncertainty_inputs import SimulationInputs, simulation_inputs
from sirtjax.workflows._uncertainty_record import UncertaintyResult
from sirtjax.workflows._uncertainty_registration import check_posterior
from sirtjax.workflows._uncertainty_rows import histogram_band, interval_rows, small_lesion_reason
from sirtjax.workflows._uncertainty_simulation import (
    NAMES,
    CaseSources,
    Simulated,
    case_sources,
    corrected_vois,
    simulate,
)
from sirtjax.workflows._uncertainty_sources import registration_table, stated_sources

UncertaintyChoice = Literal["fast", "full", "off"]
# What `fast` and `full` compute; they state no source.
CHOICES: dict[UncertaintyChoice, dict[str, object]] = {
    "fast": {"samples": 64, "budget": "linear"},
    "full": {"samples": 256, "budget": "sobol"},
}
# Samples of each set of the budget by simulation.
BUDGET_SAMPLES = 64


def choose_uncertainty(case: Case, choice: UncertaintyChoice | None) -> Case:
    """Returns the case with another number of simulations, or without intervals.

    Args:
      case: the case.
      choice: "fast" (64 simulations, budget by derivatives), "full" (256, budget by simulation) or "off"; None keeps
        what the case says.

    Raises:
      ConfigError: the case states no sources, or the intervals cannot be computed.
    """
    if choice == "off":
        return case.model_copy(update={"uncertainty": None})
    if choice is not None:
        if case.uncertainty is None:
            raise ConfigError(
                f"--uncertainty {choice}: the case states no sources of uncertainty; add the table [uncertainty] "
                "(docs/case-file.md)"
            )
        case = case.model_copy(update={"uncertainty": case.uncertainty.model_copy(update=CHOICES[choice])})
    check_uncertainty(case)
    return case


def check_uncertainty(case: Case) -> None:
    """Raises if the intervals of a case cannot be computed.

    Args:
      case: the case.

    Raises:
      ConfigError: a source is not stated, or a setting that the intervals require is missing.
    """
    table = case.uncertainty
    if table is None:
        return
    if "rbv" not in case.partial_volume.methods or case.images.activity.resolution_fwhm_mm is None:
        raise ConfigError(
            '[uncertainty] requires partial-volume correction: set partial_volume.methods = ["rbv"] and '
            "images.activity.resolution_fwhm_mm"
        )
    stated = stated_sources(case, table)
    check_posterior(case, registration_table(stated))
    edges = stated.tables["contours"]
    if table.method == "eanm" and isinstance(edges, SurfaceSourceTable) and edges.size_mm == 0:
        raise ConfigError('uncertainty.method = "eanm" requires uncertainty.contours.size_mm above 0')
    registration = table.registration
    if registration is not None and registration.size_mm == "alignment" and not case.partial_volume.propose_shift:
        raise ConfigError('uncertainty.registration.size_mm = "alignment" requires partial_volume.propose_shift = true')


def with_intervals(
    case: Case,
    products: AllStepResults,
    setting: DosimetryContext,
    deposit: ActivityAndDose,
    result: Result,
    maps: ResultVolumes,
    *,
    optimum: OptimalChoice | None = None,
) -> tuple[Result, ResultVolumes]:
    """Returns a result with its intervals, their checks, and the contours that its doses depend on.

    Doses and activities of the result do not change. Without [uncertainty] nothing is added.

    Args:
      case: the case.
      products: results of the steps, with the activity image.
      setting: constants, territories and VOIs of the case.
      deposit: activity and dose without correction.
      result: the plan or verification, with injections and objectives.
      maps: images on the dose grid.
      optimum: optimal activities of the plan, whose probabilities are added; None otherwise.

    Raises:
      ConfigError: as `check_uncertainty`.
    """
    table, fwhm_mm = case.uncertainty, case.images.activity.resolution_fwhm_mm
    if table is None or fwhm_mm is None:
        return result, maps
    biology = biology_sets(case, sphere_type=setting.protocol.device)
    inputs = simulation_inputs(
        case,
        products,
        setting,
        deposit,
        result.objectives,
        [row.activity_mbq for row in result.injections],
        biology,
        fwhm_mm=fwhm_mm,
    )
    known = None if optimum is None or optimum.robust is None else optimum.robust.sources
    found, simulated, necrotic = _intervals(
        case, products, setting, deposit, result, inputs, table, biology, fwhm_mm=fwhm_mm, sources=known
    )
    where, shown = where_to_check(setting.mapped.geometry, inputs, found.sources, shown_metric=table.contour_metric)
    checks = (*result.checks, *uncertainty_checks(result, found, necrotic.cold))
    best = result.optimal
    if optimum is not None and best is not None and simulated is not None:
        best = replace(best, probability=plan_probability(optimum, simulated))
        checks = (*checks, *probability_checks(best, level=table.level))
    result = replace(result, uncertainty=found, checks=checks, where_to_check=where, optimal=best)
    return result, replace(maps, contour_gy_per_mm=shown)


def _intervals(
    case: Case,
    products: AllStepResults,
    setting: DosimetryContext,
    deposit: ActivityAndDose,
    result: Result,
    inputs: SimulationInputs,
    table: UncertaintyTable,
    biology: Biology | None,
    *,
    fwhm_mm: float,
    sources: CaseSources | None,
) -> tuple[UncertaintyResult, Simulated | None, Necrosis]:
    alignment = None if result.partial_volume is None else result.partial_volume.alignment
    if sources is None:
        sources = case_sources(case, products, setting, table, alignment, fwhm_mm=fwhm_mm)
    records = sources.records
    empty = UncertaintyResult(
        method="samples",
        level=table.level,
        samples=table.samples,
        budget_samples=BUDGET_SAMPLES if table.budget == "sobol" else None,
        seed=table.seed,
        status="refused",
        message=sources.message or overlap_message(setting.vois),
        fwhm_mm=fwhm_mm,
        spacing_mm=None,
        sources=records,
        not_included=sources.stated.not_included(),
    )
    if empty.message:
        return empty, None, Necrosis({}, {})
    corrected = corrected_vois(case, products, setting, deposit, inputs, biology)
    necrotic = necrosis(setting, inputs, records, fwhm_mm=fwhm_mm)
    if table.method == "eanm":
        absolute = case.calibration.method == "absolute"
        stated = sources.stated.names()
        return eanm_intervals(empty, result, corrected, absolute=absolute, stated=stated), None, necrotic
    try:
        linear = table.budget != "none"
        found = simulate(
            setting, inputs, sources, table, linear=linear, budget_count=empty.budget_samples, cold=necrotic.cold
        )
    except InputError as error:  # an interval that cannot be computed must not lose the plan
        return replace(empty, message=str(error)), None, necrotic
    bounds, activities = activity_rows(
        ActivityInputs(
            result=result,
            found=found,
            corrected=corrected,
            inputs=inputs,
            names=NAMES,
            sources=records,
            spill_gy=deposit.lung_spill_gy or 0.0,
            level=table.level,
            necrosis=necrotic.reasons,
            previous_lung_gy=case.dose.previous_lung_gy,
        )
    )
    rows = {voi.name: voi for voi in result.vois}
    shown = replace(
        empty,
        status="intervals",
        spacing_mm=(inputs.grid.spacing_mm,) * 3,
        rows=interval_rows(result.vois, found, corrected, inputs, deposit, biology, NAMES, necrotic.reasons),
        bounds=bounds,
        activities=activities,
        histograms=tuple(
            histogram_band(rows[voi.name], index, found, corrected[voi.name])
            for index, voi in enumerate(inputs.vois)
            if voi.name in corrected and not small_lesion_reason(rows[voi.name]) and voi.name not in necrotic.reasons
        ),
    )
    voxel_ml = setting.mapped.geometry.voxel_volume_ml
    return shown, Simulated(found, corrected, inputs, deposit, voxel_ml, necrotic.reasons), necrotic
