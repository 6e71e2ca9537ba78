from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import iter_pixels

from sirtjax.dicom.dataset._parse import parsing, read_dataset
from sirtjax.dicom.dataset._values import number
from sirtjax.dicom.seg._frame_grid import frame_grid
from sirtjax.errors import GeometryError, ImageFormatError
from sirtjax.io import choose_names, unique_names
from sirtjax.volume import Geometry, LabelMap

_LOG = logging.getLogger(__name__)
_BITMAP_CLASS = "1.2.840.10008.5.1.4.1.1.66.4"
_LABELMAP_CLASS = "1.2.840.10008.5.1.4.1.1.66.7"


@dataclass(frozen=True, kw_only=True)
class _Segmentation:
    """The content of a DICOM SEG: one entry per frame, and the segments' numbers and names.

    Pixels stay packed in the data set until a segment is asked for: unpacked, a hundred organs fill memory.
    """

    kind: str
    size: tuple[int, int]
    dataset: Dataset
    positions_mm: NDArray[np.float64]
    segment_numbers: tuple[int, ...] | None
    orientation: NDArray[np.float64]
    pixel_spacing_mm: tuple[float, float]
    slice_spacings_mm: tuple[float, ...]
    thickness_mm: float | None
    largest_value: float
    stated_names: tuple[str, ...]
    names: dict[int, str]


def read_seg(path: str | Path, *, only: Collection[str] | None = None, threshold: float = 0.5) -> dict[str, LabelMap]:
    """Returns the segments of a DICOM Segmentation as masks on its own grid.

    Supported types: BINARY, FRACTIONAL and LABELMAP.

    Frames are placed by their position in the patient, never by their number: empty frames are commonly not
    stored, and those of several segments may be interleaved. The grid spans the stored frames. Segments may
    overlap. A segment without any voxel is left out with a note in the log.

    Args:
      path: the SEG file.
      only: names of the segments to read; None for all. A named segment that is empty is an error.
      threshold: fraction (probability or occupancy) from which a voxel of a FRACTIONAL segmentation belongs.

    Returns:
      A map with the one label 1 per segment, by segment label (repeats numbered), in the file's order.

    Raises:
      ImageFormatError: the file is not a SEG, is damaged, or has only empty segments.
      GeometryError: the frames do not lie on one regular grid.
      InputError: a name that is not there or that several segments have.
    """
    path = Path(path)
    seg = _read_segmentation(path)
    names = seg.names
    if only is not None:
        framed = set(names) if seg.segment_numbers is None else set(seg.segment_numbers)
        empty = {name for value, name in names.items() if value not in framed}
        wanted = choose_names(seg.stated_names, only, where=str(path), empty=empty)
        names = {value: name for value, name in names.items() if name in wanted}
    geometry, slices = frame_grid(
        seg.positions_mm,
        orientation=seg.orientation,
        size=seg.size,
        pixel_spacing_mm=seg.pixel_spacing_mm,
        slice_spacings_mm=seg.slice_spacings_mm,
        thickness_mm=seg.thickness_mm,
        where=str(path),
    )
    masks: dict[str, LabelMap] = {}
    without_voxel: list[str] = []
    for segment, name in names.items():
        mask = _place(path, seg, segment, geometry, slices, threshold=threshold)
        if mask.any():
            masks[name] = LabelMap.from_mask(mask, geometry, name=name)
        else:
            without_voxel.append(name)
    if without_voxel and (only is not None or not masks):
        raise ImageFormatError(f"{path}: no voxel in segment {', '.join(map(repr, without_voxel))}; choose another")
    if without_voxel:
        _LOG.warning(
            "%d of %d segments are empty and omitted: %s", len(without_voxel), len(names), ", ".join(without_voxel)
        )
    return masks


def _place(
    path: Path,
    seg: _Segmentation,
    segment: int,
    geometry: Geometry,
    slices: NDArray[np.int64],
    *,
    threshold: float,
) -> NDArray[np.bool_]:
    """The voxels of one segment, (i, j, k)."""
    if seg.segment_numbers is None:
        chosen = np.arange(len(slices))
    else:
        chosen = np.flatnonzero(np.asarray(seg.segment_numbers) == segment)
    if np.unique(slices[chosen]).size != chosen.size:
        raise ImageFormatError(
            f"{path}: segment {seg.names[segment]!r} has two frames at one position; export it again"
        )
    # Decoded first: only then is it sure that the size stated is true, and not damage that asks for all memory.
    frames = list(_frames(path, seg, chosen))
    mask = np.zeros(geometry.shape, bool)
    for values, k in zip(frames, slices[chosen], strict=True):
        if seg.kind == "LABELMAP":
            mask[:, :, k] = values == segment
        elif seg.kind == "FRACTIONAL":
            mask[:, :, k] = values >= threshold * seg.largest_value
        else:
            mask[:, :, k] = values != 0
    return mask


def _read_segmentation(path: Path) -> _Segmentation:
    dataset = read_dataset(path, "SEG")
    with parsing(path, "SEG"):
        sop_class = str(dataset.get("SOPClassUID", ""))
        if sop_class not in (_BITMAP_CLASS, _LABELMAP_CLASS):
            found = str(dataset.get("Modality", "")) or sop_class or "unknown"
            raise ImageFormatError(f"{path}: expected a SEG, found modality {found}; choose another file")
        kind = "LABELMAP" if sop_class == _LABELMAP_CLASS else str(dataset.get("SegmentationType", "")).upper()
        if kind not in ("BINARY", "FRACTIONAL", "LABELMAP"):
            raise ImageFormatError(
                f"{path}: segmentation type is {kind or 'missing'}; expected BINARY, FRACTIONAL or LABELMAP"
            )
        return _parse(path, dataset, kind)


def _parse(path: Path, dataset: Dataset, kind: str) -> _Segmentation:
    shared = next(iter(dataset.get("SharedFunctionalGroupsSequence") or []), None)
    groups = list(dataset.get("PerFrameFunctionalGroupsSequence") or [])
    if not groups:
        raise ImageFormatError(f"{path}: the SEG has no frames; export a segmentation that is not empty")
    measures = _group(path, shared, groups[0], "PixelMeasuresSequence")
    orientations = {
        tuple(map(float, _group(path, shared, g, "PlaneOrientationSequence").ImageOrientationPatient)) for g in groups
    }
    if len(orientations) != 1:
        raise GeometryError(f"{path}: frames in {len(orientations)} orientations; expected parallel frames")
    positions = [_group(path, shared, g, "PlanePositionSequence").ImagePositionPatient for g in groups]
    segments = list(dataset.get("SegmentSequence") or [])
    numbers = [int(item.SegmentNumber) for item in segments]
    if len(set(numbers)) < len(numbers):
        raise ImageFormatError(f"{path}: several segments have one number; export the segmentation again")
    # Number 0 of a label map is its background.
    stated = {
        value: str(item.get("SegmentLabel") or "") or f"segment {value}"
        for item, value in zip(segments, numbers, strict=True)
        if value != 0
    }
    of_frame = None
    if kind != "LABELMAP":
        identified = [_group(path, shared, g, "SegmentIdentificationSequence") for g in groups]
        of_frame = tuple(int(item.ReferencedSegmentNumber) for item in identified)
    if int(dataset.get("NumberOfFrames") or 1) != len(groups):
        raise ImageFormatError(
            f"{path}: states {dataset.get('NumberOfFrames')} frames but has positions of {len(groups)}; export it again"
        )
    rows, columns = (number(value) for value in measures.PixelSpacing)
    spacing_mm, thickness_mm = (
        abs(float(measures.get(keyword) or 0.0)) or None for keyword in ("SpacingBetweenSlices", "SliceThickness")
    )
    return _Segmentation(
        kind=kind,
        size=(int(dataset.Columns), int(dataset.Rows)),
        dataset=dataset,
        positions_mm=np.asarray(positions, np.float64).reshape(len(groups), 3),
        segment_numbers=of_frame,
        orientation=np.asarray(next(iter(orientations))).reshape(2, 3),
        pixel_spacing_mm=(rows, columns),
        slice_spacings_mm=() if spacing_mm is None else (spacing_mm,),
        thickness_mm=thickness_mm,
        largest_value=float(dataset.MaximumFractionalValue) if kind == "FRACTIONAL" else 1.0,
        stated_names=tuple(stated.values()),
        names=dict(zip(stated, unique_names(stated.values()), strict=True)),
    )


def _frames(path: Path, seg: _Segmentation, chosen: NDArray[np.int64]) -> Iterator[NDArray[Any]]:
    """The frames of these numbers, each (i, j)."""
    if chosen.size == 0:
        return
    with parsing(path, "SEG"):
        if seg.kind == "LABELMAP":
            # pydicom keeps what it decoded, for the segments to come.
            frames = seg.dataset.pixel_array
            frames = iter(frames[None] if frames.ndim == 2 else frames)
        else:
            frames = iter_pixels(seg.dataset, indices=chosen.tolist())
        for frame in frames:
            if frame.shape != seg.size[::-1]:
                raise ImageFormatError(f"{path}: a frame of shape {frame.shape}; expected one value per pixel")
            yield frame.T


def _group(path: Path, shared: Dataset, frame: Dataset, keyword: str) -> Dataset:
    """The one item of a functional group, of this frame, otherwise of all frames."""
    for groups in (frame, shared):
        items = groups.get(keyword) if groups is not None else None
        if items:
            return items[0]
    raise ImageFormatError(
        f"{path}: the SEG has no {keyword.removesuffix('Sequence')}, so its frames cannot be "
        "placed; export it with the geometry of its image"
    )
