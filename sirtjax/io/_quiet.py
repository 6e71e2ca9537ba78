from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LOCK = threading.Lock()


@contextmanager
def without_library_messages() -> Iterator[None]:
    """Hides messages that C libraries print to the terminal; their error codes are still checked.

    The JPEG library in ITK tries 8 bits before 12 and reports each try as unsupported, for every slice.
    """
    with _LOCK:
        terminal = os.dup(2)
        try:
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), 2)
            yield
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
