"""Spatial Registration (PS3.3 C.20.2) and Deformable Spatial Registration (C.20.3) objects."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

import sirtjax
from sirtjax.dicom.dataset._values import decimal
from sirtjax.dicom.reference._object import new_object, referenced, save_object, short_text
from sirtjax.dicom.reference._series import Reference
from sirtjax.errors import GeometryError, InputError
from sirtjax.io import patient_fingerprint
from sirtjax.spatial import AffineTransform, DisplacementField, Transform
from sirtjax.volume import Geometry, Volume, axis_codes, reorient

SPATIAL_CLASS = "1.2.840.10008.5.1.4.1.1.66.1"
DEFORMABLE_CLASS = "1.2.840.10008.5.1.4.1.1.66.3"
_SERIES_NUMBER = 9400
_OPPOSITE = {"L": "R", "R": "L", "A": "P", "P": "A", "S": "I", "I": "S"}
# CID 7100: basis of a registration.
_BY_IMAGES = ("125024", "DCM", "Image Content-based Alignment")
_BY_FRAME = ("125021", "DCM", "Frame of Reference Identity")


def write_registration(
    path: str | Path,
    transform: Transform,
    fixed: Reference,
    moving: Reference,
    *,
    description: str = "Registration",
    force: bool = False,
) -> Path:
    """Writes the alignment of two series as Spatial or Deformable Spatial Registration.

    Transforms here pull: they take a point of the fixed (reference) image to the moving (floating) one. The matrix of a
    Spatial Registration maps the other way, from the moving image's coordinates to those of the fixed one, which is the
    registered frame: the inverse is written. A displacement field becomes a Deformable Spatial Registration, whose grid
    and matrices map from the registered frame to the moving image's, as ours do: no matrix before the deformation, the
    displacements, then the affine map as the matrix after it.

    Args:
      path: file to write.
      transform: transform from the fixed to the moving image.
      fixed: series whose frame of reference is used; the object is stored in its study.
      moving: series registered to it.
      description: description of the object and its series.
      force: replace an existing file.

    Returns:
      The file.

    Raises:
      InputError: not an affine transform or a displacement field, or series of two patients.
      GeometryError: a singular matrix, displacements that are not finite, or a sheared grid.
      OutputError: the file exists already, or its place refuses writing.
    """
    if patient_fingerprint(fixed.headers[0]).contradicts(patient_fingerprint(moving.headers[0])):
        raise InputError("the fixed and the moving series belong to two patients; register series of one patient")
    if isinstance(transform, AffineTransform):
        dataset = _spatial(_matrix(transform.floating_from_reference), fixed, moving, description)
    elif isinstance(transform, DisplacementField):
        dataset = _deformable(transform, fixed, moving, description)
    else:
        raise InputError(
            f"a {type(transform).__name__} cannot be written as a DICOM registration; expected an AffineTransform or a "
            "DisplacementField (sirtjax.spatial.to_displacement_field makes one)"
        )
    _add_references(dataset, fixed, moving)
    return save_object(dataset, path, force=force)


def _spatial(
    floating_from_reference: NDArray[np.float64], fixed: Reference, moving: Reference, description: str
) -> Dataset:
    dataset = _start(SPATIAL_CLASS, floating_from_reference.tobytes(), fixed, moving, description)
    registered_from_moving = np.asarray(np.linalg.inv(floating_from_reference), np.float64)
    dataset.RegistrationSequence = [
        _matrix_item(fixed, np.eye(4), _BY_FRAME),
        _matrix_item(moving, registered_from_moving, _BY_IMAGES),
    ]
    return dataset


def _deformable(field: DisplacementField, fixed: Reference, moving: Reference, description: str) -> Dataset:
    geometry, vectors = _right_handed_grid(field)
    last = np.eye(4) if field.floating_from_displaced is None else _matrix(field.floating_from_displaced)
    stored = np.ascontiguousarray(vectors.transpose(2, 1, 0, 3), np.dtype("<f4")).tobytes()
    dataset = _start(DEFORMABLE_CLASS, stored + last.tobytes(), fixed, moving, description)
    grid = Dataset()
    grid.ImagePositionPatient = [decimal(x) for x in geometry.origin_mm]
    grid.ImageOrientationPatient = [decimal(x) for x in geometry.direction.T[:2].ravel()]
    grid.GridDimensions = list(geometry.shape)
    grid.GridResolution = list(geometry.spacing_mm)
    grid.VectorGridData = stored
    item = Dataset()
    item.SourceFrameOfReferenceUID = moving.frame_of_reference_uid
    item.ReferencedImageSequence = _instances(moving)
    item.RegistrationTypeCodeSequence = [_coded(*_BY_IMAGES)]
    item.PreDeformationMatrixRegistrationSequence = [_matrix_values(np.eye(4))]
    item.PostDeformationMatrixRegistrationSequence = [_matrix_values(last)]
    item.DeformableRegistrationGridSequence = [grid]
    dataset.DeformableRegistrationSequence = [item]
    return dataset


def _start(sop_class_uid: str, content: bytes, fixed: Reference, moving: Reference, description: str) -> Dataset:
    digest = hashlib.sha256(content)
    digest.update(f"{fixed.series_uid} {moving.series_uid} {description}".encode())
    dataset = new_object(
        fixed,
        sop_class_uid=sop_class_uid,
        modality="REG",
        content=digest.hexdigest(),
        series_number=_SERIES_NUMBER,
        description=description,
    )
    dataset.DeviceSerialNumber = sirtjax.__version__
    dataset.Laterality = None  # of no paired organ
    dataset.ContentDate, dataset.ContentTime = dataset.InstanceCreationDate, dataset.InstanceCreationTime
    dataset.ContentLabel = "REGISTRATION"
    dataset.ContentDescription = short_text(description, what="description")
    dataset.ContentCreatorName = None
    return dataset


def _matrix(values: Any) -> NDArray[np.float64]:
    matrix = np.asarray(values, np.float64)
    if (
        matrix.shape != (4, 4)
        or not np.isfinite(matrix).all()
        or not np.array_equal(matrix[3], [0.0, 0.0, 0.0, 1.0])
        or abs(np.linalg.det(matrix[:3, :3])) < 1e-6
    ):
        raise GeometryError(
            f"the transform's matrix {np.round(matrix, 3).tolist()} is not an invertible affine map of finite numbers; "
            "register again"
        )
    return matrix


def _right_handed_grid(field: DisplacementField) -> tuple[Geometry, NDArray[np.float32]]:
    """The field on axes at right angles with the third along first x second: all that DICOM's grid can say."""
    array = np.asarray(field.array, np.float32)
    if not np.isfinite(array).all():
        raise GeometryError("the displacement field has NaN or infinite displacements; register again")
    geometry = field.geometry
    direction = geometry.direction
    if np.abs(direction.T @ direction - np.eye(3)).max() > 1e-4:
        raise GeometryError(
            "the displacement field has a sheared grid, which DICOM cannot store; sample it on a square grid with "
            "sirtjax.spatial.compose(..., geometry=...) first"
        )
    if np.linalg.det(direction) > 0:
        return geometry, array
    codes = axis_codes(geometry)
    turned = [
        reorient(Volume(array[..., axis], geometry, unit="1"), codes[:2] + _OPPOSITE[codes[2]]) for axis in range(3)
    ]
    return turned[0].geometry, np.stack([np.asarray(each.array) for each in turned], axis=-1)


def _matrix_item(
    image: Reference, registered_from_image: NDArray[np.float64], made_from: tuple[str, str, str]
) -> Dataset:
    registration = Dataset()
    registration.RegistrationTypeCodeSequence = [_coded(*made_from)]
    registration.MatrixSequence = [_matrix_values(registered_from_image)]
    item = Dataset()
    item.FrameOfReferenceUID = image.frame_of_reference_uid
    item.ReferencedImageSequence = _instances(image)
    item.MatrixRegistrationSequence = [registration]
    return item


def _matrix_values(matrix: NDArray[np.float64]) -> Dataset:
    linear = matrix[:3, :3]
    rigid = np.abs(linear.T @ linear - np.eye(3)).max() < 1e-6 and np.linalg.det(linear) > 0
    item = Dataset()
    item.FrameOfReferenceTransformationMatrixType = "RIGID" if rigid else "AFFINE"
    item.FrameOfReferenceTransformationMatrix = [decimal(value) for value in matrix.ravel()]
    return item


def _coded(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _instances(image: Reference) -> list[Dataset]:
    """Every object of a series once: a multi-frame image is one."""
    return [referenced(str(header.SOPClassUID), str(header.SOPInstanceUID)) for header in image.headers]


def _add_references(dataset: Dataset, fixed: Reference, moving: Reference) -> None:
    """Adds the Common Instance Reference module: the referenced series of this study, then those of other studies."""
    own: list[Any] = []
    others: dict[str, list[Any]] = {}
    for image in (fixed, moving):
        series = Dataset()
        series.SeriesInstanceUID = image.series_uid
        series.ReferencedInstanceSequence = _instances(image)
        known = own if image.study_uid == fixed.study_uid else others.setdefault(image.study_uid, [])
        if all(each.SeriesInstanceUID != image.series_uid for each in known):
            known.append(series)
    dataset.ReferencedSeriesSequence = own
    studies = []
    for study_uid, series_items in others.items():
        study = Dataset()
        study.StudyInstanceUID = study_uid
        study.ReferencedSeriesSequence = series_items
        studies.append(study)
    if studies:
        dataset.StudiesContainingOtherReferencedInstancesSequence = studies
