from __future__ import annotations

import errno
import logging
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sirtjax.errors import GeometryError, ImageFormatError, OutputError
from sirtjax.io._atomic import atomic_path
from sirtjax.io._kind_of_file import check_file
from sirtjax.io._nifti import NIFTI_SUFFIXES
from sirtjax.io._transform_nifti import checked_field, read_nifti_field, write_nifti_field
from sirtjax.spatial import AffineTransform, DisplacementField, Transform
from sirtjax.volume import Geometry

_LOG = logging.getLogger(__name__)
# Upper bound of the bytes that HDF5 writes in addition to the numbers.
ITK_OVERHEAD_BYTES = 2**16
_ITK_SUFFIXES = (".tfm", ".txt", ".h5", ".hdf5", ".mat", ".xfm")


def read_transform(path: str | Path, *, reference: Geometry | None, keep_grid: bool = False) -> Transform:
    """Reads a transform from an ITK transform file or a NIfTI displacement field.

    ITK's transforms are pull, in LPS mm, as ours are: they take a point of the reference (fixed) image to the
    floating (moving) one. Translations, rigid, similarity and affine transforms and composites of these
    become one affine. A displacement field followed by linear transforms, as `write_transform` writes it, is read
    as it is, on its own grid; all others (a single field, B-spline, other composites) are sampled on `reference`
    as a displacement field. NIfTI fields are those of ITK and ANTs: five dimensions
    (x, y, z, 1, 3), the intent "vector" in LPS or "displacement vector" in RAS.

    Args:
      path: .tfm, .txt, .h5, .mat or .xfm (ITK), or .nii / .nii.gz.
      reference: the grid of the reference image; None for an affine transform, or a field on its own grid.
      keep_grid: leave a displacement field on the grid it has in the file.

    Raises:
      ImageFormatError: the file is not a transform or is damaged, or the transform has no grid and `reference` is
        missing.
      GeometryError: the transform is not three-dimensional or invertible, or its numbers are not finite.
    """
    import SimpleITK as sitk

    path = Path(path)
    check_file(path, "an ITK transform or a NIfTI field")
    name = path.name.lower()
    if name.endswith(NIFTI_SUFFIXES):
        field = read_nifti_field(path)
        return field if keep_grid or reference is None else _on_reference(path, field, reference)
    if not name.endswith(_ITK_SUFFIXES):
        raise ImageFormatError(f"{path}: not a transform; expected {', '.join(_ITK_SUFFIXES + NIFTI_SUFFIXES)}")
    transform = _itk_read(path)
    if transform.GetDimension() != 3:
        raise GeometryError(f"{path}: a transform of {transform.GetDimension()} dimensions; expected 3")
    if transform.IsLinear():
        return AffineTransform(_checked_matrix(path, _matrix(transform)))
    if transform.GetTransformEnum() == sitk.sitkDisplacementField and (keep_grid or reference is None):
        return _stored_field(path, transform)
    found = _field_then_linear(path, transform)
    if found is not None:
        return found
    if reference is None:
        raise ImageFormatError(f"{path}: a {transform.GetName()} has no grid to be sampled on; give a reference image")
    return _sampled(path, transform, reference)


def write_transform(
    path: str | Path,
    transform: Transform,
    *,
    reference: Geometry | None = None,
    step_mm: float | None = None,
    force: bool = False,
) -> None:
    """Writes a transform for ITK, 3D Slicer and ANTs (.tfm, .txt, .h5, .mat), or as .nii displacements.

    ITK's formats hold any transform exactly, a displacement followed by an affine map as a composite of the two.
    NIfTI holds the displacements of voxels and nothing else: beyond the grid nothing moves. A sheared grid,
    which ITK cannot read from NIfTI, is replaced there by a square one around it.

    Args:
      path: path of the file; the suffix determines the format.
      transform: pull, LPS mm.
      reference: grid on which the whole displacement is sampled, for NIfTI. Default: grid of the field, if no affine
        map follows it. The other formats need none.
      step_mm: step to whose multiples displacements are rounded, for NIfTI, which compresses better. Default: no
        rounding.
      force: replace an existing file.

    Raises:
      OutputError: an unknown suffix, an affine map as NIfTI without a grid, a field as .mat, the file exists, or
        its place refuses writing.

    Examples:
      >>> import tempfile
      >>> from pathlib import Path
      >>> from sirtjax import io, spatial
      >>> shift = spatial.AffineTransform(spatial.rigid_matrix((0.0, 0.0, 0.0), (5.0, 0.0, 0.0), (0.0, 0.0, 0.0)))
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     io.write_transform(Path(folder) / "shift.tfm", shift)
      ...     read = io.read_transform(Path(folder) / "shift.tfm", reference=None)
      >>> spatial.affine_part(read)[:3, 3].tolist()
      [5.0, 0.0, 0.0]
    """
    path = Path(path)
    name = path.name.lower()
    nifti = name.endswith(NIFTI_SUFFIXES)
    field = isinstance(transform, DisplacementField)
    if not nifti and not name.endswith((".tfm", ".txt", ".h5", ".mat")):
        raise OutputError(f"{path}: no transform has this suffix; use .tfm, .txt, .h5, .mat or .nii.gz")
    if field and name.endswith(".mat"):
        raise OutputError(f"{path}: a displacement field cannot be written in this format; use .tfm or .h5")
    if reference is None and isinstance(transform, DisplacementField) and transform.floating_from_displaced is None:
        reference = transform.geometry
    if nifti and reference is None:
        raise OutputError(
            f"{path}: an affine transform cannot be written in this format without a grid; give the reference "
            "image's, or use .tfm or .h5"
        )
    with atomic_path(path, force=force) as temporary:
        if nifti and reference is not None:
            write_nifti_field(temporary, transform, reference, step_mm=step_mm)
        else:
            _write_itk(temporary, transform)


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


def _field_then_linear(path: Path, transform: Any) -> DisplacementField | None:
    """A composite of linear transforms that follow one displacement field, without resampling; else None."""
    import SimpleITK as sitk

    if transform.GetTransformEnum() != sitk.sitkComposite:
        return None
    composite = sitk.CompositeTransform(transform)
    composite.FlattenTransform()
    # ITK applies the last of a composite first.
    *linear, first = [composite.GetNthTransform(n) for n in range(composite.GetNumberOfTransforms())]
    if not linear or first.GetTransformEnum() != sitk.sitkDisplacementField or not all(t.IsLinear() for t in linear):
        return None
    field = _stored_field(path, first)
    matrix = _checked_matrix(path, _matrix(sitk.CompositeTransform(linear)))
    return DisplacementField(field.array, field.geometry, matrix)


def _stored_field(path: Path, transform: Any) -> DisplacementField:
    import SimpleITK as sitk

    image = sitk.DisplacementFieldTransform(transform).GetDisplacementField()
    direction = np.reshape(image.GetDirection(), (3, 3))
    geometry = Geometry.from_axes(
        image.GetSize(), spacing_mm=image.GetSpacing(), origin_mm=image.GetOrigin(), direction=direction
    )
    array = np.ascontiguousarray(sitk.GetArrayViewFromImage(image).transpose(2, 1, 0, 3), np.float32)
    return DisplacementField(checked_field(path, array), geometry)


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
    return DisplacementField(checked_field(path, array), reference)


def _on_reference(path: Path, field: DisplacementField, reference: Geometry) -> DisplacementField:
    if field.geometry.matches(reference):
        return field
    inside = field.geometry.to_voxel(reference.corners_mm())
    if (inside < -1).any() or (inside > np.asarray(field.geometry.shape)).any():
        _LOG.warning("the displacement field does not cover the reference image; points outside it stay in place")
    return _sampled(path, _itk_field(field), reference)


def _itk_field(field: DisplacementField) -> Any:
    import SimpleITK as sitk

    array = np.ascontiguousarray(np.asarray(field.array, np.float64).transpose(2, 1, 0, 3))
    image = sitk.GetImageFromArray(array, isVector=True)
    image.SetOrigin(field.geometry.origin_mm)
    image.SetSpacing(field.geometry.spacing_mm)
    image.SetDirection(field.geometry.direction.ravel().tolist())
    return sitk.DisplacementFieldTransform(image)


def _write_itk(path: Path, transform: Transform) -> None:
    import SimpleITK as sitk

    if not isinstance(transform, DisplacementField):
        written = _itk_affine(transform.floating_from_reference)
    elif transform.floating_from_displaced is None:
        written = _itk_field(transform)
    else:
        # ITK applies the last of a composite first.
        written = sitk.CompositeTransform([_itk_affine(transform.floating_from_displaced), _itk_field(transform)])
    try:
        # HDF5 pours its whole stack of calls on stderr when a disk is full, and crashes as the process ends.
        numbers = np.asarray(transform.array).size if isinstance(transform, DisplacementField) else 0
        _try_space(path, 8 * numbers + ITK_OVERHEAD_BYTES)
        sitk.WriteTransform(written, str(path))
    # ITK says in several hundred words that it could not, and not why.
    except (OSError, RuntimeError) as error:
        raise OutputError(f"{path.name}: cannot be written there; free space or go elsewhere") from error


def _try_space(path: Path, count: int) -> None:
    """See whether so many bytes can be written at a place; nothing is left of them."""
    with path.open("wb") as file:
        if not _reserved(file.fileno(), count):
            block = bytes(2**20)
            for start in range(0, count, len(block)):
                file.write(block[: count - start])
    path.unlink()


def _reserved(descriptor: int, count: int) -> bool:
    """Take so many bytes without writing them; False where the system or the file system has no way to."""
    if not hasattr(os, "posix_fallocate"):
        return False
    try:
        os.posix_fallocate(descriptor, 0, count)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            return False
        raise
    return True


def _itk_affine(matrix: Any) -> Any:
    import SimpleITK as sitk

    matrix = np.asarray(matrix, np.float64)
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(matrix[:3, :3].ravel().tolist())
    transform.SetTranslation(matrix[:3, 3].tolist())
    return transform
