from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from sirtjax.errors import ComputationError

Array = NDArray[np.float64]


# A misfit below this, relative to the extent of the sites, is rounding.
ROUNDING = 1e-9


def fit_thin_plate_spline(
    sites: Float[np.ndarray, "n 2"], values: Float[np.ndarray, " n"], *, rms: float | None
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "3"], float]:
    """Fits a smoothing thin-plate spline to scattered values.

    It has the least bending energy (the integral of the squared second derivatives) of all functions with its
    misfit; far from the sites it goes over into a plane. Where a plane is close enough, the plane is the
    answer.

    Args:
      sites: (n, 2) positions, of the order of 1.
      values: (n,) heights there.
      rms: allowed root-mean-square misfit, in the unit of `values`; 0 passes through every value. None estimates it
        from the values, by generalised cross-validation.

    Returns:
      Weights (n,) of the kernel r^2 log r at the sites, plane coefficients (3,) of (1, u, v), and the
      root-mean-square misfit reached.

    Raises:
      ComputationError: the sites lie on one line or coincide.

    Reference:
      Wahba, Spline Models for Observational Data, SIAM 1990, sections 2.4 and 4.4,
      doi:10.1137/1.9781611970128.
    """
    n = len(sites)
    plane = np.column_stack([np.ones(n), sites])
    if np.linalg.matrix_rank(plane, tol=1e-6 * np.sqrt(n)) < 3:
        raise ComputationError("the points of the lines lie on one straight line in space; spread the slices")
    least_squares = np.asarray(np.linalg.lstsq(plane, values, rcond=None)[0], np.float64)
    misfit = _rms(plane @ least_squares - values)
    if misfit <= max(rms or 0.0, ROUNDING) or n == 3:
        return np.zeros(n), least_squares, misfit
    # In the null space of the plane's columns the kernel is positive definite: one eigendecomposition gives
    # the spline for every smoothing weight.
    q, r = np.linalg.qr(plane, mode="complete")
    kernel = _kernel(np.linalg.norm(sites[:, None] - sites[None], axis=-1))
    eigenvalues, vectors = np.linalg.eigh(q[:, 3:].T @ kernel @ q[:, 3:])
    if eigenvalues[0] <= 1e-12 * eigenvalues[-1]:
        raise ComputationError("points of the lines coincide; a surface through them is not defined")
    right = vectors.T @ (q[:, 3:].T @ values)
    if rms is None:
        smoothing = _cross_validated_smoothing(eigenvalues, right)
    elif rms > 0:
        smoothing = _largest_smoothing(eigenvalues, right, allowed=rms * np.sqrt(n))
    else:
        smoothing = 0.0
    weights = q[:, 3:] @ (vectors @ (right / (eigenvalues + smoothing)))
    rest = values - kernel @ weights - smoothing * weights
    coefficients = np.asarray(np.linalg.solve(r[:3], q[:, :3].T @ rest), np.float64)
    return weights, coefficients, _rms(smoothing * weights)


def _cross_validated_smoothing(eigenvalues: Array, right: Array) -> float:
    """The smoothing weight with the least generalised cross-validation score (Wahba, Eq. 4.4.3)."""
    candidates = np.geomspace(eigenvalues[0] * 1e-3, eigenvalues[-1] * 1e3, 400)
    kept = candidates[:, None] / (eigenvalues + candidates[:, None])
    score = np.sum((kept * right) ** 2, axis=1) / np.sum(kept, axis=1) ** 2
    return float(candidates[np.argmin(score)])


def _largest_smoothing(eigenvalues: Array, right: Array, *, allowed: float) -> float:
    """The smoothing weight at which the misfit, which grows with it, is as allowed (Morozov's principle)."""
    low, high = float(eigenvalues[0]) * 1e-12, float(eigenvalues[-1]) * 1e6
    for _ in range(100):
        middle = float(np.sqrt(low * high))
        if middle * np.linalg.norm(right / (eigenvalues + middle)) <= allowed:
            low = middle
        else:
            high = middle
    return low


def _kernel(distance: Array) -> Array:
    squared = distance**2
    return np.asarray(0.5 * squared * np.log(np.where(squared > 0, squared, 1.0)))


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(values**2)))
