from __future__ import annotations

from typing import Any

import numpy as np

from sirtjax.dicom.dataset._parse import parsing
from sirtjax.dicom.dataset._scan import DicomFile
from sirtjax.dicom.dataset._values import leading_text, optional, text_of
from sirtjax.dicom.image._frames import Frame, make_frame
from sirtjax.errors import ImageFormatError

NM_STORAGE = "1.2.840.10008.5.1.4.1.1.20"
_VECTORS = ("EnergyWindowVector", "TimeSlotVector", "RRIntervalVector")


def is_nm(file: DicomFile) -> bool:
    """Returns whether the file is a nuclear medicine image (all its frames in one file)."""
    return text_of(file.header, "SOPClassUID") == NM_STORAGE


def nm_kind(file: DicomFile) -> str:
    """Returns the third value of ImageType: "RECON TOMO", "TOMO", "WHOLE BODY", ...; "" if not stated."""
    kinds = file.header.get("ImageType") or []
    return leading_text(kinds[2]).upper() if len(kinds) > 2 and not isinstance(kinds, str) else ""


def nm_frames(file: DicomFile) -> list[Frame]:
    """Returns the slices of a reconstructed SPECT.

    The first slice's place is in the detector's item; slice n of SliceVector lies (n - 1) times
    SpacingBetweenSlices from it along row x column, against it where the spacing is negative.

    Raises:
      ImageFormatError: projections or planar views, no place of the first slice, no spacing, or a
        SliceVector that doesn't fit the frames.

    Reference:
      DICOM PS3.3, C.8.4.8 (NM Multi-frame), C.8.4.11 (NM Detector), C.8.4.15 (NM Reconstruction).
    """
    header = file.header
    with parsing(file.path, "nuclear medicine image"):
        if "RECON" not in nm_kind(file):
            raise ImageFormatError(
                f"{file.path}: a nuclear medicine image of type {nm_kind(file) or 'not stated'}; "
                "expected reconstructed slices (RECON TOMO)"
            )
        count = int(header.get("NumberOfFrames") or 1)
        slices = _vector(file, "SliceVector", count) or list(range(1, count + 1))
        spacing = optional(header.get("SpacingBetweenSlices"), header.get("SliceThickness"))
        if not spacing:
            raise ImageFormatError(f"{file.path}: no SpacingBetweenSlices and no SliceThickness")
        detectors = header.get("DetectorInformationSequence") or [header]
        place: Any = detectors[0] if "ImagePositionPatient" in detectors[0] else header
        turned: Any = detectors[0] if "ImageOrientationPatient" in detectors[0] else header
        first = make_frame(
            file,
            position=place.get("ImagePositionPatient"),
            orientation=turned.get("ImageOrientationPatient"),
            pixel_spacing=header.get("PixelSpacing"),
            thickness=spacing,
            rescale=header,
        )
        marks = {key: _vector(file, key, count) for key in _VECTORS}
        return [
            make_frame(
                file,
                position=first.position_mm + (slices[index] - 1) * spacing * first.normal,
                orientation=first.axes.ravel(),
                pixel_spacing=first.pixel_spacing_mm,
                thickness=spacing,
                rescale=header,
                index=index,
                marks=tuple((key, str(vector[index])) for key, vector in marks.items() if vector),
            )
            for index in range(count)
        ]


def _vector(file: DicomFile, keyword: str, count: int) -> list[int]:
    """One whole number per frame; empty if the file has none."""
    value = file.header.get(keyword)
    if value is None or value == "":
        return []
    found = [int(n) for n in np.atleast_1d(np.asarray(value, np.int64))]
    if len(found) != count:
        raise ImageFormatError(f"{file.path}: {keyword} has {len(found)} values for {count} frames")
    return found
