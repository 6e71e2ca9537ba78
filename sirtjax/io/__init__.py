"""NIfTI, NRRD, transforms, points, checkpoints, CSV and PyTorch files; flips NIfTI and NRRD to LPS."""

from sirtjax.io._atomic import atomic_folder as atomic_folder
from sirtjax.io._atomic import atomic_path as atomic_path
from sirtjax.io._checkpoint import MODEL_NAME as MODEL_NAME
from sirtjax.io._checkpoint import CheckpointDescription as CheckpointDescription
from sirtjax.io._checkpoint import Storage as Storage
from sirtjax.io._checkpoint import check_model_name as check_model_name
from sirtjax.io._checkpoint import load_checkpoint as load_checkpoint
from sirtjax.io._checkpoint import read_description as read_description
from sirtjax.io._checkpoint import save_checkpoint as save_checkpoint
from sirtjax.io._csv_cells import CsvWriter as CsvWriter
from sirtjax.io._csv_cells import csv_cell as csv_cell
from sirtjax.io._csv_cells import plain_cell as plain_cell
from sirtjax.io._file_names import file_name as file_name
from sirtjax.io._file_names import file_names as file_names
from sirtjax.io._finite import check_finite as check_finite
from sirtjax.io._hash import file_sha256 as file_sha256
from sirtjax.io._kind_of_file import check_file as check_file
from sirtjax.io._label_file import is_label_file as is_label_file
from sirtjax.io._label_file import read_label_array as read_label_array
from sirtjax.io._label_file import write_labels as write_labels
from sirtjax.io._label_masks import read_label_masks as read_label_masks
from sirtjax.io._lines import read_lines as read_lines
from sirtjax.io._mask_names import choose_names as choose_names
from sirtjax.io._mask_names import find_name as find_name
from sirtjax.io._mask_names import unique_names as unique_names
from sirtjax.io._nifti import is_nifti as is_nifti
from sirtjax.io._nifti import read_nifti as read_nifti
from sirtjax.io._nifti import read_nifti_array as read_nifti_array
from sirtjax.io._nifti import write_nifti as write_nifti
from sirtjax.io._nrrd import read_nrrd as read_nrrd
from sirtjax.io._nrrd_header import is_nrrd as is_nrrd
from sirtjax.io._nrrd_segments import read_seg_nrrd as read_seg_nrrd
from sirtjax.io._nrrd_write import SEG_NRRD_SUFFIX as SEG_NRRD_SUFFIX
from sirtjax.io._nrrd_write import write_seg_nrrd as write_seg_nrrd
from sirtjax.io._patient_fingerprint import PATIENT_KEYWORDS as PATIENT_KEYWORDS
from sirtjax.io._patient_fingerprint import PatientFingerprint as PatientFingerprint
from sirtjax.io._patient_fingerprint import patient_fingerprint as patient_fingerprint
from sirtjax.io._patient_fingerprint import use_patient_key as use_patient_key
from sirtjax.io._patient_key import patient_key_file as patient_key_file
from sirtjax.io._patient_key import read_patient_key as read_patient_key
from sirtjax.io._points import PointList as PointList
from sirtjax.io._points import read_points as read_points
from sirtjax.io._points import write_points as write_points
from sirtjax.io._quiet import without_library_messages as without_library_messages
from sirtjax.io._source import Image as Image
from sirtjax.io._source import Source as Source
from sirtjax.io._together import write_together as write_together
from sirtjax.io._torch_file import OpaqueObject as OpaqueObject
from sirtjax.io._torch_file import read_torch_file as read_torch_file
from sirtjax.io._transform_chain import read_composed_transform as read_composed_transform
from sirtjax.io._transform_chain import read_transforms as read_transforms
from sirtjax.io._transform_files import read_transform as read_transform
from sirtjax.io._transform_files import write_transform as write_transform
from sirtjax.io._transform_slices import covering_lattice as covering_lattice
from sirtjax.io._user_folder import user_data_folder as user_data_folder

__all__ = [
    "MODEL_NAME",
    "PATIENT_KEYWORDS",
    "SEG_NRRD_SUFFIX",
    "CheckpointDescription",
    "CsvWriter",
    "Image",
    "OpaqueObject",
    "PatientFingerprint",
    "PointList",
    "Source",
    "Storage",
    "atomic_folder",
    "atomic_path",
    "check_file",
    "check_finite",
    "check_model_name",
    "choose_names",
    "covering_lattice",
    "csv_cell",
    "file_name",
    "file_names",
    "file_sha256",
    "find_name",
    "is_label_file",
    "is_nifti",
    "is_nrrd",
    "load_checkpoint",
    "patient_fingerprint",
    "patient_key_file",
    "plain_cell",
    "read_composed_transform",
    "read_description",
    "read_label_array",
    "read_label_masks",
    "read_lines",
    "read_nifti",
    "read_nifti_array",
    "read_nrrd",
    "read_patient_key",
    "read_points",
    "read_seg_nrrd",
    "read_torch_file",
    "read_transform",
    "read_transforms",
    "save_checkpoint",
    "unique_names",
    "use_patient_key",
    "user_data_folder",
    "without_library_messages",
    "write_labels",
    "write_nifti",
    "write_points",
    "write_seg_nrrd",
    "write_together",
    "write_transform",
]
