import numpy as np
import pytest
import SimpleITK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless
from scipy.spatial.transform import Rotation

from sirtjax.dicom import list_series
from sirtjax.errors import GeometryError, ImageFormatError, InputError
from sirtjax.formats import read_image

TURN = Rotation.from_euler("xyz", [12, -25, 40], degrees=True).as_matrix()


def itk_series(folder):
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def test_a_ct_series_is_in_hu_at_its_place(dicom, tmp_path, ct_array):
    made = dicom.slices(ct_array, axes=TURN[:2], SeriesDescription="portal", PatientPosition="HFS")
    image = read_image(dicom.save(made, tmp_path), modality="CT")
    np.testing.assert_array_equal(image.volume.array, ct_array - 1024.0)
    assert image.volume.unit == "HU" and image.volume.array.dtype == np.float32
    row, column = TURN[:2]
    for i, j, k in [(0, 0, 0), (6, 4, 5), (2, 1, 3)]:
        expected = np.array([-20, 10, 100]) + 2.0 * i * row + 1.5 * j * column + 3.0 * k * np.cross(row, column)
        np.testing.assert_allclose(image.volume.geometry.to_world([i, j, k]), expected, atol=1e-5)
    source = image.source
    assert (source.format, source.modality, source.series_uid) == ("dicom", "CT", "1.2.3.4")
    assert (source.study_uid, source.frame_of_reference_uid) == ("1.2.3", "1.2.3.9")
    assert (source.description, source.patient_position) == ("portal", "HFS")
    assert source.sop_instance_uids == tuple(str(d.SOPInstanceUID) for d in made)
    assert len(source.sha256) == 64 and source.notes == ()


@pytest.mark.parametrize("axes", [((1, 0, 0), (0, 1, 0)), ((0, 1, 0), (0, 0, -1)), TURN[:2], -TURN[:2]])
def test_itk_reads_the_same_series_alike(dicom, tmp_path, ct_array, axes):
    dicom.save(dicom.slices(ct_array, axes=axes), tmp_path)
    image, expected = read_image(tmp_path), itk_series(tmp_path)
    np.testing.assert_array_equal(image.volume.array.transpose(2, 1, 0), SimpleITK.GetArrayFromImage(expected))
    for index in [(0, 0, 0), (6, 4, 5)]:
        np.testing.assert_allclose(
            image.volume.geometry.to_world(index), expected.TransformIndexToPhysicalPoint(index), atol=1e-4
        )


def test_the_geometry_does_not_depend_on_the_patient_position(dicom, tmp_path, ct_array):
    grids = set()
    for position in ("HFS", "FFS", "HFP"):
        made = dicom.slices(ct_array, PatientPosition=position)
        image = read_image(dicom.save(made, tmp_path / position))
        grids.add(image.volume.geometry)
        assert image.source.patient_position == position
    assert len(grids) == 1


def test_each_slice_has_its_own_rescaling(dicom, tmp_path, ct_array):
    slopes = [0.5, 1.25, 2.0, 0.125, 3.5, 1.0]
    made = dicom.slices(ct_array, modality="PT", RescaleSlope=slopes)
    image = read_image(dicom.save(made, tmp_path))
    np.testing.assert_allclose(image.volume.array, ct_array * np.array(slopes), rtol=1e-6)


def test_mr_without_rescaling(dicom, tmp_path, ct_array):
    image = read_image(dicom.save(dicom.slices(ct_array.astype(np.uint16), modality="MR"), tmp_path))
    np.testing.assert_array_equal(image.volume.array, ct_array)
    assert image.volume.unit == "1"


def test_padding_becomes_air(dicom, tmp_path, ct_array):
    ct_array[0, :, :] = -2000
    made = dicom.slices(ct_array, PixelPaddingValue=-2000)
    image = read_image(dicom.save(made, tmp_path / "low"))
    assert (image.volume.array[0] == -1024).all()
    np.testing.assert_array_equal(image.volume.array[1:], ct_array[1:] - 1024.0)
    assert image.source.notes == ("30 voxels outside the range of CT numbers (padding) were set to -1024 HU",)
    ct_array[0, :, :] = 32000
    made = dicom.slices(ct_array, PixelPaddingValue=32000)
    assert (read_image(dicom.save(made, tmp_path / "high")).volume.array[0] == -1024).all()


def test_a_padding_value_among_ct_numbers_is_kept(dicom, tmp_path, ct_array):
    ct_array[0, :, :] = 1024
    image = read_image(dicom.save(dicom.slices(ct_array, PixelPaddingValue=1024), tmp_path))
    assert (image.volume.array[0] == 0).all() and image.source.notes == ()


def test_a_folder_with_anything_in_it(dicom, tmp_path, ct_array):
    dicom.save(dicom.slices(ct_array), tmp_path / "deep" / "er")
    dicom.save(dicom.slices(ct_array)[:2], tmp_path / "copies", prefix="c")
    (tmp_path / "readme.txt").write_text("x" * 500)
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "short.dcm").write_bytes(b"\x08\x00")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG" + bytes(400))
    report = dicom.base("CT", np.zeros((4, 4), np.int16), SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", Modality="SR")
    del report.PixelData, report.Rows
    capture = dicom.base("CT", np.zeros((4, 4), np.int16), SOPClassUID="1.2.840.10008.5.1.4.1.1.7")
    dicom.save([report, capture], tmp_path, prefix="other")
    for file in (tmp_path / "copies").iterdir():
        file.unlink()
    for number, file in enumerate(sorted((tmp_path / "deep" / "er").iterdir())[:2]):
        (tmp_path / "copies" / f"{number}").write_bytes(file.read_bytes())
    image = read_image(tmp_path)
    np.testing.assert_array_equal(image.volume.array, ct_array - 1024.0)
    assert image.source.notes == ("2 files contain the same instance as another file and were skipped",)


def test_slices_that_share_one_uid_are_not_copies(dicom, tmp_path, ct_array):
    dicom.save(dicom.slices(ct_array, SOPInstanceUID="1.2.3.4"), tmp_path)
    with pytest.raises(ImageFormatError, match=r"several slices share one SOPInstanceUID .*; export the series again"):
        read_image(tmp_path)
    (info,) = list_series(tmp_path)
    assert info.problem is not None and "share one SOPInstanceUID" in info.problem


def test_no_identifier_of_the_patient_is_kept(dicom, tmp_path, ct_array, caplog):
    dicom.save(dicom.slices(ct_array, PixelPaddingValue=0), tmp_path)
    caplog.set_level("DEBUG")
    image = read_image(tmp_path)
    assert not hasattr(image.source, "patient_id") and not hasattr(image.source, "patient_name")
    for text in (repr(image.source), caplog.text):
        assert "SECRET" not in text and "19330405" not in text
    dicom.save(dicom.slices(ct_array, ImagePositionPatient=None), tmp_path / "bad")
    with pytest.raises(InputError) as caught:
        read_image(tmp_path / "bad")
    assert "SECRET" not in str(caught.value) and "19330405" not in str(caught.value)


@pytest.mark.parametrize("element", [b"\x08\x00\x60\x00CS", b"\x08\x00\x3e\x10LO", b"\x28\x00\x04\x00CS"])
def test_a_damaged_length_does_not_show_the_patient(dicom, tmp_path, ct_array, element):
    """The value of modality, description or colour then runs on into the patient's name."""
    folder = dicom.save(dicom.slices(ct_array), tmp_path)
    for file in folder.iterdir():
        raw = bytearray(file.read_bytes())
        at = raw.index(element) + 6
        raw[at : at + 2] = (150).to_bytes(2, "little")
        file.write_bytes(raw)
    texts = []
    for read in (read_image, list_series):
        try:
            texts.append(repr(read(folder)))
        except InputError as error:
            texts.append(str(error))
    assert len(texts) == 2 and not any("SECRET" in text for text in texts)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_encodings(dicom, tmp_path, ct_array, syntax):
    made = dicom.slices(ct_array)
    for data in made:
        if syntax == ExplicitVRBigEndian:
            data.PixelData = np.frombuffer(data.PixelData, "<i2").astype(">i2").tobytes()
        data.file_meta.TransferSyntaxUID = syntax
    image = read_image(dicom.save(made, tmp_path))
    np.testing.assert_array_equal(image.volume.array, ct_array - 1024.0)


def test_run_length_encoding(dicom, tmp_path, ct_array):
    made = dicom.slices(ct_array)
    for data in made:
        data.compress(RLELossless, generate_instance_uid=False)
    np.testing.assert_array_equal(read_image(dicom.save(made, tmp_path)).volume.array, ct_array - 1024.0)


def test_files_without_preamble_or_header(dicom, tmp_path, ct_array):
    folder = dicom.save(dicom.slices(ct_array), tmp_path)
    for file in folder.iterdir():
        data = dicom.read(file)
        start = file.read_bytes().index(b"\x08\x00\x16\x00UI")
        assert data.SOPClassUID
        file.write_bytes(file.read_bytes()[start:])
    np.testing.assert_array_equal(read_image(folder).volume.array, ct_array - 1024.0)


def test_unused_high_bits_are_not_values(dicom, tmp_path, ct_array):
    made = dicom.slices((ct_array.astype(np.uint16) | 0xF000), modality="MR", BitsStored=12, HighBit=11)
    image = read_image(dicom.save(made, tmp_path))
    np.testing.assert_array_equal(image.volume.array, ct_array & 0x0FFF)


def test_a_single_file(dicom, tmp_path, ct_array):
    folder = dicom.save(dicom.slices(ct_array), tmp_path)
    image = read_image(folder / "s006.dcm")
    assert image.volume.geometry.shape == (7, 5, 1)
    assert image.volume.geometry.spacing_mm == (2.0, 1.5, 3.0)
    assert image.source.notes == ("a single slice was read: provide the folder to read its whole series",)


ERRORS = {
    "wrong modality": ({}, {"modality": ("NM", "PT")}, r"expected NM or PT, found CT; provide the image"),
    "no rescaling": ({"RescaleSlope": None}, {}, "no RescaleSlope and RescaleIntercept, so its values are not in HU"),
    "no position": ({"ImagePositionPatient": None}, {}, "no ImagePositionPatient, so its position"),
    "no orientation": ({"ImageOrientationPatient": None}, {}, "no ImageOrientationPatient"),
    "no pixel spacing": ({"PixelSpacing": None}, {}, "no PixelSpacing"),
    "spacing zero": ({"PixelSpacing": [0, 1]}, {}, "expected two positive mm"),
    "skew axes": ({"ImageOrientationPatient": [1, 0, 0, 1, 1, 0]}, {}, "not two perpendicular unit vectors"),
    "far away": ({"ImagePositionPatient": [0, 0, 1e8]}, {}, "is not a position in mm"),
    "frames": ({"NumberOfFrames": 3}, {}, "3 frames and no functional groups"),
    "colour": ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, {}, r"6 CT in colour \(RGB\)"),
    "other modality": ({"Modality": "US"}, {}, r"no slices of a volume among its DICOM files \(6 US\)"),
    "no pixels": ({"PixelData": b""}, {}, "no pixel data; it is truncated"),
    "few pixels": ({"PixelData": b"\0" * 60}, {}, "the pixel data is truncated: 60 bytes"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_series_that_are_no_volume(dicom, tmp_path, ct_array, case):
    tags, options, message = ERRORS[case]
    made = dicom.slices(ct_array)
    for data in made:
        for keyword, value in tags.items():
            setattr(data, keyword, value)
    folder = dicom.save(made, tmp_path)
    with pytest.raises(ImageFormatError, match=message) as caught:
        read_image(folder, **options)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


def test_paths_without_an_image(tmp_path):
    with pytest.raises(ImageFormatError, match="no such file or folder"):
        read_image(tmp_path / "missing")
    with pytest.raises(ImageFormatError, match="no DICOM files; expected a folder with the slices"):
        read_image(tmp_path)
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(ImageFormatError, match="not a DICOM file; expected DICOM, or NIfTI"):
        read_image(tmp_path / "a.txt")


def test_a_damaged_file_among_the_slices(dicom, tmp_path, ct_array):
    folder = dicom.save(dicom.slices(ct_array), tmp_path)
    whole = (folder / "s001.dcm").read_bytes()
    (folder / "s001.dcm").write_bytes(whole[:600])
    with pytest.raises(ImageFormatError, match=r"s001\.dcm: damaged DICOM file among the slices"):
        read_image(folder)
    (folder / "elsewhere").mkdir()
    (folder / "s001.dcm").rename(folder / "elsewhere" / "s001.dcm")
    assert read_image(folder).volume.geometry.shape == (7, 5, 5)


def test_nan_pixels(dicom, tmp_path):
    pixels = np.ones((4, 3), np.float32)
    pixels[2, 1] = np.nan
    data = dicom.base(
        "MR", pixels, ImagePositionPatient=[0, 0, 0], ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        PixelSpacing=[1, 1], SliceThickness=1, FloatPixelData=pixels.tobytes(),
    )  # fmt: skip
    del data.PixelData, data.BitsStored, data.HighBit, data.PixelRepresentation
    with pytest.raises(
        ImageFormatError, match=r"1 of 12 voxels are NaN or infinite, the first \(nan\) at voxel \(1, 2, 0\)"
    ):
        read_image(dicom.save([data], tmp_path))


@pytest.mark.slow
@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.filterwarnings("ignore")
@given(st.data())
def test_damaged_bytes_give_an_input_error_or_an_image(dicom, tmp_path, data):
    folder = tmp_path / "series"
    array = np.arange(24, dtype=np.int16).reshape(4, 3, 2)
    made = dicom.slices(array)
    for number, each in enumerate(made):
        # Of one length in every run.
        each.SOPInstanceUID = each.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.4.5.{number}"
    dicom.save(made, folder)
    file = folder / "s001.dcm"
    raw = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(0, 5))):
        raw[data.draw(st.integers(128, len(raw) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(raw[: data.draw(st.one_of(st.just(len(raw)), st.integers(0, len(raw))))])
    try:
        found = read_image(folder)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert np.isfinite(found.volume.array).all() and found.volume.array.shape == found.volume.geometry.shape


def test_geometry_errors_are_input_errors():
    assert issubclass(GeometryError, InputError)
