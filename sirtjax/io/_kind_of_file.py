from __future__ import annotations

import stat
from pathlib import Path

from sirtjax.errors import ImageFormatError

KINDS = {
    stat.S_IFIFO: "a named pipe (fifo)",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
}


def check_file(path: Path, expected: str, *, folder: bool = False, missing: str = "no such file") -> None:
    """Refuses a path that is neither a regular file nor, if allowed, a folder; the error names its type.

    Reading a named pipe would wait, and reading a device might not end.

    Args:
      path: path to read.
      expected: expected type of the file, for the message.
      folder: whether a folder is allowed.
      missing: message for a path that does not exist.

    Raises:
      ImageFormatError: the path does not exist, or is something else.
    """
    if path.is_file() or (folder and path.is_dir()):
        return
    try:
        kind = KINDS.get(stat.S_IFMT(path.stat().st_mode), "no regular file")
    except OSError:
        raise ImageFormatError(f"{path}: {missing}; expected {expected}") from None
    raise ImageFormatError(f"{path}: is {kind}; expected {expected}")
