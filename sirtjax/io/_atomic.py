"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sirtjax.errors import OutputError


@contextmanager
def atomic_path(path: str | Path, *, force: bool = False) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it once the block ends without an error.

    Args:
      path: the file to write; its folder is made where it is missing.
      force: replace a file that is there already.

    Yields:
      The temporary path, with the same endings as `path` (writers look at them).

    Raises:
      OutputError: the file exists and `force` is not set, or its folder can't be written to.
    """
    target = Path(path)
    if target.is_dir():
        raise OutputError(f"{target}: is a folder, expected the name of a file to write")
    if target.exists() and not force:
        raise OutputError(f"{target}: exists already; give another name, or --force to replace it")
    folder = _scratch_beside(target)
    try:
        temporary = folder / target.name
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def atomic_folder(path: str | Path, *, force: bool = False) -> Iterator[Path]:
    """A temporary folder beside `path`, renamed to it once the block ends without an error.

    Args:
      path: the folder to make.
      force: replace a folder that is there already; it is removed only when the new one is complete.

    Yields:
      The temporary folder, empty.

    Raises:
      OutputError: the folder exists, isn't empty and `force` is not set; or its place can't be written to.
    """
    target = Path(path)
    if target.exists() and not target.is_dir():
        raise OutputError(f"{target}: is a file, expected the name of a folder to write")
    if target.is_dir() and any(target.iterdir()) and not force:
        raise OutputError(f"{target}: exists already; give another folder, or --force to replace it")
    folder = _scratch_beside(target)
    try:
        temporary = folder / "new"
        temporary.mkdir()
        yield temporary
        if target.exists():
            os.replace(target, folder / "old")
        os.replace(temporary, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _scratch_beside(target: Path) -> Path:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise OutputError(f"{target}: can't write there ({error.strerror}); choose another place") from error
