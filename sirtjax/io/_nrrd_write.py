"""Masks as a segmentation that 3D Slicer opens (.seg.nrrd)."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sirtjax.errors import OutputError
from sirtjax.io._atomic import atomic_path
from sirtjax.io._file_order import chunks_in_file_order
from sirtjax.volume import Geometry, LabelMap

SEG_NRRD_SUFFIX = ".seg.nrrd"
# Colours that stay apart for readers with a colour vision deficiency (Wong 2011, doi:10.1038/nmeth.1618), as 0 to 1.
_COLOURS = (
    (0.902, 0.624, 0.0), (0.337, 0.706, 0.914), (0.0, 0.62, 0.451), (0.941, 0.894, 0.259),
    (0.0, 0.447, 0.698), (0.835, 0.369, 0.0), (0.8, 0.475, 0.655),
)  # fmt: skip
_MAX_LABELS = 65_535


def is_seg_nrrd(path: Path) -> bool:
    """Returns whether the name ends in .seg.nrrd."""
    return path.name.lower().endswith(SEG_NRRD_SUFFIX)


def write_seg_nrrd(path: Path | str, masks: LabelMap | Mapping[str, LabelMap], *, force: bool = False) -> None:
    """Writes masks as a 3D Slicer segmentation, atomically; overlapping masks use different layers.

    Args:
      path: name that ends in .seg.nrrd.
      masks: a label map, each label a segment; or a map with one label per name, all on the same grid.
      force: replace an existing file.

    Raises:
      OutputError: another suffix, no mask, masks on different grids, or the file exists and `force` is not given.

    Reference:
      Teem's NRRD format; 3D Slicer's segmentation storage format.
    """
    path = Path(path)
    if not is_seg_nrrd(path):
        raise OutputError(f"{path}: expected a name that ends in {SEG_NRRD_SUFFIX}")
    layers, segments, geometry = _layers(path, masks)
    header = _header(geometry, layers, segments).encode()
    with atomic_path(path, force=force) as temporary, temporary.open("wb") as raw:
        raw.write(header)
        # No name and no time, so that equal masks write equal bytes.
        with gzip.GzipFile("", "wb", compresslevel=3, fileobj=raw, mtime=0) as packed:
            # List axis first: the values of all layers of one voxel are neighbours.
            for chunk in chunks_in_file_order(layers):
                packed.write(chunk.data)


def _layers(
    path: Path, masks: LabelMap | Mapping[str, LabelMap]
) -> tuple[NDArray[Any], list[tuple[str, int, int]], Geometry]:
    """The layers (layer, i, j, k), the name, layer and label of each segment, and the grid."""
    named: Iterable[tuple[str, NDArray[np.bool_], int | None]]
    if isinstance(masks, LabelMap):
        geometry = masks.geometry
        array = np.asarray(masks.array)
        named = ((name, array == value, value) for value, name in masks.names)
        largest = max((value for value, _ in masks.names), default=0)
    else:
        grids = [one.geometry for one in masks.values()]
        if not grids:
            raise OutputError(f"{path}: no mask to write")
        if any(not grid.matches(grids[0]) for grid in grids):
            raise OutputError(f"{path}: the masks are on different grids; resample them to the same grid")
        geometry = grids[0]
        named = ((name, np.asarray(one.array) > 0, None) for name, one in masks.items())
        largest = len(masks)
    if largest > _MAX_LABELS:
        raise OutputError(f"{path}: label {largest} is too large for a segmentation (at most {_MAX_LABELS})")
    kind = np.uint8 if largest < 256 else np.uint16
    layers: list[NDArray[Any]] = []
    segments: list[tuple[str, int, int]] = []
    for name, mask, value in named:
        free = next((n for n, layer in enumerate(layers) if not layer[mask].any()), len(layers))
        if free == len(layers):
            layers.append(np.zeros(geometry.shape, kind))
        label = value or 1 + sum(layer == free for _, layer, _ in segments)
        layers[free][mask] = label
        segments.append((name, free, label))
    return np.stack(layers or [np.zeros(geometry.shape, kind)]), segments, geometry


def _header(geometry: Geometry, layers: NDArray[Any], segments: list[tuple[str, int, int]]) -> str:
    count = len(layers)
    affine = geometry.affine
    vectors = " ".join(_vector(affine[:3, axis].tolist()) for axis in range(3))
    sizes = " ".join(str(n) for n in geometry.shape)
    whole = " ".join(f"0 {n - 1}" for n in geometry.shape)
    lines = [
        "NRRD0005",
        f"type: {'unsigned char' if layers.dtype == np.uint8 else 'unsigned short'}",
        f"dimension: {4 if count > 1 else 3}",
        "space: left-posterior-superior",
        f"sizes: {count} {sizes}" if count > 1 else f"sizes: {sizes}",
        f"space directions: {'none ' if count > 1 else ''}{vectors}",
        f"kinds: {'list ' if count > 1 else ''}domain domain domain",
        *(() if layers.dtype == np.uint8 else ("endian: little",)),
        "encoding: gzip",
        f"space origin: {_vector(affine[:3, 3].tolist())}",
    ]
    for number, (name, layer, label) in enumerate(segments):
        colour = " ".join(f"{part:g}" for part in _COLOURS[number % len(_COLOURS)])
        key = f"Segment{number}_"
        lines += [
            f"{key}Color:={colour}",
            f"{key}Extent:={whole}",
            f"{key}ID:=Segment_{number + 1}",
            f"{key}LabelValue:={label}",
            f"{key}Layer:={layer}",
            f"{key}Name:={_escaped(name)}",
            f"{key}NameAutoGenerated:=0",
        ]
    lines += [
        "Segmentation_ContainedRepresentationNames:=Binary labelmap|",
        "Segmentation_MasterRepresentation:=Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset:=0 0 0",
    ]
    return "\n".join(lines) + "\n\n"


def _vector(values: list[float]) -> str:
    return "(" + ",".join(repr(float(value)) for value in values) + ")"


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("\\", "\\\\")
