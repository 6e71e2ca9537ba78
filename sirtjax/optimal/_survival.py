"""Logarithms of the surviving fraction of a tumour, for many radiosensitivities at a time."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

# Doses per block: its exponentials stay within the cache of a core.
BLOCK = 65536


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
