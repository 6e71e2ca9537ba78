from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sirtjax.errors import GeometryError, ImageFormatError, OutputError
from sirtjax.io._atomic import atomic_path
from sirtjax.spatial import AffineTransform, DisplacementField, Transform
from sirtjax.volume import Geometry

_LOG = logging.getLogger(__name__)
_ITK_SUFFIXES = (".tfm", ".txt", ".h5", ".hdf5", ".mat", ".xfm")
_NIFTI_SUFFIXES = (".nii", ".nii.gz")
# NIfTI intents: a vector in the world of ITK (LPS), and a displacement in that of NIfTI (RAS).
_INTENT_VECTOR, _INTENT_DISPLACEMENT = 1007, 1006
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_transform(path: str | Path, *, reference: Geometry) -> Transform:
    """A spatial transform from an ITK transform file or a NIfTI displacement field.

    ITK's transforms are pull, in LPS mm, as ours are: they take a point of the reference (fixed) image to the
    floating (moving) one. Translations, rigid, similarity and affine transforms and composites of these
    become one affine; all others (displacement field, B-spline, composites with them) are sampled on
    `reference` as a displacement field. NIfTI fields are those of ITK and ANTs: five dimensions
    (x, y, z, 1, 3), the intent "vector" in LPS or "displacement vector" in RAS.

    Args:
      path: .tfm, .txt, .h5, .mat or .xfm (ITK), or .nii / .nii.gz.
      reference: the grid of the reference image.

    Raises:
      ImageFormatError: not such a file, or damaged.
      GeometryError: the transform is not three-dimensional or invertible, or its numbers are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise ImageFormatError(f"{path}: no such file; expected an ITK transform or a NIfTI field")
    name = path.name.lower()
    if name.endswith(_NIFTI_SUFFIXES):
        return _read_nifti_field(path, reference)
    if not name.endswith(_ITK_SUFFIXES):
        raise ImageFormatError(f"{path}: not a transform; expected {', '.join(_ITK_SUFFIXES + _NIFTI_SUFFIXES)}")
    transform = _itk_read(path)
    if transform.GetDimension() != 3:
        raise GeometryError(f"{path}: a transform of {transform.GetDimension()} dimensions; expected 3")
    if transform.IsLinear():
        return AffineTransform(_checked_matrix(path, _matrix(transform)))
    return _sampled(path, transform, reference)


def write_transform(path: str | Path, transform: Transform, *, force: bool = False) -> None:
    """Write a transform for ITK, 3D Slicer and ANTs: .tfm, .txt, .h5, .mat, or a field as .nii / .nii.gz.

    Args:
      path: where to; the suffix chooses the format.
      transform: pull, LPS mm.
      force: replace an existing file.

    Raises:
      OutputError: an unknown suffix, an affine as NIfTI, a field as .mat, or the file exists.
    """
    path = Path(path)
    name = path.name.lower()
    nifti = name.endswith(_NIFTI_SUFFIXES)
    field = isinstance(transform, DisplacementField)
    if not nifti and not name.endswith((".tfm", ".txt", ".h5", ".mat")):
        raise OutputError(f"{path}: no transform has this suffix; use .tfm, .txt, .h5, .mat or .nii.gz")
    if (nifti and not field) or (field and name.endswith(".mat")):
        kind = "a displacement field" if field else "an affine transform"
        raise OutputError(f"{path}: {kind} cannot be written in this format; use .tfm or .h5")
    with atomic_path(path, force=force) as temporary:
        if isinstance(transform, DisplacementField):
            write_field = _write_nifti_field if nifti else _write_itk_field
            write_field(temporary, transform)
        else:
            _write_itk_affine(temporary, np.asarray(transform.floating_from_reference, np.float64))


def _itk_read(path: Path) -> Any:
    import SimpleITK as sitk

    try:
        return sitk.ReadTransform(str(path))
    # SimpleITK quotes the file in its message, which need not be text.
    except (RuntimeError, UnicodeDecodeError) as error:
        reason = re.search(r"ITK ERROR: (?:\S*\(0x[0-9a-f]+\): )?([^\n]*)", str(error))
        said = reason.group(1).strip() if reason else " ".join(str(error).split())[:160]
        raise ImageFormatError(f"{path}: not readable as an ITK transform ({said}); save it again") from error


def _matrix(transform: Any) -> NDArray[np.float64]:
    """The 4x4 of a linear ITK transform, whatever its class: from where it takes four points."""
    # Unit steps of 1 m keep more digits of the matrix where the centre lies far off.
    reach_mm = 1000.0
    origin = np.asarray(transform.TransformPoint((0.0, 0.0, 0.0)))
    matrix = np.eye(4)
    for axis in range(3):
        point = np.zeros(3)
        point[axis] = reach_mm
        matrix[:3, axis] = (np.asarray(transform.TransformPoint(point.tolist())) - origin) / reach_mm
    matrix[:3, 3] = origin
    return matrix


def _checked_matrix(path: Path, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    if not np.isfinite(matrix).all() or np.abs(matrix).max() > 1e6:
        raise GeometryError(f"{path}: the transform's numbers are not finite or beyond reason; save it again")
    if abs(np.linalg.det(matrix[:3, :3])) < 1e-6:
        raise GeometryError(f"{path}: the transform flattens space (its matrix is singular); save it again")
    return matrix


def _sampled(path: Path, transform: Any, reference: Geometry) -> DisplacementField:
    import SimpleITK as sitk

    image = sitk.TransformToDisplacementField(
        transform,
        sitk.sitkVectorFloat32,
        reference.shape,
        reference.origin_mm,
        reference.spacing_mm,
        reference.direction.ravel().tolist(),
    )
    array = np.ascontiguousarray(sitk.GetArrayViewFromImage(image).transpose(2, 1, 0, 3))
    return DisplacementField(_checked_field(path, array), reference)


def _checked_field(path: Path, array: NDArray[np.float32]) -> NDArray[np.float32]:
    if not (np.abs(array) < 1e5).all():
        raise GeometryError(f"{path}: displacements that are not finite or beyond 100 m; save it again")
    return array


def _read_nifti_field(path: Path, reference: Geometry) -> DisplacementField:
    import nibabel
    from nibabel.filebasedimages import ImageFileError

    try:
        image: Any = nibabel.load(path)
        intent = int(image.header["intent_code"])
        intent_name = image.header.get_intent()[2]
        shape = tuple(int(n) for n in image.shape)
        if len(shape) != 5 or shape[3:] != (1, 3) or intent not in (_INTENT_VECTOR, _INTENT_DISPLACEMENT):
            raise ImageFormatError(
                f"{path}: shape {shape}, intent {intent}: not a displacement field as ITK and ANTs write it; "
                "expected (x, y, z, 1, 3) and intent 1007 (vector) or 1006 (displacement vector)"
            )
        if intent_name.startswith("NREG"):
            raise ImageFormatError(
                f"{path}: a NiftyReg field (positions or velocities); convert it to an ITK transform"
            )
        values = np.asarray(image.dataobj, np.float64)[:, :, :, 0, :]
        affine = _RAS_TO_LPS @ np.asarray(image.affine, np.float64)
    except (ImageFileError, OSError, ValueError, KeyError, EOFError) as error:
        if isinstance(error, ImageFormatError):
            raise
        raise ImageFormatError(f"{path}: not readable as NIfTI ({error}); save the field again") from error
    geometry = Geometry.from_affine(shape[:3], affine)
    if intent == _INTENT_DISPLACEMENT:
        values = values * np.array([-1.0, -1.0, 1.0])
    own = DisplacementField(_checked_field(path, values.astype(np.float32)), geometry)
    if geometry.matches(reference):
        return own
    inside = geometry.to_voxel(reference.corners_mm())
    if (inside < -1).any() or (inside > np.asarray(geometry.shape)).any():
        _LOG.warning("the displacement field does not cover the reference image; points outside it stay in place")
    return _sampled(path, _itk_field(own), reference)


def _itk_field(field: DisplacementField) -> Any:
    import SimpleITK as sitk

    array = np.ascontiguousarray(np.asarray(field.array, np.float64).transpose(2, 1, 0, 3))
    image = sitk.GetImageFromArray(array, isVector=True)
    image.SetOrigin(field.geometry.origin_mm)
    image.SetSpacing(field.geometry.spacing_mm)
    image.SetDirection(field.geometry.direction.ravel().tolist())
    return sitk.DisplacementFieldTransform(image)


def _write_itk_field(path: Path, field: DisplacementField) -> None:
    import SimpleITK as sitk

    sitk.WriteTransform(_itk_field(field), str(path))


def _write_itk_affine(path: Path, matrix: NDArray[np.float64]) -> None:
    import SimpleITK as sitk

    transform = sitk.AffineTransform(3)
    transform.SetMatrix(matrix[:3, :3].ravel().tolist())
    transform.SetTranslation(matrix[:3, 3].tolist())
    sitk.WriteTransform(transform, str(path))


def _write_nifti_field(path: Path, field: DisplacementField) -> None:
    import nibabel

    image = nibabel.Nifti1Image(
        np.asarray(field.array, np.float32)[:, :, :, None, :], _RAS_TO_LPS @ field.geometry.affine
    )
    image.header["intent_code"] = _INTENT_VECTOR
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
