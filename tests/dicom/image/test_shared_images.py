"""Every DICOM image of the test data: it reads to its known grid and values, or gives the error it should."""

import tarfile
from datetime import timedelta

import numpy as np
import pytest
import SimpleITK

from sirtjax.dicom import list_series
from sirtjax.errors import InputError
from sirtjax.formats import read_image
from sirtjax.spatial import resample
from sirtjax.volume import axis_codes, reorient

D2N = "dicom-odd/dicom2nifti"
PTF = "dicom-odd/pydicom_test_files"

REFERENCED = [
    *(f"{D2N}/generic/anatomical/{n}" for n in ("001", "001_implicit", "002_non_isotropic")),
    *(f"{D2N}/generic/compressed{n}/001" for n in ("", "_j2k", "_jpeg", "_jpegls", "_rle")),
    f"{D2N}/hitachi/anatomical/001",
    f"{D2N}/hitachi/anatomical/001_implicit",
    f"{D2N}/philips_enhanced/anatomical/001",
    f"{D2N}/philips_enhanced/anatomical/001_implicit",
    f"{D2N}/siemens_multiframe/anatomical/001",
    f"{D2N}/failing/slicecount/001",
]  # fmt: skip

# Path, shape, spacing, smallest and largest value.
READS = [
    (f"{D2N}/failing/gantrytilting/001", (512, 512, 4), (0.41797, 0.41797, 5.0), -1024, -770),
    ("totalsegmentator/example_ct_dicom", (512, 512, 20), (0.97656, 0.97656, 2.0), -1024, 1839),
    ("seg-dcmqi/segmentations/ct-3slice", (512, 512, 3), (0.81055, 0.81055, 1.0), -1024, 1381),
    ("seg-dcmqi/segmentations/23x38x3/image", (23, 38, 3), (0.7, 0.7, 2.5), 0, 1),
    ("seg-dcmqi/segmentations/24x38x3/multiframe", (24, 38, 3), (0.7, 0.7, 2.5), 0, 1),
    (f"{PTF}/dicomdirtests/98892001/CT5N", (16, 16, 5), (0.48828, 0.48828, 2.5), -888, 85),
    (f"{PTF}/CT_small.dcm", (128, 128, 1), (0.66147, 0.66147, 5.0), -896, 1167),
    *((f"{PTF}/MR_small{n}.dcm", (64, 64, 1), (0.3125, 0.3125, 0.8), 127, 2145)
      for n in ("", "_RLE", "_bigendian", "_expb", "_implicit", "_jp2klossless", "_jpeg_ls_lossless", "_padded")),
    (f"{PTF}/693_J2KI.dcm", (512, 512, 1), (0.47852, 0.47852, 20.0), -1024, 1812),
    ("dicom-odd/pydicom_data/bad_sequence.dcm", (512, 512, 1), (0.28711, 0.28711, 1.0), -1011, 1243),
    ("dicom-odd/pydicom_data/eCT_Supplemental.dcm", (512, 512, 2), (0.38867, 0.38867, 10.0), None, None),
    ("dicom-odd/cornerstone_transfer_syntaxes/CT1_J2KR", (512, 512, 1), (0.66147, 0.66147, 5.0), -1024, 1254),
    ("dicom-odd/cornerstone_transfer_syntaxes/CT2_J2KR", (512, 512, 1), (0.468, 0.468, 10.0), -1024, 1433),
]  # fmt: skip

REFUSES = [
    (f"{D2N}/failing/notavolume/001", "3 slices are at the position of another, the first at 001.dcm"),
    (f"{D2N}/failing/sliceincrement/001", "10 mm from IM-0001-0009-0001.dcm .* to IM-0001-0010-0001.dcm .* 5 mm"),
    (f"{D2N}/failing/sliceincrement/002", "1.499 mm from IM-0001-0003.dcm .* to IM-0001-0005.dcm"),
    (
        f"{D2N}/failing/sliceorientation/001",
        r"2 series match, 1: MR '\[sagittal, 288x288\]'.*2: MR '\[axial, 288x288\]'",
    ),
    (f"{D2N}/generic/rgb/001", r"4 MR secondary capture in colour \(RGB\)"),
    (f"{PTF}/dicomdirtests/77654033/CT2", "202.5 mm from 17106 .* to 17136"),
    ("dicom-odd/dcm_qa_ct/GE", "not evenly spaced: .* 28 slices"),
    ("dicom-odd/gstt_chest_missing_slice_rtstruct", "1.6 mm from CT000081.dcm .* to CT000082.dcm .* 0.8 mm"),
    ("dicom-odd/gstt_liver14_gapped/dcm", "62 mm from 000303.dcm .* to 000301.dcm"),
    (f"{PTF}/MR_truncated.dcm", "the pixel data is truncated: 8130 bytes, but 1 frames of 64x64 pixels need 8192"),
    (f"{PTF}/dicomdirtests/DICOMDIR", r"\d+ series match, 1: CT 'Routine Brain' 16x16x4.*and \d+ more"),
    (f"{PTF}/dicomdirtests/TINY_ALPHA", r"\(50 damaged, 1 without modality\)"),
    (f"{PTF}/rtdose.dcm", r"\(1 RTDOSE\); expected grey-scale CT, MR, PT or NM"),
    (f"{PTF}/rtstruct.dcm", r"\(1 RTSTRUCT\)"),
    (f"{PTF}/ExplVR_BigEndNoMeta.dcm", r"\(1 RTPLAN\)"),
    (f"{PTF}/JPEG2000.dcm", r"\(1 NM secondary capture\)"),
    (f"{PTF}/zipMR.gz", "not a DICOM file"),
    (f"{PTF}/README.txt", "not a DICOM file"),
    ("seg-dcmqi/sr-example", r"\(1 RWV, 1 SEG, 1 SR\)"),
    ("dicom-odd/pydicom_data/explicit_VR-UN.dcm", "one slice .* and no SliceThickness"),
    ("dicom-odd/pydicom_data/liver.dcm", r"\(1 SEG\)"),
    ("dicom-odd/cornerstone_transfer_syntaxes/TestPattern_RGB.dcm", r"in colour \(RGB\)"),
    ("dicom-odd/cornerstone_transfer_syntaxes/TestPattern_Palette.dcm", r"in colour \(PALETTE COLOR\)"),
    ("dicom-odd/cornerstone_transfer_syntaxes/US-YBR_FULL_422-EVRLE.dcm", "1 US in colour"),
    ("dvh-slicerrt", "no slices of a volume|no DICOM files"),
]


def itk_series(folder):
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def unpacked(archive, folder):
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder


@pytest.mark.parametrize("name", REFERENCED)
def test_reference_images(shared_data, name):
    """Grids and voxels of another converter (dicom2nifti's ground truth)."""
    expected = read_image(shared_data / f"{name}_ground_truth.nii.gz").volume
    found = reorient(read_image(shared_data / name).volume, axis_codes(expected.geometry))
    assert found.geometry.matches(expected.geometry, tolerance_mm=1e-3)
    np.testing.assert_allclose(found.array, expected.array, rtol=1e-6)


@pytest.mark.parametrize(("name", "shape", "spacing", "low", "high"), READS, ids=[case[0] for case in READS])
def test_images_that_read(shared_data, name, shape, spacing, low, high):
    volume = read_image(shared_data / name).volume
    assert volume.geometry.shape == shape
    if spacing is not None:
        np.testing.assert_allclose(volume.geometry.spacing_mm, spacing, rtol=1e-4)
    if low is not None:
        assert (volume.array.min(), volume.array.max()) == (low, high)


@pytest.mark.parametrize(("name", "message"), REFUSES, ids=[case[0] for case in REFUSES])
def test_images_that_are_refused(shared_data, name, message):
    with pytest.raises(InputError, match=message) as caught:
        read_image(shared_data / name)
    assert "\n" not in str(caught.value)


def test_every_single_file_reads_or_gives_an_input_error(shared_data):
    """Nothing in the collection makes the readers fail in another way."""
    outcomes = {"read": 0, "refused": 0}
    for folder in (PTF, "dicom-odd/pydicom_data", "seg-dcmqi/segmentations"):
        for path in sorted((shared_data / folder).iterdir()):
            if path.is_file():
                try:
                    read_image(path)
                    outcomes["read"] += 1
                except InputError as error:
                    assert "\n" not in str(error)
                    outcomes["refused"] += 1
    assert outcomes["read"] >= 12 and outcomes["refused"] >= 50


def test_a_tilted_gantry_against_a_straightened_image(shared_data):
    """dicom2nifti resampled the tilted slices onto a straight grid; ours resampled there are the same to rounding."""
    base = shared_data / D2N / "failing/sliceincrement"
    image = read_image(base / "002", allow_resample_slices=True)
    assert image.volume.geometry.shape == (512, 512, 5)
    expected = read_image(base / "002_ground_truth.nii.gz").volume
    found = np.asarray(resample(image.volume, expected.geometry, fill=-3000.0).array)
    # It left out what lies beyond the stack (0) and truncated to whole numbers.
    both = (found > -1100) & (expected.array != 0)
    assert both.mean() > 0.7
    assert np.abs(found - expected.array)[both].mean() < 0.3
    assert np.corrcoef(found[both], expected.array[both])[0, 1] > 0.9999


def test_uneven_slices_on_even_ones(shared_data):
    image = read_image(shared_data / "dicom-odd/dcm_qa_ct/GE", allow_resample_slices=True)
    assert "28 uneven slices were interpolated" in image.source.notes[0]
    gapped = read_image(shared_data / "dicom-odd/gstt_chest_missing_slice_rtstruct", allow_resample_slices=True)
    assert gapped.volume.geometry.shape == (512, 512, 21)
    # The slices that exist are untouched but for rounding: the first one, and the one after the gap.
    whole = SimpleITK.GetArrayFromImage(
        SimpleITK.ReadImage(str(shared_data / "dicom-odd/gstt_chest_missing_slice_rtstruct/dcm/CT000082.dcm"))
    )
    np.testing.assert_allclose(gapped.volume.array[:, :, 2], np.maximum(whole[0].T, -1024), atol=0.5)


@pytest.mark.slow
def test_a_real_pet_with_uneven_steps(shared_data):
    """Steps of 3.19 to 3.29 mm: each slice lies within 0.04 mm of its even place."""
    folder = shared_data / "ct-mr-pet-thigh/wholebody-pet-dicom/image"
    image = read_image(folder, modality="PT")
    expected = itk_series(folder)
    assert image.volume.unit == "Bq/mL" and image.source.decay_correction == "START"
    np.testing.assert_allclose(
        image.volume.array.transpose(2, 1, 0), SimpleITK.GetArrayFromImage(expected), rtol=1e-5, atol=0.01
    )
    np.testing.assert_allclose(image.volume.geometry.to_world([0, 0, 0]), expected.GetOrigin(), atol=1e-4)
    assert image.volume.geometry.spacing_mm[2] == pytest.approx(3.27, abs=1e-5)
    # 388.8 MBq F-18 at 10:35, scan at 11:20:11, 71 kg.
    source = image.source
    assert source.injected_activity_bq == pytest.approx(3.88777472e8) and source.half_life_s == 6588
    assert source.reference_time - source.injection_time == timedelta(minutes=45, seconds=11)
    assert source.patient_weight_kg == 71


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shape"),
    [("ct-liver-ircad01/dicom", (512, 512, 129)), ("ct-liver-chaos03/dicom", (512, 512, 78)),
     ("totalsegmentator/example_ct_dicom", (512, 512, 20))],
)  # fmt: skip
def test_whole_scans_against_itk(shared_data, name, shape):
    image, expected = read_image(shared_data / name, modality="CT"), itk_series(shared_data / name)
    assert image.volume.geometry.shape == shape
    values = np.maximum(SimpleITK.GetArrayFromImage(expected), -1024)
    np.testing.assert_array_equal(image.volume.array.transpose(2, 1, 0), values)
    for index in [(0, 0, 0), tuple(n - 1 for n in shape)]:
        world = expected.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose(image.volume.geometry.to_world(index), world, atol=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scan", "label"),
    [("ct-liver-ircad01/dicom", "ct-liver-ircad01/mask_liver.nii.gz"),
     ("ct-liver-chaos03/dicom", "ct-liver-chaos03/liver_label.nii.gz")],
)  # fmt: skip
def test_labels_lie_on_their_scans(shared_data, scan, label):
    image, mask = read_image(shared_data / scan).volume, read_image(shared_data / label).volume
    assert image.geometry.matches(mask.geometry, tolerance_mm=0.1)
    liver = image.array[mask.array > 0]
    assert 40 < np.median(liver) < 180


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "step"), [("lowdose-ct-lu177", 1), ("labels-mesh-phantom", 1), ("labels-liver", 30)]
)
def test_nifti_collections_against_itk(shared_data, folder, step):
    paths = sorted((shared_data / folder).glob("*.nii.gz"))[::step]
    assert paths
    for path in paths:
        volume, expected = read_image(path).volume, SimpleITK.ReadImage(str(path))
        assert volume.geometry.shape == expected.GetSize()
        for index in [(0, 0, 0), tuple(n - 1 for n in volume.geometry.shape)]:
            world = expected.TransformIndexToPhysicalPoint(index)
            np.testing.assert_allclose(volume.geometry.to_world(index), world, atol=1e-2)
        np.testing.assert_array_equal(volume.array.transpose(2, 1, 0), SimpleITK.GetArrayFromImage(expected))


def test_a_ct_with_padding(shared_data, tmp_path):
    folder = unpacked(shared_data / "ct-crlm/dicom-1004.tar.gz", tmp_path)
    image = read_image(folder)
    assert image.volume.geometry.shape == (512, 512, 41) and image.volume.array.min() == -1024
    assert "padding" in image.source.notes[0]
    values = SimpleITK.GetArrayFromImage(itk_series(folder / "dicom-1004"))
    assert values.min() == -3024
    np.testing.assert_array_equal(image.volume.array.transpose(2, 1, 0), np.maximum(values, -1024))


@pytest.mark.slow
def test_quantitative_spect_stored_as_pet(shared_data, tmp_path):
    folder = unpacked(shared_data / "spect-lu177/scans.tar.gz", tmp_path)
    for scan in ("SCAN_001", "SCAN_002"):
        image = read_image(folder / scan)
        assert image.source.modality == "PT" and image.volume.unit == "Bq/mL"
        assert image.volume.geometry.shape == (256, 256, 199)
        np.testing.assert_allclose(image.volume.geometry.spacing_mm, 1.953, atol=1e-3)
        assert image.source.decay_correction == "ADMIN" and image.source.reference_time == image.source.injection_time
        assert image.source.injected_activity_bq == pytest.approx(7.210e9, rel=1e-3)


def test_listing_an_archive(shared_data):
    infos = list_series(shared_data / PTF / "dicomdirtests")
    assert [info.number for info in infos] == list(range(1, len(infos) + 1))
    assert any(info.localizer for info in infos) and {info.modality for info in infos} == {"CT", "MR"}
