from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Integer

from sirtjax.ops._interpolate import flat_grid, sample_flat_bspline
from sirtjax.ops._namespace import namespace
from sirtjax.typing import Array

# The pole of the cubic B-spline; its powers are below float32 resolution after this many voxels.
_POLE = float(np.sqrt(3.0) - 2.0)
_REACH = 14


def bspline_coefficients(array: Float[Array, "i j k"]) -> Float[Array, "i j k"]:
    """Computes the coefficients of the cubic B-spline through the voxels, mirrored at the end voxels.

    The recursive filter of Unser is applied as its impulse response, which falls below float32 resolution
    within 14 voxels: two passes of a recursion become one parallel sum per axis.

    Args:
      array: (i, j, k) floating values.

    Returns:
      Coefficients of the same shape, to be sampled by `sample_bspline`.

    Reference:
      M. Unser, A. Aldroubi, M. Eden, B-spline signal processing: Part II, IEEE Trans. Signal Process. 41
      (1993) 834, doi:10.1109/78.193221.
    """
    xp = namespace(array)
    response = -6 * _POLE / (1 - _POLE**2) * _POLE ** np.arange(_REACH + 1)
    for axis in range(3):
        length = array.shape[axis]
        if length == 1:
            continue
        index = _mirror(np.arange(-_REACH, length + _REACH), length)
        padded = xp.take(array, index, axis=axis)
        total: Any = 0.0
        for offset in range(-_REACH, _REACH + 1):
            part = [slice(None)] * 3
            part[axis] = slice(_REACH + offset, _REACH + offset + length)
            total = total + padded[tuple(part)] * float(response[abs(offset)])
        array = total
    return array


def sample_bspline(
    coefficients: Float[Array, "i j k"], ijk: Float[Array, "*points 3"], *, fill: float = 0.0
) -> Float[Array, "*points"]:
    """Samples the cubic B-spline of given coefficients at fractional indices.

    Inside means within half a voxel of the grid; there the spline is mirrored at the end voxels, as ITK does.

    Args:
      coefficients: (i, j, k) result of `bspline_coefficients`.
      ijk: (..., 3) fractional voxel indices.
      fill: value outside the grid.

    Returns:
      (...) values.
    """
    return sample_flat_bspline(flat_grid(coefficients), (ijk[..., 0], ijk[..., 1], ijk[..., 2]), fill=fill)


def sample_cubic(
    array: Float[Array, "i j k"], ijk: Float[Array, "*points 3"], *, fill: float = 0.0
) -> Float[Array, "*points"]:
    """Interpolates voxels by a cubic B-spline at fractional indices; the result can overshoot.

    Args:
      array: (i, j, k) floating values.
      ijk: (..., 3) fractional voxel indices.
      fill: value outside the grid (more than half a voxel beyond the end voxels).

    Returns:
      (...) values, equal to the array's at whole indices.
    """
    return sample_bspline(bspline_coefficients(array), ijk, fill=fill)


def _mirror(index: Integer[np.ndarray, " n"], length: int) -> Integer[np.ndarray, " n"]:
    period = 2 * (length - 1)
    index = np.abs(index) % period
    return np.where(index >= length, period - index, index)
