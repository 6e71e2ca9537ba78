from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float, Int

from sirtjax.losses._weighting import TINY, same_shape
from sirtjax.typing import Array

# Bins left free at either end, so that the cubic window of a value at 0 or 1 stays in the histogram.
PADDING = 2
# A cubic B-spline reaches two bins to either side.
TAPS = 4
# Points that are added into one float32 histogram. Of several millions in a bin, each further one would be rounded, and
# from 2^24 on nothing would be added.
BLOCK = 1 << 16


def mutual_information_loss(
    warped: Float[Array, " n"],
    reference: Float[Array, " n"],
    *,
    bins: int = 32,
    weights: Float[Array, " n"] | None = None,
) -> Float[jax.Array, ""]:
    """Minus the mutual information of two samples of intensities, in nats.

    The joint probability of the bins k (warped) and l (reference) is Mattes' Parzen estimate,
    `p(k, l) = sum_x w(x) b3(k - f(x)) [l = floor r(x)] / sum_x w(x)`: a cubic B-spline window on the warped
    value, a box on the reference value, both mapped from [0, 1] to the bins 2 to `bins` - 2. The information is
    `sum p log(p / (p_warped p_reference))`. Independent samples give zero, apart from a bias of about
    (bins - 1)^2 / 2n. Differentiable in `warped` and `weights`; `reference` is only counted.

    Args:
      warped: (n,) values of the floating image, scaled to [0, 1]; values outside is clipped there and has no
        gradient.
      reference: (n,) values of the reference image at the same points, scaled to [0, 1].
      bins: number of bins for each image, padding included; static.
      weights: (n,) fraction of each point, non-negative; all one by default.

    Returns:
      Scalar, at most 0.

    Raises:
      ValueError: there are fewer than 6 bins, or the arrays do not have one common shape (n,).

    Reference:
      Mattes et al., IEEE Trans Med Imaging 2003;22:120-128, doi:10.1109/TMI.2003.809072.
    """
    joint = _joint_probability(warped, reference, bins, weights)
    information: jax.Array = _information(joint)
    return -information


def normalised_mutual_information_loss(
    warped: Float[Array, " n"],
    reference: Float[Array, " n"],
    *,
    bins: int = 32,
    weights: Float[Array, " n"] | None = None,
) -> Float[jax.Array, ""]:
    """Minus the normalised mutual information (H_reference + H_warped) / H_joint of two samples.

    The entropies are those of `mutual_information_loss`'s Parzen estimate. -1 for independent samples; -2 for
    samples that determine one another is not quite reached, because the window on `warped` spreads each value
    over four bins. Less sensitive than mutual information to the size of the overlap.

    Args:
      warped: (n,) values of the floating image, scaled to [0, 1] and clipped there.
      reference: (n,) values of the reference image at the same points, scaled to [0, 1].
      bins: number of bins for each image, padding included; static.
      weights: (n,) fraction of each point, non-negative; all one by default.

    Returns:
      Scalar between -2 and -1; zero if all weights are zero.

    Raises:
      ValueError: there are fewer than 6 bins, or the arrays do not have one common shape (n,).

    Reference:
      Studholme et al., Pattern Recognition 1999;32:71-86, doi:10.1016/S0031-3203(98)00091-0.
    """
    joint = _joint_probability(warped, reference, bins, weights)
    return -(_entropy(joint.sum(axis=1)) + _entropy(joint.sum(axis=0))) / jnp.maximum(_entropy(joint), TINY)


def _joint_probability(warped: Array, reference: Array, bins: int, weights: Array | None) -> jax.Array:
    if bins < 2 * PADDING + 2:
        raise ValueError(f"bins must be at least {2 * PADDING + 2}, of which {2 * PADDING} are padding, got {bins}")
    if warped.ndim != 1:
        raise ValueError(f"warped must have shape (n,), got {warped.shape}")
    same_shape("warped and reference", warped, reference)
    if weights is not None:
        same_shape("warped and weights", warped, weights)
    histogram = _histogram(_position(warped, bins), _cell(_position(reference, bins), bins), weights, bins)
    return histogram / jnp.maximum(jnp.sum(histogram), TINY)


def _position(values: Array, bins: int) -> jax.Array:
    return jnp.clip(values, 0.0, 1.0) * (bins - 2 * PADDING) + PADDING


def _cell(position: Array, bins: int) -> jax.Array:
    # The largest value shares the last inner bin instead of opening one of its own.
    return jnp.clip(jnp.floor(lax.stop_gradient(position)), PADDING, bins - PADDING - 1).astype(jnp.int32)


def _histogram(position: Array, column: Array, weights: Array | None, bins: int) -> jax.Array:
    # The four window weights of a point are added as one row under its cell, and the rows are shifted into their
    # bins afterwards: one scattered index a point. Seven times faster on a CPU than products with one-hot (n, bins)
    # matrices, and a sixteenth of their memory.
    cell = _cell(position, bins)
    rows = jnp.stack(cubic_window(position - cell), axis=-1)
    if weights is not None:
        rows = rows * weights[:, None]
    counted = add_rows(rows, cell * bins + column, bins * bins, mode="promise_in_bounds").reshape(bins, bins, TAPS)
    return sum(
        (jnp.roll(counted[..., tap], tap - 1, axis=0) for tap in range(1, TAPS)), jnp.roll(counted[..., 0], -1, 0)
    )


def add_rows(
    rows: Float[Array, "n columns"], cell: Int[Array, " n"], cells: int, *, mode: str | None = None
) -> Float[jax.Array, "cells columns"]:
    """Adds rows under their cells: into one histogram for each block of points, which are then added.

    Args:
      rows: (n, columns) values that each point adds to its cell.
      cell: (n,) index of the cell of each point.
      cells: number of cells; static.
      mode: treatment of indices outside the histogram, as for `jax.numpy.ndarray.at`.
    """
    points, columns = rows.shape
    blocks = max(1, -(-points // BLOCK))
    if blocks == 1:
        return jnp.zeros((cells, columns), rows.dtype).at[cell].add(rows, mode=mode)
    own = cell + cells * (jnp.arange(points, dtype=cell.dtype) // BLOCK)
    added = jnp.zeros((blocks * cells, columns), rows.dtype).at[own].add(rows, mode=mode)
    return jnp.sum(added.reshape(blocks, cells, columns), axis=0)


def cubic_window(
    t: Float[Array, "*points"],
) -> tuple[Float[Array, "*points"], Float[Array, "*points"], Float[Array, "*points"], Float[Array, "*points"]]:
    """Returns cubic B-spline weights of the bins -1, 0, 1, 2 for a position t in [0, 1] after bin 0."""
    s = 1.0 - t
    return s**3 / 6, (4 - 6 * t**2 + 3 * t**3) / 6, (4 - 6 * s**2 + 3 * s**3) / 6, t**3 / 6


# The derivatives are written out. A value that is the only one in its bin and close to the edge gives that bin a
# probability near 1e-20, and automatic differentiation of the ratio divides by the square of a product of marginals.
@jax.custom_jvp
def _information(joint: Array) -> jax.Array:
    """Returns the mutual information of a joint probability of sum one (or zero)."""
    return jnp.sum(joint * _log_ratio(joint))


@_information.defjvp
def _information_along(primals: tuple[Array], tangents: tuple[Array]) -> tuple[jax.Array, jax.Array]:
    # The derivatives of the logarithms add up to the derivative of the sum of all probabilities, which is constant.
    (joint,), (change,) = primals, tangents
    log_ratio = _log_ratio(joint)
    return jnp.sum(joint * log_ratio), jnp.sum(change * log_ratio)


def _log_ratio(joint: Array) -> jax.Array:
    """Returns log(p / (p_warped p_reference)), and 0 for empty bins."""
    # The logarithms are subtracted: the product of two small marginals would underflow. The difference of the
    # entropies would lose the digits of a small information.
    of_warped, of_reference = joint.sum(axis=1, keepdims=True), joint.sum(axis=0, keepdims=True)
    return jnp.where(_occupied(joint), _log(joint) - _log(of_warped) - _log(of_reference), 0.0)


@jax.custom_jvp
def _entropy(probability: Array) -> jax.Array:
    return -jnp.sum(probability * _log(probability))


@_entropy.defjvp
def _entropy_along(primals: tuple[Array], tangents: tuple[Array]) -> tuple[jax.Array, jax.Array]:
    (probability,), (change,) = primals, tangents
    log = _log(probability)
    return -jnp.sum(probability * log), -jnp.sum(change * jnp.where(_occupied(probability), log + 1.0, 0.0))


def _log(probability: Array) -> jax.Array:
    """Returns the logarithm, and 0 for an empty bin, so that its derivative is finite."""
    return jnp.log(jnp.where(_occupied(probability), probability, 1.0))


def _occupied(probability: Array) -> Array:
    # The reciprocal of a subnormal number may overflow.
    smallest = float(jnp.finfo(probability.dtype).tiny)  # type: ignore[no-untyped-call]
    return probability >= smallest
