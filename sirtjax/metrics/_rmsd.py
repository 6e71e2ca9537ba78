from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sirtjax.errors import InputError


def rmsd_mm(msd_mm: float | Sequence[float], mcd_mm: Sequence[float]) -> float:
    """Computes the RMSD of one registration: sqrt((MSD² + Σ MCD²) / (1 + number of landmarks)).

    Args:
      msd_mm: mean surface distance of the liver, or of each organ if there are several (each counts as one).
      mcd_mm: centroid distances of the landmarks (lesions among them); may be none.

    Returns:
      The distance; NaN if one of them is NaN, as for a landmark that is out of view.

    Raises:
      InputError: there are no distances, or one is negative.
    """
    distances = np.asarray([*np.atleast_1d(np.asarray(msd_mm, np.float64)), *mcd_mm], np.float64)
    if distances.size == 0:
        raise InputError("RMSD needs the mean surface distance of an organ or the distance of a landmark; got none")
    if (distances < 0).any():
        raise InputError(f"a distance can't be negative, got {distances.min():g} mm")
    return float(np.sqrt((distances**2).mean()))


def rrmsd_mm(rmsds_mm: Sequence[float]) -> float:
    """Computes the root mean square of the RMSD of several registrations.

    Raises:
      InputError: there is no RMSD, or one is not a finite distance; a registration without an RMSD must not be omitted.
    """
    distances = np.asarray(rmsds_mm, np.float64)
    if distances.size == 0:
        raise InputError("RRMSD needs the RMSD of one registration or more; got none")
    bad = np.flatnonzero(~(np.isfinite(distances) & (distances >= 0)))
    if bad.size:
        raise InputError(
            f"registration {bad[0] + 1} of {distances.size} has no RMSD ({distances[bad[0]]:g}); "
            "exclude it and report this, or correct it"
        )
    return float(np.sqrt((distances**2).mean()))
