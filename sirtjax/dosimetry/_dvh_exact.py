from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from sirtjax.dosimetry._dvh_samples import SLIVER
from sirtjax.errors import InputError
from sirtjax.typing import Array, Scalar

# Few sizes, so that VOIs and patients of any size share compiled programs.
CAPACITIES = (2**11, 2**14, 2**17, 2**20, 2**23)


def pack_voi(
    dose_gy: ArrayLike, weight: ArrayLike
) -> tuple[Float[np.ndarray, " capacity"], Float[np.ndarray, " capacity"]]:
    """Packs the voxels of a VOI into two flat float32 arrays of one of a few sizes (host, NumPy).

    The padding has weight 0, which all DVH and radiobiology functions here ignore. Jitted code on packed VOIs
    is compiled once per size of `CAPACITIES`, not once per lesion.

    Args:
      dose_gy: dose per voxel, any shape.
      weight: occupancy in [0, 1] of the same shape.

    Returns:
      Dose in Gy and weight, (capacity,) each.

    Raises:
      InputError: the VOI is empty, or larger than the largest capacity.
    """
    share = np.asarray(weight)
    inside = share > SLIVER
    count = int(inside.sum())
    if not 0 < count <= CAPACITIES[-1]:
        raise InputError(f"a VOI must have 1 to {CAPACITIES[-1]} voxels to be packed, got {count}")
    capacity = next(size for size in CAPACITIES if size >= count)
    packed = np.zeros((2, capacity), np.float32)
    packed[0, :count] = np.asarray(dose_gy)[inside]
    packed[1, :count] = share[inside]
    return packed[0], packed[1]


def mean_dose_gy(dose_gy: Float[Array, "*shape"], weight: Float[Array, "*shape"]) -> Float[jax.Array, ""]:
    """Computes the occupancy-weighted mean dose, scalar in Gy; dose and weight of one shape."""
    return jnp.sum(dose_gy * weight) / jnp.sum(weight)


def volume_fraction_at_dose(
    dose_gy: Float[Array, " voxels"], weight: Float[Array, " voxels"], threshold_gy: Scalar
) -> Float[jax.Array, ""]:
    """Computes V_x exactly, as the fraction of the VOI in voxels of at least `threshold_gy`.

    A step function of the dose: differentiable in the weights, with zero gradient in the dose. Use
    `smooth_volume_fraction_at_dose` where a gradient in the dose is wanted.

    Args:
      dose_gy: (voxels,) dose of each voxel.
      weight: (voxels,) occupancy; entries of weight 0 don't count.
      threshold_gy: scalar x.

    Returns:
      Scalar in [0, 1].
    """
    return jnp.sum(jnp.where(dose_gy >= threshold_gy, weight, 0.0)) / jnp.sum(weight)


def dose_at_volume_fraction_gy(
    dose_gy: Float[Array, " voxels"], weight: Float[Array, " voxels"], fraction: Scalar
) -> Float[jax.Array, ""]:
    """Computes D_x: the minimum dose to the hottest `fraction` of the VOI, by the sorted curve.

    The curve runs linearly between the voxels' doses at the middle of their cumulative volumes, from the
    maximum for 0 to the minimum for 1, as in `Dvh` with one sample per voxel. Equal doses share one node at the
    middle of their joint volume. Differentiable in dose, weight and fraction through the interpolation between
    the two neighbouring doses.

    Args:
      dose_gy: (voxels,) dose of each voxel.
      weight: (voxels,) occupancy; entries of weight 0 don't count.
      fraction: scalar x / 100, in [0, 1].

    Returns:
      Scalar dose in Gy.
    """
    lowest = jnp.min(jnp.where(weight > 0, dose_gy, jnp.inf))
    dose = jnp.where(weight > 0, dose_gy, lowest)
    order = jnp.argsort(-dose)
    dose, share = dose[order], weight[order]
    reached = jnp.cumsum(share)
    new = dose[1:] != dose[:-1]
    starts, ends = jnp.append(True, new), jnp.append(new, True)
    before_level = jax.lax.cummax(jnp.where(starts, reached - share, -jnp.inf))
    after_level = jax.lax.cummin(jnp.where(ends, reached, jnp.inf), reverse=True)
    middle = (before_level + after_level) / 2
    target = fraction * reached[-1]
    after = jnp.clip(jnp.searchsorted(middle, target), 1, dose.size - 1)
    before = after - 1
    width = middle[after] - middle[before]
    along = jnp.clip((target - middle[before]) / jnp.where(width > 0, width, 1.0), 0.0, 1.0)
    inside = dose[before] + along * (dose[after] - dose[before])
    return jnp.where(fraction >= 1, lowest, inside)
