"""The intervals of a plan or verification, from the sources of its case."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import jax

from sirtjax import uncertainty
from sirtjax.errors import ConfigError, InputError
from sirtjax.workflows._biology import biology_sets
from sirtjax.workflows._case import Case
from sirtjax.workflows._deposit import ActivityAndDose
from sirtjax.workflows._partial_volume import recovered_dose
from sirtjax.workflows._products import AllStepResults
from sirtjax.workflows._results import Result
from sirtjax.workflows._setting import DosimetryContext
from sirtjax.workflows._uncertainty_activity import ActivityInputs, activity_rows
from sirtjax.workflows._uncertainty_checks import uncertainty_checks
from sirtjax.workflows._uncertainty_inputs import simulation_inputs
from sirtjax.workflows._uncertainty_record import UncertaintyResult
from sirtjax.workflows._uncertainty_rows import corrected_voi, histogram_band, interval_rows, small_lesion_reason
from sirtjax.workflows._uncertainty_sources import SIMULATED, simulated_sources, source_records, stated_sources

UncertaintyChoice = Literal["fast", "full", "off"]
# What `fast` and `full` compute; they state no source.
CHOICES: dict[UncertaintyChoice, dict[str, object]] = {
    "fast": {"samples": 64, "budget": "linear"},
    "full": {"samples": 256, "budget": "sobol"},
}
# Samples of each set of the budget by simulation.
BUDGET_SAMPLES = 64
# Simulations that are computed together: they multiply the memory.
BATCH = 2


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
    stated_sources(case, table)
    registration = table.registration
    if registration is not None and registration.size_mm == "alignment" and not case.partial_volume.propose_shift:
        raise ConfigError('uncertainty.registration.size_mm = "alignment" requires partial_volume.propose_shift = true')


def with_intervals(
    case: Case, products: AllStepResults, setting: DosimetryContext, deposit: ActivityAndDose, result: Result
) -> Result:
    """Returns a plan or verification with intervals and checks; arguments as `uncertainty_result`."""
    found = uncertainty_result(case, products, setting, deposit, result)
    if found is None:
        return result
    return replace(result, uncertainty=found, checks=(*result.checks, *uncertainty_checks(result, found)))


def uncertainty_result(
    case: Case, products: AllStepResults, setting: DosimetryContext, deposit: ActivityAndDose, result: Result
) -> UncertaintyResult | None:
    """Returns the intervals of a plan or verification; None if the case does not ask for them.

    Doses and activities of the result do not change.

    Args:
      case: the case.
      products: results of the steps, with the activity image.
      setting: constants, territories and VOIs of the case.
      deposit: activity and dose without correction.
      result: the plan or verification, with injections and objectives.

    Raises:
      ConfigError: as `check_uncertainty`.
    """
    table, fwhm_mm = case.uncertainty, case.images.activity.resolution_fwhm_mm
    if table is None or fwhm_mm is None:
        return None
    stated = stated_sources(case, table)
    alignment = None if result.partial_volume is None else result.partial_volume.alignment
    records = source_records(stated, alignment)
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
    sources = simulated_sources(
        records,
        spacing_mm=inputs.grid.spacing_mm,
        direction=setting.mapped.geometry.direction,
        lesions=inputs.data.lesions,
        injections=len(inputs.lung_shunt_fraction),
    )
    counts = next((record for record in records if record.name == "counts"), None)
    budget_count = BUDGET_SAMPLES if table.budget == "sobol" else None
    message, found = "", None
    try:
        found = uncertainty.treatment_intervals(
            inputs.image,
            inputs.distance_mm,
            inputs.lung_shunt_fraction,
            inputs.data,
            sources,
            jax.random.key(table.seed),
            noise_fwhm_mm=4.0 if counts is None or counts.correlation_mm is None else counts.correlation_mm,
            noise_fraction=0.0 if counts is None else counts.sizes[0],
            count=table.samples,
            linear=True,
            budget_count=budget_count,
            batch_size=BATCH,
            level=table.level,
        )
    except InputError as error:  # an interval that cannot be computed must not lose the plan
        message = str(error)
    empty = UncertaintyResult(
        method="samples",
        level=table.level,
        samples=table.samples,
        budget_samples=budget_count,
        seed=table.seed,
        status="intervals" if found is not None else "refused",
        message=message,
        fwhm_mm=fwhm_mm,
        spacing_mm=None if found is None else (inputs.grid.spacing_mm,) * 3,
        sources=records,
        not_included=stated.not_included(),
    )
    if found is None:
        return empty
    recovered = recovered_dose(case, products, setting, deposit)
    voxel_ml, half_life_h = setting.mapped.geometry.voxel_volume_ml, setting.nuclide.half_life_h
    corrected = {
        voi.name: one
        for voi in inputs.vois
        if (one := corrected_voi(voi, recovered, inputs, biology, voxel_ml=voxel_ml, half_life_h=half_life_h))
    }
    names = {simulated: name for name, simulated in SIMULATED.items()}
    bounds, activities = activity_rows(
        ActivityInputs(
            result=result,
            found=found,
            corrected=corrected,
            inputs=inputs,
            names=names,
            sources=records,
            spill_gy=deposit.lung_spill_gy or 0.0,
            level=table.level,
        )
    )
    rows = {voi.name: voi for voi in result.vois}
    return replace(
        empty,
        rows=interval_rows(result.vois, found, corrected, inputs, deposit, biology, names),
        bounds=bounds,
        activities=activities,
        histograms=tuple(
            histogram_band(rows[voi.name], index, found, corrected[voi.name])
            for index, voi in enumerate(inputs.vois)
            if voi.name in corrected and not small_lesion_reason(rows[voi.name])
        ),
    )
