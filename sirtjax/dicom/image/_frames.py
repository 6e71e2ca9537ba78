from __future__ import annotations

from collections.abc import Iterable, Sized
from dataclasses import dataclass
from typing import SupportsFloat

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from sirtjax.dicom.dataset._parse import parsing
from sirtjax.dicom.dataset._scan import DicomFile
from sirtjax.dicom.dataset._values import leading_text, number, optional, text_of
from sirtjax.errors import ImageFormatError

Discriminators = tuple[tuple[str, str], ...]
# Several numbers of one element, as pydicom returns them.
Numbers = Iterable[str | SupportsFloat]
_ORTHONORMAL = 1e-3
# Larger coordinates are damage, not positions.
_FARTHEST_MM = 1e5
# Attributes that may distinguish slices at one position, the likeliest first.
_CLASSIC = (
    *("TemporalPositionIdentifier", "AcquisitionNumber", "EchoTime", "DiffusionBValue", "TriggerTime"),
    *("ImageType", "FrameReferenceTime", "AcquisitionTime"),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """One two-dimensional image of a series, in space.

    Attributes:
      file: file that contains the frame.
      index: number of the frame in the file, counted from 0.
      position_mm: (3,) centre of the first pixel.
      axes: (2, 3) unit vectors along a row and along a column.
      pixel_spacing_mm: distance between rows, and between columns.
      thickness_mm: stated distance between slices, otherwise slice thickness; None if neither is stated.
      slope: slope of the rescaling to the units of the series; None if the file states none.
      intercept: intercept of the rescaling to the units of the series; None if the file states none.
      rescale_type: unit after rescaling, as stated.
      marks: values that can distinguish the frame from others at the same position.
    """

    file: DicomFile
    index: int
    position_mm: Float64[np.ndarray, "3"]
    axes: Float64[np.ndarray, "2 3"]
    pixel_spacing_mm: tuple[float, float]
    thickness_mm: float | None
    slope: float | None
    intercept: float | None
    rescale_type: str
    marks: Discriminators

    @property
    def size(self) -> tuple[int, int]:
        """Number of columns and of rows."""
        return int(self.file.header.Columns), int(self.file.header.Rows)

    @property
    def normal(self) -> Float64[np.ndarray, "3"]:
        """Row x column."""
        return np.cross(self.axes[0], self.axes[1])

    @property
    def depth_mm(self) -> float:
        """Position along the normal."""
        return float(self.position_mm @ self.normal)


def classic_frame(file: DicomFile) -> Frame:
    """Returns the one frame of a CT, MR or PET slice.

    Raises:
      ImageFormatError: no position, orientation or pixel spacing.
    """
    header = file.header
    with parsing(file.path, "image"):
        return make_frame(
            file,
            position=header.get("ImagePositionPatient"),
            orientation=header.get("ImageOrientationPatient"),
            pixel_spacing=header.get("PixelSpacing"),
            thickness=optional(header.get("SpacingBetweenSlices"), header.get("SliceThickness")),
            rescale=header,
            marks=tuple((key, leading_text(header[key].value)) for key in _CLASSIC if key in header),
        )


def make_frame(
    file: DicomFile,
    *,
    position: Numbers | None,
    orientation: Numbers | None,
    pixel_spacing: Numbers | None,
    thickness: float | None,
    rescale: Dataset,
    index: int = 0,
    marks: Discriminators = (),
) -> Frame:
    """Returns a checked frame from the raw values of its plane.

    Args:
      file: file that contains the frame.
      position: ImagePositionPatient.
      orientation: ImageOrientationPatient.
      pixel_spacing: PixelSpacing.
      thickness: distance between slices in mm; its sign is ignored.
      rescale: data set that may have RescaleSlope, RescaleIntercept and RescaleType.
      index: number of the frame in the file, counted from 0.
      marks: values that can distinguish the frame from others at the same position.

    Raises:
      ImageFormatError: position, orientation or pixel spacing is missing or invalid.
    """
    place = _numbers(file, "ImagePositionPatient", position, 3)
    if np.abs(place).max() > _FARTHEST_MM:
        raise ImageFormatError(f"{file.path}: ImagePositionPatient {place.tolist()} is not a position in mm")
    spacing = _numbers(file, "PixelSpacing", pixel_spacing, 2)
    if spacing.min() <= 0 or spacing.max() > _FARTHEST_MM:
        raise ImageFormatError(f"{file.path}: PixelSpacing {spacing.tolist()}; expected two positive mm")
    slope, intercept = optional(rescale.get("RescaleSlope")), optional(rescale.get("RescaleIntercept"))
    return Frame(
        file=file,
        index=index,
        position_mm=place,
        axes=_axes(file, _numbers(file, "ImageOrientationPatient", orientation, 6)),
        pixel_spacing_mm=(float(spacing[0]), float(spacing[1])),
        thickness_mm=None if thickness is None else abs(thickness) or None,
        slope=slope,
        intercept=intercept,
        rescale_type=text_of(rescale, "RescaleType").upper(),
        marks=marks,
    )


def normals_agree(frames: Iterable[Frame]) -> bool:
    """Returns whether all frames have parallel normals of the same direction."""
    first, *others = frames
    return all(np.allclose(first.axes, other.axes, atol=_ORTHONORMAL) for other in others)


def _numbers(file: DicomFile, keyword: str, value: Numbers | None, count: int) -> NDArray[np.float64]:
    if value is None or (isinstance(value, Sized) and len(value) == 0):
        raise ImageFormatError(
            f"{file.path}: no {keyword}, so its position in the patient is unknown; "
            "expected a reconstructed slice, choose another series or export it again"
        )
    found = np.asarray([number(x) for x in value], np.float64)
    if found.shape != (count,) or not np.isfinite(found).all():
        raise ImageFormatError(f"{file.path}: {keyword} is {list(value)}; expected {count} numbers")
    return found


def _axes(file: DicomFile, cosines: NDArray[np.float64]) -> NDArray[np.float64]:
    axes = cosines.reshape(2, 3)
    if not np.allclose(axes @ axes.T, np.eye(2), atol=_ORTHONORMAL):
        raise ImageFormatError(
            f"{file.path}: ImageOrientationPatient {cosines.tolist()} is not two perpendicular unit vectors"
        )
    row = axes[0] / np.linalg.norm(axes[0])
    column = axes[1] - (axes[1] @ row) * row
    return np.stack([row, column / np.linalg.norm(column)])
