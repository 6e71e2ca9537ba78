from __future__ import annotations

import hashlib
import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from jaxtyping import Real
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from sirtjax.dicom.dataset._claims import MAX_COMPRESSION
from sirtjax.dicom.dataset._parse import parsing
from sirtjax.errors import ImageFormatError
from sirtjax.io import without_library_messages

# The JPEG processes (baseline to 12 bits, progressive and lossless) that ITK's own GDCM decodes whole.
_JPEG = "1.2.840.10008.1.2.4."
_GDCM = tuple(f"{_JPEG}{n}" for n in (51, 53, 55, 57, 70))
_PIXEL_KEYWORDS = (
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
)


def decode_file(path: Path) -> tuple[Real[np.ndarray, "frames rows columns"], str]:
    """Returns the stored values of a file, (frames, rows, columns), unscaled, and its SHA-256.

    Raises:
      ImageFormatError: truncated or damaged pixel data, or a compression that nothing here decodes.
    """
    with parsing(path, "image"):
        content = path.read_bytes()
        data = pydicom.dcmread(io.BytesIO(content), force=True, defer_size=None)
        if not hasattr(data, "file_meta") or "TransferSyntaxUID" not in data.file_meta:
            _assume_syntax(data)
        pixels = _pixels(path, data)
        shape = (int(data.get("NumberOfFrames") or 1), int(data.Rows), int(data.Columns))
        if pixels.size != np.prod(shape):
            raise ImageFormatError(f"{path}: {pixels.shape} pixels, but the header states {shape}")
        return pixels.reshape(shape), hashlib.sha256(content).hexdigest()


def _assume_syntax(data: Dataset) -> None:
    """Sets the transfer syntax of a file without a header from the encoding that pydicom detected."""
    data.file_meta = FileMetaDataset() if not hasattr(data, "file_meta") else data.file_meta
    implicit, little = data.original_encoding
    if not little:
        data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRBigEndian
    else:
        data.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian


def _pixels(path: Path, data: Dataset) -> NDArray[Any]:
    syntax = data.file_meta.TransferSyntaxUID
    stored = next((data[key].value for key in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
                   if key in data), None)  # fmt: skip
    if stored is None:
        raise ImageFormatError(f"{path}: no pixel data; it is truncated, copy or export it again")
    frames = int(data.get("NumberOfFrames") or 1)
    claimed = frames * int(data.Rows) * int(data.Columns) * (int(data.get("BitsAllocated") or 16) // 8)
    held = len(stored) * (MAX_COMPRESSION if syntax.is_compressed else 1)
    if claimed > held:
        raise ImageFormatError(
            f"{path}: the pixel data is truncated: {len(stored)} bytes, but {frames} frames of "
            f"{data.Columns}x{data.Rows} pixels need {claimed}; copy or export it again"
        )
    if str(syntax) in _GDCM:
        return _gdcm(path, data)
    return np.asarray(data.pixel_array)


def _gdcm(path: Path, data: Dataset) -> NDArray[Any]:
    """Decode by ITK's GDCM, from a copy with only the pixels: no rescaling, no patient data."""
    import SimpleITK

    bare = Dataset()
    for keyword in _PIXEL_KEYWORDS:
        if keyword in data:
            bare[keyword] = data[keyword]
    bare.SOPClassUID, bare.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    bare.Modality = "OT"
    bare["PixelData"] = data["PixelData"]
    bare.file_meta = FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = data.file_meta.TransferSyntaxUID
    bare.file_meta.MediaStorageSOPClassUID = bare.SOPClassUID
    bare.file_meta.MediaStorageSOPInstanceUID = bare.SOPInstanceUID
    with tempfile.TemporaryDirectory(prefix="sirtjax-") as folder:
        copy = Path(folder) / "pixels.dcm"
        bare.save_as(copy, enforce_file_format=True)
        reader = SimpleITK.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(str(copy))
        try:
            with without_library_messages():
                image = reader.Execute()
        except RuntimeError as error:
            raise ImageFormatError(
                f"{path}: the compressed pixel data ({data.file_meta.TransferSyntaxUID.name}) cannot be decoded; "
                "it is truncated or damaged, copy it again or export it uncompressed"
            ) from error
    return np.asarray(SimpleITK.GetArrayFromImage(image))
