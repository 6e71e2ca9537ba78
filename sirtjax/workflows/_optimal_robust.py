"""The robust optimum of a case: activities at which all limits are kept with the probability of the case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from sirtjax import optimal
from sirtjax.errors import ConfigError, InputError
from sirtjax.workflows._assemble import superpose
from sirtjax.workflows._biology import biology_sets
from sirtjax.workflows._case import Case
from sirtjax.workflows._case_uncertainty import SAMPLE_COUNTS, UncertaintyTable
from sirtjax.workflows._deposit import ActivityAndDose
from sirtjax.workflows._lesion_overlap import overlap_message
from sirtjax.workflows._optimal import OMITTED, OptimalChoice, RobustChoice
from sirtjax.workflows._optimal_scenarios import robust_problem
from sirtjax.workflows._partial_volume import partial_volume_result
from sirtjax.workflows._products import AllStepResults
from sirtjax.workflows._setting import DosimetryContext
from sirtjax.workflows._uncertainty_cores import necrosis
from sirtjax.workflows._uncertainty_inputs import simulation_inputs
from sirtjax.workflows._uncertainty_simulation import CaseSources, Simulated, case_sources, corrected_vois, simulate

Activities = NDArray[np.float64]
UnitMaps = Sequence[Float32[np.ndarray, "i j k"]]
# The samples depend on the proportions of the injections, not on their sum. They are drawn again if the fraction of an
# injection changes by more than this.
PROPORTION_CHANGE = 0.01
PASSES = 3


def robust_options(case: Case) -> optimal.RobustOptions | None:
    """Returns how the optimum of a case takes uncertainty into account; None if it does not.

    Args:
      case: the case.
    """
    table = case.prescription
    if table.limit_probability is None:
        return None
    return optimal.RobustOptions(
        probability=table.limit_probability,
        limits=table.robust_limits or "chance",
        objective=table.robust_objective or "expected",
    )


def check_robust(case: Case) -> None:
    """Raises if a case asks for a robust optimum and has no samples for it.

    Args:
      case: the case.

    Raises:
      ConfigError: there is no table [uncertainty], its method has no samples, or they are too few.
    """
    probability, table = case.prescription.limit_probability, case.uncertainty
    if probability is None:
        return
    if table is None or table.method != "samples":
        raise ConfigError(
            f'prescription.limit_probability = {probability:g} requires [uncertainty] with method = "samples": '
            "state the sources and do not use --uncertainty off, or remove limit_probability"
        )
    if optimal.allowed_violations(table.samples, probability) is None:
        enough = [count for count in SAMPLE_COUNTS if optimal.allowed_violations(count, probability) is not None]
        todo = f"use uncertainty.samples = {enough[0]}" if enough else "state a smaller probability"
        raise ConfigError(
            f"prescription.limit_probability = {probability:g}: {table.samples} samples are too few; {todo}"
        )


def robust_choice(
    case: Case,
    products: AllStepResults,
    setting: DosimetryContext,
    unit_activity: UnitMaps,
    unit_dose: UnitMaps,
    choice: OptimalChoice,
) -> OptimalChoice:
    """Returns the choice with its robust optimum; unchanged if the case does not ask for one.

    The samples are drawn at the optimum without uncertainty, and again if the proportions of the injections change.

    Args:
      case: the case.
      products: results of the steps.
      setting: constants, territories and VOIs of the case.
      unit_activity: activity per MBq of each injection in the liver.
      unit_dose: dose per MBq of each injection in the liver.
      choice: optimum without uncertainty.

    Raises:
      ConfigError: the case has no sources or no resolution.
      InputError: a limit or a tumour has no samples, or a size of a source cannot be computed.
    """
    options, table, fwhm_mm = robust_options(case), case.uncertainty, case.images.activity.resolution_fwhm_mm
    if options is None:
        return choice
    if table is None or fwhm_mm is None:
        raise ConfigError(
            "prescription.limit_probability requires [uncertainty] and images.activity.resolution_fwhm_mm"
        )
    nominal = choice.activity_mbq
    # An injection without activity has no samples, and the robust optimum may need it.
    activity = np.maximum(nominal, OMITTED * choice.upper_mbq)
    deposit = superpose(setting, unit_activity, unit_dose, activity)
    only_shift = case.model_copy(update={"partial_volume": case.partial_volume.model_copy(update={"methods": ()})})
    moved = partial_volume_result(only_shift, products, setting, deposit, ())
    alignment = None if moved is None else moved.alignment
    sources = case_sources(case, products, setting, table, alignment, fwhm_mm=fwhm_mm)
    message = sources.message or overlap_message(setting.vois)
    if message:
        raise InputError(f"prescription.limit_probability: {message}")
    starts = [nominal]
    for _ in range(PASSES):
        deposit = superpose(setting, unit_activity, unit_dose, activity)
        simulated = _simulated(case, products, setting, sources, table, deposit, activity, fwhm_mm=fwhm_mm)
        try:
            problem = robust_problem(choice.problem, simulated, activity, options)
        except InputError as error:
            raise InputError(
                f"prescription.limit_probability: {error}; choose another objective or limit, name other lesions in "
                "prescription.targets, or remove limit_probability"
            ) from error
        found = optimal.optimise_activity(problem, also=starts)
        before, after = activity, np.asarray(found.activity_mbq)
        starts = [nominal, after]
        activity = np.maximum(after, OMITTED * choice.upper_mbq)
        if np.abs(activity / activity.sum() - before / before.sum()).max() <= PROPORTION_CHANGE:
            break
    return replace(choice, robust=RobustChoice(problem=problem, found=found, sources=sources))


def _simulated(
    case: Case,
    products: AllStepResults,
    setting: DosimetryContext,
    sources: CaseSources,
    table: UncertaintyTable,
    deposit: ActivityAndDose,
    activity_mbq: Activities,
    *,
    fwhm_mm: float,
) -> Simulated:
    biology = biology_sets(case, sphere_type=setting.protocol.device)
    inputs = simulation_inputs(case, products, setting, deposit, (), activity_mbq.tolist(), biology, fwhm_mm=fwhm_mm)
    necrotic = necrosis(setting, inputs, sources.records, fwhm_mm=fwhm_mm)
    return Simulated(
        found=simulate(setting, inputs, sources, table, linear=False, budget_count=None, cold=necrotic.cold),
        corrected=corrected_vois(case, products, setting, deposit, inputs, biology),
        inputs=inputs,
        deposit=deposit,
        voxel_ml=setting.mapped.geometry.voxel_volume_ml,
        necrosis=necrotic.reasons,
    )
