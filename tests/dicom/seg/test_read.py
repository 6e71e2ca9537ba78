import logging

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from sirtjax.dicom import read_seg
from sirtjax.dicom.seg._frame_grid import frame_grid
from sirtjax.errors import GeometryError, ImageFormatError, InputError
from sirtjax.volume import Geometry

AXIS = np.array([1.0, 2.0, -0.5]) / np.linalg.norm([1.0, 2.0, -0.5])
CROSS = np.array([[0, -AXIS[2], AXIS[1]], [AXIS[2], 0, -AXIS[0]], [-AXIS[1], AXIS[0], 0]])
ROTATION = np.eye(3) + np.sin(0.6) * CROSS + (1 - np.cos(0.6)) * CROSS @ CROSS
GEOMETRY = Geometry.from_axes((11, 8, 9), spacing_mm=(1.5, 0.8, 3.0), origin_mm=(-20, -100, 640), direction=ROTATION)


def source_images():
    """Headers of a CT series on GEOMETRY, as highdicom needs them to derive a segmentation from."""
    frame, study, series = (generate_uid(entropy_srcs=[name]) for name in ("frame", "study", "series"))
    images = []
    for k in range(GEOMETRY.shape[2]):
        image = pydicom.Dataset()
        image.file_meta = pydicom.dataset.FileMetaDataset()
        image.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        image.SOPClassUID, image.SOPInstanceUID = (
            "1.2.840.10008.5.1.4.1.1.2",
            generate_uid(entropy_srcs=["image", str(k)]),
        )
        image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = study, series, frame
        image.Modality, image.PatientID, image.PatientName = "CT", "P", "P"
        image.PatientBirthDate = image.PatientSex = image.AccessionNumber = image.StudyID = ""
        image.StudyDate, image.StudyTime, image.ReferringPhysicianName = "20260101", "120000", ""
        image.Rows, image.Columns, image.InstanceNumber = GEOMETRY.shape[1], GEOMETRY.shape[0], k + 1
        image.PixelSpacing = [GEOMETRY.spacing_mm[1], GEOMETRY.spacing_mm[0]]
        image.SliceThickness = GEOMETRY.spacing_mm[2]
        image.ImageOrientationPatient = [f"{x:.10f}" for x in GEOMETRY.direction.T[:2].ravel()]
        image.ImagePositionPatient = [f"{x:.8f}" for x in GEOMETRY.to_world((0, 0, k))]
        images.append(image)
    return images


def segments(names):
    return [
        hd.seg.SegmentDescription(
            segment_number=n,
            segment_label=name,
            segmented_property_category=codes.SCT.Organ,
            segmented_property_type=codes.SCT.Liver,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for n, name in enumerate(names, start=1)
    ]


def save(path, pixels, names, kind="BINARY", *, reverse=False, **options):
    """Write masks (or fractions, or labels), (segments, i, j, k), as a SEG by highdicom."""
    images = source_images()
    array = np.moveaxis(np.asarray(pixels), 0, -1).transpose(2, 1, 0, 3)
    if reverse:
        images, array = images[::-1], array[::-1]
    if kind == "LABELMAP":
        array = array[..., 0]
    seg = hd.seg.Segmentation(
        source_images=images,
        pixel_array=np.ascontiguousarray(array),
        segmentation_type=kind,
        segment_descriptions=segments(names),
        series_instance_uid=generate_uid(entropy_srcs=["seg"]),
        series_number=1,
        sop_instance_uid=generate_uid(entropy_srcs=["seg", path.name]),
        instance_number=1,
        manufacturer="x",
        manufacturer_model_name="x",
        software_versions="1",
        device_serial_number="1",
        **options,
    )
    seg.save_as(path)
    return path


@pytest.fixture
def masks():
    rng = np.random.default_rng(3)
    result = rng.random((3, *GEOMETRY.shape)) < 0.4
    # Slices without the segment are not stored; neither ends nor middles may shift what is.
    result[0, :, :, [0, 3, 4]] = False
    result[1, :, :, [2, 5, 8]] = False
    result[2, :, :, [0, 1, 6, 7]] = False
    return result


def expect(masks, first, last):
    return Geometry.from_affine(
        (*GEOMETRY.shape[:2], last - first + 1),
        GEOMETRY.affine + np.pad((GEOMETRY.affine[:3, 2] * first)[:, None], ((0, 1), (3, 0))),
    ), masks[..., first : last + 1]


@pytest.mark.parametrize("reverse", [False, True])
def test_overlapping_segments_with_dropped_frames(tmp_path, masks, reverse):
    path = save(tmp_path / "seg.dcm", masks.astype(np.uint8), ["liver", "lesion", "lesion"], reverse=reverse)
    read = read_seg(path)
    assert list(read) == ["liver", "lesion", "lesion (2)"]
    geometry, expected = expect(masks, 0, 8)
    for labels, mask in zip(read.values(), expected, strict=True):
        assert labels.geometry.matches(geometry, tolerance_mm=1e-4)
        np.testing.assert_array_equal(labels.array, mask)


def test_the_grid_spans_the_stored_frames(tmp_path, masks):
    path = save(tmp_path / "seg.dcm", masks[2:].astype(np.uint8), ["liver"])
    geometry, expected = expect(masks[2:], 2, 8)
    labels = read_seg(path)["liver"]
    assert labels.geometry.matches(geometry, tolerance_mm=1e-4)
    np.testing.assert_array_equal(labels.array, expected[0])
    (volume,) = (hd.seg.segread(path).get_volume(combine_segments=True, skip_overlap_checks=True),)
    theirs = sitk_like(volume)
    np.testing.assert_array_equal(theirs, labels.array)


def sitk_like(volume):
    """highdicom's (slice, row, column) array as (i, j, k) with k along row x column."""
    affine = volume.affine
    k, j, i = affine[:3, 0], affine[:3, 1], affine[:3, 2]
    array = np.asarray(volume.array).transpose(2, 1, 0)
    return array if np.cross(i, j) @ k > 0 else array[:, :, ::-1]


def test_fractions_are_taken_from_the_threshold_on(tmp_path):
    fractions = np.zeros((1, *GEOMETRY.shape))
    fractions[0, :4] = np.array([0.2, 0.49, 0.51, 1.0])[:, None, None]
    path = save(tmp_path / "seg.dcm", fractions, ["liver"], "FRACTIONAL", max_fractional_value=200)
    assert np.flatnonzero(read_seg(path)["liver"].array.any((1, 2))).tolist() == [2, 3]
    assert np.flatnonzero(read_seg(path, threshold=0.3)["liver"].array.any((1, 2))).tolist() == [1, 2, 3]


def test_label_map_segmentation(tmp_path):
    labels = np.random.default_rng(0).integers(0, 3, (1, *GEOMETRY.shape)).astype(np.uint8)
    read = read_seg(save(tmp_path / "seg.dcm", labels, ["liver", "lesion"], "LABELMAP"))
    for value, name in enumerate(("liver", "lesion"), start=1):
        np.testing.assert_array_equal(read[name].array, labels[0] == value)


def test_empty_segments_are_left_out_and_said(tmp_path, masks, caplog):
    pixels = np.stack([masks[0], np.zeros(GEOMETRY.shape, bool)]).astype(np.uint8)
    path = save(tmp_path / "seg.dcm", pixels, ["liver", "lesion"])
    with caplog.at_level(logging.WARNING):
        assert list(read_seg(path)) == ["liver"]
    assert "1 of 2 segments are empty and omitted: lesion" in caplog.text
    assert list(read_seg(path, only=["Liver"])) == ["liver"]
    with pytest.raises(ImageFormatError, match="no voxel in segment 'lesion'"):
        read_seg(path, only=["lesion"])
    with pytest.raises(InputError, match="asked for 'spleen', but no mask has that name"):
        read_seg(path, only=["spleen"])


def changed(path, **changes):
    dataset = pydicom.dcmread(path)
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path)
    return path


def test_unusable_files(tmp_path, masks):
    with pytest.raises(ImageFormatError, match="no such file; expected a DICOM SEG"):
        read_seg(tmp_path / "none.dcm")
    pixels = masks.astype(np.uint8)

    def fresh():
        return save(tmp_path / "seg.dcm", pixels, ["a", "b", "c"])

    with pytest.raises(ImageFormatError, match="expected a SEG, found modality CT"):
        read_seg(changed(fresh(), SOPClassUID="1.2.840.10008.5.1.4.1.1.2", Modality="CT"))
    with pytest.raises(ImageFormatError, match="segmentation type is SURFACE; expected BINARY"):
        read_seg(changed(fresh(), SegmentationType="SURFACE"))
    with pytest.raises(ImageFormatError, match="the SEG has no frames"):
        read_seg(changed(fresh(), PerFrameFunctionalGroupsSequence=[]))
    with pytest.raises(ImageFormatError, match=r"states 99 frames but has positions of \d+; export it again"):
        read_seg(changed(fresh(), NumberOfFrames=99))
    with pytest.raises(ImageFormatError, match="has no PixelMeasures"):
        read_seg(changed(fresh(), SharedFunctionalGroupsSequence=[]))
    with pytest.raises(ImageFormatError, match="not readable as DICOM SEG"):
        read_seg(changed(fresh(), PixelData=b"\0\0"))
    path = fresh()
    dataset = pydicom.dcmread(path)
    frames = dataset.PerFrameFunctionalGroupsSequence
    first = frames[0].PlanePositionSequence[0]
    first.ImagePositionPatient = frames[1].PlanePositionSequence[0].ImagePositionPatient
    dataset.save_as(path)
    with pytest.raises(ImageFormatError, match="segment 'a' has two frames at one position"):
        read_seg(path)
    frames[1].PlaneOrientationSequence = [pydicom.Dataset()]
    frames[1].PlaneOrientationSequence[0].ImageOrientationPatient = [0, 1, 0, 0, 0, 1]
    dataset.save_as(path)
    with pytest.raises(GeometryError, match="frames in 2 orientations"):
        read_seg(path)


def grid(depths, *, spacings=(), thickness=None, shift=0.0, orientation=((1, 0, 0), (0, 1, 0)), pixel=(2.0, 1.0)):
    positions = np.array([[5.0, 6.0 + shift * z, z] for z in depths])
    return frame_grid(
        positions,
        orientation=np.asarray(orientation, float),
        size=(4, 3),
        pixel_spacing_mm=pixel,
        slice_spacings_mm=spacings,
        thickness_mm=thickness,
        where="x.dcm",
    )


def test_frames_are_placed_by_position():
    geometry, k = grid([10.0, 2.0, 6.0, 2.0], spacings=(4.0,))
    assert k.tolist() == [2, 0, 1, 0] and geometry.shape == (4, 3, 3)
    assert geometry.origin_mm == (5, 6, 2) and geometry.spacing_mm == (1, 2, 4)


def test_spacing_from_the_file_or_from_the_gaps():
    assert grid([0, 4, 12], spacings=(2.0,))[0].shape[2] == 7
    assert grid([0, 4, 12], spacings=(3.0, 5.0))[0].shape[2] == 4
    assert grid([0, 4, 10])[0].spacing_mm[2] == 2
    assert grid([3], spacings=(2.5,))[0].spacing_mm[2] == 2.5


def test_one_of_several_segments_of_one_name_is_not_chosen_silently(tmp_path, masks):
    path = save(tmp_path / "seg.dcm", masks.astype(np.uint8), ["liver", "lesion", "lesion"])
    with pytest.raises(
        InputError, match=r"several masks are named 'lesion'; name each one \('lesion', 'lesion \(2\)'\)"
    ):
        read_seg(path, only=["liver", "Lesion"])
    assert list(read_seg(path, only=["lesion", "lesion (2)"])) == ["lesion", "lesion (2)"]
    dataset = pydicom.dcmread(path)
    dataset.SegmentSequence[2].SegmentNumber = 2
    dataset.save_as(path)
    with pytest.raises(ImageFormatError, match="several segments have one number"):
        read_seg(path)


def test_slices_with_gaps_are_not_as_thick_as_stated(tmp_path):
    """Frames 5 mm apart of slices of 2.5 mm: the volume was half of what it is."""
    filled = np.zeros((1, *GEOMETRY.shape), np.uint8)
    filled[0, 1:4, 1:3] = 1
    path = save(tmp_path / "seg.dcm", filled, ["liver"])
    expected = read_seg(path)["liver"]
    dataset = pydicom.dcmread(path)
    measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    if "SpacingBetweenSlices" in measures:
        del measures.SpacingBetweenSlices
    measures.SliceThickness = GEOMETRY.spacing_mm[2] / 2
    dataset.save_as(path)
    found = read_seg(path)["liver"]
    assert found.geometry.matches(expected.geometry, tolerance_mm=1e-4)
    np.testing.assert_array_equal(found.array, expected.array)


def test_the_thickness_places_slices_that_are_far_apart():
    assert grid([0, 50], thickness=2.5)[0].shape[2] == 21
    assert grid([0, 5, 30], thickness=2.5)[0].shape[2] == 13
    assert grid([0, 2.5, 5, 30], thickness=2.5)[0].shape[2] == 13
    assert grid([0, 5, 10, 30], thickness=2.5)[0].spacing_mm[2] == 5


def test_a_tilted_gantry_shears_the_grid():
    geometry, _ = grid([0, 2, 4], shift=0.25)
    np.testing.assert_allclose(geometry.to_world((0, 0, 2)), [5, 7, 4], atol=1e-9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depths": [0, 1, 3.37]}, "not multiples of one slice spacing"),
        ({"depths": [4]}, "one frame and no slice spacing or thickness"),
        ({"depths": [0, 1, 2], "orientation": ((1, 0, 0), (1, 0, 0))}, "not orthonormal"),
        ({"depths": [0, 1, 2], "pixel": (0.0, 1.0)}, "expected two positive numbers"),
        ({"depths": [0, np.nan]}, "not valid in mm"),
        ({"depths": [0, 1, 2e4]}, "frames span 20001 slices"),
    ],
)
def test_frames_off_a_grid(arguments, message):
    with pytest.raises(GeometryError, match=rf"x\.dcm: .*{message}"):
        grid(**arguments)


def test_frames_off_a_line():
    positions = np.array([[0, 0, 0], [0, 1, 1], [0, 0, 2.0]])
    with pytest.raises(GeometryError, match=r"are up to 0\.67 mm off a regular grid"):
        frame_grid(
            positions,
            orientation=np.eye(3)[:2],
            size=(2, 2),
            pixel_spacing_mm=(1, 1),
            slice_spacings_mm=(1,),
            where="x",
        )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_are_an_input_error_or_masks(small_seg, tmp_path, data):
    raw = bytearray(small_seg)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(128, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.dcm"
    path.write_bytes(raw[: data.draw(st.integers(140, len(raw)))])
    try:
        masks = read_seg(path)
    except InputError as error:
        assert str(path) in str(error)
    else:
        assert all(labels.array.any() for labels in masks.values())


@pytest.fixture(scope="module")
def small_seg(tmp_path_factory):
    pixels = np.ones((2, *GEOMETRY.shape), np.uint8)
    return save(tmp_path_factory.mktemp("seg") / "seg.dcm", pixels, ["a", "b"]).read_bytes()


@pytest.mark.parametrize(
    ("file", "reference", "value", "name"),
    [
        ("liver.dcm", "liver_seg.nrrd", 1, "Liver"),
        ("24x38x3/seg/label.seg", "24x38x3/nrrd/label.nrrd", 1, "Liver"),
        ("23x38x3/seg/label.seg", "23x38x3/nrrd/label.nrrd", 1, "Liver"),
        ("sparse-labelmap-noppv.dcm", "sparse_labelmap_noppv_seg.nrrd", 1, "Liver"),
        ("sparse-labelmap-ppv5.dcm", "sparse_labelmap_ppv5_seg.nrrd", 1, "Liver"),
        ("partial_overlaps.dcm", "partial_overlaps-1.nrrd", 1, "GREEN"),
        ("partial_overlaps.dcm", "partial_overlaps-2.nrrd", 2, "ORANGE"),
        ("partial_overlaps.dcm", "partial_overlaps-3.nrrd", 3, "PURPLE"),
        ("partial_overlaps.dcm", "partial_overlaps-1.nrrd", 4, "LIGHT_BLUE"),
        ("partial_overlaps.dcm", "partial_overlaps-1.nrrd", 5, "DARK_BLUE"),
    ],
)
def test_real_segmentations_agree_with_their_nrrd(shared_data, file, reference, value, name):
    folder = shared_data / "seg-dcmqi" / "segmentations"
    labels = read_seg(folder / file)[name]
    image = sitk.ReadImage(str(folder / reference))
    assert labels.geometry.matches(
        Geometry.from_axes(
            image.GetSize(),
            spacing_mm=image.GetSpacing(),
            origin_mm=image.GetOrigin(),
            direction=np.array(image.GetDirection()).reshape(3, 3),
        ),
        tolerance_mm=1e-3,
    )
    np.testing.assert_array_equal(labels.array, sitk.GetArrayFromImage(image).transpose(2, 1, 0) == value)
