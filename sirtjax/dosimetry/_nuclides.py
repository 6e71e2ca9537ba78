"""The nuclides and the constants of their decay, defined only here."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sirtjax.errors import ConfigError

# CODATA 2019, exact: elementary charge 1.602176634e-19 C.
JOULE_PER_MEV = 1.602176634e-13
# Positrons per decay of 90Y, (31.86 +- 0.47)e-6 as cited by Willowson et al. 2015 (QUEST phantom study),
# doi:10.1007/s00259-015-3059-9. The EANM procedure guideline 2022 rounds the value to 32e-6.
Y90_POSITRON_FRACTION = 31.86e-6


@dataclass(frozen=True, kw_only=True)
class Nuclide:
    """A nuclide with one source's half-life and energy per decay.

    Sources differ by a few percent, and with them the dose; so each source is a record of its own and a
    report prints the record it used.

    Attributes:
      name: the key of `nuclide`.
      symbol: element and mass number, such as "Y-90".
      half_life_h: physical half-life in hours.
      energy_mev_per_decay: energy deposited locally per decay, or None for a nuclide that is only imaged.
      joule_per_mev: conversion factor that the source used.
      source: source of the numbers.
      radial_kernel: name of the radial dose point kernel, published or derived; None if there is none.

    Examples:
      >>> from sirtjax import dosimetry
      >>> yttrium = dosimetry.get_nuclide("y90-icrp107")
      >>> yttrium.half_life_h, round(yttrium.dose_constant_gy_kg_per_gbq, 2)  # 1 GBq in 1 kg: 49.77 Gy
      (64.1, 49.77)
    """

    name: str
    symbol: str
    half_life_h: float
    energy_mev_per_decay: float | None
    joule_per_mev: float = JOULE_PER_MEV
    source: str
    radial_kernel: str | None = None

    @property
    def dose_constant_gy_kg_per_gbq(self) -> float:
        """Dose to 1 kg from 1 GBq that decays there completely: energy x half-life / ln 2.

        Raises:
          ConfigError: the nuclide is only for imaging.
        """
        if self.energy_mev_per_decay is None:
            raise ConfigError(
                f"nuclide '{self.name}' ({self.symbol}) is for imaging and has no dose constant; "
                f"choose a therapeutic one of {_therapeutic()}"
            )
        energy_j = self.energy_mev_per_decay * self.joule_per_mev
        return energy_j * 1e9 * self.half_life_h * 3600.0 / math.log(2.0)

    @property
    def decay_constant_per_h(self) -> float:
        """Ln 2 / half-life."""
        return math.log(2.0) / self.half_life_h


_Y90_KERNEL = "y90-graves2019-water"
# Derived from the kernel of Y-90, as the source in its file states; electrons only.
_HO166_KERNEL = "ho166-derived-water"

NUCLIDES: tuple[Nuclide, ...] = (
    Nuclide(
        name="y90-thesis",
        symbol="Y-90",
        half_life_h=64.0416,
        energy_mev_per_decay=0.9267,
        joule_per_mev=1.602e-13,
        source="thesis on image analysis for SIRT, Eq. 1.3: 926.7 keV, 64.0416 h, e = 1.602e-19 C (49.38 Gy.kg/GBq)",
        radial_kernel=_Y90_KERNEL,
    ),
    Nuclide(
        name="y90-icrp107",
        symbol="Y-90",
        half_life_h=64.1,
        energy_mev_per_decay=0.93311,
        source="ICRP Publication 107 (2008): 64.1 h, all electrons 0.93311 MeV per decay (49.77 Gy.kg/GBq)",
        radial_kernel=_Y90_KERNEL,
    ),
    Nuclide(
        name="y90-clinical",
        symbol="Y-90",
        half_life_h=64.2,
        energy_mev_per_decay=0.92976,
        source="energy that gives the 49.67 Gy.kg/GBq of the public tool Taranis with its 64.2 h",
        radial_kernel=_Y90_KERNEL,
    ),
    Nuclide(
        name="ho166-clinical",
        symbol="Ho-166",
        half_life_h=26.8,
        energy_mev_per_decay=0.71163,
        source="energy that gives the 15.87 Gy.kg/GBq of the clinical rule 3780 MBq/kg for 60 Gy, with "
        "26.8 h (EANM procedure guideline 2022)",
        radial_kernel=_HO166_KERNEL,
    ),
    Nuclide(
        name="ho166-icrp107",
        symbol="Ho-166",
        half_life_h=26.8,
        energy_mev_per_decay=0.69634,
        source="ICRP Publication 107 (2008): 26.8 h, all electrons 0.69634 MeV per decay (15.53 Gy.kg/GBq)",
        radial_kernel=_HO166_KERNEL,
    ),
    Nuclide(
        name="tc99m",
        symbol="Tc-99m",
        half_life_h=6.015,
        energy_mev_per_decay=None,
        source="ICRP Publication 107 (2008): 6.015 h, 140.511 keV (89.06 %)",
    ),
)


def get_nuclide(name: str) -> Nuclide:
    """Returns the record with this name, such as "y90-icrp107".

    Raises:
      ConfigError: there is no nuclide record of this name; the message lists the names.
    """
    for record in NUCLIDES:
        if record.name == name:
            return record
    raise ConfigError(f"unknown nuclide '{name}'; choose one of {', '.join(n.name for n in NUCLIDES)}")


def _therapeutic() -> str:
    return ", ".join(n.name for n in NUCLIDES if n.energy_mev_per_decay is not None)
