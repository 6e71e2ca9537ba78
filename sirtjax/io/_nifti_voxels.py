from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np
from isal import igzip, igzip_lib
from jaxtyping import Real
from numpy.typing import DTypeLike, NDArray

from sirtjax.errors import ImageFormatError
from sirtjax.io._file_order import PLANES, ROWS
from sirtjax.io._nifti_header import reason_of, three_dimensions

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

_GZIP = b"\x1f\x8b"
# The stub of ISA-L takes its class of errors for an error.
_ISAL_ERROR = cast("type[Exception]", igzip_lib.IsalError)
# What damaged data of a packed or plain file raise.
_DAMAGED = (OSError, EOFError, ValueError, zlib.error, _ISAL_ERROR, MemoryError, OverflowError)
_CHUNK_BYTES = 2**20


def read_voxels(path: Path, image: Nifti1Image, *, dtype: DTypeLike | None = None) -> Real[np.ndarray, "i j k"]:
    """Reads the voxels with scl_slope and scl_inter applied, as a C-contiguous array.

    A few planes at a time are unpacked, scaled and turned from the order of the file to that of the array. They stay in
    the cache of the processor, which makes it faster, and the whole image is in memory only once.

    Args:
      path: path of the file.
      image: header of this file, from `load_header`.
      dtype: type of the voxels; None keeps the type of the file where it is not scaled.

    Raises:
      ImageFormatError: truncated or damaged data, a wrong checksum of a packed file, colour or complex voxels.
    """
    stored = image.header.get_data_dtype()
    if stored.fields is not None or stored.kind not in "iuf":
        raise ImageFormatError(f"{path}: voxels of type {stored}; expected one real number per voxel")
    shape = three_dimensions(path, tuple(int(n) for n in image.shape))
    try:
        with np.errstate(all="ignore"), _opened(path) as stream:
            return _turned(stream, image, shape, stored, dtype)
    except _DAMAGED as error:
        raise ImageFormatError(
            f"{path}: the voxel data cannot be read ({reason_of(error)}); it is truncated or damaged, copy it again"
        ) from error


def _turned(
    stream: IO[bytes] | gzip.GzipFile,
    image: Nifti1Image,
    shape: tuple[int, int, int],
    stored: np.dtype[Any],
    dtype: DTypeLike | None,
) -> NDArray[Any]:
    from nibabel.volumeutils import apply_read_scaling

    slope, inter = image.dataobj.slope, image.dataobj.inter
    scaled = apply_read_scaling(np.zeros(1, stored), slope, inter).dtype.newbyteorder("=")
    found = np.empty(shape, scaled if dtype is None else dtype)
    stream.seek(int(image.dataobj.offset))
    for start in range(0, shape[2], PLANES):
        planes = min(PLANES, shape[2] - start)
        wanted = planes * shape[1] * shape[0] * stored.itemsize
        data = stream.read(wanted)
        if len(data) < wanted:
            raise EOFError(f"the data end after {start} of {shape[2]} planes")
        part = np.frombuffer(data, stored).reshape(planes, shape[1], shape[0])
        part = apply_read_scaling(part, slope, inter)
        for row in range(0, shape[1], ROWS):
            found[:, row : row + ROWS, start : start + planes] = part[:, row : row + ROWS].T
    while stream.read(_CHUNK_BYTES):  # a packed file has its checksum after the last byte
        pass
    return found


def _opened(path: Path) -> IO[bytes] | gzip.GzipFile:
    """The unpacked content. ISA-L unpacks faster than zlib, and other threads run meanwhile."""
    with path.open("rb") as raw:
        packed = raw.read(len(_GZIP)) == _GZIP
    if not packed:
        return path.open("rb")
    opened: gzip.GzipFile = igzip.IGzipFile(path, "rb")  # type: ignore[no-untyped-call]
    return opened
