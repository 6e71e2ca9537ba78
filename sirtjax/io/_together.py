from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from sirtjax.errors import OutputError
from sirtjax.io._atomic import FULL, atomic_path


def write_together(
    writers: Mapping[Path, Callable[[Path], None]], *, force: bool = False, threads: int | None = None
) -> None:
    """Writes several files in parallel threads. All appear once all are complete, or none does.

    Compression releases the interpreter's lock, so that the threads use several cores.

    Args:
      writers: functions that write a file to a temporary path, by file. The files appear in this order.
      force: replace existing files.
      threads: number of files that are written at the same time. Default: number of cores.

    Raises:
      OutputError: a file exists and `force` is not set, its folder cannot be written to, or the disk is full.

    Examples:
      >>> import tempfile
      >>> from pathlib import Path
      >>> with tempfile.TemporaryDirectory() as name:
      ...     folder = Path(name)
      ...     write_together({folder / "a.txt": lambda path: path.touch(), folder / "b.txt": lambda path: path.touch()})
      ...     sorted(path.name for path in folder.iterdir())
      ['a.txt', 'b.txt']
    """
    with ExitStack() as files:
        # A stack ends with what entered first.
        temporary = {path: files.enter_context(atomic_path(path, force=force)) for path in reversed(list(writers))}
        # Ends before the stack, so that no thread writes to a folder that has been removed.
        with ThreadPoolExecutor(max_workers=threads or available_cores()) as pool:
            running = [pool.submit(_write, path, temporary[path], writer) for path, writer in writers.items()]
            try:
                for one in running:
                    one.result()
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise


def available_cores() -> int:
    """Returns the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _write(path: Path, temporary: Path, writer: Callable[[Path], None]) -> None:
    try:
        writer(temporary)
    except OSError as error:
        # The stack would name whichever file it closes first.
        if error.errno not in FULL:
            raise
        raise OutputError(f"{path}: cannot be written there ({error.strerror}); free space or go elsewhere") from error
