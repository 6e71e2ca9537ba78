"""The search for uptake outside the liver on an activity image: connected regions above a threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32
from numpy.typing import NDArray
from scipy import ndimage

from sirtjax import ops
from sirtjax.errors import InputError
from sirtjax.volume import Geometry

# A region is named after an organ if at least this fraction of its volume is in the mask of the organ.
NAMED_FRACTION = 0.5
# A direction is named if it has at least this part of the distance: within 66 degrees of its axis.
NAMED_PART = 0.4
# Names of both directions of each LPS axis, positive first.
DIRECTIONS = (("left", "right"), ("posterior", "anterior"), ("cranial", "caudal"))
# The order in which directions are said.
SAID = (2, 1, 0)


@dataclass(frozen=True, kw_only=True, eq=False)
class UptakeRegion:
    """One connected region of uptake outside the liver.

    Attributes:
      mask: (i, j, k) the region on the grid of the activity image.
      volume_ml: volume of the region.
      counts_fraction: fraction of all counts of the image in the region.
      liver_counts_ratio: counts of the region divided by those of the liver.
      mean_ratio: mean of the region divided by that of the liver.
      max_ratio: maximum of the region divided by the mean of the liver.
      centroid_mm: (x, y, z) centroid weighted by counts, LPS.
      liver_distance_mm: distance from the centroid to the nearest voxel of the liver; from the nearest voxel of the
        region, if the centroid is outside it.
      organ: mask that contains at least half of the region; None if there is none.
      organ_fraction: fraction of the region in the mask that contains most of it; 0 without a mask.
      site: name of the organ, or direction and distance from the liver.
    """

    mask: Bool[np.ndarray, "i j k"]
    volume_ml: float
    counts_fraction: float
    liver_counts_ratio: float
    mean_ratio: float
    max_ratio: float
    centroid_mm: tuple[float, float, float]
    liver_distance_mm: float
    organ: str | None
    organ_fraction: float
    site: str


def find_uptake(
    counts: Float32[np.ndarray, "i j k"],
    geometry: Geometry,
    *,
    liver: Bool[np.ndarray, "i j k"],
    excluded: Bool[np.ndarray, "i j k"],
    organs: Mapping[str, Bool[np.ndarray, "i j k"]],
    threshold_fraction: float,
    margin_mm: float,
    min_ml: float,
) -> tuple[UptakeRegion, ...]:
    """Finds connected regions of uptake outside the liver and its blurred edge.

    Args:
      counts: activity image; any unit that is proportional to the activity per volume.
      geometry: grid of the image.
      liver: voxels of the liver.
      excluded: voxels that are not searched, such as the lungs.
      organs: voxels of organs after which a region can be named.
      threshold_fraction: a voxel belongs to a region from this fraction of the mean of the liver.
      margin_mm: voxels within this distance of the liver are not searched, because the blurred liver reaches them.
      min_ml: smallest volume of a region.

    Returns:
      Regions with the most counts first. Voxels are connected through their faces.

    Raises:
      InputError: the liver has no voxel or no counts.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import workflows
      >>> from sirtjax.volume import Geometry
      >>> grid = Geometry.from_axes((30, 10, 10), spacing_mm=(5.0, 5.0, 5.0))
      >>> counts = np.zeros(grid.shape, np.float32)
      >>> counts[:12], counts[22:25, 4:7, 4:7] = 100.0, 40.0
      >>> (only,) = workflows.find_uptake(
      ...     counts, grid, liver=counts == 100, excluded=counts < 0, organs={}, threshold_fraction=0.2, margin_mm=20.0,
      ...     min_ml=1.0,
      ... )
      >>> only.site, round(only.volume_ml, 1), round(only.mean_ratio, 2)
      ('left of the liver, 60 mm from its edge', 3.4, 0.4)
    """
    values = np.asarray(counts, np.float32)
    liver_mean = float(values[liver].mean(dtype=np.float64)) if liver.any() else 0.0
    if liver_mean <= 0:
        raise InputError("search for uptake: the liver has no counts in the activity image; check its mask")
    outside_mm, nearest = ndimage.distance_transform_edt(
        ~liver, sampling=np.asarray(geometry.spacing_mm), return_indices=True
    )
    searched = (outside_mm > margin_mm) & ~excluded
    labels = ops.components(searched & (values >= threshold_fraction * liver_mean))
    volumes_ml = np.bincount(labels.ravel()) * geometry.voxel_volume_ml
    volumes_ml[0] = 0.0
    total, in_liver = float(values.sum(dtype=np.float64)), float(values[liver].sum(dtype=np.float64))
    found = []
    # Rounding of the voxel volume must not drop a region of exactly this volume.
    for number in np.flatnonzero(volumes_ml >= min_ml * (1 - 1e-6)):
        mask = labels == number
        inside = values[mask].astype(np.float64)
        index = np.argwhere(mask).T @ inside / inside.sum()
        centroid = np.asarray(geometry.to_world(index), float)
        place = _place_in(mask, index)
        i, j, k = np.rint(place).astype(int)
        start = geometry.to_world(np.asarray(nearest[:, i, j, k], float))
        from_liver_mm = np.asarray(geometry.to_world(place), float) - np.asarray(start)
        organ, overlap = _largest_overlap(mask, organs)
        found.append(
            UptakeRegion(
                mask=mask,
                volume_ml=float(volumes_ml[number]),
                counts_fraction=float(inside.sum()) / total,
                liver_counts_ratio=float(inside.sum()) / in_liver,
                mean_ratio=float(inside.mean()) / liver_mean,
                max_ratio=float(inside.max()) / liver_mean,
                centroid_mm=(float(centroid[0]), float(centroid[1]), float(centroid[2])),
                liver_distance_mm=float(np.linalg.norm(from_liver_mm)),
                organ=organ if overlap >= NAMED_FRACTION else None,
                organ_fraction=overlap,
                site=_site(from_liver_mm, organ, overlap),
            )
        )
    return tuple(sorted(found, key=lambda one: -one.counts_fraction))


def _place_in(mask: NDArray[np.bool_], index: NDArray[np.float64]) -> NDArray[np.float64]:
    """The centroid, or the voxel of the region nearest to it: that of a shell around the liver is in the liver."""
    i, j, k = np.rint(index).astype(int)
    if mask[i, j, k]:
        return index
    voxels = np.argwhere(mask).astype(float)
    nearest: NDArray[np.float64] = voxels[int(np.argmin(np.linalg.norm(voxels - index, axis=1)))]
    return nearest


def _largest_overlap(mask: NDArray[np.bool_], organs: Mapping[str, NDArray[np.bool_]]) -> tuple[str | None, float]:
    """The organ that contains most of a region, and the fraction of the region in it."""
    size = int(mask.sum())
    overlaps = {name: int((mask & organ).sum()) / size for name, organ in organs.items()}
    best = max(overlaps, key=lambda name: overlaps[name], default=None)
    return (None, 0.0) if best is None or overlaps[best] == 0 else (best, overlaps[best])


def _site(from_liver_mm: NDArray[np.float64], organ: str | None, overlap: float) -> str:
    """The organ, or the direction from the nearest point of the liver; never an organ without its mask."""
    if organ is not None and overlap >= NAMED_FRACTION:
        return organ
    distance = float(np.linalg.norm(from_liver_mm))
    parts = [
        DIRECTIONS[axis][int(from_liver_mm[axis] < 0)]
        for axis in SAID
        if abs(from_liver_mm[axis]) >= NAMED_PART * distance
    ]
    partly = "" if organ is None else f"; {100 * overlap:.0f} % of it in {organ}"
    return f"{'-'.join(parts)} of the liver, {distance:.0f} mm from its edge{partly}"
