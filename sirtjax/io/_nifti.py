from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from jaxtyping import Real
from numpy.typing import NDArray

from sirtjax.errors import OutputError
from sirtjax.io._atomic import atomic_path
from sirtjax.io._file_order import chunks_in_file_order
from sirtjax.io._finite import check_finite
from sirtjax.io._hash import file_sha256
from sirtjax.io._nifti_header import LPS_FROM_RAS, header_geometry, load_header
from sirtjax.io._nifti_voxels import read_voxels
from sirtjax.io._source import Image, Source
from sirtjax.parsing import parse_json
from sirtjax.volume import Geometry, LabelMap, Volume

NIFTI_SUFFIXES = (".nii", ".nii.gz")
# NIfTI extension code 6 is a plain comment; other programs pass it on or ignore it.
_COMMENT = 6
_NAMES_KEY, _UNIT_KEY = "sirtjax_label_names", "sirtjax_unit"
# A CT with noise takes 0.57 times the time of level 3 in a file 3 % larger; masks and maps take equally long.
_LEVEL = 2
_WRITABLE = ("uint8", "int16", "uint16", "int32", "uint32", "float32", "float64")


def is_nifti(path: Path) -> bool:
    """Returns whether the name has a NIfTI suffix."""
    return path.name.lower().endswith(NIFTI_SUFFIXES)


def read_nifti(path: Path | str, *, unit: str = "1") -> Image:
    """Reads a NIfTI image as float32, with its affine converted from RAS to LPS.

    Its unit is the one `write_nifti` stored; other programs store none, and `unit` counts.

    Raises:
      ImageFormatError: the file is not NIfTI, is truncated, has no affine or several frames, or contains voxels that
        are NaN or infinite.
      GeometryError: the affine is singular.
    """
    path = Path(path)
    header = load_header(path)
    geometry, notes = header_geometry(path, header)
    array = read_voxels(path, header, dtype=np.float32)
    check_finite(array, path)
    source = Source(path=path, format="nifti", sha256=file_sha256(path), notes=notes)
    stored_unit = _comment(header, _UNIT_KEY)
    unit = stored_unit if isinstance(stored_unit, str) else unit
    return Image(volume=Volume(array, geometry, unit=unit), source=source)


def read_nifti_array(path: Path | str) -> tuple[Real[np.ndarray, "i j k"], Geometry]:
    """Reads the voxels of a NIfTI file and their grid (LPS, mm); unscaled integers keep their type.

    Raises:
      ImageFormatError: the file is not NIfTI, is truncated, or has no affine or several frames.
      GeometryError: the affine is singular.
    """
    path = Path(path)
    header = load_header(path)
    geometry, _ = header_geometry(path, header)
    return read_voxels(path, header), geometry


def stored_label_names(path: Path | str) -> Mapping[int, str]:
    """Returns value -> name as stored by `write_nifti`; empty for files of other programs.

    Raises:
      ImageFormatError: the file is not NIfTI, or is truncated.
    """
    names = _comment(load_header(Path(path)), _NAMES_KEY)
    known = names.items() if isinstance(names, dict) else ()
    return {int(value): str(name) for value, name in known if value.isdecimal()}


def write_nifti(path: Path | str, image: Volume | LabelMap, *, force: bool = False) -> None:
    """Writes a volume or label map as .nii or .nii.gz, atomically.

    Volumes keep their numbers' type and, as a comment, their unit; label maps take the smallest integers
    that hold them and also keep their names. A sheared grid (tilted gantry) is written as sform only,
    since a qform cannot hold it.

    Raises:
      OutputError: the name does not end in .nii or .nii.gz, the file exists and `force` is not given, or
        labels don't fit into 32 bits.

    Examples:
      >>> import tempfile
      >>> from pathlib import Path
      >>> import numpy as np
      >>> from sirtjax import io
      >>> from sirtjax.volume import Geometry, Volume
      >>> grid = Geometry.from_axes((4, 3, 2), spacing_mm=(2.0, 2.0, 5.0), origin_mm=(-10.0, 20.0, 30.0))
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     io.write_nifti(Path(folder) / "dose.nii.gz", Volume(np.full(grid.shape, 50.0), grid, unit="Gy"))
      ...     image = io.read_nifti(Path(folder) / "dose.nii.gz", unit="Gy")
      >>> image.volume.geometry.origin_mm, float(image.volume.array.mean())  # LPS, not RAS
      ((-10.0, 20.0, 30.0), 50.0)
    """
    import nibabel

    path = Path(path)
    if not is_nifti(path):
        raise OutputError(f"{path}: expected a name that ends in .nii or .nii.gz")
    labels = isinstance(image, LabelMap)
    array = _storable(np.asarray(image.array), path, labels=labels)
    affine = LPS_FROM_RAS @ image.geometry.affine
    nifti = nibabel.Nifti1Image(array, affine)
    nifti.header.set_xyzt_units("mm")
    nifti.header.set_slope_inter(1, 0)
    nifti.set_sform(affine, code=1)
    cosines = image.geometry.direction
    orthogonal = np.allclose(cosines.T @ cosines, np.eye(3), atol=1e-5)
    nifti.set_qform(affine, code=1 if orthogonal else 0, strip_shears=True)
    if isinstance(image, LabelMap):
        nifti.header.set_intent("label")
        comment: dict[str, Any] = {_NAMES_KEY: {str(value): name for value, name in image.names}}
    else:
        nifti.header["descrip"] = image.unit.encode("ascii", "replace")[:79]
        comment = {_UNIT_KEY: image.unit}
    nifti.header.extensions.append(nibabel.nifti1.Nifti1Extension(_COMMENT, json.dumps(comment).encode()))
    with atomic_path(path, force=force) as temporary, temporary.open("wb") as raw:
        if path.name.lower().endswith(".gz"):
            # No name and no time inside, so that equal images give equal bytes.
            with gzip.GzipFile("", "wb", compresslevel=_LEVEL, fileobj=raw, mtime=0) as packed:
                _to_stream(nifti, array, packed)
        else:
            _to_stream(nifti, array, raw)


def _to_stream(nifti: Any, array: NDArray[Any], stream: IO[bytes] | gzip.GzipFile) -> None:
    """Writes the bytes of `nifti.to_stream`, whose planes are turned one by one and take most of the time."""
    nifti.update_header()
    nifti.header.write_to(stream)
    for chunk in chunks_in_file_order(array):
        stream.write(chunk.data)


def _storable(array: NDArray[Any], path: Path, *, labels: bool) -> NDArray[Any]:
    if not labels and array.dtype.name in _WRITABLE:
        return array
    if array.dtype.kind not in "iub":
        return array.astype(np.float32)
    low, high = int(array.min()), int(array.max())
    for name in ("uint8", "int16", "int32"):
        if np.iinfo(name).min <= low and high <= np.iinfo(name).max:
            return array.astype(name)
    raise OutputError(f"{path}: whole numbers from {low} to {high} do not fit into 32 bits")


def _comment(image: Any, key: str) -> Any:
    """The value that `write_nifti` stored under this key; None in files of other programs."""
    for extension in image.header.extensions:
        if extension.get_code() != _COMMENT:
            continue
        try:
            content = extension.get_content()
            found = parse_json((content if isinstance(content, str) else bytes(content).decode()).rstrip("\0 "))
        except (ValueError, TypeError):
            continue  # somebody else's comment
        if isinstance(found, dict) and key in found:
            return found[key]
    return None
