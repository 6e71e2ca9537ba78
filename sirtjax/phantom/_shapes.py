from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Float

from sirtjax.typing import Array

# Keeps the gradient-normalised distances finite at the exact centre of a shape.
_TINY = 1e-6


def ellipsoid_distance(
    points_mm: Float[Array, "3 n"],
    centre_mm: Float[Array, "e 3"],
    radii_mm: Float[Array, "e 3"],
    local_from_world: Float[Array, "e 3 3"],
) -> Float[jax.Array, "e n"]:
    """Computes the signed distance (mm, negative inside) to each ellipsoid, first order at the surface.

    Args:
      points_mm: (3, n) points.
      centre_mm: (e, 3) centres of the ellipsoids.
      radii_mm: (e, 3) semi-axes of the ellipsoids.
      local_from_world: (e, 3, 3) rotations on the ellipsoid's own axes.

    Returns:
      (e, n) distances. Exact on the surface and for spheres; elsewhere `k0 (k0 - 1) / k1` with the scaled
      radius k0 and its gradient k1.
    """
    scaled = ellipsoid_coordinates(points_mm, centre_mm, radii_mm, local_from_world)
    k0 = jnp.sqrt(scaled[0] ** 2 + scaled[1] ** 2 + scaled[2] ** 2)
    slope = [scaled[axis] / radii_mm[:, axis, None] for axis in range(3)]
    k1 = jnp.sqrt(slope[0] ** 2 + slope[1] ** 2 + slope[2] ** 2)
    return k0 * (k0 - 1.0) / k1


def ellipsoid_coordinates(
    points_mm: Float[Array, "3 n"],
    centre_mm: Float[Array, "e 3"],
    radii_mm: Float[Array, "e 3"],
    local_from_world: Float[Array, "e 3 3"],
) -> list[Float[Array, "e n"]]:
    """Returns points along each ellipsoid's axes divided by its semi-axes, three of (e, n)."""
    # Written out by component so that XLA fuses it into one loop without (e, 3, n) arrays in between.
    dx, dy, dz = (points_mm[axis][None] - centre_mm[:, axis, None] for axis in range(3))
    scaled = []
    for axis in range(3):
        row = local_from_world[:, axis, :, None]
        scaled.append((row[:, 0] * dx + row[:, 1] * dy + row[:, 2] * dz) / radii_mm[:, axis, None] + _TINY)
    return scaled


def positive_power(x: Float[jax.Array, "*shape"], exponent: float) -> Float[jax.Array, "*shape"]:
    """Computes `x ** exponent` for x > 0 as exp(log), which XLA vectorises on the CPU, unlike `pow`."""
    return jnp.exp(exponent * jnp.log(x))


def superellipse_distance(
    u_mm: Float[jax.Array, " n"],
    v_mm: Float[jax.Array, " n"],
    a_mm: Float[jax.Array, " n"] | float,
    b_mm: Float[jax.Array, " n"] | float,
    exponent: float,
) -> Float[jax.Array, " n"]:
    """Returns the signed distance in mm to the tube `|u/a|^n + |v/b|^n = 1`, first order at its wall.

    Args:
      u_mm: (n,) position along the first axis of the cross-section.
      v_mm: (n,) position along the second axis.
      a_mm: semi-axis along the first axis.
      b_mm: semi-axis along the second axis.
      exponent: 2 gives an ellipse, more a rounded rectangle.
    """
    p, q = jnp.abs(u_mm / a_mm) + _TINY, jnp.abs(v_mm / b_mm) + _TINY
    k0 = positive_power(positive_power(p, exponent) + positive_power(q, exponent), 1.0 / exponent)
    across = positive_power(p / k0, exponent - 1) / a_mm
    along = positive_power(q / k0, exponent - 1) / b_mm
    slope = jnp.sqrt(across**2 + along**2)
    return (k0 - 1.0) / slope


def capsule_distance(
    points_mm: Float[Array, "3 n"],
    start_mm: Float[jax.Array, "c 3"],
    end_mm: Float[jax.Array, "c 3"],
    radius_mm: Float[jax.Array, "c 2"],
) -> Float[jax.Array, "c n"]:
    """Computes the signed distance (mm) of points (3, n) to round-ended cylinders (c, 3): (c, n).

    The radius (c, 2) changes linearly from start to end.
    """
    axis = end_mm - start_mm
    length2 = jnp.maximum(jnp.sum(axis**2, axis=-1), _TINY)[:, None]
    offset = [points_mm[i][None] - start_mm[:, i, None] for i in range(3)]
    along = sum((offset[i] * axis[:, i, None] for i in range(3)), jnp.zeros_like(offset[0])) / length2
    along = jnp.clip(along, 0.0, 1.0)
    squared = sum(((offset[i] - along * axis[:, i, None]) ** 2 for i in range(3)), jnp.zeros_like(along))
    radius = radius_mm[:, :1] * (1 - along) + radius_mm[:, 1:] * along
    return jnp.sqrt(squared + _TINY) - radius


def tube_distance(points_mm: Float[jax.Array, "3 n"], table: Float[Array, "c 8"]) -> Float[jax.Array, " n"]:
    """Returns the signed distance (n,) in mm of points (3, n) to the nearest of several tubes.

    Args:
      points_mm: (3, n) points.
      table: (c, 8) start (3) and end (3) of each axis and the radius at both ends, mm.
    """
    pieces = jnp.asarray(table)
    distance = capsule_distance(points_mm, pieces[:, 0:3], pieces[:, 3:6], pieces[:, 6:8])
    return jnp.min(distance, axis=0)


def smooth_min(
    a: Float[Array, "*shape"] | float, b: Float[Array, "*shape"] | float, width_mm: float
) -> Float[jax.Array, "*shape"]:
    """Computes the union of two distances with a fillet of about `width_mm` (Quilez' polynomial).

    Examples:
      >>> from sirtjax import phantom
      >>> float(phantom.smooth_min(5.0, 5.0, 4.0)), float(phantom.smooth_min(1.0, 9.0, 4.0))
      (4.0, 1.0)
    """
    h = jnp.maximum(width_mm - jnp.abs(a - b), 0.0) / width_mm
    return jnp.minimum(a, b) - h * h * width_mm * 0.25


def smooth_max(
    a: Float[Array, "*shape"] | float, b: Float[Array, "*shape"] | float, width_mm: float
) -> Float[jax.Array, "*shape"]:
    """Computes the intersection of two distances with a rounded edge of about `width_mm`."""
    return -smooth_min(-a, -b, width_mm)


def smooth_step(x: Float[Array, "*shape"] | float, low: float, high: float) -> Float[jax.Array, "*shape"]:
    """Returns 0 below `low`, 1 above `high`, and a cubic in between."""
    t = jnp.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3 - 2 * t)
