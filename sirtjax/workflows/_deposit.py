"""Activity and dose of a whole treatment, as a record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True)
class ActivityAndDose:
    """Activity and dose of all injections together.

    Attributes:
      activity_mbq: (i, j, k) activity per voxel at the time of injection, decaying in place.
      dose_gy: (i, j, k) absorbed dose per voxel.
      injected_mbq: activity that reached the patient.
      lung_shunt_gy: mean lung dose of the shunted activity.
      lung_spill_gy: mean lung dose of betas that leave the liver; None without a lung mask.
      lung_activity_mbq: activity shunted to the lungs.
      lung_shunt_fraction: fraction of the injected activity that is shunted (`mean_shunt`).
      lung_mass_g: mass of both lungs.
      other_dose_gy: (i, j, k) absorbed dose per voxel by the other dose method; None if there is none.
      holder: (i, j, k) fraction of each voxel that contains its activity; None if the activity fills the voxels.
    """

    activity_mbq: Float32[np.ndarray, "i j k"]
    dose_gy: Float32[np.ndarray, "i j k"]
    injected_mbq: float
    lung_shunt_gy: float
    lung_spill_gy: float | None
    lung_activity_mbq: float
    lung_shunt_fraction: float
    lung_mass_g: float
    other_dose_gy: Float32[np.ndarray, "i j k"] | None = None
    holder: Float32[np.ndarray, "i j k"] | None = None

    @property
    def lung_dose_gy(self) -> float:
        """Mean lung dose, of the shunted activity and of the betas from the liver."""
        return self.lung_shunt_gy + (self.lung_spill_gy or 0.0)


def mean_shunt(injected_mbq: Float64[np.ndarray, " injections"], shunts: Sequence[float]) -> float:
    """Returns the lung shunt fraction of all injections, weighted by activity.

    If nothing is injected, it is the highest of them.

    Examples:
      >>> import numpy as np
      >>> from sirtjax.workflows._deposit import mean_shunt
      >>> mean_shunt(np.array([1000.0, 3000.0]), [0.10, 0.02])
      0.04
      >>> mean_shunt(np.array([0.0, 0.0]), [0.10, 0.02])
      0.1
    """
    total_mbq = float(injected_mbq.sum())
    return float(injected_mbq @ np.asarray(shunts)) / total_mbq if total_mbq > 0 else max(shunts)
