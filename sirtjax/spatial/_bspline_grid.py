from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from sirtjax.ops import full_precision
from sirtjax.typing import Array


def bspline_matrix(nodes: int, controls: int, *, taper: float = 0.0) -> Float[np.ndarray, "nodes controls"]:
    """Returns the cubic B-spline weights of evenly spaced control values at the nodes of one axis.

    The first and last node lie on the second and last but one control value, so that the splines sum to one all
    along. A field on a box is a product of three such matrices and the coefficients: no gathering, and its
    gradient is three products too.

    Args:
      nodes: lattice nodes along the axis, at least 2.
      controls: control values along the axis, at least 4.
      taper: fraction of the axis at either end over which the field fades to zero with a smooth (quintic) step, so
        that it joins the identity outside the box twice differentiably; below one half.

    Raises:
      ValueError: there are fewer than 2 nodes or 4 control values.

    Returns:
      (nodes, controls) weights; each row sums to one where the field is not faded.
    """
    if nodes < 2 or controls < 4:
        raise ValueError(f"a B-spline axis needs at least 2 nodes and 4 control values, got {nodes} and {controls}")
    place = np.linspace(0.0, 1.0, nodes)
    distance = np.abs(place[:, None] * (controls - 3) - (np.arange(controls) - 1))
    near, far = (4 - 6 * distance**2 + 3 * distance**3) / 6, np.clip(2 - distance, 0, None) ** 3 / 6
    weights = np.where(distance < 1, near, far)
    if taper > 0:
        t = np.clip(np.minimum(place, 1 - place) / taper, 0, 1)
        weights = weights * (t**3 * (10 - 15 * t + 6 * t**2))[:, None]
    rounded: NDArray[np.float32] = weights.astype(np.float32)
    return rounded


@full_precision
def bspline_field(
    coefficients: Float[Array, "a b c 3"], weights: tuple[Float[Array, "i a"], Float[Array, "j b"], Float[Array, "k c"]]
) -> Float[Array, "i j k 3"]:
    """Computes a vector field on a lattice from B-spline coefficients. Pure, linear, differentiable.

    Args:
      coefficients: (a, b, c, 3) control values.
      weights: matrix (nodes, controls) for each axis, from `bspline_matrix` (or some of its rows).

    Returns:
      (i, j, k, 3) values at the nodes.
    """
    along_x, along_y, along_z = weights
    a, b, c, channels = coefficients.shape
    # Each product is a plain matrix product on a reshaped view, which is what XLA does fastest.
    field = along_x @ coefficients.reshape(a, b * c * channels)
    field = field.reshape(-1, b, c * channels).swapaxes(0, 1).reshape(b, -1)
    field = (along_y @ field).reshape(along_y.shape[0], -1, c, channels)
    field = field.transpose(2, 1, 0, 3).reshape(c, -1)
    field = (along_z @ field).reshape(along_z.shape[0], along_x.shape[0], along_y.shape[0], channels)
    return field.transpose(1, 2, 0, 3)
