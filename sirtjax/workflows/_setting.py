"""The common input of planning and verification: the mapped case with its constants, territories and VOIs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from sirtjax import dosimetry, pipeline
from sirtjax.dosimetry import Protocol
from sirtjax.workflows._case import InjectionTable
from sirtjax.workflows._derived import PlacedVoi
from sirtjax.workflows._doses import Medium
from sirtjax.workflows._resampled_case import ResampledCase
from sirtjax.workflows._shunt import LungMass, LungShunt

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class DosimetryContext:
    """The common input of planning and verification: the mapped case, its constants, territories and VOIs.

    Attributes:
      protocol: protocol of the case.
      nuclide: record in use, from the protocol or named by the case.
      mapped, tissue: case on the working grid and its densities.
      territories: (i, j, k) fraction of each voxel in each territory, by name.
      injections: one injection per treated territory, in order.
      shunts: lung shunt fraction of each injection.
      vois: every VOI of the report.
      shunt, lungs: lung shunt and lung mass of the whole case.
    """

    protocol: Protocol
    nuclide: dosimetry.Nuclide
    mapped: ResampledCase
    tissue: Medium
    territories: dict[str, Float32[np.ndarray, "i j k"]]
    injections: tuple[InjectionTable, ...]
    shunts: tuple[float, ...]
    vois: tuple[PlacedVoi, ...]
    shunt: LungShunt
    lungs: LungMass

    @property
    def constant_gy_g_per_mbq(self) -> float:
        """K of local deposition; Gy kg/GBq and Gy g/MBq are the same number."""
        return float(self.nuclide.dose_constant_gy_kg_per_gbq)

    @property
    def liver(self) -> Float32[np.ndarray, "i j k"]:
        """(i, j, k) fraction of each voxel in the liver, which has all activity of a relative calibration."""
        return self.mapped.occupancy["liver"]

    @property
    def filled(self) -> Float32[np.ndarray, "i j k"]:
        """(i, j, k) fraction of each voxel that holds the activity of a relative calibration."""
        return np.asarray(pipeline.filled_fraction(self.liver, list(self.treated().values())), np.float32)

    def treated(self) -> dict[str, Float32[np.ndarray, "i j k"]]:
        """Returns the injected territories, by name."""
        return {table.territory: self.territories[table.territory] for table in self.injections}
