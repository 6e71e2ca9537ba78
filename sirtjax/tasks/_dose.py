"""Absorbed dose of an activity image, and its dose-volume histograms."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float32

from sirtjax import dosimetry, spatial
from sirtjax.errors import GeometryError, InputError
from sirtjax.volume import LabelMap, Volume

# MBq in a voxel of 1 mL for one unit.
MBQ_PER_ML = {"Bq/mL": 1e-6, "MBq/mL": 1.0}
# Osmium, the densest element, has 22.6 g/mL; more is another unit, such as kg/m3 or HU.
LARGEST_G_PER_ML = 25.0
# Relative error of the volume of a voxel by its spacing: the mass of a voxel and the kernel take axes as perpendicular.
MAX_SHEAR = 1e-3


def absorbed_dose(
    activity: Volume,
    *,
    nuclide: str | dosimetry.Nuclide,
    method: Literal["local", "kernel"],
    density_g_per_ml: float | Volume,
    lungs: LabelMap | None = None,
    medium_density_g_per_ml: float | None = None,
) -> Volume:
    """Computes the absorbed dose to each voxel of microspheres that stay where they are.

    Args:
      activity: Bq/mL or MBq/mL at the time of injection, (i, j, k); correct the decay first
        (`dosimetry.absolute_activity_mbq`), or scale counts to the injected activity
        (`dosimetry.relative_activity_mbq`).
      nuclide: name, such as "y90-icrp107", or record of the radionuclide.
      method: "local" deposits the energy in the voxel of the decay, "kernel" convolves a dose kernel (lungs by local
        deposition).
      density_g_per_ml: mass density of the tissue, one value above 0 or an image in g/mL on the grid of the activity;
        at most 25. `dosimetry.density_g_per_ml` computes it from a CT in HU.
      lungs: label map of the lungs; the kernel method needs it (an empty one if the image shows no lung).
      medium_density_g_per_ml: density of the tissue that the kernel is for, about 1.04 for soft tissue; the kernel
        method needs it.

    Returns:
      The dose in Gy on the grid of the activity, float32.

    Raises:
      InputError: the unit is not an activity concentration, or that of the density is not g/mL; an activity is negative
        or not finite; a density is not finite, above 25 g/mL or below 0, or is one value of 0.
      GeometryError: the density is on another grid, or the axes of the grid are not perpendicular.
      ConfigError: the method lacks an input, or the radionuclide is unknown.

    Examples:
      One megabecquerel of yttrium-90 in a kilogram gives 0.0498 Gy.

      >>> import numpy as np
      >>> import sirtjax as sj
      >>> grid = sj.Geometry.from_axes((10, 10, 10), spacing_mm=(10.0, 10.0, 10.0), origin_mm=(0.0, 0.0, 0.0))
      >>> activity = sj.Volume(np.full(grid.shape, 1e3), grid, unit="Bq/mL")
      >>> dose = sj.absorbed_dose(activity, nuclide="y90-icrp107", method="local", density_g_per_ml=1.0)
      >>> round(float(dose.array.mean()), 4)
      0.0498
    """
    if activity.unit not in MBQ_PER_ML:
        raise InputError(
            f"the activity image is in {activity.unit!r}; expected {' or '.join(MBQ_PER_ML)}: scale counts with "
            "dosimetry.relative_activity_mbq"
        )
    grid = activity.geometry
    if 1000 * grid.voxel_volume_ml < (1 - MAX_SHEAR) * float(np.prod(grid.spacing_mm)):
        raise GeometryError(
            f"the axes of the activity image are not perpendicular ({grid}); resample it with spatial.resample"
        )
    if isinstance(density_g_per_ml, Volume) and not density_g_per_ml.geometry.matches(grid):
        raise GeometryError("the density is on another grid than the activity; resample it with spatial.resample")
    density = _density(density_g_per_ml)
    if medium_density_g_per_ml is not None:
        _check_density("the density of the medium", medium_density_g_per_ml)
    lung = None
    if lungs is not None:
        lung = np.zeros(grid.shape, np.float32)
        for _, name in lungs.names:
            lung = np.maximum(lung, spatial.occupancy(lungs, name, grid))
    dose = dosimetry.absorbed_dose_gy(
        np.asarray(activity.array) * np.float32(MBQ_PER_ML[activity.unit] * grid.voxel_volume_ml),
        density,
        grid.spacing_mm,
        nuclide=dosimetry.get_nuclide(nuclide) if isinstance(nuclide, str) else nuclide,
        method=method,
        lung=lung,
        medium_density_g_per_ml=medium_density_g_per_ml,
    )
    return Volume(dose, grid, unit="Gy")


def _density(given: float | Volume) -> float | Float32[np.ndarray, "i j k"]:
    """Returns densities that can be those of tissue in g/mL."""
    if not isinstance(given, Volume):
        return _check_density("the density", given)
    if given.unit != "g/mL":
        raise InputError(
            f"the density image is in {given.unit!r}; expected 'g/mL': convert a CT in HU with "
            "dosimetry.density_g_per_ml and the curve of dosimetry.get_density_curve"
        )
    values = np.asarray(given.array, np.float32)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > LARGEST_G_PER_ML:
        raise InputError(
            f"the density image: expected finite values from 0 to {LARGEST_G_PER_ML:g} g/mL, got {values.min():g} to "
            f"{values.max():g}; check its unit"
        )
    return values


def _check_density(what: str, value: float) -> float:
    if not 0 < value <= LARGEST_G_PER_ML:
        raise InputError(
            f"{what}: expected a value above 0 and at most {LARGEST_G_PER_ML:g} g/mL, got {value:g}; soft tissue has "
            "about 1.04"
        )
    return value


def dose_volume_histogram(
    dose: Volume, mask: LabelMap, *, name: str | None = None, transform: spatial.Transform | None = None
) -> dosimetry.Dvh:
    """Computes the dose-volume histogram of a mask on its own grid.

    The mask is not resampled: the fraction of each dose voxel inside it counts, so a small lesion keeps its volume.

    Args:
      dose: absorbed dose in Gy, (i, j, k).
      mask: label map, on any grid.
      name: label of the mask; not required if it has one label.
      transform: maps points of the dose image to the mask's image (LPS mm); identity by default.

    Returns:
      The histogram; `mean_gy`, `dose_at_percent_gy(70)` and `volume_ml` are its usual figures.

    Raises:
      InputError: the dose is not in Gy, or the mask has several labels and no name is given.
      GeometryError: the label does not exist, or more than 1 % of it is outside the dose image.

    Examples:
      >>> import numpy as np
      >>> import sirtjax as sj
      >>> grid = sj.Geometry.from_axes((8, 8, 8), spacing_mm=(3.0, 3.0, 3.0), origin_mm=(0.0, 0.0, 0.0))
      >>> dose = sj.Volume(np.full(grid.shape, 120.0, np.float32), grid, unit="Gy")
      >>> inside = np.zeros(grid.shape, bool)
      >>> inside[2:6, 2:6, 2:6] = True
      >>> dvh = sj.dose_volume_histogram(dose, sj.LabelMap.from_mask(inside, grid, name="lesion"))
      >>> round(float(dvh.mean_gy), 3), round(float(dvh.dose_at_percent_gy(70)), 3)
      (120.0, 120.0)
    """
    if dose.unit != "Gy":
        raise InputError(f"the dose image is in {dose.unit!r}; expected Gy")
    names = [one for _, one in mask.names]
    if name is None:
        if len(names) != 1:
            raise InputError(f"the mask has {len(names)} labels ({', '.join(names)}); choose one by its name")
        name = names[0]
    weight = spatial.occupancy(mask, name, dose.geometry, transform=transform)
    return dosimetry.dvh_from_arrays(
        np.asarray(dose.array), weight, dose.geometry.voxel_volume_ml, name=name, voi_volume_ml=mask.volume_ml(name)
    )
