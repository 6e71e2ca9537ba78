from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sirtjax import spatial
from sirtjax.errors import GeometryError
from sirtjax.volume import Geometry, LabelMap

# Working grids have one of these shapes, so that a second patient runs what the first one compiled. Their sizes have
# factors that suit an FFT. The first holds liver and lungs of an adult at 3 mm (480 x 336 x 480 mm).
GRID_SHAPES = ((160, 112, 160), (192, 160, 192), (256, 224, 256), (320, 288, 320))
# Those of a grid whose voxels suit the lesions: in the proportions of a liver with its margin, up to the memory limit.
# The last needs 59 MB per map, of which a plan has about 25. A larger one is only used for an image with fine voxels.
LESION_SHAPES = ((96, 80, 96), (128, 112, 128), (160, 144, 160), (216, 184, 216), (256, 224, 256))
# Voxels per radius of the smallest lesion, and the finest voxel: the kernel reaches 32 voxels at most.
VOXELS_PER_RADIUS, FINEST_MM = 5.0, 0.4
MARGIN_MM = 15.0
SEARCH_SPACING_MM = 6.0


def dose_grid(
    activity: Geometry,
    region: Sequence[tuple[str, LabelMap, spatial.Transform | None]],
    *,
    spacing_mm: float | str,
    smallest_radius_mm: float = math.inf,
) -> Geometry:
    """Returns the smallest of the fixed grids that contains the VOIs with a margin.

    Its axes are those of the activity image.

    Args:
      activity: grid of the activity image.
      region: name, mask and transform (activity image to mask) of each VOI.
      spacing_mm: voxel size; "activity" for that of the activity image; "auto" for whole fractions of it, none larger
        than a fifth of the smallest radius, as far as the memory limit permits.
      smallest_radius_mm: radius of the smallest lesion, for "auto".

    Raises:
      GeometryError: a VOI is empty, the VOIs lie outside the activity image, or no grid is large enough.
    """
    axes, native_mm = _world_ordered_axes(activity)
    search = _search_grid(activity, axes)
    inside = np.zeros(search.shape, bool)
    for name, mask, contoured_on, transform in _unions(region):
        found = spatial.mask_occupancy(mask, contoured_on, search, transform=transform) > 0
        if not found.any():
            raise GeometryError(
                f"the {name} is outside the activity image ({activity}); check its mask, its image and the registration"
            )
        inside |= found
    index = np.argwhere(inside)
    low, high = search.to_world(index.min(0) - 0.5), search.to_world(index.max(0) + 0.5)
    extent_mm = (high - low) @ axes + 2 * MARGIN_MM
    shapes: tuple[tuple[int, int, int], ...] = GRID_SHAPES
    if spacing_mm == "auto":
        spacing = _spacing_for_lesions(native_mm, extent_mm, smallest_radius_mm)
        shapes = (*LESION_SHAPES, GRID_SHAPES[-1])
    else:
        spacing = np.asarray(native_mm) if spacing_mm == "activity" else np.full(3, float(spacing_mm))
    for shape in shapes:
        if (np.asarray(shape) * spacing >= extent_mm).all():
            # Whole voxels of the activity image apart, from the face of one, so that an equal spacing makes the grids
            # coincide and a whole fraction of it divides the voxels.
            inset = (spacing - native_mm) / 2 if spacing_mm == "auto" else np.zeros(3)
            centre = (low + high) / 2 - axes @ ((np.asarray(shape) - 1) / 2 * spacing)
            steps = np.round((centre - np.asarray(activity.origin_mm)) @ axes / native_mm)
            origin = np.asarray(activity.origin_mm) + axes @ (steps * native_mm + inset)
            return Geometry.from_axes(shape, spacing_mm=spacing.tolist(), origin_mm=origin.tolist(), direction=axes)
    largest = " x ".join(f"{n * s:.0f}" for n, s in zip(GRID_SHAPES[-1], spacing, strict=True))
    needed = " x ".join(f"{mm:.0f}" for mm in extent_mm)
    raise GeometryError(
        f"the VOIs span {needed} mm, the largest working grid at this spacing {largest} mm; raise dose.spacing_mm"
    )


def dividing_axes(image: Geometry, grid: Geometry) -> tuple[int, int, int] | None:
    """Returns the grid's axis along each axis of the image if it divides the voxels into whole parts.

    Args:
      image: grid of the activity image.
      grid: dose grid.

    Returns:
      Axis numbers, or None if a voxel of the grid is in several voxels of the image.
    """
    place = image.voxel_from_world @ grid.affine
    found = np.abs(place[:3, :3]).argmax(axis=1)
    step = place[np.arange(3), found]
    others = np.abs(place[:3, :3]).sum(axis=1) - np.abs(step)
    parts = 1 / np.abs(step)
    first = (place[:3, 3] - 0.5 * np.sign(step) * (np.abs(step) - 1)) % 1.0
    whole = np.abs(parts - np.round(parts)).max() < 1e-4 and np.minimum(first, 1 - first).max() < 1e-3
    if sorted(found) != [0, 1, 2] or others.max() > 1e-6 or not whole:
        return None
    return int(found[0]), int(found[1]), int(found[2])


def _spacing_for_lesions(
    native_mm: NDArray[np.float64], extent_mm: NDArray[np.float64], radius_mm: float
) -> NDArray[np.float64]:
    """Whole fractions of the voxels of the image, as fine as the smallest lesion needs or the memory limit permits."""
    wanted_mm = max(radius_mm / VOXELS_PER_RADIUS, FINEST_MM)
    parts = np.maximum(np.ceil(native_mm / wanted_mm - 1e-6), 1.0)
    while (parts > 1).any() and (np.asarray(LESION_SHAPES[-1]) * native_mm / parts < extent_mm).any():
        # The finest of the axes that can be coarser.
        axis = int(np.where(parts > 1, native_mm / parts, np.inf).argmin())
        parts[axis] -= 1
    return native_mm / parts


def _unions(
    region: Sequence[tuple[str, LabelMap, spatial.Transform | None]],
) -> list[tuple[str, NDArray[np.bool_], Geometry, spatial.Transform | None]]:
    """The VOIs of one grid and transform as one mask, which is warped once for all, under the first one's name."""
    unions: list[tuple[str, NDArray[np.bool_], Geometry, spatial.Transform | None]] = []
    for name, labels, transform in region:
        own = labels.mask(name)
        if not own.any():
            raise GeometryError(f"the mask of the {name} is empty; contour it or omit it from the case")
        for _, mask, contoured_on, pull in unions:
            if pull is transform and labels.geometry.matches(contoured_on):
                mask |= own
                break
        else:
            unions.append((name, own, labels.geometry, transform))
    return unions


def _world_ordered_axes(geometry: Geometry) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Orthonormal axes nearest to the grid's own, permuted and flipped to run along +x, +y, +z, with spacings."""
    left, _, right = np.linalg.svd(geometry.direction)
    square = left @ right
    remaining = [0, 1, 2]
    columns: list[NDArray[np.float64]] = []
    spacing: list[float] = []
    for world in (2, 1, 0):
        column = max(remaining, key=lambda c: abs(square[world, c]))
        remaining.remove(column)
        columns.insert(0, square[:, column] * np.sign(square[world, column]))
        spacing.insert(0, geometry.spacing_mm[column])
    return np.stack(columns, axis=1), np.asarray(spacing)


def _search_grid(activity: Geometry, axes: NDArray[np.float64]) -> Geometry:
    corners = activity.corners_mm() @ axes
    low, high = corners.min(0), corners.max(0)
    shape = np.maximum(np.ceil((high - low) / SEARCH_SPACING_MM), 1).astype(int)
    origin = axes @ (low + SEARCH_SPACING_MM / 2)
    return Geometry.from_axes(
        shape.tolist(), spacing_mm=(SEARCH_SPACING_MM,) * 3, origin_mm=origin.tolist(), direction=axes
    )
