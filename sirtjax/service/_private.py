"""Files and folders that only the service's user can read, regardless of the umask."""

from __future__ import annotations

import os
import stat
from pathlib import Path

FILE_MODE, FOLDER_MODE = 0o600, 0o700


def private_folder(path: Path) -> None:
    """Creates a folder of mode 0700 unless it exists, and its parents; an existing one gets the mode too.

    Raises:
      OSError: the folder cannot be created, or belongs to another user.
    """
    path.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
    _restrict(path, FOLDER_MODE)


def open_private(path: Path, flags: int) -> int:
    """Opens a file, with mode 0600 if it is created.

    Args:
      path: the file.
      flags: flags of `os.open`; `os.O_CREAT` is added.

    Returns:
      A descriptor.

    Raises:
      OSError: the file cannot be opened.
    """
    descriptor = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    if stat.S_IMODE(os.fstat(descriptor).st_mode) != FILE_MODE:
        # The umask took more than other users' rights, or the file is from before.
        os.fchmod(descriptor, FILE_MODE)
    return descriptor


def restrict_tree(folder: Path) -> None:
    """Removes other users' rights from everything below a folder.

    An earlier version or another umask may have left them.

    Raises:
      OSError: a file or folder belongs to another user.
    """
    for parent, folders, files in os.walk(folder):
        for name in folders:
            _restrict(Path(parent, name), FOLDER_MODE)
        for name in files:
            _restrict(Path(parent, name), FILE_MODE)


def _restrict(path: Path, mode: int) -> None:
    if not path.is_symlink() and stat.S_IMODE(path.stat().st_mode) != mode:
        path.chmod(mode)
