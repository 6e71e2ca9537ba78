"""The parts of a DICOM object that CT, MR, PET and NM images share."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Integer, Real
from pydicom.dataset import Dataset, FileMetaDataset

import sirtjax
from sirtjax.dicom.dataset._time import date_time
from sirtjax.dicom.dataset._values import decimal
from sirtjax.dicom.image._identity import CODE_OF_NUCLIDE, RadiopharmaceuticalInfo, StudyIdentity
from sirtjax.errors import GeometryError
from sirtjax.volume import Geometry

if TYPE_CHECKING:
    from pydicom.sr.coding import Code  # its tables take long to load


def image_dataset(
    study: StudyIdentity,
    *,
    sop_class_uid: str,
    modality: str,
    description: str,
    series_number: int,
    instance_number: int,
    acquired: datetime,
    frame: str,
) -> Dataset:
    """Returns a data set with patient, study, series, frame of reference and equipment modules."""
    from pydicom.uid import ExplicitVRLittleEndian

    series = (modality, str(series_number), description)
    dataset = Dataset()
    dataset.SOPClassUID = sop_class_uid
    dataset.SOPInstanceUID = study.uid(*series, str(instance_number))
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = sop_class_uid
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientID = study.patient_id
    dataset.PatientName = f"{study.patient_id}^"
    dataset.PatientBirthDate = ""
    dataset.PatientSex = study.patient_sex
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "Written under a pseudonym, without identifiers"
    if study.patient_weight_kg is not None:
        dataset.PatientWeight = decimal(study.patient_weight_kg)
    dataset.StudyInstanceUID = study.study_uid
    dataset.StudyDate, dataset.StudyTime = date_time(study.begun)
    dataset.StudyID = "1"
    dataset.AccessionNumber = dataset.ReferringPhysicianName = ""
    dataset.Modality = modality
    dataset.SeriesInstanceUID = study.uid(*series)
    dataset.SeriesNumber = series_number
    dataset.SeriesDescription = description
    dataset.SeriesDate, dataset.SeriesTime = date_time(acquired)
    dataset.AcquisitionDate, dataset.AcquisitionTime = date_time(acquired)
    dataset.ContentDate, dataset.ContentTime = date_time(acquired)
    dataset.AcquisitionNumber = 1
    dataset.InstanceNumber = instance_number
    dataset.BodyPartExamined = study.body_part
    dataset.FrameOfReferenceUID = study.frame_of_reference_uid(frame)
    dataset.PositionReferenceIndicator = ""
    dataset.Manufacturer = dataset.ManufacturerModelName = "sirtjax"
    dataset.SoftwareVersions = sirtjax.__version__
    return dataset


def add_plane(dataset: Dataset, geometry: Geometry, k: int) -> None:
    """Adds the position and orientation of slice k of the grid."""
    position = geometry.to_world((0, 0, k))
    normal = np.cross(*geometry.direction.T[:2])
    dataset.PixelSpacing = [decimal(geometry.spacing_mm[1]), decimal(geometry.spacing_mm[0])]
    dataset.ImageOrientationPatient = [decimal(x) for x in geometry.direction.T[:2].ravel()]
    dataset.ImagePositionPatient = [decimal(x) for x in position]
    dataset.SliceThickness = decimal(geometry.spacing_mm[2])
    dataset.SliceLocation = decimal(float(position @ normal))


def add_pixels(dataset: Dataset, pixels: Integer[np.ndarray, "*frames rows columns"]) -> None:
    """Stores 16-bit uncompressed pixels, (rows, columns) or (frames, rows, columns)."""
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 1 if pixels.dtype == np.int16 else 0
    dataset.PixelData = np.ascontiguousarray(pixels).astype(pixels.dtype.newbyteorder("<")).tobytes()


def add_patient_orientation(dataset: Dataset, study: StudyIdentity) -> None:
    """Adds the NM/PET Patient Orientation module: the patient's position, in codes."""
    from pydicom.sr.codedict import codes

    supine, head_first = study.patient_position.endswith("S"), study.patient_position.startswith("HF")
    orientation = coded(codes.SCT.Recumbent)
    orientation.PatientOrientationModifierCodeSequence = [coded(codes.SCT.Supine if supine else codes.SCT.Prone)]
    dataset.PatientOrientationCodeSequence = [orientation]
    dataset.PatientGantryRelationshipCodeSequence = [coded(codes.SCT.Headfirst if head_first else codes.SCT.FeetFirst)]


def add_injection(dataset: Dataset, injection: RadiopharmaceuticalInfo) -> None:
    """Adds the radiopharmaceutical: nuclide, activity, time and half-life."""
    from pydicom.sr.codedict import codes

    item = Dataset()
    item.Radiopharmaceutical = injection.agent
    item.RadiopharmaceuticalStartTime = date_time(injection.at)[1]
    item.RadiopharmaceuticalStartDateTime = "".join(date_time(injection.at))
    # DICOM wants becquerel in PET and megabecquerel in NM images.
    dose = injection.activity_bq if dataset.Modality == "PT" else injection.activity_bq / 1e6
    item.RadionuclideTotalDose = decimal(dose)
    item.RadionuclideHalfLife = decimal(injection.half_life_s)
    item.RadionuclideCodeSequence = [coded(getattr(codes.SCT, CODE_OF_NUCLIDE[injection.nuclide]))]
    dataset.RadiopharmaceuticalInformationSequence = [item]


def right_handed(geometry: Geometry, array: Real[np.ndarray, "i j k"]) -> tuple[Geometry, Real[np.ndarray, "i j k"]]:
    """Returns the same voxels with k along row x column, the slice order of DICOM.

    Raises:
      GeometryError: the axes are not at right angles, which these DICOM images cannot say.
    """
    direction = geometry.direction
    if np.abs(direction.T @ direction - np.eye(3)).max() > 1e-4:
        raise GeometryError(
            "the axes of the grid are not at right angles (a tilted gantry?); resample it before writing DICOM"
        )
    if np.linalg.det(direction) > 0:
        return geometry, array
    affine = geometry.affine
    affine[:3, 3] = geometry.to_world((0, 0, geometry.shape[2] - 1))
    affine[:3, 2] *= -1
    return Geometry.from_affine(geometry.shape, affine), array[:, :, ::-1]


def coded(code: Code) -> Dataset:
    """Returns the item of a code sequence for a SNOMED CT code."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, "SCT", code.meaning
    return item
