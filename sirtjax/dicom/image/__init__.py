"""Images (CT, MR, PET, SPECT, planar): finds the series of a folder, reads one as a volume, writes one.

Reading goes from files (`dataset/_scan.py`) to frames (`_frames.py`, `_enhanced.py`, `_nm.py`), to stacks with one
geometry (`_stacks.py`), to a grid (`_slice_grid.py`) and to values in HU, Bq/mL or counts (`_values.py`).
"""

from sirtjax.dicom.image._identity import RadiopharmaceuticalInfo as RadiopharmaceuticalInfo
from sirtjax.dicom.image._identity import StudyIdentity as StudyIdentity
from sirtjax.dicom.image._planar import PlanarViews as PlanarViews
from sirtjax.dicom.image._planar import read_planar as read_planar
from sirtjax.dicom.image._radionuclide import radionuclides_of as radionuclides_of
from sirtjax.dicom.image._read import read_dicom_series as read_dicom_series
from sirtjax.dicom.image._series import SeriesInfo as SeriesInfo
from sirtjax.dicom.image._series import list_series as list_series
from sirtjax.dicom.image._series_headers import SeriesHeaders as SeriesHeaders
from sirtjax.dicom.image._series_headers import read_headers as read_headers
from sirtjax.dicom.image._write import write_dicom_series as write_dicom_series
from sirtjax.dicom.image._write_nm import write_dicom_planar as write_dicom_planar

__all__ = [
    "PlanarViews",
    "RadiopharmaceuticalInfo",
    "SeriesHeaders",
    "SeriesInfo",
    "StudyIdentity",
    "list_series",
    "radionuclides_of",
    "read_dicom_series",
    "read_headers",
    "read_planar",
    "write_dicom_planar",
    "write_dicom_series",
]
