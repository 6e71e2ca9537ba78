"""Event files of TensorBoard: length, checksum and protocol buffer of each event, written by hand.

The format is that of TFRecord files: an 8-byte length, its masked CRC-32C, the bytes, and their masked CRC-32C; the
bytes are a `tensorflow.Event` with the numbers of the fields as in TensorBoard's event.proto and summary.proto.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_POLYNOMIAL = 0x82F63B78  # Castagnoli's, with its bits reversed
_MASK = 0xA282EAD8


def _table() -> tuple[int, ...]:
    rows = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (_POLYNOMIAL if byte & 1 else 0)
        rows.append(byte)
    return tuple(rows)


_CRC_TABLE = _table()


@dataclass(frozen=True)
class EventFile:
    """An event file to append to.

    Attributes:
      path: the file.
    """

    path: Path


def new_event_file(folder: Path, *, first_step: int) -> EventFile:
    """Creates an event file; entries of earlier files from `first_step` on are invalidated."""
    folder.mkdir(parents=True, exist_ok=True)
    now_s = time.time()
    file = EventFile(folder / f"events.out.tfevents.{int(now_s)}.{first_step}.sirtjax")
    start = _text(3, b"brain.Event:2")
    session = _message(7, _integer(1, 1))  # SessionLog START: TensorBoard drops what it had from this step on
    file.path.write_bytes(_record(_double(1, now_s) + start))
    _append(file, _double(1, now_s) + _integer(2, first_step) + session)
    return file


def write_scalars(file: EventFile, step: int, values: Mapping[str, float]) -> None:
    """Appends one event with numbers by name."""
    parts = b"".join(_message(1, _text(1, name.encode()) + _float(2, value)) for name, value in values.items())
    _append(file, _double(1, time.time()) + _integer(2, step) + _message(5, parts))


def crc32c(data: bytes) -> int:
    """Computes the CRC-32C (Castagnoli) of bytes, RFC 3720 appendix B.4."""
    value = 0xFFFFFFFF
    for byte in data:
        value = _CRC_TABLE[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


def _append(file: EventFile, event: bytes) -> None:
    with file.path.open("ab") as stream:
        stream.write(_record(event))


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _masked(length) + data + _masked(data)


def _masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + _MASK) & 0xFFFFFFFF)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append((value & 0x7F) | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def _integer(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _double(number: int, value: float) -> bytes:
    return _varint(number << 3 | 1) + struct.pack("<d", value)


def _float(number: int, value: float) -> bytes:
    return _varint(number << 3 | 5) + struct.pack("<f", value)


def _text(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


_message = _text
