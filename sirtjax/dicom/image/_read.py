from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sirtjax.dicom.dataset._claims import check_claimed_pixels
from sirtjax.dicom.dataset._decode import decode_file
from sirtjax.dicom.dataset._parse import parsing
from sirtjax.dicom.dataset._scan import DicomFile
from sirtjax.dicom.image._frames import Frame
from sirtjax.dicom.image._mixed_series import check_one_patient
from sirtjax.dicom.image._series import choose_stack, find_stacks
from sirtjax.dicom.image._slice_grid import slice_grid
from sirtjax.dicom.image._source import stack_source
from sirtjax.dicom.image._stacks import Stack
from sirtjax.dicom.image._values import clamp_padding, common_factor, rescaled, values_unit
from sirtjax.errors import ImageFormatError
from sirtjax.io import Image, check_file, check_finite
from sirtjax.volume import Volume

_LOG = logging.getLogger(__name__)
# Decoders release the interpreter while they work.
_THREADS = 4


def read_dicom_series(
    path: Path | str,
    *,
    series: str | int | None = None,
    modality: str | tuple[str, ...] | None = None,
    allow_resample_slices: bool = False,
) -> Image:
    """Reads one DICOM series as a volume on its grid (LPS, mm).

    Values are float32: HU for CT, Bq/mL, counts or SUV for PET as the series says, counts or Bq/mL for NM,
    arbitrary ("1") for MR.

    Args:
      path: a DICOM file (its whole series is in the file or in its folder), or a folder.
      series: series of the folder: SeriesInstanceUID, number in `list_series`, or a part of the description; needed if
        several fit `modality`.
      modality: required modality, "CT", "MR", "PT" or "NM", or several of them.
      allow_resample_slices: interpolate slices that are unevenly spaced or missing onto an even grid.

    Raises:
      ImageFormatError: no or several series that fit, wrong modality, damaged or missing pixels.
      GeometryError: slices that make no even grid.
    """
    path = Path(path)
    check_file(path, "a DICOM file or folder", folder=True, missing="no such file or folder")
    found, damaged = find_stacks(path)
    _, stack = choose_stack(path, found, series=series, modality=modality)
    if stack.problem is not None:
        raise stack.problem
    check_damage(stack, damaged)
    check_one_patient(stack)
    for file in stack.files:
        with parsing(file.path, "image"):
            check_claimed_pixels(file.path, file.header)
    grid = slice_grid(stack.frames, where=path, allow_resample=allow_resample_slices)
    unit, unit_notes = values_unit(stack.frames)
    if path.is_file() and len(stack.frames) == 1:
        note = "a single slice was read: provide the folder to read its whole series"
        _LOG.warning("%s: %s", path, note)
        unit_notes = (note, *unit_notes)
    array, digest, notes = _voxels(stack.frames, hu=unit == "HU")
    if grid.source_k is not None:
        array = _between(array, grid.source_k)
    check_finite(array, path)
    source = stack_source(path, stack, sha256=digest, notes=(*stack.notes, *grid.notes, *unit_notes, *notes))
    return Image(volume=Volume(array, grid.geometry, unit=unit), source=source)


def check_damage(stack: Stack, damaged: list[Path]) -> None:
    """Refuses damaged files next to the slices of a series: one may be its last slice.

    Raises:
      ImageFormatError: there is one.
    """
    folders = {file.path.parent for file in stack.files}
    beside = [path for path in damaged if path.parent in folders]
    if beside:
        raise ImageFormatError(
            f"{beside[0]}: damaged DICOM file among the slices of the series ({len(beside)} in all); "
            "copy it again, or remove it if it does not belong to the series"
        )


def _voxels(frames: list[Frame], *, hu: bool) -> tuple[NDArray[np.float32], str, tuple[str, ...]]:
    """The rescaled frames as (i, j, k), the SHA-256 over the files in order, and what was done to them."""
    columns, rows = frames[0].size
    # Slices are filled one by one: k is the slowest axis in memory, whatever the order of the indices.
    planes = np.empty((len(frames), rows, columns), np.float32)
    of_file: dict[DicomFile, list[int]] = defaultdict(list)
    for k, frame in enumerate(frames):
        of_file[frame.file].append(k)

    common = common_factor(frames)

    def fill(file: DicomFile) -> tuple[str, int]:
        stored, digest = decode_file(file.path)
        clamped = 0
        with parsing(file.path, "image"):
            for k in of_file[file]:
                picture: NDArray[Any] = stored[frames[k].index]
                planes[k] = rescaled(frames[k], picture, common=common)
                clamped += clamp_padding(frames[k], picture, planes[k]) if hu else 0
        return digest, clamped

    with ThreadPoolExecutor(_THREADS) as pool:
        done = list(pool.map(fill, of_file))
    digest = hashlib.sha256("".join(each for each, _ in done).encode()).hexdigest()
    clamped = sum(count for _, count in done)
    note = (f"{clamped} voxels outside the range of CT numbers (padding) were set to -1024 HU",) if clamped else ()
    return planes.transpose(2, 1, 0), digest, note


def _between(array: NDArray[np.float32], source_k: NDArray[np.float64]) -> NDArray[np.float32]:
    """Slices interpolated linearly at fractional slice numbers."""
    lower = np.clip(np.floor(source_k).astype(np.int64), 0, array.shape[2] - 2)
    share = (source_k - lower).astype(np.float32)
    planes = array.transpose(2, 1, 0)
    made = np.empty((len(source_k), *planes.shape[1:]), np.float32)
    for k, (low, weight) in enumerate(zip(lower, share, strict=True)):
        made[k] = planes[low] * (1 - weight) + planes[low + 1] * weight
    return made.transpose(2, 1, 0)
