"""Simulated measurements of a case: its sources, its corrected doses, and the samples of their ratios."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import jax
import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from sirtjax import uncertainty
from sirtjax.errors import ComputationError, InputError
from sirtjax.workflows._biology import Biology
from sirtjax.workflows._case import Case
from sirtjax.workflows._case_uncertainty import UncertaintyTable
from sirtjax.workflows._deposit import ActivityAndDose
from sirtjax.workflows._partial_volume import recovered_dose
from sirtjax.workflows._partial_volume_record import ActivityAlignment
from sirtjax.workflows._products import AllStepResults
from sirtjax.workflows._setting import DosimetryContext
from sirtjax.workflows._uncertainty_counts import counts_noise
from sirtjax.workflows._uncertainty_inputs import VOLUME_PERCENT, SimulationInputs, in_histogram
from sirtjax.workflows._uncertainty_record import UncertaintySource
from sirtjax.workflows._uncertainty_registration import registration_spread
from sirtjax.workflows._uncertainty_rows import CorrectedVoi, corrected_voi
from sirtjax.workflows._uncertainty_sources import (
    SIMULATED,
    StatedSources,
    aligned_floor_mm,
    impossible_size,
    lattice_nodes,
    registration_table,
    simulated_sources,
    source_records,
    stated_sources,
    stated_uptake,
)
from sirtjax.workflows._uncertainty_spread import Spread, spread_of

# Simulations that are computed together: they multiply the memory.
BATCH = 2
# Name in the case of each simulated source.
NAMES = {simulated: name for name, simulated in SIMULATED.items()}


@dataclass(frozen=True, eq=False)
class CaseSources:
    """The sources of a case with their sizes; they do not depend on the activities.

    Attributes:
      stated: sources of the case and its preset.
      records: sources as they are used.
      message: why a size cannot be computed; empty otherwise.
      floor_mm: displacement that an alignment cannot find; None if the case does not apply one.
      common_shunt: whether all injections have the lung shunt of the case, and its error in common.
    """

    stated: StatedSources
    records: tuple[UncertaintySource, ...]
    message: str
    floor_mm: tuple[float, float, float] | None = None
    common_shunt: bool = True


@dataclass(frozen=True, eq=False)
class Simulated:
    """The simulations of a case at given activities.

    Attributes:
      found: simulations.
      corrected: corrected metrics by VOI, at the same activities.
      inputs: input of the simulations.
      deposit: activity and dose without correction.
      voxel_ml: volume of a voxel of the dose grid.
      necrosis: why D_x of a VOI has no samples, by VOI, from `necrosis`.
    """

    found: uncertainty.TreatmentIntervals
    corrected: Mapping[str, CorrectedVoi]
    inputs: SimulationInputs
    deposit: ActivityAndDose
    voxel_ml: float
    necrosis: Mapping[str, str]


def case_sources(
    case: Case,
    products: AllStepResults,
    setting: DosimetryContext,
    table: UncertaintyTable,
    alignment: ActivityAlignment | None,
    *,
    fwhm_mm: float,
) -> CaseSources:
    """Returns the sources of a case, with the posterior of its registration and the noise of its image.

    Args:
      case: the case.
      products: results of the steps.
      setting: constants, territories and VOIs of the case.
      table: sources of the case.
      alignment: proposed translation of the activity image; None if the case asks for none.
      fwhm_mm: resolution of the activity image.
    """
    stated = stated_sources(case, table)
    message, spread, noise = "", None, None
    try:
        if table.method == "samples":
            spread = registration_spread(case, products, setting, registration_table(stated))
            noise = counts_noise(setting, stated, fwhm_mm=fwhm_mm)
    except (InputError, ComputationError) as error:  # an interval that cannot be computed must not lose the plan
        message = str(error)
    blur = setting.shunt.blur
    # An injection with its own lung shunt fraction does not use the planar views.
    measured = [one.lung_shunt_fraction is None for one in case.injections]
    used = any(measured)
    blur = blur if blur is not None and blur.applied and used else None
    records = source_records(stated, alignment, spread, noise, blur)
    if table.method == "samples" and not message:
        message = impossible_size(records, setting.shunts, relative=case.calibration.method == "relative")
    return CaseSources(stated, records, message, aligned_floor_mm(stated, alignment), common_shunt=all(measured))


def corrected_vois(
    case: Case,
    products: AllStepResults,
    setting: DosimetryContext,
    deposit: ActivityAndDose,
    inputs: SimulationInputs,
    biology: Biology | None,
) -> dict[str, CorrectedVoi]:
    """Returns the corrected metrics of each simulated VOI that has a voxel.

    Args:
      case: the case.
      products: results of the steps, with the activity image.
      setting: constants, territories and VOIs of the case.
      deposit: activity and dose without correction.
      inputs: input of the simulations.
      biology: parameter sets of the case, or None.
    """
    recovered = recovered_dose(case, products, setting, deposit)
    voxel_ml, half_life_h = setting.mapped.geometry.voxel_volume_ml, setting.nuclide.half_life_h
    return {
        voi.name: one
        for voi in inputs.vois
        if (one := corrected_voi(voi, recovered, inputs, biology, voxel_ml=voxel_ml, half_life_h=half_life_h))
    }


def simulate(
    setting: DosimetryContext,
    inputs: SimulationInputs,
    case_sources: CaseSources,
    table: UncertaintyTable,
    *,
    linear: bool,
    budget_count: int | None,
    cold: Mapping[str, uncertainty.CoreUptake],
) -> uncertainty.TreatmentIntervals:
    """Returns the simulations of a case.

    Args:
      setting: constants, territories and VOIs of the case.
      inputs: input of the simulations.
      case_sources: sources of the case.
      table: number of simulations, seed and level.
      linear: whether to propagate linearly as well.
      budget_count: samples of each set of the budget; None omits it.
      cold: cold core of each lesion that has one, from `necrosis`.

    Raises:
      InputError: an input has no interval.
    """
    records = case_sources.records
    sources = simulated_sources(
        records,
        spacing_mm=inputs.grid.spacing_mm,
        direction=setting.mapped.geometry.direction,
        lesions=inputs.data.lesions,
        injections=len(inputs.lung_shunt_fraction),
        floor_mm=case_sources.floor_mm,
        common_shunt=case_sources.common_shunt,
    )
    uptake = stated_uptake(records)
    counts = next((record for record in records if record.name == "counts"), None)
    return uncertainty.treatment_intervals(
        inputs.image,
        inputs.distance_mm,
        inputs.lung_shunt_fraction,
        replace(inputs.data, lattice_nodes=lattice_nodes(records, inputs.grid.spacing_mm)),
        sources,
        jax.random.key(table.seed),
        noise_fwhm_mm=4.0 if counts is None or counts.correlation_mm is None else counts.correlation_mm,
        noise_fraction=0.0 if counts is None else counts.sizes[0],
        uptake_fwhm_mm=None if uptake is None else uptake.correlation_mm,
        uptake_fraction=None if uptake is None else uptake.sizes[0],
        relative_uptake=_relative_uptake(inputs, cold),
        aligned=case_sources.floor_mm is not None,
        count=table.samples,
        linear=linear,
        budget_count=budget_count,
        batch_size=BATCH,
        level=table.level,
    )


def _relative_uptake(
    inputs: SimulationInputs, cold: Mapping[str, uncertainty.CoreUptake]
) -> Float32[np.ndarray, "n i j k"]:
    """Shapes of the uptake in lesions: the same array without a cold core, so that no patient compiles again."""
    found = np.ones((inputs.data.lesions, *inputs.image.shape), np.float32)
    for row, name in enumerate(inputs.lesions):
        if name in cold:
            outline = np.asarray(inputs.distance_mm[row])
            found[row] = uncertainty.relative_core_uptake(outline, cold[name], spacing_mm=inputs.grid.spacing_mm)
    return found


def dose_spread(
    found: uncertainty.TreatmentIntervals,
    inputs: SimulationInputs,
    corrected: CorrectedVoi,
    voi: str,
    volume_fraction: float | None,
) -> tuple[float, Spread] | None:
    """Returns the corrected mean dose or D_x of a VOI, and its spread.

    None if the histogram of the simulations does not reach x.

    Args:
      found: simulations.
      inputs: input of the simulations.
      corrected: corrected metrics of the VOI.
      voi: name of the VOI.
      volume_fraction: x of D_x; None for the mean dose.
    """
    row = next(index for index, one in enumerate(inputs.vois) if one.name == voi)
    if volume_fraction is None:
        return corrected.mean_gy, spread_of(found, lambda d: d.mean_gy[..., row], NAMES)
    percent = 100.0 * volume_fraction
    if not in_histogram(percent):
        return None
    after = int(np.clip(np.searchsorted(VOLUME_PERCENT, percent), 1, len(VOLUME_PERCENT) - 1))
    low, high = VOLUME_PERCENT[after - 1], VOLUME_PERCENT[after]
    part = float(np.clip((percent - low) / (high - low), 0.0, 1.0))

    def between(values: NDArray[np.float64]) -> NDArray[np.float64]:
        # A NaN of the other volume must not reach an exact one.
        first, last = values[..., after - 1], values[..., after]
        mixed: NDArray[np.float64] = last if part == 1.0 else first if part == 0.0 else first + part * (last - first)
        return mixed

    spread = spread_of(found, lambda d: between(np.asarray(d.d_gy, np.float64)[..., row, :]), NAMES)
    return float(between(np.asarray(corrected.d_gy))), spread
