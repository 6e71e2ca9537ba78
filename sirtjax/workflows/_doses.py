"""The dose of one MBq through each catheter position, on the working grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from sirtjax import dosimetry, pipeline
from sirtjax.errors import ConfigError
from sirtjax.workflows._case import DoseTable
from sirtjax.workflows._resampled_case import ResampledCase
from sirtjax.workflows._signed import signed_map

Array = NDArray[np.float32]
DoseMethod = Literal["kernel", "local", "cone"]

# Where no lungs are drawn, what the CT shows as lighter than this takes no dose from a soft-tissue kernel.
LUNG_HU = (-950.0, -300.0)
LUNG_DENSITIES_G_PER_ML = (0.05, 1.06)
# The surroundings of a CT and its padding are not above this.
UNSEEN_HU = -999.0
# Largest fraction of the liver without a CT number (outside the CT, or padding) if densities are those of the CT.
MAX_UNSEEN_FRACTION = 0.02


@dataclass(frozen=True)
class Medium:
    """The tissue in which the activity decays.

    Attributes:
      density_g_per_ml: (i, j, k) density of each voxel.
      soft_tissue_g_per_ml: density to which the kernel is scaled, the protocol's density of the liver.
      lung: (i, j, k) fraction of each voxel that is lung.
      description: description of the densities, for the report.
    """

    density_g_per_ml: Float32[np.ndarray, "i j k"]
    soft_tissue_g_per_ml: float
    lung: Float32[np.ndarray, "i j k"]
    description: str


def medium(mapped: ResampledCase, table: DoseTable, *, liver_density_g_per_ml: float, lung_mass_g: float) -> Medium:
    """Densities for the dose: the protocol's liver density, or from the CT where the case asks for it.

    Lung voxels have the density the CT shows, or where it does not show them that of the lung mass in the lung volume.
    The liver, with its lesions and territories, is never lung: where a mask reaches into the lung, its activity is in
    liver tissue.

    Raises:
      ConfigError: the density curve is unknown, or there is no CT of the liver to take densities from.
    """
    hu = None if mapped.ct_hu is None else np.asarray(mapped.ct_hu.array, np.float32)
    if hu is None and table.method == "cone":
        raise ConfigError(
            'dose.method: "cone" follows the densities of a CT, and the case has none; add [images.ct] or use "kernel"'
        )
    lung = _lung_fraction(mapped, hu)
    volume_ml = max(mapped.lungs.warped_ml if mapped.lungs is not None else 0.0, 1.0)
    by_mass = np.full(lung.shape, np.clip(lung_mass_g / volume_ml, *LUNG_DENSITIES_G_PER_ML), np.float32)
    if table.density != "protocol":
        curve = dosimetry.get_density_curve(table.density)
        if hu is None:
            raise ConfigError(f'dose.density = "{table.density}" is computed from the CT: add [images.ct]')
        density = np.asarray(dosimetry.density_g_per_ml(hu, curve), np.float32)
        inside = _liver_fraction(mapped)
        _check_ct_of_liver(hu, inside, table.density)
        # Below lung are air, the padding of a CT, and the surroundings of the CT; none of them is liver.
        density = np.where(
            hu < LUNG_HU[1], inside * np.float32(liver_density_g_per_ml) + (1 - inside) * density, density
        )
        density = np.where(hu > UNSEEN_HU, density, lung * by_mass + (1 - lung) * density)
        return Medium(density, liver_density_g_per_ml, lung, f"from the CT, curve {curve.name} ({curve.source})")
    in_lung = by_mass
    if hu is not None:
        by_hu = np.clip(hu / np.float32(1000.0) + np.float32(1.0), *LUNG_DENSITIES_G_PER_ML)
        in_lung = np.where(hu > UNSEEN_HU, by_hu, by_mass)
    density = (lung * in_lung + (1 - lung) * np.float32(liver_density_g_per_ml)).astype(np.float32)
    return Medium(density, liver_density_g_per_ml, lung, f"{liver_density_g_per_ml:g} g/mL outside the lungs")


def _lung_fraction(mapped: ResampledCase, hu: Array | None) -> Array:
    lung = mapped.occupancy.get("lungs")
    if lung is None and hu is not None:
        lung = _light(hu)
    if lung is None:
        return np.zeros(mapped.geometry.shape, np.float32)
    outside: Array = np.minimum(lung, 1 - _liver_fraction(mapped))
    return outside


def _liver_fraction(mapped: ResampledCase) -> Array:
    """The fraction of each voxel in the liver, its lesions or territories."""
    inside: Array = np.zeros(mapped.geometry.shape, np.float32)
    for name, weight in mapped.occupancy.items():
        if name != "lungs":
            inside = np.maximum(inside, weight)
    return inside


def _check_ct_of_liver(hu: Array, inside: Array, density: str) -> None:
    unseen = float((inside * (hu < LUNG_HU[0])).sum(dtype=np.float64)) / max(float(inside.sum(dtype=np.float64)), 1e-30)
    if unseen > MAX_UNSEEN_FRACTION:
        raise ConfigError(
            f'dose.density = "{density}" is computed from the CT, but {100 * unseen:.3g} % of the liver and its '
            f"territories are outside [images.ct] or air in it (at most {100 * MAX_UNSEEN_FRACTION:g} %); use a CT of "
            'the whole liver, or dose.density = "protocol"'
        )


def _light(hu: Array) -> Array:
    return ((hu > LUNG_HU[0]) & (hu < LUNG_HU[1])).astype(np.float32)


def liver_in_lung_ml(mapped: ResampledCase) -> float:
    """Returns the volume in mL that is liver by its mask, and lung by the lung mask or the CT.

    The larger of both counts.
    """
    overlap_ml = 0.0 if mapped.lungs is None else mapped.lungs.overlap_ml
    if mapped.ct_hu is None:
        return overlap_ml
    hu = np.asarray(mapped.ct_hu.array, np.float32)
    # A voxel of the surface contains both without overlap: its CT number is a mean. Lung is at about -850 HU.
    air = np.clip(-hu / np.float32(850.0), 0.0, 1.0)
    both = _light(hu) * np.maximum(air + mapped.occupancy["liver"] - 1, 0)
    return max(overlap_ml, float(both.sum(dtype=np.float64)) * mapped.geometry.voxel_volume_ml)


def dose_method(table: DoseTable, protocol: dosimetry.Protocol) -> DoseMethod:
    """Returns the method of prescription, limits and checks: the protocol's, or one that the case names."""
    return protocol.dose_method.value if table.method == "protocol" else table.method


def other_dose_method(
    method: DoseMethod, nuclide: dosimetry.Nuclide, spacing_mm: Sequence[float], *, medium_density_g_per_ml: float
) -> DoseMethod | None:
    """Returns the method whose dose is shown for comparison.

    None if the nuclide has no published kernel, or if the voxels are too fine for it.

    Args:
      method: method of the limits.
      nuclide: record in use.
      spacing_mm: voxel spacing of the working grid.
      medium_density_g_per_ml: density to which the kernel is scaled.
    """
    if method != "local":
        return "local"
    if nuclide.radial_kernel is None:
        return None
    radial = dosimetry.get_radial_kernel(nuclide.radial_kernel)
    try:
        dosimetry.kernel_radius_voxels(spacing_mm, radial=radial, medium_density_g_per_ml=medium_density_g_per_ml)
    except ConfigError:
        return None
    return "kernel"


def dose_gy(
    activity_mbq: Float32[np.ndarray, "i j k"],
    mapped: ResampledCase,
    tissue: Medium,
    nuclide: dosimetry.Nuclide,
    *,
    method: DoseMethod,
    holder: Float32[np.ndarray, "i j k"] | None = None,
) -> Float32[np.ndarray, "i j k"]:
    """Returns `pipeline.voxel_dose_gy` of an activity map in MBq per voxel, Gy.

    Voxels that the subtraction of a background made negative have a negative dose, so that means are not biased.

    Args:
      activity_mbq: (i, j, k) activity per voxel.
      mapped: the working grid.
      tissue: densities.
      nuclide: the record whose constant and kernel to use.
      method: "kernel", "local" or "cone".
      holder: (i, j, k) fraction of each voxel that contains its activity; all of it if None.
    """

    def dose(activity: Array) -> Array:
        return np.asarray(
            pipeline.voxel_dose_gy(
                activity,
                tissue.density_g_per_ml,
                tissue.lung,
                np.asarray(mapped.geometry.spacing_mm),
                nuclide=nuclide,
                method=method,
                soft_tissue_g_per_ml=tissue.soft_tissue_g_per_ml,
                holder=holder,
            )
        )

    return signed_map(dose, activity_mbq)
