"""Every transfer syntax a scanner or archive writes, against the same slice stored uncompressed."""

import os

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from sirtjax.errors import ImageFormatError
from sirtjax.formats import read_image

FOLDER = "dicom-odd/cornerstone_transfer_syntaxes"
LOSSLESS = {
    "ImplicitVR": "CTImage.dcm_LittleEndianImplicitTransferSyntax_1.2.840.10008.1.2.dcm",
    "ExplicitVR": "CTImage.dcm_LittleEndianExplicitTransferSyntax_1.2.840.10008.1.2.1.dcm",
    "big endian": "CTImage.dcm_BigEndianExplicitTransferSyntax_1.2.840.10008.1.2.2.dcm",
    "deflated": "CTImage.dcm_DeflatedExplicitVRLittleEndianTransferSyntax_1.2.840.10008.1.2.1.99.dcm",
    "JPEG lossless": "CTImage.dcm_JPEGProcess14TransferSyntax_1.2.840.10008.1.2.4.57.dcm",
    "JPEG lossless SV1": "CTImage.dcm_JPEGProcess14SV1TransferSyntax_1.2.840.10008.1.2.4.70.dcm",
    "JPEG-LS": "CTImage.dcm_JPEGLSLosslessTransferSyntax_1.2.840.10008.1.2.4.80.dcm",
    "JPEG 2000": "CTImage.dcm_JPEG2000LosslessOnlyTransferSyntax_1.2.840.10008.1.2.4.90.dcm",
    "RLE": "CTImage.dcm_RLELosslessTransferSyntax_1.2.840.10008.1.2.5.dcm",
}
# Mean error allowed: the quantisation these files were written with (a slope of 2 HU, of 32 HU for 8 bits).
LOSSY = {
    "JPEG baseline, 8 bits": ("CTImage.dcm_JPEGProcess1TransferSyntax_1.2.840.10008.1.2.4.50.dcm", 32.0),
    "JPEG extended, 12 bits": ("CTImage.dcm_JPEGProcess2_4TransferSyntax_1.2.840.10008.1.2.4.51.dcm", 6.0),
    "JPEG spectral selection": ("CTImage.dcm_JPEGProcess6_8TransferSyntax_1.2.840.10008.1.2.4.53.dcm", 6.0),
    "JPEG progressive": ("CTImage.dcm_JPEGProcess10_12TransferSyntax_1.2.840.10008.1.2.4.55.dcm", 6.0),
    "JPEG-LS near-lossless": ("CTImage.dcm_JPEGLSLossyTransferSyntax_1.2.840.10008.1.2.4.81.dcm", 2.0),
    "JPEG 2000 lossy": ("CTImage.dcm_JPEG2000TransferSyntax_1.2.840.10008.1.2.4.91.dcm", 2.0),
}


@pytest.fixture(scope="module")
def truth(shared_data):
    return read_image(shared_data / FOLDER / "CTImage.dcm")


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_lossless_syntaxes_are_exact(shared_data, truth, syntax):
    image = read_image(shared_data / FOLDER / LOSSLESS[syntax])
    np.testing.assert_array_equal(image.volume.array, truth.volume.array)
    assert image.volume.geometry == truth.volume.geometry


@pytest.mark.parametrize("syntax", LOSSY)
def test_lossy_syntaxes_are_close(shared_data, truth, syntax, capfd):
    name, allowed_hu = LOSSY[syntax]
    image = read_image(shared_data / FOLDER / name)
    inside = truth.volume.array > -1000
    error = np.abs(image.volume.array - truth.volume.array)[inside]
    assert error.mean() < allowed_hu
    assert np.corrcoef(image.volume.array[inside], truth.volume.array[inside])[0, 1] > 0.99
    # The C libraries inside are kept from printing.
    assert capfd.readouterr().err == ""


def test_the_terminal_is_given_back(shared_data, capfd):
    read_image(shared_data / FOLDER / LOSSY["JPEG extended, 12 bits"][0])
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"


def test_fragments_without_an_offset_table(shared_data):
    image = read_image(shared_data / FOLDER / "CT0012.fragmented_no_bot_jpeg_baseline.51.dcm")
    plain = read_image(shared_data / "dicom-odd/pydicom_data/eCT_Supplemental.dcm")
    assert image.volume.geometry.matches(plain.volume.geometry)
    assert image.volume.array.shape == (512, 512, 2)


@pytest.mark.parametrize("syntax", ["JPEG lossless SV1", "JPEG-LS", "JPEG 2000", "RLE"])
def test_truncated_compressed_pixels(shared_data, tmp_path, syntax):
    whole = (shared_data / FOLDER / LOSSLESS[syntax]).read_bytes()
    path = tmp_path / "cut.dcm"
    path.write_bytes(whole[: len(whole) * 6 // 10])
    with pytest.raises(ImageFormatError, match=r"cut\.dcm") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)


def test_pixels_that_are_not_what_they_claim(dicom, tmp_path, ct_array):
    (data,) = dicom.slices(ct_array[:, :, :1])
    data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    data.PixelData = encapsulate([b"not a picture at all, not at all"])
    data["PixelData"].VR = "OB"
    with pytest.raises(ImageFormatError, match=r"s001\.dcm: not readable as DICOM image"):
        read_image(dicom.save([data], tmp_path))


def test_a_header_that_claims_more_than_memory(dicom, tmp_path, ct_array):
    (data,) = dicom.slices(ct_array[:, :, :1], Rows=65000, Columns=65000)
    with pytest.raises(ImageFormatError, match="the header states 65000x65000x1 pixels, but the file has"):
        read_image(dicom.save([data], tmp_path))
