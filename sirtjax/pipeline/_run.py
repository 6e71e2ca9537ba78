"""The whole plan as one pure function."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Float

from sirtjax.dosimetry import OUTCOME_STRATEGIES
from sirtjax.errors import ConfigError
from sirtjax.pipeline._dose import (
    filled_fraction,
    grid_spacing_mm,
    lung_gy_per_mbq,
    lung_spill_gy,
    relative_activity,
    superpose,
    voxel_dose_gy,
)
from sirtjax.pipeline._place import derived_weights, field_of_view, place_counts, place_mask
from sirtjax.pipeline._prescription import prescribed_activities
from sirtjax.pipeline._records import PipelineConfig, PipelineInputs, PipelineResult, injections_of
from sirtjax.pipeline._voi_metrics import voi_metrics
from sirtjax.typing import Array

WHOLE_LIVER = "whole liver"


def run(inputs: PipelineInputs, config: PipelineConfig) -> PipelineResult:
    """Computes a plan: dose per territory, histogram metrics, bounds and prescribed activities.

    A pure function of `inputs`, for `jax.jit` (with `config` static), `jax.vmap` and `jax.grad`. The steps are the
    functions that `workflows.plan_case` calls.

    Derivatives are one-sided in a few places. With `interpolation` "linear", the derivative in a displacement or an
    affine map jumps where a sampled point crosses a voxel centre of a mask; "cubic" has none of these jumps. Bounds and
    activities have a kink where another objective becomes the binding one. D_x and V_x have none except at doses that
    no sample spreads over.

    Args:
      inputs: the arrays.
      config: settings that are fixed when the function is compiled.

    Raises:
      ConfigError: the arrays do not fit the configuration.
    """
    _check(inputs, config)
    occupancy = _occupancies(inputs, config)
    counts = place_counts(
        inputs.counts, inputs.world_from_dose_voxel, config.dose_shape, sampling=config.counts_sampling
    )
    shares = [
        relative_activity(counts, occupancy[name], name=name) * inputs.calibration[index]
        for index, name in enumerate(config.injections)
    ]
    units = [_unit_dose(activity_mbq, occupancy, inputs, config) for activity_mbq in shares]
    remaining = 1.0 - jnp.asarray(inputs.lung_shunt_fraction)

    def dose_of(activity_mbq: Any) -> Any:
        return superpose(units, activity_mbq * remaining)

    sizes = {voi.name: voi for voi in config.vois}
    means = {}
    for voi in config.vois:
        weight = occupancy[voi.name]
        own = [voi_metrics(unit, weight, config=voi).mean_gy for unit in units]
        means[voi.name] = jnp.stack([jnp.asarray(gy) for gy in own]) * remaining
    lungs = jnp.asarray(lung_gy_per_mbq(config.nuclide, jnp.asarray(inputs.lung_shunt_fraction), inputs.lung_mass_g))
    if inputs.lung_absorbed is not None:
        reach, mass_g = inputs.lung_absorbed, inputs.lung_mass_g
        spill = [lung_spill_gy(one, reach, nuclide=config.nuclide, lung_mass_g=mass_g) for one in shares]
        lungs = lungs + jnp.stack([jnp.asarray(gy) for gy in spill]) * remaining

    def dose_at_fraction(name: str, activity_mbq: Array, fraction: float) -> Array:
        found = voi_metrics(dose_of(activity_mbq), occupancy[name], config=sizes[name], fractions=(fraction,))
        return found.d_gy[0]

    bounds = prescribed_activities(
        means | {"lungs": lungs},
        dose_at_fraction,
        limits_gy=jnp.asarray(inputs.limits_gy),
        previous_lung_gy=inputs.previous_lung_gy,
        config=config,
        shares=inputs.shares,
        fixed_mbq=inputs.fixed_mbq,
        outcome=inputs.outcome,
        mean_products=_mean_products(units, occupancy, remaining, config) if config.by_bed else None,
    )
    dose = dose_of(bounds.activity_mbq)
    fractions = tuple(percent / 100 for percent in config.percents)
    found = [
        voi_metrics(dose, occupancy[voi.name], config=voi, fractions=fractions, levels_gy=config.levels_gy)
        for voi in config.vois
    ]
    return PipelineResult(
        gy_per_mbq=jnp.stack([jnp.asarray(unit) * remaining[index] for index, unit in enumerate(units)]),
        dose_gy=jnp.asarray(dose),
        occupancy={voi.name: jnp.asarray(occupancy[voi.name]) for voi in config.vois},
        mean_gy_per_mbq=jnp.stack([means[voi.name] for voi in config.vois]),
        mean_gy=jnp.stack([jnp.asarray(one.mean_gy) for one in found]),
        d_gy=jnp.stack([jnp.asarray(one.d_gy) for one in found]),
        v_fraction=jnp.stack([jnp.asarray(one.v_fraction) for one in found]),
        bounds_mbq=bounds.bounds_mbq,
        lower_mbq=bounds.lower_mbq,
        upper_mbq=bounds.upper_mbq,
        scale=bounds.scale,
        activity_mbq=bounds.activity_mbq,
        lung_dose_gy=jnp.sum(lungs * bounds.activity_mbq),
    )


def _mean_products(units: list[Any], occupancy: dict[str, Array], remaining: Any, config: PipelineConfig) -> Any:
    """The mean over each VOI of a response of the product of the doses of two injections, per MBq injected."""
    found = {}
    for name in ("normal liver", *config.targets):
        weight = occupancy[name] / jnp.sum(occupancy[name])
        rows = [[jnp.sum(weight * first * second) for second in units] for first in units]
        found[name] = jnp.asarray(rows) * remaining[:, None] * remaining[None, :]
    return found


def _occupancies(inputs: PipelineInputs, config: PipelineConfig) -> dict[str, Array]:
    """Every mask and derived VOI on the dose grid, as far as the activity image shows it."""
    shape, grid = config.dose_shape, inputs.world_from_dose_voxel
    size = inputs.counts.values.shape
    seen = field_of_view((size[0], size[1], size[2]), inputs.counts.world_from_voxel, grid, shape)
    placed = {}
    for one in config.masks:
        warp = inputs.warp if one.warped else None
        mask = inputs.masks[one.name]
        placed[one.name] = seen * place_mask(
            mask, grid, shape, warp=warp, config=one, interpolation=config.interpolation
        )
    placed.setdefault(WHOLE_LIVER, placed["liver"])
    territories = {name: placed[name] for name in config.injections}
    return placed | derived_weights(placed["liver"], territories, [placed[name] for name in config.lesions])


def _unit_dose(
    activity_mbq: Float[Array, "I J K"],
    occupancy: dict[str, Array],
    inputs: PipelineInputs,
    config: PipelineConfig,
) -> Array:
    """Returns the dose of one MBq in one territory, Gy."""
    return voxel_dose_gy(
        activity_mbq,
        inputs.density_g_per_ml,
        inputs.lung,
        grid_spacing_mm(inputs.world_from_dose_voxel),
        nuclide=config.nuclide,
        method=config.method,
        soft_tissue_g_per_ml=inputs.soft_tissue_g_per_ml,
        kernel_scale=inputs.kernel_scale,
        kernel_radius=config.kernel_radius,
        cone_extent=config.cone_extent,
        holder=filled_fraction(occupancy["liver"], [occupancy[one] for one in config.injections]),
    )


def _check(inputs: PipelineInputs, config: PipelineConfig) -> None:
    count = len(config.injections)
    injections_of(inputs.lung_shunt_fraction, count, "lung_shunt_fraction")
    injections_of(inputs.calibration, count, "calibration")
    if config.strategy == "fixed" and inputs.fixed_mbq is None:
        raise ConfigError('pipeline: strategy "fixed" needs fixed_mbq')
    if config.strategy in OUTCOME_STRATEGIES and inputs.outcome is None:
        raise ConfigError(f'pipeline: strategy "{config.strategy}" needs outcome, the dose responses')
    missing = {mask.name for mask in config.masks} - set(inputs.masks)
    if missing:
        raise ConfigError(f"pipeline: no mask for {', '.join(sorted(missing))} in the inputs")
    for name, shape in (("density_g_per_ml", inputs.density_g_per_ml.shape), ("lung", inputs.lung.shape)):
        if shape != config.dose_shape:
            raise ConfigError(f"pipeline: {name} has shape {shape}, expected that of the dose grid {config.dose_shape}")
    if inputs.limits_gy.shape != (len(config.objectives),):
        raise ConfigError(
            f"pipeline: limits_gy has shape {inputs.limits_gy.shape}, expected {len(config.objectives)} objectives"
        )
