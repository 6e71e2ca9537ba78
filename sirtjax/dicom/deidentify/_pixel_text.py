from __future__ import annotations

import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset

from sirtjax.dicom.dataset._decode import decode_file
from sirtjax.dicom.deidentify._codestreams import UnknownStreamError, blank_jpeg, blank_jpeg_2000
from sirtjax.errors import SirtjaxError

_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_JPEG = "1.2.840.10008.1.2.4."
_JPEGS = {f"{_JPEG}{n}" for n in (50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65, 66, 70)}
_JPEG_LS = {f"{_JPEG}{n}" for n in (80, 81)}
_JPEG_2000 = {f"{_JPEG}{n}" for n in (90, 91, 201, 202, 203)}
_RLE = "1.2.840.10008.1.2.5"
_ITEM = b"\xfe\xff\x00\xe0"
_UNKNOWN_STREAM = "with compressed pixels in which text cannot be ruled out"
_UNUSED_BITS = "with values in unused bits of compressed pixels"


class UncleanPixelsError(ValueError):
    """Pixel data that can contain text and cannot be cleaned; its text is the reason, after "left out:"."""


def clean_pixels(dataset: Dataset, syntax: str) -> bool:
    """Removes what can be text from the pixel data of a file, in place; every pixel remains unchanged.

    Comments and application segments of JPEG and JPEG-LS, comments of JPEG 2000, unused bits (overlays of older files)
    and bytes after the pixels are replaced by zeros or removed.

    Args:
      dataset: data set of a file.
      syntax: UID of the transfer syntax.

    Returns:
      Whether something was removed.

    Raises:
      UncleanPixelsError: colour, a compression that is not known, or values in unused bits of compressed pixels.
    """
    keyword = next((keyword for keyword in _PIXELS if keyword in dataset), None)
    if keyword is None:
        return False
    if int(dataset.get("SamplesPerPixel") or 1) != 1:
        raise UncleanPixelsError("in colour, as screenshots are")
    before = bytes(dataset[keyword].value or b"")
    if _is_encapsulated(syntax):
        after = _clean_encapsulated(dataset, before, syntax)
    else:
        after = _clean_native(dataset, keyword, before, syntax)
    if after == before:
        return False
    dataset[keyword].value = after
    return True


def remove_pixels(item: Dataset) -> None:
    """Removes the pixel data of a sequence's item, such as a preview's."""
    for keyword in _PIXELS:
        if keyword in item:
            delattr(item, keyword)


def _is_encapsulated(syntax: str) -> bool:
    from pydicom.uid import UID

    try:
        return bool(UID(syntax).is_encapsulated)
    except ValueError as error:
        raise UncleanPixelsError("of an unknown transfer syntax") from error


def _clean_native(dataset: Dataset, keyword: str, pixels: bytes, syntax: str) -> bytes:
    count = int(dataset.get("NumberOfFrames") or 1) * int(dataset.Rows) * int(dataset.Columns)
    allocated = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}.get(keyword) or int(dataset.BitsAllocated)
    size = (count * allocated + 7) // 8
    pixels = pixels[:size]
    if keyword == "PixelData" and allocated == 1 and count % 8 and len(pixels) == size:
        pixels = pixels[:-1] + bytes([pixels[-1] & ((1 << count % 8) - 1)])
    elif keyword == "PixelData" and allocated in (8, 16, 32, 64):
        order = ">" if syntax == "1.2.840.10008.1.2.2" else "<"
        whole = len(pixels) * 8 // allocated * allocated // 8
        values = np.frombuffer(pixels[:whole], f"{order}u{allocated // 8}")
        pixels = _within_bits(values, dataset).tobytes()
    return pixels + bytes(len(pixels) % 2)


def _within_bits(values: NDArray[Any], dataset: Dataset) -> NDArray[Any]:
    """Returns unsigned stored values with zeros or the sign in all unused bits; unchanged if they have these."""
    allocated, stored = values.dtype.itemsize * 8, int(dataset.BitsStored)
    if stored == allocated:
        return values
    if not 0 < stored < allocated or int(dataset.get("HighBit", stored - 1)) != stored - 1:
        raise UncleanPixelsError("with pixels in other bits than the lowest")
    plain: NDArray[Any] = values & values.dtype.type((1 << stored) - 1)
    if not np.array_equal(plain, values) and int(dataset.get("PixelRepresentation") or 0):
        signed = values.view(values.dtype.str.replace("u", "i"))
        plain = (signed << (allocated - stored)) >> (allocated - stored)
    return plain.astype(values.dtype)


def _clean_encapsulated(dataset: Dataset, content: bytes, syntax: str) -> bytes:
    items = _items(content)
    if not items:
        raise UncleanPixelsError(_UNKNOWN_STREAM)
    table, fragments = items[0], items[1:]
    if syntax == _RLE:
        precision = int(dataset.BitsAllocated)
        cleaned = [_blank_rle(fragment) for fragment in fragments]
    else:
        cleaned, precision = _clean_streams(fragments, syntax)
    if precision > int(dataset.BitsStored):
        _check_unused_bits(dataset, content, syntax)
    starts = np.cumsum([0, *(len(fragment) + 8 for fragment in fragments)]).tolist()
    offsets = [offset for (offset,) in struct.iter_unpack("<I", table)] if len(table) % 4 == 0 else [-1]
    table = table if set(offsets) <= set(starts) else b""  # only offsets of fragments; it may be empty
    return b"".join(_ITEM + struct.pack("<I", len(item)) + item for item in (table, *cleaned))


def _items(content: bytes) -> list[bytes]:
    found, at = [], 0
    while content[at : at + 4] == _ITEM:
        (length,) = struct.unpack_from("<I", content, at + 4)
        if at + 8 + length > len(content):
            raise UncleanPixelsError(_UNKNOWN_STREAM)
        found.append(content[at + 8 : at + 8 + length])
        at += 8 + length
    return found  # bytes after the last item are not written


def _clean_streams(fragments: list[bytes], syntax: str) -> tuple[list[bytes], int]:
    """Returns fragments of the same lengths without text, and the largest precision of their images in bits."""
    start = b"\xff\x4f" if syntax in _JPEG_2000 else b"\xff\xd8"
    if syntax not in _JPEGS | _JPEG_LS | _JPEG_2000:
        raise UncleanPixelsError(_UNKNOWN_STREAM)
    streams: list[list[bytes]] = []
    for fragment in fragments:  # a frame may have several fragments; only the first begins an image
        if fragment.startswith(start) or not streams:
            streams.append([])
        streams[-1].append(fragment)
    cleaned, precision = [], 0
    for parts in streams:
        stream = b"".join(parts)
        try:
            is_2000, is_ls = syntax in _JPEG_2000, syntax in _JPEG_LS
            blank, bits = blank_jpeg_2000(stream) if is_2000 else blank_jpeg(stream, jpeg_ls=is_ls)
        except UnknownStreamError as error:
            raise UncleanPixelsError(_UNKNOWN_STREAM) from error
        precision, at = max(precision, bits), 0
        for part in parts:
            cleaned.append(blank[at : at + len(part)])
            at += len(part)
    return cleaned, precision


def _blank_rle(fragment: bytes) -> bytes:
    """Returns a frame in RLE with zeros for the unused offsets of its header (PS3.5, G.5)."""
    count = int.from_bytes(fragment[:4], "little")
    if len(fragment) < 64 or not 1 <= count <= 15:
        raise UncleanPixelsError(_UNKNOWN_STREAM)
    used = 4 + 4 * count
    return fragment[:used] + bytes(64 - used) + fragment[64:]


def _check_unused_bits(dataset: Dataset, content: bytes, syntax: str) -> None:
    """Raises UncleanPixelsError if compressed pixels have values in bits that their header does not name."""
    from pydicom.uid import SecondaryCaptureImageStorage, generate_uid

    bare = Dataset()
    for keyword in ("Rows", "Columns", "NumberOfFrames", "PixelRepresentation", "BitsAllocated"):
        if keyword in dataset:
            bare[keyword] = dataset[keyword]
    bare.SamplesPerPixel, bare.PhotometricInterpretation, bare.PixelRepresentation = 1, "MONOCHROME2", 0
    bare.BitsStored, bare.HighBit = bare.BitsAllocated, bare.BitsAllocated - 1  # so that no decoder clears bits
    bare.add_new(0x7FE00010, "OB", content)
    bare["PixelData"].is_undefined_length = True
    bare.file_meta = FileMetaDataset()
    bare.SOPClassUID = bare.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    bare.SOPInstanceUID = bare.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    bare.file_meta.TransferSyntaxUID = syntax
    with tempfile.TemporaryDirectory(prefix="sirtjax-") as folder:
        bare.save_as(Path(folder) / "pixels.dcm", enforce_file_format=True)
        try:
            values, _ = decode_file(Path(folder) / "pixels.dcm")
        except SirtjaxError as error:
            raise UncleanPixelsError(_UNKNOWN_STREAM) from error
    values = values.view(values.dtype.str.replace("i", "u"))
    if not np.array_equal(_within_bits(values, dataset), values):
        raise UncleanPixelsError(_UNUSED_BITS)
