"""Reading and writing images, masks, transforms and lines: the only place where frames flip."""

from sirtjax.io._atomic import atomic_folder as atomic_folder
from sirtjax.io._atomic import atomic_path as atomic_path
from sirtjax.io._checkpoint import Storage as Storage
from sirtjax.io._checkpoint import load_checkpoint as load_checkpoint
from sirtjax.io._checkpoint import read_description as read_description
from sirtjax.io._checkpoint import save_checkpoint as save_checkpoint
from sirtjax.io._csv_cells import CsvWriter as CsvWriter
from sirtjax.io._csv_cells import csv_cell as csv_cell
from sirtjax.io._csv_cells import plain_cell as plain_cell
from sirtjax.io._dicom_claims import check_inflation as check_inflation
from sirtjax.io._dicom_decode import decode_file as decode_file
from sirtjax.io._dicom_object import parsing as parsing
from sirtjax.io._dicom_object import read_dataset as read_dataset
from sirtjax.io._dicom_seg import read_seg as read_seg
from sirtjax.io._dicom_write import write_dicom_series as write_dicom_series
from sirtjax.io._dicom_write_identity import Injection as Injection
from sirtjax.io._dicom_write_identity import StudyIdentity as StudyIdentity
from sirtjax.io._dicom_write_modules import date_time as date_time
from sirtjax.io._dicom_write_modules import decimal as decimal
from sirtjax.io._dicom_write_modules import right_handed as right_handed
from sirtjax.io._dicom_write_nm import write_dicom_planar as write_dicom_planar
from sirtjax.io._hash import file_sha256 as file_sha256
from sirtjax.io._image import read_image as read_image
from sirtjax.io._label_file import is_label_file as is_label_file
from sirtjax.io._label_file import read_label_array as read_label_array
from sirtjax.io._label_file import write_labels as write_labels
from sirtjax.io._lines import read_lines as read_lines
from sirtjax.io._masks import read_masks as read_masks
from sirtjax.io._masks import select_mask as select_mask
from sirtjax.io._nifti import read_nifti as read_nifti
from sirtjax.io._nifti import read_nifti_array as read_nifti_array
from sirtjax.io._nifti import write_nifti as write_nifti
from sirtjax.io._nrrd import read_nrrd as read_nrrd
from sirtjax.io._nrrd_segments import read_seg_nrrd as read_seg_nrrd
from sirtjax.io._nrrd_write import SEG_NRRD_SUFFIX as SEG_NRRD_SUFFIX
from sirtjax.io._nrrd_write import write_seg_nrrd as write_seg_nrrd
from sirtjax.io._patient_key import patient_key_file as patient_key_file
from sirtjax.io._patient_key import read_patient_key as read_patient_key
from sirtjax.io._patient_mark import PatientMark as PatientMark
from sirtjax.io._patient_mark import patient_mark as patient_mark
from sirtjax.io._patient_mark import use_patient_key as use_patient_key
from sirtjax.io._planar import PlanarViews as PlanarViews
from sirtjax.io._planar import read_planar as read_planar
from sirtjax.io._points import PointList as PointList
from sirtjax.io._points import read_points as read_points
from sirtjax.io._points import write_points as write_points
from sirtjax.io._radionuclide import radionuclides_of as radionuclides_of
from sirtjax.io._rtstruct import read_rtstruct as read_rtstruct
from sirtjax.io._series import SeriesInfo as SeriesInfo
from sirtjax.io._series import list_series as list_series
from sirtjax.io._series_headers import SeriesHeaders as SeriesHeaders
from sirtjax.io._series_headers import read_headers as read_headers
from sirtjax.io._source import Image as Image
from sirtjax.io._source import Source as Source
from sirtjax.io._torch_file import ForeignObject as ForeignObject
from sirtjax.io._torch_file import read_torch_file as read_torch_file
from sirtjax.io._transform_files import read_transform as read_transform
from sirtjax.io._transform_files import write_transform as write_transform
from sirtjax.io._transform_slices import covering_lattice as covering_lattice
from sirtjax.io._user_folder import user_data_folder as user_data_folder

__all__ = [
    "SEG_NRRD_SUFFIX",
    "CsvWriter",
    "ForeignObject",
    "Image",
    "Injection",
    "PatientMark",
    "PlanarViews",
    "PointList",
    "SeriesHeaders",
    "SeriesInfo",
    "Source",
    "Storage",
    "StudyIdentity",
    "atomic_folder",
    "atomic_path",
    "check_inflation",
    "covering_lattice",
    "csv_cell",
    "date_time",
    "decimal",
    "decode_file",
    "file_sha256",
    "is_label_file",
    "list_series",
    "load_checkpoint",
    "parsing",
    "patient_key_file",
    "patient_mark",
    "plain_cell",
    "radionuclides_of",
    "read_dataset",
    "read_description",
    "read_headers",
    "read_image",
    "read_label_array",
    "read_lines",
    "read_masks",
    "read_nifti",
    "read_nifti_array",
    "read_nrrd",
    "read_patient_key",
    "read_planar",
    "read_points",
    "read_rtstruct",
    "read_seg",
    "read_seg_nrrd",
    "read_torch_file",
    "read_transform",
    "right_handed",
    "save_checkpoint",
    "select_mask",
    "use_patient_key",
    "user_data_folder",
    "write_dicom_planar",
    "write_dicom_series",
    "write_labels",
    "write_nifti",
    "write_points",
    "write_seg_nrrd",
    "write_transform",
]
