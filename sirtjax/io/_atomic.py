from __future__ import annotations

import errno
import functools
import hashlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path

from sirtjax.errors import OutputError

# Names the files of a folder that a run wrote, so that the next run may replace them.
LISTING = ".sirtjax-files"
PREFIX = ".sirtjax-"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# For the user only.
PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700


@contextmanager
def atomic_path(path: Path | str, *, force: bool = False, private: bool = False) -> Iterator[Path]:
    """Yields a temporary path that becomes `path` if the block ends without an error.

    The temporary file has the same name, in a hidden folder next to the target, so that format rules by
    suffix hold and the renaming stays on one file system. After an error nothing is left.

    Args:
      path: the file to write.
      force: replace an existing file.
      private: give the file mode 0600, regardless of the umask.

    Raises:
      OutputError: `path` exists and `force` is not given, is a folder, or its place refuses writing.
    """
    target = Path(path)
    if target.is_dir():
        raise OutputError(f"{target}: is a folder; expected the name of a file to write")
    _check_absent(target, force)
    with _beside(target) as folder:
        temporary = folder / target.name
        yield temporary
        if not temporary.is_file():
            raise OutputError(f"{target}: nothing was written")
        _check_absent(target, force)  # another run may have written it meanwhile
        if private:
            temporary.chmod(PRIVATE_FILE)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        _rename(temporary, target)


@contextmanager
def atomic_folder(
    path: Path | str,
    *,
    force: bool = False,
    own: Sequence[str] = (),
    keep: Sequence[str] = (),
    private: bool = False,
) -> Iterator[Path]:
    """Yields a temporary folder that becomes the folder `path` if the block ends without an error.

    With `force` an existing folder is replaced, but only one that holds no file other than those written
    by an earlier run (they are listed in it, in `.sirtjax-files`) or written again: what a run didn't write it
    doesn't delete, and stale results are never mixed with new ones.

    Args:
      path: the folder to make.
      force: replace a folder that is there.
      own: patterns of files that belong to the run though no earlier run lists them, as in "steps/*".
      keep: subfolders that do not belong to the run and are moved to the new folder unchanged.
      private: give the folder and all folders in it mode 0700, and all files mode 0600, regardless of the umask.

    Raises:
      OutputError: `path` is a file, or holds files and `force` is not given, or holds files that neither an
        earlier run nor this one wrote, or its place refuses writing.
    """
    target = Path(path)
    if target.exists() and not target.is_dir():
        raise OutputError(f"{target}: is a file; expected the name of a folder to write")
    if target.is_dir():
        _check_empty(target, force)
    if (target / LISTING).is_file():
        kept = (*own, *(f"{name}/*" for name in keep))
        _check_replaceable(target, None, kept)  # before the work is done, where it can be known already
    with _beside(target) as folder:
        temporary = folder / (target.name or "output")
        temporary.mkdir()
        yield temporary
        (temporary / LISTING).write_text("\n".join(sorted(_files(temporary))) + "\n", encoding="utf-8")
        if target.is_dir():
            _check_empty(target, force)  # another run may have written there meanwhile
            _check_replaceable(target, temporary, (*own, *(f"{name}/*" for name in keep)))
            for name in keep:
                if (target / name).is_dir():
                    # Copied, not moved: until the new folder is in its place the old one lacks nothing.
                    shutil.copytree(target / name, temporary / name)
            if private:
                make_private(temporary)
            _rename(target, folder / "replaced")
        elif private:
            make_private(temporary)
        try:
            _rename(temporary, target)
        except BaseException:
            if (folder / "replaced").is_dir() and not target.exists():
                _rename(folder / "replaced", target)
            raise


def make_private(folder: Path) -> None:
    """Gives a folder and all folders in it mode 0700, and all files in it mode 0600."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(PRIVATE_FOLDER if path.is_dir() else PRIVATE_FILE)


def _check_absent(target: Path, force: bool) -> None:
    if target.exists() and not force:
        raise OutputError(f"{target}: exists already; choose another name or give --force")


def _check_empty(target: Path, force: bool) -> None:
    if not force and any(target.iterdir()):
        raise OutputError(f"{target}: holds files already; choose another folder or give --force")


def _check_replaceable(old: Path, new: Path | None, own: Sequence[str]) -> None:
    listing = old / LISTING
    listed = set(listing.read_text(encoding="utf-8", errors="replace").splitlines()) if listing.is_file() else set()
    others = _files(old) - listed - {LISTING} - (set() if new is None else _files(new))
    others = {name for name in others if not any(fnmatch(name, pattern) for pattern in own)}
    if others:
        raise OutputError(
            f"{old}: holds {len(others)} other files, such as {min(others)}, that would be lost; "
            "remove them or choose another folder"
        )


def _files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir()}


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    parent = target.absolute().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _remove_left(parent)
        folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{_machine()}-{os.getpid()}-", dir=parent))
    except OSError as error:
        raise OutputError(f"{target}: cannot be written there ({error.strerror or error})") from error
    try:
        yield folder
    except OSError as error:
        # A file in a temporary folder leaves it to that folder to name the output.
        if error.errno not in FULL or any(part.startswith(PREFIX) for part in parent.parts):
            raise
        raise OutputError(
            f"{target}: cannot be written there ({error.strerror}); free space or go elsewhere"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@functools.cache
def _remove_left(parent: Path) -> None:
    """Removes, once per process, the temporary folders of processes of this machine that were killed."""
    if sys.platform == "win32":  # there, signal 0 is not a question
        return
    for folder in parent.glob(f"{PREFIX}{_machine()}-*-*"):
        number = folder.name.removeprefix(f"{PREFIX}{_machine()}-").split("-")[0]
        if number.isdecimal() and not _is_running(int(number)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # of another user, or not the number of a process
        return True
    return True


@functools.cache
def _machine() -> str:
    """Eight characters for this computer, or for this container: elsewhere, the same process number is another's."""
    said = [platform.node()]
    with suppress(OSError):
        said.append(Path("/etc/machine-id").read_text(encoding="ascii"))
    with suppress(OSError):
        said.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:8]


def _rename(source: Path, target: Path) -> None:
    try:
        source.replace(target)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written there ({error.strerror or error})") from error
