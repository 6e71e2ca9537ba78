"""The dose of one MBq through each catheter position, on the working grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sirtjax import dosimetry
from sirtjax.errors import ConfigError, InputError
from sirtjax.workflows._case import DoseTable
from sirtjax.workflows._mapping import MappedCase

Array = NDArray[np.float32]

# Where no lungs are drawn, what the CT shows as lighter than this takes no dose from a soft-tissue kernel.
LUNG_HU = (-950.0, -300.0)


@dataclass(frozen=True)
class Medium:
    """What the activity decays in.

    Attributes:
      density_g_per_ml: (i, j, k).
      soft_tissue_g_per_ml: the density the kernel is scaled to, the protocol's for the liver.
      lung: (i, j, k) share of each voxel that is lung.
      description: for the report.
    """

    density_g_per_ml: Array
    soft_tissue_g_per_ml: float
    lung: Array
    description: str


def medium(mapped: MappedCase, table: DoseTable, *, liver_density_g_per_ml: float) -> Medium:
    """Densities for the dose: the protocol's liver density, or from the CT where the case asks for it.

    Raises:
      ConfigError: the curve is unknown, or there is no CT to take it from.
    """
    shape = mapped.geometry.shape
    lung = mapped.occupancy.get("lungs")
    hu = None if mapped.ct_hu is None else np.asarray(mapped.ct_hu.array, np.float32)
    if lung is None:
        lung = np.zeros(shape, np.float32)
        if hu is not None:
            lung = ((hu > LUNG_HU[0]) & (hu < LUNG_HU[1])).astype(np.float32)
    density = np.full(shape, liver_density_g_per_ml, np.float32)
    if table.density == "protocol":
        return Medium(density, liver_density_g_per_ml, lung, f"{liver_density_g_per_ml:g} g/mL everywhere")
    known = dosimetry.density_curve(table.density)
    if hu is None:
        raise ConfigError(f'dose.density = "{table.density}" is taken from the CT: give [images.ct]')
    points = np.asarray(known.points, np.float32)
    density = np.interp(hu, points[:, 0], points[:, 1]).astype(np.float32)
    return Medium(density, liver_density_g_per_ml, lung, f"from the CT, curve {known.name} ({known.source})")


def relative_activity(mapped: MappedCase, region: Array, name: str) -> Array:
    """The share of one unit of liver activity in each voxel of a territory, by the counts there; sums to 1.

    Raises:
      InputError: the activity image shows nothing in the territory.
    """
    counts = np.asarray(mapped.activity.array, np.float32) * region
    total = float(counts.sum(dtype=np.float64))
    if total <= 0:
        raise InputError(
            f"the activity image shows no counts in the territory {name!r}; is the mask on the right image?"
        )
    return (counts / np.float32(total)).astype(np.float32)


def dose_gy(activity_mbq: Array, mapped: MappedCase, tissue: Medium, nuclide: dosimetry.Nuclide, method: str) -> Array:
    """Absorbed dose in Gy of an activity map in MBq per voxel, all of it decaying in place."""
    return dosimetry.absorbed_dose_gy(
        activity_mbq,
        tissue.density_g_per_ml,
        mapped.geometry.spacing_mm,
        nuclide=nuclide,
        method="kernel" if method == "kernel" else "local",
        lung=tissue.lung,
        medium_density_g_per_ml=tissue.soft_tissue_g_per_ml,
    )
