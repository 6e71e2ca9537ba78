from __future__ import annotations

from pathlib import Path

from sirtjax.dicom import read_dicom_series
from sirtjax.errors import ImageFormatError
from sirtjax.io import Image, check_file, is_nifti, is_nrrd, read_nifti, read_nrrd


def read_image(
    path: Path | str,
    *,
    series: str | int | None = None,
    modality: str | tuple[str, ...] | None = None,
    allow_resample_slices: bool = False,
) -> Image:
    """Reads an image: one NIfTI or NRRD file, or one DICOM series in a folder with anything in it.

    Values are float32: HU for CT, Bq/mL or counts or SUV for PET as the series says, counts or Bq/mL for NM,
    arbitrary ("1") for MR. NIfTI and NRRD files state neither modality nor unit: the unit is "HU" if `modality` is
    "CT", otherwise "1".

    Args:
      path: a .nii, .nii.gz or .nrrd file, a DICOM file (its whole series is in the file or in its folder), or a
        folder.
      series: series of the folder: SeriesInstanceUID, number in `list_series`, or a part of the description; needed if
        several fit `modality`.
      modality: required modality, "CT", "MR", "PT" or "NM", or several of them.
      allow_resample_slices: interpolate slices that are unevenly spaced or missing onto an even grid.

    Raises:
      ImageFormatError: the path is not an image, no series or several series fit, the modality is wrong, the file is
        truncated, or voxels are NaN.
      GeometryError: slices missing, duplicate or unevenly spaced, or no place in space.

    Examples:
      >>> import tempfile
      >>> from pathlib import Path
      >>> import numpy as np
      >>> from sirtjax import formats, io
      >>> from sirtjax.volume import Geometry, Volume
      >>> grid = Geometry.from_axes((4, 4, 4), spacing_mm=(2.0, 2.0, 2.0))
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     io.write_nifti(Path(folder) / "ct.nii.gz", Volume(np.full(grid.shape, -100.0), grid, unit="HU"))
      ...     image = formats.read_image(Path(folder) / "ct.nii.gz")
      >>> image.source.format, float(image.volume.array.mean())
      ('nifti', -100.0)
    """
    path = Path(path)
    check_file(path, "a NIfTI or NRRD file or a DICOM folder", folder=True, missing="no such file or folder")
    if path.is_file() and (is_nifti(path) or is_nrrd(path)):
        if series is not None:
            raise ImageFormatError(f"{path}: only DICOM has series; omit series {series!r}")
        read = read_nifti if is_nifti(path) else read_nrrd
        return read(path, unit="HU" if modality == "CT" else "1")
    return read_dicom_series(path, series=series, modality=modality, allow_resample_slices=allow_resample_slices)
