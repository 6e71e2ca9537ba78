"""One training at a time in a folder: a lock that the system releases however its process ends."""

from __future__ import annotations

import errno
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sirtjax.errors import OutputError

LOCK = ".lock"


@contextmanager
def run_lock(run: Path) -> Iterator[None]:
    """Locks the folder of a run, which is created if needed; folders created only for it are removed.

    Raises:
      OutputError: another training has locked the folder, or it cannot be written.
    """
    made = not run.exists()
    descriptor = _held(run)
    try:
        yield
    finally:
        # Removed while locked: a process that has opened it detects that it is no longer in the folder.
        with suppress(OSError):
            (run / LOCK).unlink()
        os.close(descriptor)
        if made:
            with suppress(OSError):  # not empty: a run
                run.rmdir()


def _held(run: Path) -> int:
    """The descriptor of the lock file of a folder, locked."""
    path = run / LOCK
    while True:
        try:
            run.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise OutputError(f"{run}: cannot be written there ({error.strerror}); choose another folder") from error
        try:
            _lock(descriptor, run)
            if _is_same(descriptor, path):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"process {os.getpid()} on {platform.node()}\n".encode())
                return descriptor
        except OutputError:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the one before removed it on its way out


def _lock(descriptor: int, run: Path) -> None:
    try:
        if sys.platform == "win32":
            import msvcrt

            # Far beyond the text, which others may then read.
            os.lseek(descriptor, 1 << 20, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            os.lseek(descriptor, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK):
            raise OutputError(f"{run}: files cannot be locked there ({error.strerror}); choose another disk") from error
        os.lseek(descriptor, 0, os.SEEK_SET)
        holder = os.read(descriptor, 200).decode(errors="replace").strip()
        raise OutputError(
            f"{run}: another training writes there{f' ({holder})' if holder else ''}; wait for it or stop it, or "
            "choose another folder"
        ) from error


def _is_same(descriptor: int, path: Path) -> bool:
    try:
        found, own = path.stat(), os.fstat(descriptor)
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino)
