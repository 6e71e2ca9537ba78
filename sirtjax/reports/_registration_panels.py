"""The pictures of a registration: before and after, contours, the deformation, the change of volume."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sirtjax.reports._registration_paint import (
    Colours,
    Grey,
    checkerboard,
    grey_window,
    greys,
    neutral,
    png_uri,
    ratio_colours,
    tinted,
)
from sirtjax.reports._registration_planes import (
    Plane,
    enlarged,
    moved_points_mm,
    planes_for,
    sample_at,
    volume_ratio,
)
from sirtjax.reports._registration_svg import Stroke, Tile, row_svg
from sirtjax.spatial import Transform, default_fill, identity
from sirtjax.volume import LabelMap, Volume

if TYPE_CHECKING:
    from sirtjax.registration import RegistrationResult

# Pixels of a row, all planes together, and spacing of the points where lines and volume ratios are found.
ROW_PIXELS = 1000
FINEST_MM, LINE_MM = 0.6, 2.0
GRID_MM = 10.0
LIVER_COLOUR = "#2ee6a8"
COLOURS = ("#ff4fd8", "#ffb020", "#35d0ff", "#c8ff3d", "#ff6b5e", "#b79cff", "#ffffff", "#7fd1c7")
GRID_COLOUR = "#ffd23f"
DIM = 0.55
# How much of the anatomy shows through the colours of the volume change.
ANATOMY = 0.38


@dataclass(frozen=True, kw_only=True)
class RegistrationPanel:
    """One row of images for an HTML page.

    Attributes:
      key: content of the panel: "before", "after", "contours_reference", "contours_warped", "grid" or "jacobian".
      title: heading.
      caption: explanation of the images, in one or two sentences.
      svg: inline SVG without external resources.
    """

    key: str
    title: str
    caption: str
    svg: str


@dataclass(frozen=True, kw_only=True)
class _Cut:
    """One plane with everything seen in it."""

    plane: Plane
    step_mm: float
    reference: Grey
    before: Grey
    after: Grey
    masks: Mapping[str, Grey]
    masks_before: Mapping[str, Grey]
    masks_after: Mapping[str, Grey]
    moved_mm: NDArray[np.float32]
    ratio: Grey


def registration_panels(
    result: RegistrationResult,
    reference: Volume,
    floating: Volume,
    reference_masks: Mapping[str, LabelMap],
    floating_masks: Mapping[str, LabelMap],
    *,
    before: Transform | None = None,
) -> tuple[RegistrationPanel, ...]:
    """Returns images of a registration, in axial, coronal and sagittal planes through the liver.

    The planes are those of the reference.

    Shown as radiologists expect: the patient's right on the left of the picture, head up.

    Args:
      result: result of the registration.
      reference: image whose frame is used.
      floating: image registered to it.
      reference_masks: label maps by name, each with a label of that name, on any grid in the frame of the reference.
      floating_masks: label maps of the floating image by name, each with a label of that name.
      before: initial transform of the registration. Default: identity, the images in their own coordinates.

    Returns:
      The panels, in the order of display.
    """
    focus = _focus(reference_masks)
    planes = planes_for(reference.geometry, reference_masks, result.transform, focus=focus)
    step_mm = max(FINEST_MM, sum(plane.size_mm[0] for plane in planes) / ROW_PIXELS)
    start = identity() if before is None else before
    sides = (reference, floating, reference_masks, floating_masks)
    cuts = _windowed([_cut(plane, step_mm, sides, start, result.transform) for plane in planes], reference, floating)
    names = sorted({*reference_masks, *floating_masks}, key=lambda name: (name != "liver", name))
    colours = mask_colours(names)

    def panel(key: str, title: str, caption: str, draw: Callable[[_Cut], Tile]) -> RegistrationPanel:
        return RegistrationPanel(
            key=key, title=title, caption=caption, svg=row_svg([draw(c) for c in cuts], title=title)
        )

    where = "at their own coordinates" if before is None else "at the provided start"
    return (
        panel(
            "before",
            "Before",
            f"Checkerboard of the two images {where}: grey squares reference, tinted squares floating.",
            lambda cut: _tile(cut, checkerboard(cut.reference, cut.before, cut.step_mm)),
        ),
        panel(
            "after",
            "After",
            "The same after registration: edges agree where they continue across the squares.",
            lambda cut: _tile(cut, checkerboard(cut.reference, cut.after, cut.step_mm)),
        ),
        panel(
            "contours_reference",
            "Contours on the reference",
            "Solid: masks contoured on the reference. Dashed: warped masks of the floating image.",
            lambda cut: _contoured(_tile(cut, neutral(cut.reference)), cut, colours),
        ),
        panel(
            "contours_warped",
            "Contours on the warped floating image",
            "The same contours on the warped floating image. Thin dots: its masks before registration.",
            lambda cut: _contoured(_tile(cut, tinted(cut.after)), cut, colours, before=True),
        ),
        panel(
            "grid",
            "Deformation grid",
            f"Lines {GRID_MM:g} mm apart and straight in the floating image, drawn on the warped image; motion "
            "across a plane does not show in it.",
            _grid_tile,
        ),
        panel("jacobian", "Local volume change", _ratio_caption(cuts, focus), _ratio_tile),
    )


def mask_colours(names: Sequence[str]) -> dict[str, str]:
    """Returns a colour for each mask: a fixed one for the liver, the others in turn."""
    others = [name for name in names if name != "liver"]
    colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(others)}
    return {name: colours.get(name, LIVER_COLOUR) for name in names}


def _focus(masks: Mapping[str, LabelMap]) -> str | None:
    """Returns the liver, otherwise the largest mask; None if all masks are empty."""
    volumes = {name: labels.volume_ml(name) for name, labels in masks.items()}
    drawn = {name: volume for name, volume in volumes.items() if volume > 0}
    if not drawn:
        return None
    return "liver" if "liver" in drawn else max(drawn, key=drawn.__getitem__)


def _cut(
    plane: Plane,
    step_mm: float,
    sides: tuple[Volume, Volume, Mapping[str, LabelMap], Mapping[str, LabelMap]],
    start: Transform,
    transform: Transform,
) -> _Cut:
    reference, floating, reference_masks, floating_masks = sides
    points, coarse = plane.points_mm(step_mm), plane.points_mm(LINE_MM)
    moved, started = moved_points_mm(transform, coarse), moved_points_mm(start, coarse)
    finely = points + enlarged(moved - coarse, points.shape[:2])

    def image(volume: Volume, places: NDArray[np.float32]) -> Grey:
        return sample_at(volume.array, volume.geometry, places, fill=default_fill(volume.unit))

    def masks(maps: Mapping[str, LabelMap], places: NDArray[np.float32]) -> dict[str, Grey]:
        return {name: _mask_at(labels, name, places) for name, labels in maps.items()}

    return _Cut(
        plane=plane,
        step_mm=step_mm,
        reference=image(reference, points),
        before=image(floating, moved_points_mm(start, points)),
        after=image(floating, finely),
        masks=masks(reference_masks, coarse),
        masks_before=masks(floating_masks, started),
        masks_after=masks(floating_masks, moved),
        moved_mm=moved,
        ratio=volume_ratio(transform, plane, LINE_MM, moved_mm=moved),
    )


def _mask_at(labels: LabelMap, name: str, places: NDArray[np.float32]) -> Grey:
    return sample_at(labels.mask(name).view(np.uint8), labels.geometry, places, fill=0)


def _windowed(cuts: list[_Cut], reference: Volume, floating: Volume) -> list[_Cut]:
    """The images of all planes in the same grey scale, each image in its own."""
    of_reference = grey_window(np.concatenate([cut.reference.ravel() for cut in cuts]), reference.unit)
    of_floating = grey_window(np.concatenate([cut.after.ravel() for cut in cuts]), floating.unit)
    return [
        replace(
            cut,
            reference=greys(cut.reference, of_reference),
            before=greys(cut.before, of_floating),
            after=greys(cut.after, of_floating),
        )
        for cut in cuts
    ]


def _tile(cut: _Cut, colours: Colours) -> Tile:
    return Tile(plane=cut.plane, picture=png_uri(colours))


def _contoured(tile: Tile, cut: _Cut, colours: Mapping[str, str], *, before: bool = False) -> Tile:
    for name, colour in colours.items():
        if before and name in cut.masks_before:
            tile.draw_level(cut.masks_before[name], 0.5, Stroke(colour=colour, width=1.5, dots=True))
        if name in cut.masks:
            tile.draw_level(cut.masks[name], 0.5, Stroke(colour=colour))
        if name in cut.masks_after:
            tile.draw_level(cut.masks_after[name], 0.5, Stroke(colour=colour, dashed=True))
    return tile


def _grid_tile(cut: _Cut) -> Tile:
    tile = _tile(cut, neutral(DIM * cut.after))
    for axis in (cut.plane.column_axis, cut.plane.row_axis):
        values = cut.moved_mm[..., axis]
        first, last = np.ceil(values.min() / GRID_MM), np.floor(values.max() / GRID_MM)
        levels = (GRID_MM * np.arange(first, last + 1)).tolist()
        tile.draw_levels(values, levels, Stroke(colour=GRID_COLOUR, width=0.9, opacity=0.85))
    return tile


def _ratio_tile(cut: _Cut) -> Tile:
    colours = ratio_colours(cut.ratio)
    rows, columns = cut.reference.shape
    # Nearest neighbours, so that folded voxels retain their colour.
    row = np.minimum(np.arange(rows) * colours.shape[0] // rows, colours.shape[0] - 1)
    column = np.minimum(np.arange(columns) * colours.shape[1] // columns, colours.shape[1] - 1)
    over = colours[row[:, None], column[None, :]].astype(np.float32)
    picture = over * (1 - ANATOMY + ANATOMY * cut.reference[..., None])
    tile = _tile(cut, picture.astype(np.uint8))
    for values in cut.masks.values():
        tile.draw_level(values, 0.5, Stroke(colour="#1f2328", width=1.2))
    return tile


def _ratio_caption(cuts: Sequence[_Cut], focus: str | None) -> str:
    inside = [cut.ratio if focus is None else cut.ratio[cut.masks[focus] >= 0.5] for cut in cuts]
    values = np.concatenate([ratio.ravel() for ratio in inside])
    place = "in these planes" if focus is None else f"inside the {focus} of these planes"
    reach = f" From {values.min():.2f} to {values.max():.2f} {place}." if values.size else ""
    return (
        "Volume in the floating image per volume in the reference (determinant of the whole transform's Jacobian): "
        f"1 unchanged, above 1 larger in the floating image, magenta folded.{reach}"
    )
