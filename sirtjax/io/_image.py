"""An image from whatever path a user gives: a NIfTI file, a DICOM file, or a folder of DICOM files."""

from __future__ import annotations

from pathlib import Path

from sirtjax.errors import ImageFormatError
from sirtjax.io._nifti import is_nifti, read_nifti
from sirtjax.io._source import Image


def read_image(
    path: str | Path,
    *,
    series: str | None = None,
    modality: str | tuple[str, ...] | None = None,
    allow_resample_slices: bool = False,
) -> Image:
    """Read one image.

    Args:
      path: a NIfTI file, a DICOM file, or a folder with DICOM files anywhere below it.
      series: which series of a folder: its UID, or a part of its description that no other has.
      modality: what the image must be ("CT", "MR", "PT", "NM"), or one of several; a NIfTI file doesn't say and
        passes.
      allow_resample_slices: put unevenly spaced slices on even ones instead of refusing them.

    Returns:
      The image: HU for CT, Bq/mL for PET where it says so, counts for NM, "1" where the unit is not known.

    Raises:
      ImageFormatError: the path holds no readable image, or one of another modality.
    """
    place = Path(path)
    if not place.exists():
        raise ImageFormatError(f"{place}: no such file or folder")
    if place.is_file() and is_nifti(place):
        return read_nifti(place)
    from sirtjax.io._dicom_series import read_dicom_series

    return read_dicom_series(
        place, series=series, modality=modality, allow_resample_slices=allow_resample_slices
    )
