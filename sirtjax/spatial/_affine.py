from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import jax
import numpy as np
from jaxtyping import Float, Real
from numpy.typing import ArrayLike

from sirtjax.errors import GeometryError
from sirtjax.typing import Array


@partial(jax.tree_util.register_dataclass, data_fields=["floating_from_reference"], meta_fields=[])
@dataclass(frozen=True)
class AffineTransform:
    """A linear map of the world, LPS in mm: a point of the reference image to the floating image (pull).

    Attributes:
      floating_from_reference: (4, 4) matrix with the last row 0 0 0 1.
    """

    floating_from_reference: Real[Array, "4 4"]

    def __post_init__(self) -> None:
        # Tree transformations rebuild records around placeholders that have no shape.
        shape = getattr(self.floating_from_reference, "shape", (4, 4))
        if len(shape) < 2 or tuple(shape[-2:]) != (4, 4):
            raise GeometryError(f"floating_from_reference must be a 4x4 matrix, got shape {tuple(shape)}")


def identity() -> AffineTransform:
    """Returns the identity transform."""
    return AffineTransform(np.eye(4))


def rigid_matrix(
    rotation_rad: Sequence[float], translation_mm: Sequence[float], centre_mm: Sequence[float]
) -> Float[np.ndarray, "4 4"]:
    """Returns the 4x4 matrix of a rotation about a centre followed by a translation.

    Rotations are about the world x, then y, then z axis: `R = Rz Ry Rx`, and `x -> R (x - c) + c + t`.

    Args:
      rotation_rad: angles about x, y and z, right-handed.
      translation_mm: shift after the rotation.
      centre_mm: the point that the rotation leaves in place.

    Returns:
      (4, 4) matrix.
    """
    rotation = np.eye(3)
    for axis, angle in enumerate(rotation_rad):
        cosine, sine = np.cos(angle), np.sin(angle)
        one, two = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[one, one], turn[one, two], turn[two, one], turn[two, two] = cosine, -sine, sine, cosine
        rotation = turn @ rotation
    centre = np.asarray(centre_mm, np.float64)
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = centre - rotation @ centre + np.asarray(translation_mm, np.float64)
    return matrix


def checked_matrix(matrix: ArrayLike) -> Float[np.ndarray, "4 4"]:
    """Returns the matrix as float64 on the host, after validation.

    Raises:
      GeometryError: the matrix is not finite or singular, or its last row is not 0 0 0 1.
    """
    found = np.asarray(matrix, np.float64)
    if not np.isfinite(found).all() or not np.allclose(found[3], [0, 0, 0, 1]):
        raise GeometryError(f"an affine transform must be finite with last row 0 0 0 1, got {found.tolist()}")
    if abs(np.linalg.det(found[:3, :3])) < 1e-9:
        raise GeometryError(f"the affine transform is singular and cannot be used: {found.tolist()}")
    return found
