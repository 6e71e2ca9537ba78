from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sirtjax import spatial
from sirtjax.errors import GeometryError
from sirtjax.volume import Geometry, LabelMap

# Working grids have one of these shapes, so that a second patient runs what the first one compiled. The first
# holds liver and lungs of an adult at 3 mm (480 x 336 x 480 mm) with factors that suit an FFT.
GRID_SHAPES = ((160, 112, 160), (192, 160, 192), (256, 224, 256), (320, 288, 320))
MARGIN_MM = 15.0
SEARCH_SPACING_MM = 6.0


def dose_grid(
    activity: Geometry,
    region: Sequence[tuple[str, LabelMap, spatial.Transform | None]],
    *,
    spacing_mm: float | str,
) -> Geometry:
    """Returns the smallest of the fixed grids that contains the VOIs with a margin.

    Its axes are those of the activity image.

    Raises:
      GeometryError: a VOI is empty, the VOIs lie outside the activity image, or no grid is large enough.
    """
    axes, native_mm = _world_ordered_axes(activity)
    spacing = np.asarray(native_mm) if spacing_mm == "activity" else np.full(3, float(spacing_mm))
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
    for shape in GRID_SHAPES:
        if (np.asarray(shape) * spacing >= extent_mm).all():
            # Whole voxels of the activity image apart, so that an equal spacing makes the grids coincide.
            centre = (low + high) / 2 - axes @ ((np.asarray(shape) - 1) / 2 * spacing)
            steps = np.round((centre - np.asarray(activity.origin_mm)) @ axes / native_mm)
            origin = np.asarray(activity.origin_mm) + axes @ (steps * native_mm)
            return Geometry.from_axes(shape, spacing_mm=spacing.tolist(), origin_mm=origin.tolist(), direction=axes)
    largest = " x ".join(f"{n * s:.0f}" for n, s in zip(GRID_SHAPES[-1], spacing, strict=True))
    needed = " x ".join(f"{mm:.0f}" for mm in extent_mm)
    raise GeometryError(
        f"the VOIs span {needed} mm, the largest working grid at this spacing {largest} mm; raise dose.spacing_mm"
    )


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
