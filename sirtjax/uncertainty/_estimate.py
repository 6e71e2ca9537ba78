"""The corrected dose of VOIs from an activity image and contours, as one pure function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Integer

from sirtjax import dosimetry
from sirtjax.partial_volume import gaussian_blur
from sirtjax.typing import Array, Scalar

# Below this fraction of the largest blurred concentration the ratio of the voxel-wise correction is not formed.
DARK = 1e-6


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True, eq=False)
class TreatmentData:
    """Constants of the dose estimates of one patient.

    Attributes:
      spacing_mm: (3,) voxel spacing.
      fwhm_mm: stated resolution of the image (FWHM).
      injected_mbq: activity injected into the liver and its lesions, residual subtracted.
      gy_ml_per_mbq: dose of 1 MBq per mL by local deposition.
      lung_gy_per_mbq: mean lung dose of 1 MBq in the lungs.
      octant: first octant of the dose kernel; one element of 1 for local deposition.
      near: (n, capacity) flat indices of the voxels that can belong to each lesion; -1 for padding.
    """

    spacing_mm: Float[Array, "3"]
    fwhm_mm: Scalar
    injected_mbq: Scalar
    gy_ml_per_mbq: Scalar
    lung_gy_per_mbq: Scalar
    octant: Float[Array, "a b c"]
    near: Integer[Array, "n capacity"]


class DoseMetrics(NamedTuple):
    """Doses of a treatment.

    Attributes:
      mean_gy: (n + 1,) mean dose of each lesion and of the normal liver.
      d70_gy: (n,) D70 of each lesion.
      lung_gy: mean lung dose.
    """

    mean_gy: Float[Array, " m"]
    d70_gy: Float[Array, " n"]
    lung_gy: Scalar


def regions_of(distance_mm: Float[Array, "m i j k"], spacing_mm: Float[Array, "3"]) -> Float[jax.Array, "r i j k"]:
    """Computes occupancies of lesions, normal liver and everything else from signed distances.

    A voxel is divided in proportion to its distance from the surface. The curvature of the surface is considered,
    because otherwise small spheres would be too large. The first of two overlapping lesions has the voxel.

    Args:
      distance_mm: (m, i, j, k) signed distance to the contours of the lesions and, last, of the liver with its
        lesions; negative inside.
      spacing_mm: (3,) voxel spacing.
    """
    width_mm = jnp.cbrt(jnp.prod(jnp.asarray(spacing_mm)))
    # The mean of a voxel is a convolution with it, which moves a curved surface by half the variance times curvature.
    curved = distance_mm + sum(_second_difference(distance_mm, axis) for axis in (1, 2, 3)) / 24.0
    inside: jax.Array = jnp.clip(0.5 - curved / width_mm, 0.0, 1.0)
    free: jax.Array = jnp.ones(inside.shape[1:], inside.dtype)
    parts: list[jax.Array] = []
    for one in inside:
        part = jnp.minimum(one, free)
        parts.append(part)
        free = free - part
    return jnp.stack([*parts, free])


def _second_difference(values: Array, axis: int) -> jax.Array:
    padded = jnp.pad(values, [(1, 1) if k == axis else (0, 0) for k in range(values.ndim)], mode="edge")
    size = values.shape[axis]
    before = jax.lax.slice_in_dim(padded, 0, size, axis=axis)
    after = jax.lax.slice_in_dim(padded, 2, size + 2, axis=axis)
    found: jax.Array = before + after - 2.0 * jnp.asarray(values)
    return found


def recovered_concentration(
    image: Float[Array, "i j k"], regions: Float[Array, "r i j k"], data: TreatmentData
) -> Float[jax.Array, "i j k"]:
    """Corrects an image voxel by voxel with the transfer-matrix means of its regions (RBV).

    The blurred regions are computed once, for the matrix and for the ratio.

    Args:
      image: (i, j, k) measured concentration.
      regions: (r, i, j, k) occupancies that add up to 1.
      data: constants of the patient.

    Reference:
      Rousset, Ma and Evans, J Nucl Med 39:904-911, 1998; Thomas et al., Eur J Nucl Med Mol Imaging 38:1104-1119, 2011.
    """
    blurred = jax.lax.map(lambda one: gaussian_blur(one, data.spacing_mm, data.fwhm_mm), jnp.asarray(regions))
    volume = jnp.maximum(jnp.sum(regions, axis=(1, 2, 3)), 1e-3)
    matrix = jnp.tensordot(regions, blurred, axes=((1, 2, 3), (1, 2, 3))) / volume[:, None]
    matrix = matrix + 1e-5 * jnp.eye(len(matrix), dtype=matrix.dtype)  # a region can be empty
    means = jnp.maximum(jnp.linalg.solve(matrix, jnp.tensordot(regions, image, axes=3) / volume), 0.0)
    synthetic = jnp.tensordot(means, regions, axes=1)
    spread = jnp.tensordot(means, blurred, axes=1)
    usable = spread > DARK * jnp.max(spread)
    found: jax.Array = jnp.asarray(image) * jnp.where(usable, synthetic / jnp.where(usable, spread, 1.0), 0.0)
    return found


def deposited_dose_gy(
    concentration: Float[Array, "i j k"],
    in_liver: Float[Array, "i j k"],
    lung_shunt_fraction: Scalar,
    data: TreatmentData,
) -> Float[jax.Array, "i j k"]:
    """Computes the dose of the injected activity, distributed over the liver as the concentration.

    Args:
      concentration: (i, j, k) concentration in any unit.
      in_liver: (i, j, k) occupancy of the liver with its lesions.
      lung_shunt_fraction: fraction of the activity that goes to the lungs.
      data: constants of the patient.
    """
    voxel_ml = jnp.prod(jnp.asarray(data.spacing_mm)) / 1000.0
    inside = jnp.maximum(jnp.asarray(concentration), 0.0) * in_liver
    mbq_per_ml = inside * (data.injected_mbq * (1.0 - lung_shunt_fraction) / (jnp.sum(inside) * voxel_ml))
    found: jax.Array = dosimetry.convolve_octant(mbq_per_ml, data.octant) * jnp.asarray(data.gy_ml_per_mbq)
    return found


def dose_metrics(
    dose_gy: Float[Array, "i j k"],
    regions: Float[Array, "r i j k"],
    lung_shunt_fraction: Scalar,
    data: TreatmentData,
) -> DoseMetrics:
    """Computes the metrics of a dose in its regions.

    Args:
      dose_gy: (i, j, k) dose.
      regions: (r, i, j, k) occupancies of lesions, normal liver and everything else.
      lung_shunt_fraction: fraction of the activity that goes to the lungs.
      data: constants of the patient.
    """
    tissue = regions[:-1]
    mean = jnp.tensordot(tissue, dose_gy, axes=3) / jnp.maximum(jnp.sum(tissue, axis=(1, 2, 3)), 1e-3)
    near = jnp.asarray(data.near)
    count = near.shape[0]
    padded = near < 0
    doses = jnp.where(padded, 0.0, dose_gy.ravel()[jnp.maximum(near, 0)])
    weights = jnp.take_along_axis(tissue[:count].reshape(count, -1), jnp.maximum(near, 0), axis=1)
    d70 = jax.vmap(_dose_at_70_percent)(doses, jnp.where(padded, 0.0, weights))
    return DoseMetrics(mean, d70, data.lung_gy_per_mbq * data.injected_mbq * lung_shunt_fraction)


def _dose_at_70_percent(dose_gy: jax.Array, weight: jax.Array) -> jax.Array:
    """The dose that 70 % of the volume receives at least, linear between the voxels in order of dose."""
    order = jnp.argsort(jnp.where(weight > 0, -dose_gy, jnp.inf))
    dose, part = dose_gy[order], weight[order]
    # Each voxel is at the middle of its volume, so that equal doses have no step.
    above = jnp.cumsum(part) - 0.5 * part
    wanted = 0.7 * jnp.sum(part)
    after = jnp.clip(jnp.searchsorted(above, wanted), 1, len(dose) - 1)
    low, high = above[after - 1], above[after]
    fraction = jnp.clip((wanted - low) / jnp.maximum(high - low, 1e-12), 0.0, 1.0)
    found: jax.Array = dose[after - 1] + fraction * (dose[after] - dose[after - 1])
    return found
