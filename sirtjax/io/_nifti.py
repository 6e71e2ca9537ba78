"""NIfTI files in and out. NIfTI's world is RAS: this is where it turns into LPS and back."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sirtjax.errors import GeometryError, ImageFormatError
from sirtjax.io._atomic import atomic_path
from sirtjax.io._source import Image, Source
from sirtjax.volume import Geometry, LabelMap, Volume

SUFFIXES = (".nii", ".nii.gz")
LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# A gzip stream can't hold more than about this many times its own size.
MOST_DEFLATION = 1032


def is_nifti(path: Path) -> bool:
    """Whether the file's name ends as a NIfTI file's does."""
    return path.name.lower().endswith(SUFFIXES)


def read_nifti(path: str | Path) -> Image:
    """A scalar NIfTI image.

    Args:
      path: a .nii or .nii.gz file with a qform or sform; one volume, or several frames of which only one exists.

    Returns:
      The image in LPS, float32, its unit "1" (NIfTI doesn't say what the numbers are).

    Raises:
      ImageFormatError: the file is missing, truncated, not NIfTI, not scalar, has no affine, or has NaN or infinite
        voxels.
    """
    file = Path(path)
    array, geometry = read_nifti_array(file)
    values = np.asarray(array, np.float32)
    finite = np.isfinite(values)
    if not finite.all():
        first = tuple(int(n) for n in np.argwhere(~finite)[0])
        raise ImageFormatError(
            f"{file}: {int((~finite).sum())} voxels are NaN or infinite, the first at {first}; mend the image"
        )
    return Image(Volume(values, geometry, unit="1"), Source(path=file, format="nifti", sha256=_sha256(file)))


def read_nifti_array(path: Path) -> tuple[NDArray[Any], Geometry]:
    """The voxels of a NIfTI file as stored (integers stay integers) and their grid.

    Raises:
      ImageFormatError: see `read_nifti`.
    """
    import nibabel

    if not path.is_file():
        raise ImageFormatError(f"{path}: no such file; give a .nii or .nii.gz file")
    try:
        image = nibabel.load(path)
        if not isinstance(image, nibabel.Nifti1Image):
            raise ImageFormatError(f"{path}: is {type(image).__name__}, expected NIfTI")
        _check_size(path, image)
        shape = _one_volume(path, image.shape)
        affine = _affine(path, image.header)
        array = np.asanyarray(image.dataobj).reshape(shape)
    except ImageFormatError:
        raise
    except (OSError, EOFError, ValueError, ArithmeticError, zlib.error, nibabel.filebasedimages.ImageFileError,
            nibabel.spatialimages.HeaderDataError) as error:  # fmt: skip
        raise ImageFormatError(
            f"{path}: can't be read as NIfTI, it is truncated or not NIfTI ({' '.join(str(error).split())[:120]})"
        ) from error
    if array.dtype.kind not in "iufb":
        raise ImageFormatError(f"{path}: voxels are {array.dtype}, expected one number each")
    try:
        return array, Geometry.from_affine(shape, LPS_FROM_RAS @ affine)
    except GeometryError as error:
        raise ImageFormatError(f"{path}: {error}") from error


def write_nifti(path: str | Path, image: Volume | LabelMap, *, force: bool = False) -> None:
    """Write a volume (float32) or a label map (its own integers) as NIfTI, whole or not at all.

    Args:
      path: ends in .nii or .nii.gz.
      image: in LPS; written in RAS with qform and sform, millimetres.
      force: replace a file that is there already.

    Raises:
      OutputError: the file can't be written.
      ImageFormatError: the name doesn't end in .nii or .nii.gz.
    """
    import nibabel

    file = Path(path)
    if not is_nifti(file):
        raise ImageFormatError(f"{file}: a NIfTI file's name ends in .nii or .nii.gz")
    array = np.asarray(image.array)
    array = array.astype(np.float32) if isinstance(image, Volume) else _small_integers(array)
    affine = LPS_FROM_RAS @ image.geometry.affine
    nifti = nibabel.Nifti1Image(array, affine)
    nifti.header.set_xyzt_units("mm")
    nifti.set_sform(affine, code=1)
    # A qform can't hold shear; nibabel then writes the nearest rotation, and readers prefer the sform.
    nifti.set_qform(affine, code=1 if _is_orthogonal(affine) else 0, strip_shears=True)
    if isinstance(image, Volume):
        nifti.header["descrip"] = image.unit.encode("ascii", "replace")[:79]
    with atomic_path(file, force=force) as temporary:
        nibabel.save(nifti, temporary)


def _is_orthogonal(affine: NDArray[np.float64]) -> bool:
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() < 1e-5)


def _check_size(path: Path, image: Any) -> None:
    """The header may claim any size: compare with the file before memory is asked for."""
    claimed = int(np.prod([int(n) for n in image.shape], dtype=object)) * image.get_data_dtype().itemsize
    held = path.stat().st_size * (MOST_DEFLATION if path.name.lower().endswith(".gz") else 1)
    if claimed > held:
        raise ImageFormatError(
            f"{path}: its header claims {claimed / 1e6:.0f} MB of voxels, the file can hold {held / 1e6:.0f} MB; "
            "it is truncated or damaged"
        )


def _one_volume(path: Path, shape: tuple[int, ...]) -> tuple[int, int, int]:
    if len(shape) < 3 or min(shape) < 1 or any(n != 1 for n in shape[3:]):
        size = "x".join(str(n) for n in shape)
        raise ImageFormatError(
            f"{path}: has {size} voxels, expected one three-dimensional volume; extract one frame"
        )
    return int(shape[0]), int(shape[1]), int(shape[2])


def _affine(path: Path, header: Any) -> NDArray[np.float64]:
    if int(header["sform_code"]) > 0:
        affine = header.get_sform()
    elif int(header["qform_code"]) > 0:
        affine = header.get_qform()
    else:
        raise ImageFormatError(
            f"{path}: has neither qform nor sform, so where its voxels are is unknown; set one"
        )
    return np.asarray(affine, np.float64)


def _small_integers(array: NDArray[Any]) -> NDArray[Any]:
    low, high = int(array.min()), int(array.max())
    kind: Any = (
        np.uint8 if low >= 0 and high < 256 else np.int16 if low >= -32768 and high < 32768 else np.int32
    )
    return array.astype(kind)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
