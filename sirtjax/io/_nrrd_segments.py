"""Segmentations of 3D Slicer (.seg.nrrd): segments that share layers of one label map."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sirtjax.errors import GeometryError, ImageFormatError
from sirtjax.io._mask_names import choose_names, unique_names
from sirtjax.io._nrrd import read_layers
from sirtjax.io._nrrd_header import read_nrrd_header
from sirtjax.volume import LabelMap

_LOG = logging.getLogger(__name__)
_KEY = re.compile(r"Segment(\d{1,5})_(Name|ID|LabelValue|Layer|Extent)")


@dataclass(frozen=True, kw_only=True)
class _Segment:
    """One segment of the header: its voxels are those of `layer` with the value `label`."""

    name: str
    layer: int
    label: int
    extent: tuple[int, ...] | None


def read_seg_nrrd(path: Path | str, *, only: Collection[str] | None = None) -> dict[str, LabelMap]:
    """Reads the segments of a 3D Slicer segmentation as masks on its own grid.

    Segments may overlap, if they are in different layers. Files of Slicer before 4.11 state no layer: each segment is
    then a layer of its own. `Extent` and `ReferenceImageExtentOffset` describe how the grid was cropped from that of
    the reference image; `space origin` already includes that shift, so they do not move voxels. An empty segment is
    left out with a log message.

    Args:
      path: the .seg.nrrd file (raw or gzip) in space LPS, RAS or LAS.
      only: names of the segments to read; default: all. An empty segment requested by name is an error.

    Returns:
      A map with the one label 1 per segment, by segment name (repeats numbered), in the order of the file.

    Raises:
      ImageFormatError: the file is not a segmentation, is damaged, or has only empty segments.
      GeometryError: the voxels of a segment are outside its `Extent`.
      InputError: no segment has a requested name.
    """
    path = Path(path)
    if not path.is_file():
        raise ImageFormatError(f"{path}: no such file; expected a .seg.nrrd segmentation")
    header = read_nrrd_header(path)
    segments = _segments(path, header.keys, header.layers)
    offset = _offset(path, header.keys)
    stated = [segment.name for segment in segments]
    names = unique_names(stated)
    wanted = set(names) if only is None else choose_names(stated, only, where=str(path))
    layers = read_layers(path, header)
    masks: dict[str, LabelMap] = {}
    empty = []
    for name, segment in zip(names, segments, strict=True):
        if name not in wanted:
            continue
        mask = layers[segment.layer] == segment.label
        if mask.any():
            _check_extent(path, name, mask, segment.extent, offset)
            masks[name] = LabelMap.from_mask(mask, header.geometry, name=name)
        else:
            empty.append(name)
    if empty and (only is not None or not masks):
        raise ImageFormatError(f"{path}: segment {empty[0]!r} is empty; contour it or choose another")
    if empty:
        _LOG.warning("%s: %d empty segments left out", path, len(empty))
    return masks


def _segments(path: Path, keys: Mapping[str, str], layers: int) -> list[_Segment]:
    found: dict[int, dict[str, str]] = {}
    for key, value in keys.items():
        match = _KEY.fullmatch(key)
        if match is not None:
            found.setdefault(int(match[1]), {})[match[2]] = value
    if not found:
        raise ImageFormatError(f"{path}: no segment is described in its header; save it as a segmentation")
    before_layers = not any("Layer" in entry for entry in found.values())
    segments = []
    for order, (number, entry) in enumerate(sorted(found.items())):
        layer = _whole(path, number, entry, "Layer", order if before_layers else 0)
        label = _whole(path, number, entry, "LabelValue", 1)
        if layer >= layers or label < 1:
            raise ImageFormatError(
                f"{path}: segment {number} is in layer {layer} with label {label}, but the file has {layers} layers "
                "and labels start at 1; save it again"
            )
        extent = None
        if "Extent" in entry:
            extent = _whole_numbers(path, f"Segment{number}_Extent", entry["Extent"], 6)
        name = entry.get("Name") or entry.get("ID") or f"segment {number}"
        segments.append(_Segment(name=name, layer=layer, label=label, extent=extent))
    return segments


def _whole(path: Path, number: int, entry: Mapping[str, str], key: str, default: int) -> int:
    if key not in entry:
        return default
    return _whole_numbers(path, f"Segment{number}_{key}", entry[key], 1)[0]


def _whole_numbers(path: Path, key: str, text: str, count: int) -> tuple[int, ...]:
    try:
        found = tuple(int(word) for word in text.split())
    except ValueError:
        found = ()
    if len(found) != count:
        raise ImageFormatError(f"{path}: {key} is {text[:40]!r}; expected {count} whole numbers, save it again")
    return found


def _offset(path: Path, keys: Mapping[str, str]) -> NDArray[np.int64]:
    key = "Segmentation_ReferenceImageExtentOffset"
    return np.asarray(_whole_numbers(path, key, keys[key], 3) if key in keys else (0, 0, 0), np.int64)


def _check_extent(
    path: Path, name: str, mask: NDArray[Any], extent: tuple[int, ...] | None, offset: NDArray[np.int64]
) -> None:
    """Refuses a mask that leaves its extent, counted from the first voxel of the file or of the reference image."""
    if extent is None:
        return
    low, high = np.asarray(extent[0::2]), np.asarray(extent[1::2])
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        occupied = np.flatnonzero(mask.any(axis=others))
        first, last = int(occupied[0]), int(occupied[-1])
        shifts = {0, int(offset[axis])}
        if not any(low[axis] <= first + shift and last + shift <= high[axis] for shift in shifts):
            raise GeometryError(
                f"{path}: segment {name!r} has voxels {first} to {last} along axis {axis}, outside its extent "
                f"{low[axis]} to {high[axis]}; save the segmentation again"
            )
