"""Liver masks with the errors of another network."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from sirtjax.synthesis._fields import along, blur_matrix, random_field

# Blur that makes a mask a measure of the distance to its outline, and grain of the errors of an outline.
_BLUR_MM, _GRAIN_MM, _MOST_CHANGE = 8.0, 40.0, 0.45


def drawn_liver(
    key: PRNGKeyArray, liver: Float[jax.Array, "i j k"], *, spacing_mm: float, error_mm: float
) -> Float[jax.Array, "i j k"]:
    """Returns a liver mask as another network might draw it: with a smooth random error of its outline.

    Args:
      key: random key.
      liver: (i, j, k) occupancy of the true liver.
      spacing_mm: distance between voxels.
      error_mm: bound of the standard deviation of the outline's displacement, drawn uniformly. The outline moves by
        13 mm at most.

    Returns:
      (i, j, k) mask of 0 and 1.
    """
    field_key, size_key = jax.random.split(key)
    width = _BLUR_MM / spacing_mm
    blurred = liver
    for axis, n in enumerate(liver.shape):
        blurred = along(blurred, blur_matrix(n, jnp.float32(width)), axis)
    # At a straight edge, a shift by a small distance changes the blurred mask by distance / (sqrt(2 pi) width).
    knots = tuple(int(np.ceil((n - 1) * spacing_mm / _GRAIN_MM)) + 3 for n in liver.shape)
    shift = error_mm * jax.random.uniform(size_key) * random_field(field_key, liver.shape, knots, channels=1)[0]
    # A larger change would turn all of the background to liver.
    change = jnp.clip(shift / (np.sqrt(2.0 * np.pi) * _BLUR_MM), -_MOST_CHANGE, _MOST_CHANGE)
    moved = blurred + change
    return jnp.asarray(moved > 0.5, jnp.float32)
