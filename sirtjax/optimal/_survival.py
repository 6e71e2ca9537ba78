"""Logarithms of the surviving fraction of a tumour, for many radiosensitivities at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy.polynomial import chebyshev

# Doses per block: its exponentials stay within the cache of a core.
BLOCK = 65536
# Radiosensitivities at which the curve is computed; it is smooth, and a polynomial through them gives all others.
NODES = 16
_NODES = np.cos(np.pi * (np.arange(NODES) + 0.5) / NODES)
_COEFFICIENTS = chebyshev.chebvander(_NODES, NODES - 1).T * np.where(np.arange(NODES) > 0, 2, 1)[:, None] / NODES
# The polynomial is used if its last coefficients are smaller than this fraction of the values.
NEGLIGIBLE = 1e-11


def log_survivals(
    samples: Sequence[tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]],
    alpha_per_gy: Float[np.ndarray, "m tumours"],
) -> Float[np.ndarray, "m tumours"]:
    """Computes `log_survival` of several tumours, each for many radiosensitivities.

    Many radiosensitivities are interpolated by a Chebyshev polynomial if its error is near that of the number format.

    Args:
      samples: doses and volumes of the voxels of each tumour.
      alpha_per_gy: (m, tumours) radiosensitivities, 1/Gy.
    """
    low, high = alpha_per_gy.min(axis=0), alpha_per_gy.max(axis=0)
    if len(alpha_per_gy) < 2 * NODES or not (high > low).all():
        return _each(samples, alpha_per_gy)
    values = _each(samples, low + (high - low) * (_NODES[:, None] + 1) / 2)
    coefficients = _COEFFICIENTS @ values
    at = (alpha_per_gy - low) * (2 / (high - low)) - 1
    found = np.asarray(chebyshev.chebval(at, coefficients[:, None], tensor=False))
    rough = np.abs(coefficients[-3:]).max(axis=0) > NEGLIGIBLE * np.maximum(1.0, np.abs(values).max(axis=0))
    if rough.any():
        found[:, rough] = _each([samples[int(index)] for index in np.flatnonzero(rough)], alpha_per_gy[:, rough])
    return found


def _each(
    samples: Sequence[tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]],
    alpha_per_gy: Float[np.ndarray, "m tumours"],
) -> Float[np.ndarray, "m tumours"]:
    return np.stack([log_survival(*one, alpha_per_gy[:, index]) for index, one in enumerate(samples)], axis=1)


def log_survival(
    dose_gy: Float[np.ndarray, " n"], weight: Float[np.ndarray, " n"], alpha_per_gy: Float[np.ndarray, " m"]
) -> Float[np.ndarray, " m"]:
    """Computes the logarithm of the weighted sum of `exp(-alpha D)`.

    Args:
      dose_gy: (n,) doses.
      weight: (n,) volumes.
      alpha_per_gy: (m,) radiosensitivities, 1/Gy.
    """
    lowest = float(dose_gy.min())
    step = max(1, BLOCK // len(dose_gy))
    found = np.empty(len(alpha_per_gy))
    for start in range(0, len(alpha_per_gy), step):
        alpha = alpha_per_gy[start : start + step]
        found[start : start + step] = np.log(np.exp(-np.outer(alpha, dose_gy - lowest)) @ weight)
    return found - alpha_per_gy * lowest
