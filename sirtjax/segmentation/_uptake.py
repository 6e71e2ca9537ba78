from __future__ import annotations

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray
from scipy import ndimage

from sirtjax.errors import GeometryError, InputError
from sirtjax.ops import components, distance_mm
from sirtjax.volume import Geometry, LabelMap, Volume

Mask = NDArray[np.bool_]


def dilated_mask(labels: LabelMap, *, margin_mm: float) -> Bool[np.ndarray, "i j k"]:
    """Returns all labels together, dilated by `margin_mm`: the search region for lesions, (i, j, k).

    Raises:
      InputError: the map is empty or the margin negative.
    """
    inside = np.asarray(labels.array) > 0
    if not inside.any() or margin_mm < 0:
        raise InputError(
            f"search mask: {int(inside.sum())} voxels, margin {margin_mm:g} mm; needs a mask, 0 mm or more"
        )
    if margin_mm == 0:
        return inside
    return distance_mm(inside, labels.geometry.spacing_mm) <= margin_mm


def uptake_above(
    pet: Volume, *, threshold: float, search: Bool[np.ndarray, "i j k"], min_volume_ml: float, name: str = "lesion"
) -> LabelMap:
    """Returns lesions: the connected regions at or above an uptake threshold within a search mask.

    Regions are connected by faces, and named `name`-1, -2, ... from the largest down.

    Args:
      pet: uptake in SUV or Bq/mL.
      threshold: threshold in the unit of the PET.
      search: (i, j, k) voxels in which lesions are searched, such as the liver dilated by a margin.
      min_volume_ml: volume below which regions are excluded.
      name: first part of the lesions' names.

    Returns:
      A label map on the PET's grid; without labels if there are no lesions.

    Raises:
      InputError: the threshold is not a positive number, or the uptake has NaN.
      GeometryError: the search mask has another shape.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import segmentation
      >>> from sirtjax.volume import Geometry, Volume
      >>> grid = Geometry.from_axes((8, 3, 3), spacing_mm=(10.0, 10.0, 10.0))
      >>> suv = np.ones(grid.shape, np.float32)
      >>> suv[:3], suv[6] = 5.0, 9.0  # lesions of 27 mL and 9 mL
      >>> pet, everywhere = Volume(suv, grid, unit="SUV"), np.ones(grid.shape, bool)
      >>> lesions = segmentation.uptake_above(pet, threshold=4.0, search=everywhere, min_volume_ml=10.0)
      >>> [name for _, name in lesions.names], int((lesions.array > 0).sum())
      (['lesion-1'], 27)
    """
    uptake = _checked(pet, search)
    if not (np.isfinite(threshold) and threshold > 0):
        raise InputError(f"uptake threshold must be a positive number, got {threshold}")
    return _labelled((uptake >= threshold) & search, pet.geometry, min_volume_ml, name)


def uptake_of_maximum(
    pet: Volume,
    *,
    fraction: float,
    regions: LabelMap,
    min_volume_ml: float,
) -> LabelMap:
    """Returns lesions: the voxels at or above a fraction of the maximum, in each region separately.

    Only the part connected (by faces) to the region's hottest voxel is kept. Each label of `regions` (a box
    or ball drawn around a lesion, a lesion grown by a margin) gives one lesion of the same name.

    Args:
      pet: uptake in any unit.
      fraction: fraction of the maximum, above 0 and below 1.
      regions: one region around each lesion, on the PET's grid.
      min_volume_ml: volume below which lesions are excluded.

    Returns:
      A label map on the PET's grid with the values and names of `regions` that gave a lesion.

    Raises:
      InputError: the fraction is out of range, a region is empty or its maximum not positive.
      GeometryError: the regions are on another grid.
    """
    if not 0 < fraction < 1:
        raise InputError(f"fraction of the maximum must be between 0 and 1, got {fraction}")
    if not pet.geometry.matches(regions.geometry):
        raise GeometryError(
            f"uptake regions ({regions.geometry}) are not on the PET's grid ({pet.geometry}); resample them"
        )
    labels = np.asarray(regions.array)
    uptake = _checked(pet, labels > 0)
    found = np.zeros(labels.shape, np.uint16)
    kept: list[tuple[int, str]] = []
    for value, name in regions.names:
        inside = labels == value
        if not inside.any():
            raise InputError(f"uptake region {name!r} is empty on the PET's grid; check that it overlaps the PET")
        hottest = np.unravel_index(np.argmax(np.where(inside, uptake, -np.inf)), labels.shape)
        if uptake[hottest] <= 0:
            raise InputError(f"uptake region {name!r} has no uptake: its maximum is {uptake[hottest]:g}")
        parts = components(inside & (uptake >= fraction * uptake[hottest]))
        lesion = parts == parts[hottest]
        if lesion.sum() * pet.geometry.voxel_volume_ml >= min_volume_ml:
            found[lesion] = value
            kept.append((value, name))
    return LabelMap(found, pet.geometry, names=tuple(kept))


def seed_regions(
    pet: Volume, *, threshold: float, search: Bool[np.ndarray, "i j k"], margin_mm: float, min_volume_ml: float
) -> LabelMap:
    """Returns one region per hot spot for `uptake_of_maximum`: above `threshold`, dilated by `margin_mm`.

    A voxel near several spots goes to the nearest one; the regions stay within the search mask.

    Args:
      pet: the uptake image.
      threshold: uptake in the unit of `pet` that separates the spots.
      search: (i, j, k) voxels in which spots are searched.
      margin_mm: extent of a region beyond its spot.
      min_volume_ml: volume below which spots are excluded.

    Raises:
      InputError, GeometryError: see `uptake_above`.
    """
    seeds = uptake_above(pet, threshold=threshold, search=search, min_volume_ml=min_volume_ml)
    labels = np.asarray(seeds.array)
    if not seeds.names:
        return seeds
    distance, nearest = ndimage.distance_transform_edt(
        labels == 0, sampling=pet.geometry.spacing_mm, return_indices=True
    )
    grown = np.where((distance <= margin_mm) & search, labels[tuple(nearest)], 0)
    return LabelMap(grown.astype(np.uint16), pet.geometry, names=seeds.names)


def _checked(pet: Volume, search: Mask) -> NDArray[np.floating]:
    uptake = np.asarray(pet.array)
    if uptake.shape != search.shape:
        raise GeometryError(
            f"search mask of {search.shape} on a PET of {uptake.shape} voxels; resample it to the PET's grid"
        )
    if not np.isfinite(uptake[search]).all():
        raise InputError("the PET has NaN or infinite voxels in the search mask; replace them")
    return uptake


def _labelled(mask: Mask, geometry: Geometry, min_volume_ml: float, name: str) -> LabelMap:
    parts = components(mask)
    sizes = np.bincount(parts.ravel())[1:]
    count = int((sizes * geometry.voxel_volume_ml >= min_volume_ml).sum())
    # Components come largest first, so the small ones are the last numbers.
    labels = np.where(parts <= count, parts, 0).astype(np.uint16 if count < 2**16 else np.uint32)
    names = tuple((value, f"{name}-{value}") for value in range(1, count + 1))
    return LabelMap(labels, geometry, names=names)
