"""Step 6: activity and VOIs on one working grid, in the frame of the activity image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sirtjax import spatial
from sirtjax.errors import ConfigError, GeometryError
from sirtjax.volume import Geometry, LabelMap, Volume
from sirtjax.workflows._case import Frame
from sirtjax.workflows._images import CaseImages
from sirtjax.workflows._vois import Voi

Array = NDArray[np.float32]

# Working grids have one of these shapes, so that a second patient runs what the first one compiled. The first
# holds liver and lungs of an adult at 3 mm (480 x 336 x 480 mm) with factors that suit an FFT.
GRID_SHAPES = ((160, 112, 160), (192, 160, 192), (256, 224, 256), (320, 288, 320))
MARGIN_MM = 15.0
SEARCH_SPACING_MM = 6.0
# What the one territory of a case without territories is called.
WHOLE_LIVER = "whole liver"
# A VOI must arrive whole: below the first fraction of its volume it is refused, below the second noted.
REFUSED_FRACTION, NOTED_FRACTION = 0.5, 0.98


@dataclass(frozen=True)
class MappedCase:
    """Everything the dose needs, on one working grid.

    Attributes:
      geometry: the working grid, in the frame of the activity image.
      activity: (i, j, k) in the unit of the activity image, its total conserved.
      occupancy: per VOI name, the fraction of each voxel inside it, (i, j, k) in [0, 1].
      drawn_ml: per VOI name, its volume as drawn.
      ct_hu: (i, j, k) the CT, or None.
      activity_in_grid: fraction of the activity image's total that lies inside the grid.
      notes: sentences about what was resampled or cut.
      carried_ml: per name of a VOI drawn on the diagnostic image, its volume once the transform has carried it, whether
        or not the activity image reaches that far.
    """

    geometry: Geometry
    activity: Volume
    occupancy: dict[str, Array]
    drawn_ml: dict[str, float]
    ct_hu: Volume | None
    activity_in_grid: float
    notes: tuple[str, ...]
    carried_ml: dict[str, float] = field(default_factory=dict)


def map_case(
    images: CaseImages,
    vois: Sequence[Voi],
    territories: LabelMap | None,
    territory_frame: Frame,
    transform: spatial.Transform,
    *,
    spacing_mm: float | str,
) -> MappedCase:
    """Carry activity, CT, VOIs and territories to the working grid.

    Args:
      images: the images of the case.
      vois: liver first, then lesions and lungs, each in its frame.
      territories: the perfusion territories, or None for one that is the whole liver.
      territory_frame: "activity" or "diagnostic".
      transform: pull transform from the activity frame to the diagnostic frame.
      spacing_mm: voxel size of the working grid, or "activity" for the activity image's own.

    Raises:
      GeometryError: more than half of a VOI falls outside the activity image.
      ConfigError: two VOIs have the same name, or one has that of a VOI made from others.
    """
    placed = [(voi.name, voi.labels, voi.frame) for voi in vois]
    if territories is not None:
        placed += [(name, territories, territory_frame) for _, name in territories.names]
    _check_names([name for name, _, _ in placed], [] if territories is None else [n for _, n in territories.names])
    transforms: dict[str, spatial.Transform | None] = {"activity": None, "diagnostic": transform}
    region = [(name, labels, transforms[frame]) for name, labels, frame in placed]
    grid = working_grid(images.activity.volume.geometry, region, spacing_mm=spacing_mm)

    seen = _field_of_view(images.activity.volume.geometry, grid)
    occupancy: dict[str, Array] = {}
    drawn_ml: dict[str, float] = {}
    carried_ml: dict[str, float] = {}
    notes = _grid_notes(images, [(voi.name, voi.labels, voi.frame) for voi in vois])
    for name, labels, pull in region:
        share = spatial.occupancy(labels, name, grid, transform=pull)
        if pull is not None:
            carried_ml[name] = float(share.sum(dtype=np.float64)) * grid.voxel_volume_ml
        occupancy[name] = share * seen
        drawn_ml[name] = labels.volume_ml(name)
        arrived = float(occupancy[name].sum(dtype=np.float64)) * grid.voxel_volume_ml / drawn_ml[name]
        notes += _arrival_notes(name, labels, arrived, moved=pull is not None)
    activity = spatial.resample_activity(images.activity.volume, grid)
    ct_hu = None
    if images.ct is not None:
        ct_hu = spatial.resample(images.ct.volume, grid, order="linear", fill=-1000.0, antialias=True)
    return MappedCase(
        geometry=grid,
        activity=activity,
        occupancy=occupancy,
        drawn_ml=drawn_ml,
        ct_hu=ct_hu,
        activity_in_grid=_total(activity) / _total(images.activity.volume),
        notes=tuple(notes),
        carried_ml=carried_ml,
    )


def _check_names(names: Sequence[str], territories: Sequence[str]) -> None:
    made = {
        "normal liver",
        "lesions",
        WHOLE_LIVER,
        f"normal {WHOLE_LIVER}",
        *(f"normal {name}" for name in territories),
    }
    made |= {"liver", "lungs"} & set(territories)
    twice = sorted({name for name in names if names.count(name) > 1 or name in made})
    if twice:
        raise ConfigError(
            f"two VOIs are named {', '.join(map(repr, twice))} (liver, lungs, lesions, territories, normal tissue); "
            'name them apart by `labels = { 1 = "..." }` in the case'
        )


def working_grid(
    activity: Geometry,
    region: Sequence[tuple[str, LabelMap, spatial.Transform | None]],
    *,
    spacing_mm: float | str,
) -> Geometry:
    """The smallest of the fixed grids, along the activity image's axes, that holds the VOIs with a margin.

    Raises:
      GeometryError: the VOIs lie outside the activity image, or no grid is large enough.
    """
    axes, native_mm = _world_ordered_axes(activity)
    spacing = np.asarray(native_mm) if spacing_mm == "activity" else np.full(3, float(spacing_mm))
    search = _search_grid(activity, axes)
    inside = np.zeros(search.shape, bool)
    for name, labels, transform in region:
        found = spatial.occupancy(labels, name, search, transform=transform) > 0
        if not found.any():
            raise GeometryError(
                f"the {name} lies outside the activity image ({activity}); is its mask on the right image, "
                "and is the registration right?"
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


def _field_of_view(activity: Geometry, grid: Geometry) -> NDArray[np.bool_]:
    """Which voxels of the working grid have their centre in the activity image; the others show no counts."""
    place = activity.voxel_from_world @ grid.affine
    i, j, k = np.ogrid[tuple(slice(n) for n in grid.shape)]
    inside = np.ones(grid.shape, bool)
    for row, size in zip(place[:3], activity.shape, strict=True):
        index = row[0] * i + row[1] * j + row[2] * k + row[3]
        inside &= (index >= -0.5) & (index <= size - 0.5)
    return inside


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


def _grid_notes(images: CaseImages, placed: Sequence[tuple[str, LabelMap, Frame]]) -> list[str]:
    """A sentence for each mask whose grid is not that of an image of its frame: it may be of another series."""
    grids = {
        "activity": [image.volume.geometry for image in (images.activity, images.ct) if image is not None],
        "diagnostic": [image.volume.geometry for image in (images.diagnostic,) if image is not None],
    }
    return [
        f"the mask of the {name} is on a grid of its own ({labels.geometry}), not on that of its image; resampled"
        for name, labels, frame in placed
        if not any(labels.geometry.matches(grid) for grid in grids[frame])
    ]


def _arrival_notes(name: str, labels: LabelMap, arrived: float, *, moved: bool) -> list[str]:
    if arrived < REFUSED_FRACTION:
        raise GeometryError(
            f"only {arrived:.0%} of the {name} ({labels.volume_ml(name):.1f} mL) lies inside the activity image; "
            "check the mask's image and the registration, or image the whole liver"
        )
    if arrived < NOTED_FRACTION and not moved:
        return [f"{1 - arrived:.1%} of the {name} lies outside the activity image and is not counted"]
    return []


def _total(volume: Volume) -> float:
    """Counts are per voxel, everything else is a concentration."""
    amount = 1.0 if volume.unit == "counts" else volume.geometry.voxel_volume_ml
    return float(np.asarray(volume.array).sum(dtype=np.float64)) * amount
