"""The input and output of the pipeline, as pytrees of arrays, and its frozen configuration."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import jax
import numpy as np
from jaxtyping import Float, Real, Shaped

from sirtjax.dosimetry import OUTCOME_STRATEGIES, ConeExtent, Nuclide, Strategy
from sirtjax.errors import ConfigError
from sirtjax.typing import Array, Scalar

Shape = tuple[int, int, int]
Direction = Literal["at least", "at most"]
# For voxels of 2.1 mm and more.
CONE_EXTENT = ConeExtent(kernel_voxels=8, reach_voxels=24)


@partial(jax.tree_util.register_dataclass, data_fields=["values", "world_from_voxel"], meta_fields=[])
@dataclass(frozen=True, kw_only=True)
class GridArray:
    """Voxel values with the affine of their grid; both may be traced.

    Attributes:
      values: (i, j, k) counts, occupancies in [0, 1], or logits.
      world_from_voxel: (4, 4) affine of the grid, LPS mm.
    """

    values: Shaped[Array, "i j k"]
    world_from_voxel: Float[Array, "4 4"]


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["floating_from_displaced", "field_mm", "world_from_node"],
    meta_fields=[],
)
@dataclass(frozen=True, kw_only=True)
class Warp:
    """A pull transform from the activity image to the diagnostic image: x -> A (x + u(x)), LPS mm.

    Attributes:
      floating_from_displaced: (4, 4) affine map A; None for the identity.
      field_mm: (a, b, c, 3) displacements u on the nodes of a lattice, mm; None for zero.
      world_from_node: (4, 4) affine of that lattice; needed with `field_mm`.
    """

    floating_from_displaced: Float[Array, "4 4"] | None = None
    field_mm: Float[Array, "a b c 3"] | None = None
    world_from_node: Float[Array, "4 4"] | None = None


@partial(
    jax.tree_util.register_dataclass,
    data_fields=[
        "wanted_ntcp",
        "tumour_d50_gy",
        "tumour_gamma50",
        "tumour_bed_per_gy",
        "liver_d50_gy",
        "liver_m",
        "liver_bed_per_gy",
    ],
    meta_fields=[],
)
@dataclass(frozen=True, kw_only=True)
class OutcomeInputs:
    """The dose responses by which the activity is selected; each number may be traced.

    Attributes:
      wanted_ntcp: NTCP to reach, for `strategy` "ntcp".
      tumour_d50_gy, tumour_gamma50: response of the targets, for "max-utcp".
      tumour_bed_per_gy: factor of the squared dose in their BED, 1/Gy; 0 for a response on the mean dose.
      liver_d50_gy, liver_m: response of the normal liver.
      liver_bed_per_gy: the same factor of the normal liver.
    """

    wanted_ntcp: Scalar
    tumour_d50_gy: Scalar
    tumour_gamma50: Scalar
    tumour_bed_per_gy: Scalar
    liver_d50_gy: Scalar
    liver_m: Scalar
    liver_bed_per_gy: Scalar


@partial(
    jax.tree_util.register_dataclass,
    data_fields=[
        "counts",
        "masks",
        "warp",
        "world_from_dose_voxel",
        "density_g_per_ml",
        "lung",
        "soft_tissue_g_per_ml",
        "kernel_scale",
        "calibration",
        "lung_shunt_fraction",
        "lung_mass_g",
        "lung_absorbed",
        "previous_lung_gy",
        "limits_gy",
        "shares",
        "fixed_mbq",
        "outcome",
    ],
    meta_fields=[],
)
@dataclass(frozen=True, kw_only=True)
class PipelineInputs:
    """All numbers that a plan depends on; each may be traced.

    Attributes:
      counts: the activity image.
      masks: the masks by name, each on its own grid: occupancies, or logits if the configuration says so.
      warp: transform of the masks that were drawn on the diagnostic image.
      world_from_dose_voxel: (4, 4) affine of the dose grid, LPS mm.
      density_g_per_ml: (I, J, K) density on the dose grid.
      lung: (I, J, K) fraction of each dose voxel that is lung; it takes no dose from the soft-tissue kernel.
      soft_tissue_g_per_ml: density of the tissue of the kernel and of the liver.
      kernel_scale: factor on the range of the dose kernel, 1 for the published one; not used by local deposition.
      calibration: (injections,) factor on the activity in each territory, 1 for the patient-relative calibration.
      lung_shunt_fraction: (injections,) lung shunt fraction of each injection.
      lung_mass_g: mass of both lungs.
      lung_absorbed: (I, J, K) fraction of the energy of a decay in each dose voxel that the lungs absorb; None to leave
        out the betas of the liver.
      previous_lung_gy: mean lung dose of earlier treatments.
      limits_gy: (objectives,) targets and limits, in the order of the configuration.
      shares: (injections,) proportions of the activities, for `allocation` "shares".
      fixed_mbq: (injections,) activities, for `strategy` "fixed".
      outcome: dose responses, for `strategy` "ntcp" and "max-utcp".
    """

    counts: GridArray
    masks: dict[str, GridArray]
    warp: Warp
    world_from_dose_voxel: Float[Array, "4 4"]
    density_g_per_ml: Float[Array, "I J K"]
    lung: Float[Array, "I J K"]
    soft_tissue_g_per_ml: Scalar
    kernel_scale: Scalar
    calibration: Float[Array, " injections"]
    lung_shunt_fraction: Float[Array, " injections"]
    lung_mass_g: Scalar
    previous_lung_gy: Scalar
    limits_gy: Float[Array, " objectives"]
    lung_absorbed: Float[Array, "I J K"] | None = None
    shares: Float[Array, " injections"] | None = None
    fixed_mbq: Float[Array, " injections"] | None = None
    outcome: OutcomeInputs | None = None


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """The averaging of an image or mask over the voxels of the dose grid.

    Attributes:
      parts: parts into which a dose voxel is cut along each axis.
      blocks: voxels of a finer image that are averaged first, along each axis.
      copied: axis of the dose grid along each axis of the activity image, if the dose grid divides its voxels into
        whole parts; each part has the concentration of its voxel. None for interpolation.
    """

    parts: Shape = (3, 3, 3)
    blocks: Shape = (1, 1, 1)
    copied: Shape | None = None


@dataclass(frozen=True, kw_only=True)
class MaskConfig:
    """One mask.

    Attributes:
      name: key in `PipelineInputs.masks`.
      warped: whether the mask was drawn on the diagnostic image.
      logits: whether its values are logits, of which the sigmoid is the occupancy.
      sampling: averaging of the mask.
    """

    name: str
    warped: bool = False
    logits: bool = False
    sampling: Sampling = Sampling()


@dataclass(frozen=True, kw_only=True)
class VoiConfig:
    """One VOI of the result.

    Attributes:
      name: the name of a mask, "normal liver", "lesions" (all together), or "normal " and a territory.
      subsamples, capacity: samples per axis and voxels to reserve, from `dosimetry.histogram_size`.
    """

    name: str
    subsamples: int = 1
    capacity: int = 0


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """One target or limit on one VOI that bounds the activity; its dose is in `PipelineInputs.limits_gy`.

    Attributes:
      voi: a VOI of the configuration, or "lungs".
      direction: "at least" (target) or "at most" (limit).
      volume_fraction: x of D_x, also for V objectives (V70 >= 80 % is D80 >= 70 Gy); None for a mean.
      territories: territories that feed the VOI of a target; a target with several couples them.
      on_liver: whether the objective limits liver tissue.
      cumulative: whether the dose of earlier treatments counts (lungs).
    """

    voi: str
    direction: Direction
    volume_fraction: float | None = None
    territories: tuple[str, ...] = ()
    on_liver: bool = False
    cumulative: bool = False


@dataclass(frozen=True, kw_only=True)
class PipelineConfig:
    """The settings that are fixed when the pipeline is compiled.

    Two patients with one configuration share a compiled program.

    Attributes:
      dose_shape: voxels of the dose grid.
      nuclide: record of the nuclide.
      method: "kernel", "local" deposition or "cone".
      kernel_radius: extent of the kernel in voxels, from `dosimetry.kernel_radius_voxels`; for "kernel".
      cone_extent: extent of kernel and rays in voxels, from `dosimetry.cone_extent`; for "cone".
      masks: every mask: "liver", lesions, territories.
      lesions: masks that are lesions.
      injections: territories that are injected, in order; "whole liver" if there is no mask of territories.
      vois: VOIs of the result.
      objectives: targets and limits that bound the activity.
      strategy: "upper", "lower" or "fixed" activity between the bounds, or "ntcp" or "max-utcp" by outcome.
      targets: VOIs whose TCP is multiplied, for "max-utcp".
      by_bed: whether a response is on the mean BED, so that the mean squared doses are needed.
      allocation: rule by which several injections divide a limit that binds them together: "proportional" to their own
        choice, "even" mean dose, or in the proportions `shares` of the inputs, which are constants for derivatives.
      percents: the x of D_x in %.
      levels_gy: the x of V_x in Gy.
      counts_sampling: averaging of the activity image.
      interpolation: "linear" as in a plan, or "cubic" for masks with a derivative without kinks in displacements.
    """

    dose_shape: Shape
    nuclide: Nuclide
    method: Literal["kernel", "local", "cone"]
    masks: tuple[MaskConfig, ...]
    injections: tuple[str, ...]
    vois: tuple[VoiConfig, ...]
    kernel_radius: Shape = (4, 4, 4)
    cone_extent: ConeExtent = CONE_EXTENT
    lesions: tuple[str, ...] = ()
    objectives: tuple[ObjectiveConfig, ...] = ()
    strategy: Strategy = "upper"
    targets: tuple[str, ...] = ()
    by_bed: bool = False
    allocation: Literal["proportional", "even", "shares"] = "proportional"
    percents: tuple[float, ...] = (98, 95, 70, 50, 2)
    levels_gy: tuple[float, ...] = (70.0,)
    counts_sampling: Sampling = Sampling(parts=(2, 2, 2))
    interpolation: Literal["linear", "cubic"] = "linear"

    def __post_init__(self) -> None:
        known = {mask.name for mask in self.masks}
        for name in ("liver", *self.lesions):
            if name not in known:
                raise ConfigError(f"pipeline: no mask is named {name!r}; the masks are {', '.join(sorted(known))}")
        if self.method != "local" and self.nuclide.radial_kernel is None:
            raise ConfigError(f"pipeline: {self.nuclide.name} has no dose kernel; use method 'local'")
        named = {voi.name for voi in self.vois} | {"lungs"}
        if self.strategy in OUTCOME_STRATEGIES and not named >= {"normal liver", *self.targets}:
            raise ConfigError(
                f'pipeline: strategy "{self.strategy}" needs the normal liver and its targets among the VOIs'
            )
        if self.strategy == "max-utcp" and not self.targets:
            raise ConfigError('pipeline: strategy "max-utcp" needs at least one target')
        if self.allocation == "even" and not named >= set(self.injections):
            raise ConfigError('pipeline: allocation "even" needs every injected territory among the VOIs')
        for objective in self.objectives:
            if objective.voi not in named:
                raise ConfigError(f"pipeline: an objective names {objective.voi!r}, which is not a VOI")


@partial(
    jax.tree_util.register_dataclass,
    data_fields=[
        "gy_per_mbq",
        "dose_gy",
        "occupancy",
        "mean_gy_per_mbq",
        "mean_gy",
        "d_gy",
        "v_fraction",
        "bounds_mbq",
        "lower_mbq",
        "upper_mbq",
        "scale",
        "activity_mbq",
        "lung_dose_gy",
    ],
    meta_fields=[],
)
@dataclass(frozen=True, kw_only=True)
class PipelineResult:
    """Doses, histogram metrics and bounds of a plan.

    Attributes:
      gy_per_mbq: (injections, I, J, K) dose per MBq injected into each territory.
      dose_gy: (I, J, K) dose of the prescribed activities.
      occupancy: fraction of each dose voxel inside each VOI, by name, (I, J, K).
      mean_gy_per_mbq: (vois, injections) mean dose per MBq injected.
      mean_gy: (vois,) mean dose of the prescribed activities.
      d_gy: (vois, percents) dose D_x of each VOI.
      v_fraction: (vois, levels) V_x as a fraction.
      bounds_mbq: (objectives, injections) activity at which each objective is met if only this injection is given;
        infinite if it gives the VOI no dose.
      lower_mbq: (injections,) largest of the targets; 0 without a target.
      upper_mbq: (injections,) smallest of the limits; infinite without a limit.
      scale: factor by which the activities were reduced together, to meet the limits that couple them.
      activity_mbq: (injections,) prescribed activities.
      lung_dose_gy: mean lung dose of the prescribed activities.
    """

    gy_per_mbq: Float[Array, "injections I J K"]
    dose_gy: Float[Array, "I J K"]
    occupancy: dict[str, Float[Array, "I J K"]]
    mean_gy_per_mbq: Float[Array, "vois injections"]
    mean_gy: Float[Array, " vois"]
    d_gy: Float[Array, "vois percents"]
    v_fraction: Float[Array, "vois levels"]
    bounds_mbq: Float[Array, "objectives injections"]
    lower_mbq: Float[Array, " injections"]
    upper_mbq: Float[Array, " injections"]
    scale: Scalar
    activity_mbq: Float[Array, " injections"]
    lung_dose_gy: Scalar


def injections_of(values: Real[Array, "..."], count: int, name: str) -> None:
    """Refuses an array that has not one number per injection.

    Raises:
      ConfigError: the array does not have one number per injection.
    """
    if np.shape(values) != (count,):
        raise ConfigError(f"pipeline: {name} has shape {np.shape(values)}, expected one number per injection ({count})")
