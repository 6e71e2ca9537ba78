"""The difference between two poses of a random patient, as a displacement in closed form."""

from __future__ import annotations

from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray
from pydantic import Field

from sirtjax.config import IntervalTable
from sirtjax.ops import full_precision
from sirtjax.synthesis._body import rotation
from sirtjax.synthesis._config import SynthesisConfig
from sirtjax.synthesis._fields import random_field

_COARSE_KNOTS_MM, _FINE_KNOTS_MM = 80.0, 40.0
# Breathing moves the dome most and fades over this distance from the centre of the liver.
_BREATHING_REACH_MM = 90.0


class PoseConfig(IntervalTable):
    """The largest differences between two poses of one patient.

    Attributes:
      start_mm: standard deviation of the translation that is left after an initial alignment of the livers, per axis.
      rotation_deg: bound of the uniform rotation about each axis.
      scale: bound of the uniform relative change of size along each axis.
      breathing_mm: bound of the displacement of the liver along the body that fades away from it.
      coarse_mm: bound of the standard deviation of a smooth displacement with knots 80 mm apart.
      fine_mm: bound of the standard deviation of a smooth displacement with knots 40 mm apart.
    """

    start_mm: Annotated[float, Field(ge=0, le=40)]
    rotation_deg: Annotated[float, Field(ge=0, le=45)]
    scale: Annotated[float, Field(ge=0, le=0.2)]
    breathing_mm: Annotated[float, Field(ge=0, le=40)]
    coarse_mm: Annotated[float, Field(ge=0, le=20)]
    fine_mm: Annotated[float, Field(ge=0, le=6)]


@full_precision
def draw_pose_mm(
    key: PRNGKeyArray, liver_mm: Float[jax.Array, "d e f"], config: SynthesisConfig, pose: PoseConfig
) -> Float[jax.Array, "3 a b c"]:
    """Returns the displacement between two poses.

    The reference at x shows what the floating image shows at x + u(x). The livers of the two poses are aligned up to a
    translation of `start_mm`.

    Args:
      key: random key.
      liver_mm: (d, e, f) distance to the liver in the floating pose, on every second point of the grid.
      config: grid of the image.
      pose: size of the differences.

    Returns:
      (3, a, b, c) displacement in mm along the axes of the grid, on one more point than voxels along each axis.
    """
    points = tuple(n + 1 for n in config.shape)
    keys = jax.random.split(key, 7)
    axes = [config.spacing_mm * (np.arange(n, dtype=np.float32) - (n - 1) / 2) for n in points]
    x = jnp.stack(jnp.meshgrid(*(jnp.asarray(axis) for axis in axes), indexing="ij"))
    inside = (liver_mm < 0).astype(jnp.float32)
    volume = jnp.maximum(jnp.sum(inside), 1.0)

    def over_liver(field: jax.Array) -> jax.Array:
        mean: jax.Array = jnp.sum(inside[None] * field[:, ::2, ::2, ::2], axis=(1, 2, 3)) / volume
        return mean

    centre = over_liver(x)
    turn = jnp.deg2rad(pose.rotation_deg) * jax.random.uniform(keys[0], (3,), minval=-1.0, maxval=1.0)
    size = 1.0 + pose.scale * jax.random.uniform(keys[1], (3,), minval=-1.0, maxval=1.0)
    linear = rotation(turn) * size[None, :] - jnp.eye(3)
    offset = x - centre[:, None, None, None]
    smooth = jnp.zeros_like(x)
    for part, size_key, bound, apart_mm in (
        (keys[2], keys[3], pose.coarse_mm, _COARSE_KNOTS_MM),
        (keys[4], jax.random.fold_in(keys[3], 1), pose.fine_mm, _FINE_KNOTS_MM),
    ):
        knots = tuple(int(np.ceil((n - 1) * config.spacing_mm / apart_mm)) + 3 for n in points)
        smooth = smooth + bound * jax.random.uniform(size_key) * random_field(part, points, knots, channels=3)
    near = jnp.exp(-jnp.sum(offset**2, axis=0) / (2.0 * _BREATHING_REACH_MM**2))
    breath = pose.breathing_mm * jax.random.uniform(keys[5], minval=-1.0, maxval=1.0)
    smooth = smooth.at[2].add(breath * near)
    smooth = smooth - over_liver(smooth)[:, None, None, None]
    start = pose.start_mm * jax.random.normal(keys[6], (3,))
    return jnp.tensordot(linear, offset, axes=1) + smooth + start[:, None, None, None]
