"""How a dose depends on the position of contours: which edges to check first, and by how much they matter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from sirtjax.errors import InputError
from sirtjax.ops import full_precision
from sirtjax.partial_volume import gaussian_blur
from sirtjax.typing import Array
from sirtjax.uncertainty._function import Arguments, map_first
from sirtjax.uncertainty._metric_slope import MetricSlope, dose_at_volume_slope, mean_slope

# A pure function of (m, i, j, k) signed distances and further arguments. Returns an (i, j, k) dose and the (v, i, j, k)
# occupancies of the VOIs in it.
DoseOfContours: TypeAlias = Callable[..., tuple[Float[jax.Array, "i j k"], Float[jax.Array, "v i j k"]]]

# The patch of the results: a smooth bump with the area of a square of 10 mm.
PATCH_MM2 = 100.0
# Below this fraction of the largest density of surface no value is formed.
NO_SURFACE = 1e-3
# Up to this many voxels from a contour the estimate has derivatives with respect to it.
REACH_VOXELS = 1.5
# The derivative at one position of the contours relative to the voxels has the pattern of the voxels. It is the mean
# over four positions, a quarter of a voxel away in the directions of a tetrahedron.
POSITIONS = 0.25 / np.sqrt(3.0) * np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)], np.float32)


@dataclass(frozen=True, kw_only=True)
class ContourMetric:
    """A dose whose dependence on contours is computed.

    Attributes:
      voi: index of the VOI whose dose it is.
      contour: index of the contour whose surface gets the values.
      volume_fraction: x of D_x, between 0 and 1; None for the mean dose.
    """

    voi: int
    contour: int
    volume_fraction: float | None = None

    def __post_init__(self) -> None:
        if self.volume_fraction is not None and not 0.0 < self.volume_fraction < 1.0:
            raise InputError(f"volume_fraction: expected a number between 0 and 1, got {self.volume_fraction}")
        if self.voi < 0 or self.contour < 0:
            raise InputError(f"voi, contour: expected indices from 0, got {self.voi} and {self.contour}")


@dataclass(frozen=True, eq=False)
class ContourSensitivity:
    """Derivatives of doses with respect to contours; r metrics, m contours, q regions.

    Attributes:
      value_gy: (r,) each metric, D_x within the width of a voxel's doses.
      contour_gy_per_mm: (r, m) change if a whole contour moves outward by 1 mm.
      patch_gy_per_mm: (r, i, j, k) change if a patch of the metric's own contour moves outward by 1 mm, for the patch
        around each point near the surface; 0 away from it.
      area_mm2: (r,) area of the metric's own contour.
      half_area_fraction: (r,) smallest part of the surface that decides half of the dependence.
      half_gy_per_mm: (r,) absolute value of `patch_gy_per_mm` from which the surface belongs to this part.
      region_gy_per_mm: (r, q, 3) change if all contours within a region move by 1 mm along each axis of the grid.
      patch_mm2: area of the patch.
    """

    value_gy: Float[np.ndarray, " r"]
    contour_gy_per_mm: Float[np.ndarray, "r m"]
    patch_gy_per_mm: Float[np.ndarray, "r i j k"] = field(repr=False)
    area_mm2: Float[np.ndarray, " r"]
    half_area_fraction: Float[np.ndarray, " r"]
    half_gy_per_mm: Float[np.ndarray, " r"]
    region_gy_per_mm: Float[np.ndarray, "r q 3"]
    patch_mm2: float = PATCH_MM2


def contour_sensitivity(
    estimate: DoseOfContours,
    distance_mm: Float[Array, "m i j k"],
    spacing_mm: Float[Array, "3"],
    metrics: Sequence[ContourMetric],
    *,
    args: Arguments = (),
    regions: Float[Array, "q i j k"] | None = None,
    patch_mm2: float = PATCH_MM2,
) -> ContourSensitivity:
    """Computes how doses change if contours move, by automatic differentiation through the whole estimate.

    A contour is a signed distance. If it moves outward by a small field u(x), its distance decreases by u(x). The
    derivative of the metric with respect to the distance is therefore the wanted change per mm, voxel by voxel. A bump
    of `patch_mm2` collects it: u(x) = exp(-|x - x0|^2 / (2 s^2)) with 2 pi s^2 = `patch_mm2`.

    For a fixed dose map and the mean dose the result is (D at the surface - mean) x area / volume per mm. If the
    dose depends on the contours, through partial-volume correction or a relative calibration, that dependence is
    included. Everything that `estimate` does not compute from the distances is held fixed.

    Args:
      estimate: pure function of distances and `args`; returns dose and occupancies. Define it once at the top level of
        a module, because each new function is compiled again.
      distance_mm: (m, i, j, k) signed distance to each contour, negative inside.
      spacing_mm: (3,) voxel spacing.
      metrics: doses to differentiate.
      args: further arguments of the estimate, such as image and constants.
      regions: (q, i, j, k) weight of each region, between 0 and 1; default one region, everywhere.
      patch_mm2: area of the patch.

    Raises:
      InputError: no metric, an index without VOI or contour, distances that are not finite, a spacing or patch that is
        not positive, or regions on another grid.

    Examples:
      >>> import jax.numpy as jnp, numpy as np
      >>> from sirtjax import uncertainty
      >>> x, y, z = np.meshgrid(*[2.0 * np.arange(-12, 13)] * 3, indexing="ij")
      >>> distance_mm = np.sqrt(x**2 + y**2 + z**2)[None] - 12.0
      >>> def fixed_dose(distance_mm, dose_gy):
      ...     return dose_gy, jnp.clip(0.5 - distance_mm / 2.0, 0.0, 1.0)
      >>> found = uncertainty.contour_sensitivity(
      ...     fixed_dose,
      ...     distance_mm,
      ...     np.array([2.0, 2.0, 2.0]),
      ...     [uncertainty.ContourMetric(voi=0, contour=0)],
      ...     args=(100.0 + x,),
      ... )
      >>> edge = float(found.patch_gy_per_mm[0, 18, 12, 12])  # the hot side: +12 Gy x 1 cm2 / 7.2 mL, over a bump
      >>> 0.12 < edge < 0.17, abs(float(found.contour_gy_per_mm[0, 0])) < 0.01  # both sides cancel
      (True, True)
    """
    distance, spacing = np.asarray(distance_mm, np.float32), np.asarray(spacing_mm, np.float32)
    if not np.all(np.isfinite(distance)):
        raise InputError("distance_mm: contains NaN or infinity; a contour is empty or missing")
    if spacing.shape != (3,) or not np.all(np.isfinite(spacing) & (spacing > 0)):
        raise InputError(f"spacing_mm: expected three numbers above 0, got {np.asarray(spacing_mm).tolist()}")
    if not patch_mm2 > 0:
        raise InputError(f"patch_mm2: expected an area above 0, got {patch_mm2}")
    if not metrics:
        raise InputError("metrics: empty; name at least one dose")
    weights = np.ones((1, *distance.shape[1:]), np.float32) if regions is None else np.asarray(regions, np.float32)
    if weights.shape[1:] != distance.shape[1:]:
        raise InputError(f"regions: expected the grid {distance.shape[1:]}, got {weights.shape[1:]}")
    vois = jax.eval_shape(estimate, distance, *args)[1].shape[0]
    for one in metrics:
        if one.voi >= vois or one.contour >= len(distance):
            raise InputError(
                f"metrics: VOI {one.voi} and contour {one.contour}, but there are {vois} and {len(distance)}"
            )
    fractions = np.array([np.nan if m.volume_fraction is None else m.volume_fraction for m in metrics], np.float32)
    # A metric that is named repeatedly, such as one that pads the list, is computed once.
    once = list(dict.fromkeys(metrics))
    rows = np.array([metrics.index(one) for one in once] + [0] * (len(metrics) - len(once)))
    found = _derivatives(
        estimate,
        distance,
        spacing,
        weights,
        np.array([m.voi for m in metrics], np.int32)[rows],
        np.array([m.contour for m in metrics], np.int32)[rows],
        fractions[rows],
        np.int32(len(once)),
        np.float32(patch_mm2),
        args,
    )
    place = [once.index(one) for one in metrics]
    value, whole, patch, surface, displaced = (np.asarray(part) for part in found)
    half = np.array([_half(p, s) for p, s in zip(patch[: len(once)], surface[: len(once)], strict=True)])[place]
    area, part, from_gy = half.T
    return ContourSensitivity(
        value[place], whole[place], patch[place], area, part, from_gy, displaced[place], patch_mm2
    )


@partial(jax.jit, static_argnums=0)
@full_precision
def _derivatives(
    estimate: DoseOfContours,
    distance_mm: jax.Array,
    spacing_mm: jax.Array,
    regions: jax.Array,
    vois: jax.Array,
    contours: jax.Array,
    fractions: jax.Array,
    count: jax.Array,
    patch_mm2: jax.Array,
    args: Arguments,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array]:
    # 2 pi sigma^2 is the area below the bump.
    fwhm_mm = jnp.sqrt(patch_mm2 / (2.0 * jnp.pi)) * jnp.sqrt(8.0 * jnp.log(2.0))
    rises = jnp.stack([jnp.asarray(jnp.gradient(distance_mm, axis=axis + 1)) for axis in range(3)])  # per voxel
    normals = rises / spacing_mm[:, None, None, None, None]

    def at(position: jax.Array) -> tuple[jax.Array, ...]:
        moved_mm = distance_mm - jnp.tensordot(position, rises, axes=1)
        (dose_gy, tissue), pull = jax.vjp(lambda distance: estimate(distance, *args), moved_mm)
        _, pull_tissue = jax.vjp(lambda distance: estimate(distance, *args)[1], moved_mm)  # without the dose: cheap

        def one(row: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, ...]:
            voi, contour, fraction = row
            slope = _metric(dose_gy, tissue[voi], fraction)
            none = jnp.zeros_like(tissue)
            outward = -pull((slope.by_dose, none.at[voi].set(slope.by_weight)))[0]
            # The change of the volume is the area, on exactly the voxels in which the estimate has the surface.
            grown = -pull_tissue(none.at[voi].set(1.0))[0][contour] * jnp.prod(spacing_mm)
            surface = grown * jnp.sign(jnp.sum(grown))
            displaced = jnp.einsum("mijk,amijk,qijk->qa", outward, normals, regions)
            return jnp.asarray(slope.value_gy), outward[contour], jnp.sum(outward, axis=(1, 2, 3)), surface, displaced

        found: tuple[jax.Array, ...] = map_first(one, (vois, contours, fractions), count)
        return found

    value, outward, whole, surface, displaced = (jnp.mean(part, axis=0) for part in jax.lax.map(at, POSITIONS))

    def patch(row: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        # A displacement is constant along the normal: without this factor the bump falls off on both sides.
        away = jnp.minimum(jnp.abs(distance_mm[row[2]]), REACH_VOXELS * jnp.max(spacing_mm))
        along = jnp.exp(jnp.pi * away**2 / patch_mm2)
        smooth, smooth_area = (gaussian_blur(part * along, spacing_mm, fwhm_mm) for part in row[:2])
        usable = smooth_area > NO_SURFACE * jnp.max(smooth_area)
        return jnp.where(usable, smooth / jnp.where(usable, smooth_area, 1.0), 0.0) * patch_mm2

    return value, whole, map_first(patch, (outward, surface, contours), count), surface, displaced


def _metric(dose_gy: jax.Array, weight: jax.Array, fraction: jax.Array) -> MetricSlope:
    mean = mean_slope(dose_gy, weight)
    level = dose_at_volume_slope(dose_gy, weight, jnp.where(jnp.isnan(fraction), 0.5, fraction))
    return MetricSlope(*(jnp.where(jnp.isnan(fraction), a, b) for a, b in zip(mean, level, strict=True)))


def _half(patch_gy_per_mm: np.ndarray, surface_mm2: np.ndarray) -> tuple[float, float, float]:
    """Area, part of it that decides half of the absolute dependence, and the value from which this part begins."""
    on_it = surface_mm2 > 0
    area = surface_mm2[on_it].astype(np.float64)
    size = np.abs(patch_gy_per_mm[on_it]).astype(np.float64)
    total = float(area.sum())
    if total == 0.0 or not np.any(size > 0):
        return total, float("nan"), float("nan")
    order = np.argsort(-size)
    reached = np.cumsum(size[order] * area[order])
    last = int(np.searchsorted(reached, 0.5 * reached[-1]))
    return total, float(area[order][: last + 1].sum() / total), float(size[order][last])
