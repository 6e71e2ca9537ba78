from __future__ import annotations

import zlib
from pathlib import Path

from pydicom.dataset import Dataset

from sirtjax.errors import ImageFormatError

# No codec packs a picture tighter than this; a header that claims more is damaged.
MAX_COMPRESSION = 20_000
_DEFLATED = b"1.2.840.10008.1.2.1.99"
# What a deflated file may unpack to: this many times its size, or this much where it is small.
_MAX_INFLATION = 50
_FREE_BYTES = 64_000_000
_CHUNK = 1 << 16
_META_AT, _META_HEAD = 132, 12


def check_claimed_pixels(path: Path, header: Dataset) -> None:
    """Refuses a header that states more pixels than its file can contain, before memory is allocated.

    Raises:
      ImageFormatError: the header states more pixels than the file can contain.
    """
    frames = int(header.get("NumberOfFrames") or 1)
    claimed = frames * int(header.Rows) * int(header.Columns)
    syntax = getattr(header, "file_meta", {}).get("TransferSyntaxUID")
    packed = syntax is not None and (syntax.is_compressed or str(syntax).encode() == _DEFLATED)
    size = path.stat().st_size
    if claimed > size * (MAX_COMPRESSION if packed else 1):
        raise ImageFormatError(
            f"{path}: the header states {header.Columns}x{header.Rows}x{frames} pixels, but the file has {size} bytes; "
            "it is truncated or damaged, export it again"
        )


def check_decompressed_size(path: Path) -> None:
    """Refuses a deflated file that unpacks to far more than its size.

    The check runs before parsing, because parsing unpacks the whole file.

    Raises:
      ImageFormatError: the file unpacks to more than that, or is not deflated data.
    """
    with path.open("rb") as stream:
        start = stream.read(1024)
        if _DEFLATED not in start:
            return
        head = start[_META_AT : _META_AT + _META_HEAD]
        stream.seek(_META_AT + _META_HEAD + int.from_bytes(head[8:12], "little"))
        most = max(_FREE_BYTES, _MAX_INFLATION * path.stat().st_size)
        unpacked, inflater = 0, zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            while not inflater.eof and (chunk := inflater.unconsumed_tail or stream.read(_CHUNK)):
                unpacked += len(inflater.decompress(chunk, _CHUNK))
                if unpacked > most:
                    raise ImageFormatError(f"{path}: deflated data of more than {most} bytes; it is not an image")
        except zlib.error as error:
            raise ImageFormatError(f"{path}: not readable as deflated DICOM ({error}); export it again") from error
