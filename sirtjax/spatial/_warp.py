from __future__ import annotations

from typing import Literal

from jaxtyping import Float, Shaped

from sirtjax.ops import full_precision, namespace, sample_cubic, sample_linear, sample_nearest
from sirtjax.spatial._transform import Transform, transform_points, voxel_centres_mm
from sirtjax.typing import Array
from sirtjax.volume import Geometry

Order = Literal["linear", "nearest", "cubic"]


@full_precision
def floating_coordinates(transform: Transform, reference: Geometry, floating: Geometry) -> Float[Array, "i j k 3"]:
    """Returns the fractional floating indices of every reference voxel. Differentiable.

    Args:
      transform: pull transform from the reference to the floating image.
      reference: grid of the result.
      floating: grid of the image to be sampled.

    Returns:
      (i, j, k, 3) indices, to be given to `warp`.
    """
    points = transform_points(transform, voxel_centres_mm(reference))
    xp = namespace(points)
    affine = xp.asarray(floating.voxel_from_world, points.dtype)
    ijk: Array = points @ affine[:3, :3].T + affine[:3, 3].reshape((1,) * (points.ndim - 1) + (3,))
    return ijk


def warp(
    array: Shaped[Array, "i j k *channels"],
    ijk: Float[Array, "*points 3"],
    *,
    order: Order = "linear",
    fill: float = 0.0,
) -> Shaped[Array, "..."]:
    """Samples an image at fractional voxel indices: the pure, differentiable core of `resample`.

    Differentiable in the values (all orders) and in the indices (linear and cubic); never jitted here.

    Args:
      array: (i, j, k) or, except for cubic, (i, j, k, channels) values.
      ijk: (..., 3) indices from `floating_coordinates`.
      order: "linear", "nearest" or "cubic" (B-spline, prefiltered).
      fill: value more than half a voxel beyond the end voxels.

    Returns:
      (...) or (..., channels) values.

    Raises:
      ValueError: unknown order.
    """
    samplers = {"linear": sample_linear, "nearest": sample_nearest, "cubic": sample_cubic}
    if order not in samplers:
        raise ValueError(f"order must be 'linear', 'nearest' or 'cubic', got {order!r}")
    return samplers[order](array, ijk, fill=fill)
