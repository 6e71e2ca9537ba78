from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sirtjax.service._private import open_private

if TYPE_CHECKING:
    from typing_extensions import Buffer

SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700
NO_MATCH = 0xA900
NOT_UNDERSTOOD = 0xC000
DUPLICATE = 0x0111
INVALID_INSTANCE = 0x0117
CLASS_NOT_SUPPORTED = 0x0122
NOT_AUTHORISED = 0x0124


class DimseStatusError(Exception):
    """An image that is refused, with its status."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Spool(io.BytesIO):
    """A received data set on its way to a file; refused data is read and dropped.

    It is a `BytesIO` only by name, because the network library writes to one.

    Attributes:
      sop_class: SOPClassUID in the request.
      sop_uid: SOPInstanceUID in the request.
      path: path of the file; None if the image is refused.
      refusal: reason for a refusal, or None.
      received: number of bytes received.
    """

    def __init__(
        self,
        sop_class: str,
        sop_uid: str,
        *,
        path: Path | None,
        meta: bytes = b"",
        refusal: DimseStatusError | None = None,
        most: int,
        check: Callable[[int], None] | None = None,
    ) -> None:
        super().__init__()
        self.sop_class, self.sop_uid = sop_class, sop_uid
        self.refusal = refusal
        self.received = 0
        self.path: Path | None = None
        self._most, self._check = most, check
        self._file: io.BufferedWriter | None = None
        if refusal is None and path is not None:
            self.path = path
            self._file = os.fdopen(open_private(path, os.O_WRONLY | os.O_EXCL), "wb")
            self._file.write(meta)

    def write(self, data: Buffer) -> int:
        """Writes the next part of the data set."""
        length = memoryview(data).nbytes
        before, self.received = self.received, self.received + length
        if self._file is None:
            return length
        try:
            if self.received > self._most:
                raise DimseStatusError(OUT_OF_RESOURCES, f"is longer than {self._most / 1e6:g} MB")
            # Every 16 MiB, whether there is still room for it.
            if self._check is not None and before >> 24 != self.received >> 24:
                self._check(self.received)
            self._file.write(data)
        except DimseStatusError as refusal:
            self._refuse(refusal)
        except OSError as error:
            self._refuse(DimseStatusError(OUT_OF_RESOURCES, f"cannot be written ({error.strerror})"))
        return length

    def finish(self) -> Path:
        """Completes the file on disk.

        Raises:
          DimseStatusError: the image was refused on the way.
        """
        if self.refusal is None and self._file is not None:
            try:
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()
            except OSError as error:
                self._refuse(DimseStatusError(OUT_OF_RESOURCES, f"cannot be written ({error.strerror})"))
        if self.refusal is not None:
            raise self.refusal
        if self.path is None:
            raise DimseStatusError(NOT_UNDERSTOOD, "has no data set")
        return self.path

    def drop(self) -> None:
        """Removes the file."""
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError:
                # A full disk refuses the buffered data again when the file is closed; the file is deleted anyway.
                file = None
        if self.path is not None:
            self.path.unlink(missing_ok=True)
            self.path = None

    def _refuse(self, refusal: DimseStatusError) -> None:
        self.refusal = refusal
        self.drop()
