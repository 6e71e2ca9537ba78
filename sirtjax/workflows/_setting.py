"""The common input of planning and verification: the mapped case with its constants, territories and VOIs."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from sirtjax import dosimetry, pipeline
from sirtjax.dosimetry import Protocol
from sirtjax.workflows._case import InjectionTable
from sirtjax.workflows._derived import PlacedVoi
from sirtjax.workflows._doses import DoseMethod, Medium, dose_gy
from sirtjax.workflows._record_result import TreatmentRecord
from sirtjax.workflows._resampled_case import ResampledCase
from sirtjax.workflows._shunt import LungMass, LungShunt

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class DosimetryContext:
    """The common input of planning and verification: the mapped case, its constants, territories and VOIs.

    Attributes:
      protocol: protocol of the case.
      nuclide: record in use, from the protocol or named by the case.
      method: dose method of prescription, limits and checks.
      other_method: dose method that is only shown for comparison; None if the nuclide has no kernel.
      mapped, tissue: case on the working grid and its densities.
      territories: (i, j, k) fraction of each voxel in each territory, by name.
      injections: one injection per treated territory, in order.
      shunts: lung shunt fraction of each injection.
      vois: every VOI of the report.
      shunt, lungs: lung shunt and lung mass of the whole case.
      lung_absorbed: (i, j, k) fraction of the energy of a decay in each voxel that the lungs absorb; None without a
        lung mask.
      record, record_checks: treatment record, and the checks of its contradictions.
    """

    protocol: Protocol
    nuclide: dosimetry.Nuclide
    method: DoseMethod
    other_method: DoseMethod | None
    mapped: ResampledCase
    tissue: Medium
    territories: dict[str, Float32[np.ndarray, "i j k"]]
    injections: tuple[InjectionTable, ...]
    shunts: tuple[float, ...]
    vois: tuple[PlacedVoi, ...]
    shunt: LungShunt
    lungs: LungMass
    lung_absorbed: Float32[np.ndarray, "i j k"] | None
    record: TreatmentRecord = field(default_factory=TreatmentRecord)
    record_checks: tuple[dosimetry.Check, ...] = ()

    @property
    def uses_case_shunt(self) -> bool:
        """Whether an injection has the lung shunt fraction of the case, not one of its own."""
        return any(table.lung_shunt_fraction is None for table in self.injections)

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

    def dose_gy(
        self, activity_mbq: Float32[np.ndarray, "i j k"], method: DoseMethod, *, relative: bool
    ) -> Float32[np.ndarray, "i j k"]:
        """Returns the dose of an activity map in MBq per voxel by one method, Gy.

        Args:
          activity_mbq: (i, j, k) activity per voxel.
          method: "kernel", "local" or "cone".
          relative: whether the activity is that of a relative calibration, which is only in the treated liver.
        """
        holder = self.filled if relative else None
        return dose_gy(activity_mbq, self.mapped, self.tissue, self.nuclide, method=method, holder=holder)

    def other_dose_gy(
        self, activity_mbq: Float32[np.ndarray, "i j k"], *, relative: bool
    ) -> Float32[np.ndarray, "i j k"] | None:
        """Returns the dose by the other method, Gy; None if there is no other method."""
        if self.other_method is None:
            return None
        return self.dose_gy(activity_mbq, self.other_method, relative=relative)

    def lung_spill_gy(self, activity_mbq: Float32[np.ndarray, "i j k"]) -> float | None:
        """Returns the mean lung dose of the betas of activity in the liver, Gy; None without a lung mask."""
        if self.lung_absorbed is None:
            return None
        mass_g = self.lungs.mass_g
        return float(pipeline.lung_spill_gy(activity_mbq, self.lung_absorbed, nuclide=self.nuclide, lung_mass_g=mass_g))

    def treated(self) -> dict[str, Float32[np.ndarray, "i j k"]]:
        """Returns the injected territories, by name."""
        return {table.territory: self.territories[table.territory] for table in self.injections}
