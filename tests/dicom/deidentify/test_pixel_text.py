"""Text in the pixel data of files: comments of compressed images, unused bits, and bytes after the pixels."""

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian

from sirtjax.dicom import anonymise_folder
from sirtjax.dicom.dataset._decode import decode_file
from sirtjax.errors import ImageFormatError

NAME = b"Kowalski, Jan 04.03.1951"  # in no header, so that no search can know it
SAMPLES = "dicom-odd/cornerstone_transfer_syntaxes/CTImage.dcm_"
JPEGS = {
    "baseline": "JPEGProcess1TransferSyntax_1.2.840.10008.1.2.4.50.dcm",
    "extended": "JPEGProcess2_4TransferSyntax_1.2.840.10008.1.2.4.51.dcm",
    "progressive": "JPEGProcess10_12TransferSyntax_1.2.840.10008.1.2.4.55.dcm",
    "lossless": "JPEGProcess14TransferSyntax_1.2.840.10008.1.2.4.57.dcm",
    "lossless, first order": "JPEGProcess14SV1TransferSyntax_1.2.840.10008.1.2.4.70.dcm",
    "JPEG-LS": "JPEGLSLosslessTransferSyntax_1.2.840.10008.1.2.4.80.dcm",
    "JPEG-LS, lossy": "JPEGLSLossyTransferSyntax_1.2.840.10008.1.2.4.81.dcm",
}
JPEGS_2000 = {
    "lossless": "JPEG2000LosslessOnlyTransferSyntax_1.2.840.10008.1.2.4.90.dcm",
    "lossy": "JPEG2000TransferSyntax_1.2.840.10008.1.2.4.91.dcm",
}
RLE = "RLELosslessTransferSyntax_1.2.840.10008.1.2.5.dcm"


def segment(marker, content):
    return bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content


def stream_of(data):
    return get_frame(data.PixelData, 0, number_of_frames=1)


def put_stream(data, stream, fragments=1):
    data["PixelData"].value = encapsulate([stream + b"\0" * (len(stream) % 2)], fragments_per_frame=fragments)
    data["PixelData"].is_undefined_length = True


def anonymised(tmp_path, *datasets):
    (tmp_path / "in").mkdir()
    for index, data in enumerate(datasets):
        data.save_as(tmp_path / "in" / f"{index}.dcm", enforce_file_format=True)
    return anonymise_folder(tmp_path / "in", tmp_path / "out")


def only(tmp_path):
    """The one file of the output: its bytes and its stored pixels."""
    (path,) = (tmp_path / "out").rglob("*.dcm")
    return path.read_bytes(), decode_file(path)[0]


# GDCM does not decode a progressive frame in several fragments.
@pytest.mark.parametrize(
    ("sample", "fragments"), [(name, n) for name in JPEGS for n in (1, 3) if (name, n) != ("progressive", 3)]
)
def test_comments_and_application_segments_of_jpeg_are_blanked(shared_data, tmp_path, sample, fragments):
    path = shared_data / f"{SAMPLES}{JPEGS[sample]}"
    data = pydicom.dcmread(path)
    stream, text = stream_of(data).rstrip(b"\0"), b"\xff" * (fragments - 1)
    for marker in (0xFE, 0xE0, 0xE1, 0xE8, 0xEE):
        text += segment(marker, NAME)
    scan = stream.rindex(b"\xff\xda")  # a comment between the frame's header and its scan
    stream = stream[:2] + text + stream[2:scan] + segment(0xFE, NAME) + stream[scan:] + NAME
    put_stream(data, stream, fragments)
    done = anonymised(tmp_path, data)
    content, pixels = only(tmp_path)
    assert (done.files, done.pixels) == (1, 1)
    assert b"Kowalski" not in content and b"04.03.1951" not in content
    np.testing.assert_array_equal(pixels, decode_file(path)[0])


@pytest.mark.parametrize("sample", JPEGS_2000)
def test_comments_of_jpeg_2000_are_blanked(shared_data, tmp_path, sample):
    path = shared_data / f"{SAMPLES}{JPEGS_2000[sample]}"
    data = pydicom.dcmread(path)
    stream, comment = stream_of(data), segment(0x64, b"\0\1" + NAME)
    tile = stream.index(b"\xff\x90\x00\x0a")
    start = stream.index(b"\xff\x93", tile)
    length = int.from_bytes(stream[tile + 6 : tile + 10], "big") + len(comment)
    header = stream[: tile + 6] + length.to_bytes(4, "big") + stream[tile + 10 : start]
    size = 4 + int.from_bytes(stream[4:6], "big")
    put_stream(data, header[:size] + comment + header[size:] + comment + stream[start:].rstrip(b"\0") + NAME)
    done = anonymised(tmp_path, data)
    content, pixels = only(tmp_path)
    assert (done.files, done.pixels) == (1, 1)
    assert b"Kowalski" not in content and b"04.03.1951" not in content
    np.testing.assert_array_equal(pixels, decode_file(path)[0])


@pytest.mark.parametrize(
    ("sample", "damage"),
    [
        (JPEGS["JPEG-LS"], lambda stream: stream[:2] + segment(0xF0, NAME) + stream[2:]),
        (JPEGS["lossless"], lambda stream: stream[:-2] + b"\0\0"),
        (JPEGS["baseline"], lambda stream: NAME + stream),
        (JPEGS_2000["lossless"], lambda stream: stream[:2] + segment(0x65, NAME) + stream[2:]),
        (JPEGS_2000["lossless"], lambda stream: b"\0\0\0\x0cjP  \r\n\x87\n" + NAME + stream),
        (RLE, lambda stream: b"\xff\xff\0\0" + NAME + stream),
    ],
)
def test_streams_that_can_contain_text_anywhere_are_left_out(shared_data, tmp_path, sample, damage):
    data = pydicom.dcmread(shared_data / f"{SAMPLES}{sample}")
    put_stream(data, damage(stream_of(data).rstrip(b"\0")))
    with pytest.raises(ImageFormatError, match="1 with compressed pixels in which text cannot be ruled out"):
        anonymised(tmp_path, data)


def test_unused_offsets_of_rle_are_blanked(shared_data, tmp_path):
    data = pydicom.dcmread(shared_data / f"{SAMPLES}{RLE}")
    before = data.pixel_array
    stream = stream_of(data)
    put_stream(data, stream[:12] + NAME + stream[12 + len(NAME) :])
    anonymised(tmp_path, data)
    content, pixels = only(tmp_path)
    assert b"Kowalski" not in content
    np.testing.assert_array_equal(pixels[0], before)


def image(pixels, *, stored=12, signed=False, syntax=ExplicitVRLittleEndian):
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4.5"
    data.StudyInstanceUID, data.SeriesInstanceUID, data.Modality = "1.2.3.4.6", "1.2.3.4.7", "CT"
    data.Rows, data.Columns, data.BitsAllocated, data.BitsStored, data.HighBit = 8, 16, 16, stored, stored - 1
    data.PixelRepresentation, data.SamplesPerPixel, data.PhotometricInterpretation = int(signed), 1, "MONOCHROME2"
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    data.add_new(0x7FE00010, "OW", pixels.astype(f"{order}u2").tobytes())
    return data


# A name drawn as an overlay, one bit per pixel, in the bits above the twelve of the image.
OVERLAY = np.unpackbits(np.frombuffer(b"Kowalski Jan 195", np.uint8)).astype(np.uint16).reshape(8, 16)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("signed", [False, True])
def test_overlays_in_unused_bits_are_cleared(tmp_path, signed, syntax):
    values = np.arange(128, dtype=np.int32).reshape(8, 16) * 31 - (2048 if signed else 0)
    data = image(values & 0xFFF | OVERLAY << 14, signed=signed, syntax=syntax)
    data.add_new(0x60000102, "US", 14)
    done = anonymised(tmp_path, data)
    _, pixels = only(tmp_path)
    assert done.pixels == 1
    np.testing.assert_array_equal(pixels[0], values)
    (path,) = (tmp_path / "out").rglob("*.dcm")
    raw = np.frombuffer(pydicom.dcmread(path).PixelData, ">u2" if syntax == ExplicitVRBigEndian else "<u2")
    np.testing.assert_array_equal(raw, (values & 0xFFFF).ravel())


@pytest.mark.parametrize("values", [-np.arange(128), -np.arange(128) & 0xFFF], ids=["sign", "zeros"])
def test_unused_bits_that_are_the_sign_or_zero_stay(tmp_path, values):
    data = image(values.reshape(8, 16) & 0xFFFF, signed=True)
    before = data.PixelData
    assert anonymised(tmp_path, data).pixels == 0
    (path,) = (tmp_path / "out").rglob("*.dcm")
    assert pydicom.dcmread(path).PixelData == before


@pytest.mark.parametrize("sample", ["JPEGLSLosslessTransferSyntax_1.2.840.10008.1.2.4.80.dcm", RLE])
def test_values_in_unused_bits_of_compressed_pixels_are_left_out(shared_data, tmp_path, sample):
    data = pydicom.dcmread(shared_data / f"{SAMPLES}{sample}")
    data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 7, 0
    with pytest.raises(ImageFormatError, match="1 with values in unused bits of compressed pixels"):
        anonymised(tmp_path, data)


def test_bytes_after_the_pixels_and_previews_are_removed(tmp_path):
    data, item = image(np.zeros((8, 16))), Dataset()
    data.PixelData += NAME
    item.PixelData, item["PixelData"].VR = NAME, "OB"
    data.SourceImageSequence = [item]
    assert anonymised(tmp_path, data).pixels == 1
    content, _ = only(tmp_path)
    assert b"Kowalski" not in content


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "in colour"),
        ({"HighBit": 15}, "in other bits than the lowest"),
    ],
)
def test_pixels_that_are_left_out(tmp_path, changes, reason):
    data = image(np.zeros((8, 16)))
    for keyword, value in changes.items():
        setattr(data, keyword, value)
    with pytest.raises(ImageFormatError, match=reason):
        anonymised(tmp_path, data)
