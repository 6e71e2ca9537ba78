from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from sirtjax.dicom.dataset._claims import check_decompressed_size
from sirtjax.errors import ImageFormatError, SirtjaxError


@contextmanager
def parsing(path: Path, kind: str) -> Iterator[None]:
    """Converts any exception of pydicom on damaged bytes to one `ImageFormatError` that names the file.

    pydicom converts values when they are read, so that damage surfaces as almost any exception type, anywhere
    in the parse. Wrap only the parsing in this, not the computation.

    Raises:
      ImageFormatError: instead of the exception raised in the block.
    """
    try:
        yield
    except SirtjaxError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise ImageFormatError(
            f"{path}: not readable as DICOM {kind} ({type(error).__name__}: {reason}); export the file again"
        ) from error


def read_dataset(path: Path, kind: str) -> Dataset:
    """Returns the DICOM data set of one file.

    Raises:
      ImageFormatError: there is no such file, or it is not DICOM.
    """
    if not path.is_file():
        raise ImageFormatError(f"{path}: no such file; expected a DICOM {kind}")
    with parsing(path, kind):
        check_decompressed_size(path)
        return pydicom.dcmread(path)
