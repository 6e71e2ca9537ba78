"""Files of one series that store the same instance twice."""

from __future__ import annotations

import filecmp
import hashlib
from collections import defaultdict
from pathlib import Path

import numpy as np

from sirtjax.dicom.dataset._claims import check_claimed_pixels
from sirtjax.dicom.dataset._decode import decode_file
from sirtjax.dicom.dataset._parse import parsing
from sirtjax.dicom.dataset._scan import DicomFile
from sirtjax.dicom.dataset._values import text_of
from sirtjax.dicom.image._frames import Frame
from sirtjax.errors import ImageFormatError

# Slices closer than this are at the same position.
SAME_PLACE_MM = 0.01


def without_copies(frames: list[Frame]) -> tuple[list[Frame], tuple[str, ...]]:
    """Returns the frames of a stack with each instance once, and a note about the skipped files.

    A file is a copy of another with its SOPInstanceUID if position, attributes and pixels agree. Phases that an
    anonymiser gave the same UIDs have other attributes or pixels and are kept. Pixels are read only to compare these.

    Raises:
      ImageFormatError: files with one SOPInstanceUID at different positions, or their pixels cannot be read.
    """
    of_file: dict[DicomFile, list[Frame]] = defaultdict(list)
    for frame in frames:
        of_file[frame.file].append(frame)
    seen: dict[str, list[DicomFile]] = defaultdict(list)
    kept: list[Frame] = []
    digests: dict[Path, bytes] = {}
    for file, own in of_file.items():
        uid = text_of(file.header, "SOPInstanceUID")
        others = seen[uid or str(file.path)]
        if others and not _same_places(own, of_file[others[0]]):
            raise ImageFormatError(
                f"{file.path}: several slices share one SOPInstanceUID (also {others[0].path.name}, at another "
                "position); export the series again"
            )
        if any(_same_attributes(own, of_file[other]) and _same_pixels(file, other, digests) for other in others):
            continue
        others.append(file)
        kept += own
    copies = len(of_file) - sum(map(len, seen.values()))
    notes = (f"{copies} files contain the same instance as another file and were skipped",) if copies else ()
    return kept, notes


def _same_places(frames: list[Frame], others: list[Frame]) -> bool:
    places, other_places = ([frame.position_mm for frame in each] for each in (frames, others))
    return len(places) == len(other_places) and np.allclose(places, other_places, rtol=0, atol=SAME_PLACE_MM)


def _same_attributes(frames: list[Frame], others: list[Frame]) -> bool:
    found, expected = ([(one.marks, one.slope, one.intercept) for one in each] for each in (frames, others))
    return found == expected


def _same_pixels(file: DicomFile, other: DicomFile, digests: dict[Path, bytes]) -> bool:
    # Most copies are equal byte by byte. Another compression of the same pixels is a copy, too.
    if filecmp.cmp(file.path, other.path, shallow=False):
        return True
    return _digest(file, digests) == _digest(other, digests)


def _digest(file: DicomFile, known: dict[Path, bytes]) -> bytes:
    """Returns a hash of the pixels of a file, which is read once."""
    if file.path not in known:
        with parsing(file.path, "image"):
            check_claimed_pixels(file.path, file.header)
        pixels = np.ascontiguousarray(decode_file(file.path)[0])
        known[file.path] = hashlib.sha256(f"{pixels.shape}".encode() + pixels.astype(np.float64).tobytes()).digest()
    return known[file.path]
