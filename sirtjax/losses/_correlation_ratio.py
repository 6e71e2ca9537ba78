from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float

from sirtjax.losses._mutual_information import PADDING, TAPS, add_rows, cubic_window
from sirtjax.losses._weighting import TINY, same_shape
from sirtjax.typing import Array

# Deviations below this fraction of the mean are no more than rounding.
ROUNDING = 1e-5


def correlation_ratio_loss(
    warped: Float[Array, " n"],
    reference: Float[Array, " n"],
    *,
    bins: int = 12,
    weights: Float[Array, " n"] | None = None,
) -> Float[jax.Array, ""]:
    """Computes 1 - eta², the fraction of the reference variance not explained by the warped image.

    `1 - eta^2 = sum_k n_k var_k / (n var)`: the warped values are sorted into bins by a cubic B-spline window, as in
    `mutual_information_loss`, and `var_k` is the variance of the reference's values that fall into bin k. It is the
    maximum likelihood measure for a reference that is an unknown function of the floating image plus noise. The
    function has as many free values as there are bins, where a joint histogram has their square: with the few
    thousand voxels of an organ at low dose that decides whether the measure sees tissue or fits noise.
    Differentiable in both images.

    Args:
      warped: (n,) values of the floating image, scaled to [0, 1] and clipped there.
      reference: (n,) values of the reference image at the same points, in any unit.
      bins: number of bins of the floating image, padding included; static.
      weights: (n,) fraction of each point, non-negative; all one by default.

    Returns:
      Scalar from 0 (explained altogether) to 1 (not at all). It is 1 with a gradient of zero if the reference is
      constant where there is weight, and if there is no weight.

    Raises:
      ValueError: there are fewer than 6 bins, or the arrays do not have one common shape (n,).

    Reference:
      Roche et al., MICCAI 1998, LNCS 1496:1115-1124, doi:10.1007/BFb0056301.
    """
    if bins < 2 * PADDING + 2:
        raise ValueError(f"bins must be at least {2 * PADDING + 2}, of which {2 * PADDING} are padding, got {bins}")
    if warped.ndim != 1:
        raise ValueError(f"warped must have shape (n,), got {warped.shape}")
    same_shape("warped and reference", warped, reference)
    weight = jnp.ones_like(warped) if weights is None else weights
    total = jnp.maximum(jnp.sum(weight), TINY)
    mean = jnp.sum(weight * reference) / total
    centred = reference - mean
    variance = jnp.sum(weight * centred**2) / total
    position = jnp.clip(warped, 0.0, 1.0) * (bins - 2 * PADDING) + PADDING
    cell = jnp.clip(jnp.floor(lax.stop_gradient(position)), PADDING, bins - PADDING - 1).astype(jnp.int32)
    window = jnp.stack(cubic_window(position - cell), axis=-1) * weight[:, None]
    rows = jnp.concatenate([window, window * centred[:, None]], axis=-1)
    summed = add_rows(rows, cell, bins)
    count = sum(jnp.roll(summed[:, tap], tap - 1) for tap in range(TAPS))
    value = sum(jnp.roll(summed[:, TAPS + tap], tap - 1) for tap in range(TAPS))
    # A division by 1 where there is nothing to divide keeps 0 / 0 out of the gradient as well.
    full = count > TINY
    explained = jnp.sum(jnp.where(full, value**2 / jnp.where(full, count, 1.0), 0.0)) / total
    # What rounding leaves of a constant reference is not variance to explain.
    varies = variance > TINY + (ROUNDING * mean) ** 2
    return 1.0 - jnp.where(varies, explained / jnp.where(varies, variance, 1.0), 0.0)
