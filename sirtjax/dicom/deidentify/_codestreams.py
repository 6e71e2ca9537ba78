from __future__ import annotations

import re
from collections.abc import Iterator

# JPEG and JPEG-LS (ITU-T T.81 table B.1, T.87 table C.1): marker segments that decoding needs.
_CODING = {*range(0xC0, 0xD0), 0xDA, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF, 0xF7, 0xF8} - {0xC8}
_FRAME = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7}
_APPLICATION, _COMMENT = range(0xE0, 0xF0), 0xFE
_SCAN, _END = 0xDA, 0xD9
# After a scan's header: a marker is FF and a byte that is neither stuffed, nor a restart, nor a fill byte.
_AFTER_SCAN = {False: re.compile(rb"\xff[^\x00\xd0-\xd7\xff]"), True: re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")}
# JPEG 2000 (ITU-T T.800 table A.2, T.814): SOT, SOD, EOC, COM, SIZ, and the other segments of headers.
_TILE_PART, _DATA, _END_2000, _COMMENT_2000, _SIZE = 0xFF90, 0xFF93, 0xFFD9, 0xFF64, 0xFF51
_CODING_2000 = {
    *(0xFF50, _SIZE, 0xFF52, 0xFF53, 0xFF55, 0xFF57, 0xFF58, 0xFF59, 0xFF56),
    *(0xFF5C, 0xFF5D, 0xFF5E, 0xFF5F, 0xFF60, 0xFF61, 0xFF63),
}


class UnknownStreamError(ValueError):
    """A compressed image that does not follow its standard, so that it can contain anything."""


def blank_jpeg(stream: bytes, *, jpeg_ls: bool) -> tuple[bytes, int]:
    """Returns a JPEG or JPEG-LS stream of the same length without text, and its precision in bits.

    The text is overwritten with zeros.

    Comments, application segments and all bytes after the end of the image become zeros. A monochrome image is decoded
    without them.

    Args:
      stream: compressed stream of one frame.
      jpeg_ls: whether the stream is JPEG-LS, which stuffs bits instead of bytes.

    Raises:
      UnknownStreamError: a marker segment that is not of the standard, or no end of the image.
    """
    if stream[:2] != b"\xff\xd8":
        raise UnknownStreamError("no start of image")
    blank, at, precision = bytearray(stream), 2, 0
    while True:
        at = _skip_fill(stream, at)
        marker = stream[at + 1]
        if marker == _END:
            break
        begin, end = at + 4, at + 2 + _number(stream, at + 2, 2)
        _check_within(begin, end, len(stream))
        if marker in _APPLICATION or marker == _COMMENT:
            blank[begin:end] = bytes(end - begin)
        elif marker not in _CODING:
            raise UnknownStreamError("an unknown marker")
        elif marker in _FRAME:
            precision = max(precision, _number(stream, begin, 1))
        at = _after_scan(stream, end, jpeg_ls) if marker == _SCAN else end
    blank[at + 2 :] = bytes(len(stream) - at - 2)
    return bytes(blank), precision


def _skip_fill(stream: bytes, at: int) -> int:
    while stream[at : at + 2] == b"\xff\xff":
        at += 1
    if len(stream) < at + 2 or stream[at] != 0xFF:
        raise UnknownStreamError("no marker where one is due")
    return at


def _after_scan(stream: bytes, at: int, jpeg_ls: bool) -> int:
    found = _AFTER_SCAN[jpeg_ls].search(stream, at)
    if found is None:
        raise UnknownStreamError("no end of image")
    return found.start()


def blank_jpeg_2000(stream: bytes) -> tuple[bytes, int]:
    """Returns a JPEG 2000 codestream of the same length without comments, and its precision in bits.

    The comments are overwritten with zeros.

    Comments of the main header and of tile-parts, and all bytes after the end of the image, become zeros.

    Args:
      stream: compressed stream of one frame.

    Raises:
      UnknownStreamError: a marker segment that is not of the standard, a file format around the codestream, or
        tile-parts that do not reach the end of the image.
    """
    if stream[:2] != b"\xff\x4f":
        raise UnknownStreamError("no start of codestream")
    blank, at, precision = bytearray(stream), 2, 0
    for marker, begin, end in _segments(stream):
        if marker == _COMMENT_2000:
            blank[begin:end] = bytes(end - begin)
        elif marker == _SIZE:  # Ssiz of each component, less one; the top bit is the sign
            components = _number(stream, begin + 34, 2)
            precision = max((_number(stream, begin + 36 + 3 * n, 1) & 0x7F) + 1 for n in range(components))
        at = end
    blank[at:] = bytes(len(stream) - at)
    return bytes(blank), precision


def _segments(stream: bytes) -> Iterator[tuple[int, int, int]]:
    """Yields each marker of a codestream with the bytes of its segment; for the end of the image, the bytes after."""
    at = 2
    tile_end = 0
    while True:
        marker = _number(stream, at, 2)
        if marker == _END_2000:
            yield marker, at + 2, at + 2
            return
        if marker == _DATA:
            if tile_end <= at:
                raise UnknownStreamError("a tile-part of unknown length")
            at = tile_end
            continue
        begin, end = at + 4, at + 2 + _number(stream, at + 2, 2)
        _check_within(begin, end, len(stream))
        if marker == _TILE_PART:
            tile_end = at + _number(stream, begin + 2, 4)
        elif marker != _COMMENT_2000 and marker not in _CODING_2000:
            raise UnknownStreamError("an unknown marker")
        yield marker, begin, end
        at = end


def _number(stream: bytes, at: int, size: int) -> int:
    _check_within(at, at + size, len(stream))
    return int.from_bytes(stream[at : at + size], "big")


def _check_within(begin: int, end: int, length: int) -> None:
    if not 0 <= begin <= end <= length:
        raise UnknownStreamError("it ends early")
