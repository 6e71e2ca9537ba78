from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sirtjax.errors import GeometryError
from sirtjax.segmentation._reference import ball_kernel
from sirtjax.volume import LabelMap, Volume

# Diameter of a sphere of 1 mL, the volume of SUVpeak.
_PEAK_DIAMETER_MM = (6000 / np.pi) ** (1 / 3)


@dataclass(frozen=True, kw_only=True)
class LesionUptake:
    """Uptake of one lesion; values in the image's unit (SUV or Bq/mL).

    Attributes:
      name: name of the lesion.
      volume_ml: volume of the lesion.
      maximum: highest voxel.
      mean: mean of its voxels.
      peak: highest mean of a 1 mL sphere centred on one of its voxels.
      total: mean times volume; the total lesion glycolysis if the unit is SUV.
    """

    name: str
    volume_ml: float
    maximum: float
    mean: float
    peak: float
    total: float


def lesion_uptake(pet: Volume, lesions: LabelMap) -> tuple[LesionUptake, ...]:
    """Returns volume, maximum, mean and 1 mL peak of each lesion's uptake.

    In the order of the map's names.

    Raises:
      GeometryError: PET and lesions are on different grids, or a named lesion has no voxel.
    """
    if not pet.geometry.matches(lesions.geometry):
        raise GeometryError(
            f"lesions ({lesions.geometry}) are not on the PET's grid ({pet.geometry}); resample them first"
        )
    kernel = ball_kernel(pet.geometry, diameter_mm=_PEAK_DIAMETER_MM)
    uptake, labels = np.asarray(pet.array, np.float64), np.asarray(lesions.array)
    return tuple(
        _measured(uptake, labels == value, name, kernel, pet.geometry.voxel_volume_ml) for value, name in lesions.names
    )


def _measured(
    uptake: np.ndarray, inside: np.ndarray, name: str, kernel: np.ndarray, voxel_volume_ml: float
) -> LesionUptake:
    from scipy.signal import oaconvolve  # loads all of SciPy's statistics, which half the commands do not need

    where = np.argwhere(inside)
    if len(where) == 0:
        raise GeometryError(f"lesion {name!r} has no voxel on the PET's grid")
    half = np.asarray(kernel.shape) // 2
    start, stop = where.min(axis=0), where.max(axis=0) + 1
    # Beyond the edge of the image the uptake is taken as that of the edge.
    low, high = np.maximum(start - half, 0), np.minimum(stop + half, uptake.shape)
    part = uptake[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    part = np.pad(part, list(zip(low - (start - half), (stop + half) - high, strict=True)), mode="edge")
    peaks = oaconvolve(part, kernel, mode="valid")
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    values, volume_ml = uptake[inside], len(where) * voxel_volume_ml
    return LesionUptake(
        name=name,
        volume_ml=volume_ml,
        maximum=float(values.max()),
        mean=float(values.mean()),
        peak=float(peaks[inside[box]].max()),
        total=float(values.mean()) * volume_ml,
    )
