from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from sirtjax.dicom.dataset._parse import parsing
from sirtjax.dicom.image._read import check_damage
from sirtjax.dicom.image._series import choose_stack, find_stacks
from sirtjax.dicom.image._slice_grid import slice_grid
from sirtjax.errors import ImageFormatError
from sirtjax.volume import Geometry


@dataclass(frozen=True, kw_only=True, eq=False)
class SeriesHeaders:
    """The headers of one DICOM series, including patient identifiers: for objects about the same patient.

    Attributes:
      headers: pydicom data sets without pixels and without private elements: one per slice in the order of k, or the
        only one if all slices are frames of one file.
      frame_numbers: frame number of each slice in that one file, counted from 1; None if each slice has its own file.
      geometry: grid of the slices, as `read_image` returns it.
      modality: "CT", "MR", "PT" or "NM".
    """

    headers: tuple[Dataset, ...] = field(repr=False)
    frame_numbers: tuple[int, ...] | None
    geometry: Geometry
    modality: str


def read_headers(
    path: str | Path, *, series: str | int | None = None, modality: str | tuple[str, ...] | None = None
) -> SeriesHeaders:
    """Returns the headers of the series that `read_image` would read, without its pixels.

    Args:
      path: a DICOM file or a folder.
      series: series of the folder, same as in `read_image`.
      modality: required modality, same as in `read_image`.

    Raises:
      ImageFormatError: a file is not DICOM or damaged, no series or several series fit, or the series consists of
        several multi-frame files.
      GeometryError: slices missing, duplicate or unevenly spaced, or no place in space.
    """
    path = Path(path)
    found, damaged = find_stacks(path)
    info, stack = choose_stack(path, found, series=series, modality=modality)
    if stack.problem is not None:
        raise stack.problem
    check_damage(stack, damaged)
    geometry = slice_grid(stack.frames, where=path).geometry
    frames = [int(file.header.get("NumberOfFrames") or 0) for file in stack.files]
    single = len(frames) == 1 and frames[0] > 0
    if not single and max(frames) > 1:
        raise ImageFormatError(
            f"{path}: the series is in {len(frames)} files of several frames each; expected one such file, or a file "
            "per slice, so that objects can reference it; export it again"
        )
    files = [stack.files[0]] if single else [frame.file for frame in stack.frames]
    headers: dict[Path, Dataset] = {}
    for file in files:
        if file.path not in headers:
            headers[file.path] = _header(file.path)
    return SeriesHeaders(
        headers=tuple(headers[file.path] for file in files),
        frame_numbers=tuple(frame.index + 1 for frame in stack.frames) if single else None,
        geometry=geometry,
        modality=info.modality,
    )


def _header(path: Path) -> Dataset:
    with parsing(path, "image"):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        header.remove_private_tags()
    for tag in list(header.keys()):
        try:
            header[tag].value  # noqa: B018  # pydicom parses when values are read: damage is to be met here
        except Exception:  # pydicom meets damaged values with many kinds; what the image needs was read before
            del header[tag]
    return header
