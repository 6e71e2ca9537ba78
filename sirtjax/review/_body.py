"""The body of a request, read and unpacked block by block, so that a refused one takes no memory."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping

from sirtjax.review._request_error import RequestError

BLOCK = 1 << 16
# Packed bytes per byte unpacked, at most, beyond those of a header: gzip stores what it can't pack.
OVERHEAD = 1.01
HEADER = 4096


def read_body(read: Callable[[int], bytes], headers: Mapping[str, str], *, limit: int) -> bytes:
    """Returns the body of a request, unpacked.

    Args:
      read: function that returns at most the requested number of bytes after the headers.
      headers: headers of the request, the names in lower case.
      limit: largest number of bytes of the unpacked body.

    Raises:
      RequestError: (411) no Content-Length; (413) more than `limit` bytes; (415) neither plain nor gzip; (400)
        truncated, or not gzip.
    """
    stated = headers.get("content-length", "")
    if headers.get("transfer-encoding") or not (stated.isascii() and stated.isdecimal()) or len(stated) > 18:
        raise RequestError(411, "a body needs its Content-Length")
    encoding = headers.get("content-encoding", "identity")
    if encoding not in ("identity", "gzip"):
        raise RequestError(415, "a body is plain or packed by gzip")
    length = int(stated)
    longest = limit if encoding == "identity" else round(limit * OVERHEAD) + HEADER
    if length > longest:
        raise RequestError(413, f"{length} bytes, at most {longest} are accepted")
    blocks = _blocks(read, length)
    return b"".join(blocks) if encoding == "identity" else unpacked(blocks, limit=limit)


def unpacked(blocks: Iterable[bytes], *, limit: int) -> bytes:
    """Returns the unpacked content of a gzip body, at most `limit` bytes.

    Raises:
      RequestError: (413) the content is larger; (400) the body is not gzip, or is truncated.
    """
    machine = zlib.decompressobj(wbits=31)
    found = bytearray()
    for block in blocks:
        while not machine.eof:
            room = min(BLOCK, limit - len(found) + 1)
            try:
                part = machine.decompress(block, room)
            except zlib.error as error:
                raise RequestError(400, "the body is not gzip") from error
            found += part
            if len(found) > limit:
                raise RequestError(413, f"the body unpacks to more than {limit} bytes")
            block = machine.unconsumed_tail
            if not block and len(part) < room:
                break
    if not machine.eof:
        raise RequestError(400, "the packed body is cut off")
    return bytes(found)


def _blocks(read: Callable[[int], bytes], length: int) -> Iterator[bytes]:
    left = length
    while left:
        block = read(min(left, BLOCK))
        if not block:
            raise RequestError(400, "the body ends before its Content-Length")
        left -= len(block)
        yield block
