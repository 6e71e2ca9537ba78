import re
from datetime import datetime

import cases
import numpy as np
import pydicom
import pytest
from highdicom._standard_utils import check_required_attributes
from highdicom.legacy import LegacyConvertedEnhancedCTImage

from sirtjax.dicom import Algorithm, Approval, read_reference, read_rtstruct, write_rtstruct
from sirtjax.errors import GeometryError, InputError, OutputError
from sirtjax.volume import LabelMap, reorient

RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
WHEN = datetime(2026, 1, 3, 10, 30)


def write(folder, masks, reference, **options):
    return write_rtstruct(folder / "rs.dcm", masks, reference, **({"label": "result", "created": WHEN} | options))


@pytest.fixture(scope="module")
def masks(ct):
    return cases.organs(ct.geometry)


@pytest.fixture(scope="module")
def written(masks, ct, tmp_path_factory):
    return write(
        tmp_path_factory.mktemp("rs"),
        masks,
        ct,
        description="liver and lesions",
        algorithm=Algorithm(name="liver-ct", version="3", family="AI"),
        colours={"lesion": (255, 0, 16)},
        approved=Approval(reviewer="Meyer^Anna", at=datetime(2026, 1, 4, 8, 15), verified=True),
    )


def test_masks_come_back_voxel_by_voxel(written, masks, ct):
    found = read_rtstruct(written, ct.geometry, frame_of_reference_uid=ct.frame_of_reference_uid)
    assert list(found) == list(masks)
    for name, labels in masks.items():
        np.testing.assert_array_equal(found[name].array, labels.array)


def test_nothing_that_is_required_is_missing(written):
    dataset = pydicom.dcmread(written)
    for module in ("patient", "general-study", "rt-series", "general-equipment", "frame-of-reference"):
        check_required_attributes(dataset, module)
    for module in ("structure-set", "roi-contour", "rt-roi-observations", "approval", "sop-common"):
        check_required_attributes(dataset, module)


def test_what_the_object_says(written, ct, masks):
    dataset = pydicom.dcmread(written)
    assert (dataset.SOPClassUID, dataset.Modality) == (RTSTRUCT, "RTSTRUCT")
    assert (dataset.StructureSetLabel, dataset.StructureSetDescription) == ("result", "liver and lesions")
    assert (dataset.StructureSetDate, dataset.StructureSetTime) == ("20260103", "103000.000000")
    assert (dataset.ApprovalStatus, dataset.ReviewerName) == ("APPROVED", "Meyer^Anna")
    assert (dataset.ReviewDate, dataset.ReviewTime) == ("20260104", "081500.000000")
    assert (dataset.PatientID, dataset.StudyInstanceUID) == ("PHANTOM-7", ct.study_uid)
    assert [roi.ROIName for roi in dataset.StructureSetROISequence] == list(masks)
    assert {roi.ROIGenerationAlgorithm for roi in dataset.StructureSetROISequence} == {"AUTOMATIC"}
    assert {roi.ROIGenerationDescription for roi in dataset.StructureSetROISequence} == {"liver-ct 3"}
    assert list(dataset.ROIContourSequence[1].ROIDisplayColor) == [255, 0, 16]
    assert len({tuple(roi.ROIDisplayColor) for roi in dataset.ROIContourSequence}) == len(masks)


def test_the_frame_study_series_and_slices_referred_to(written, ct):
    dataset = pydicom.dcmread(written)
    (frame,) = dataset.ReferencedFrameOfReferenceSequence
    (study,) = frame.RTReferencedStudySequence
    (series,) = study.RTReferencedSeriesSequence
    assert frame.FrameOfReferenceUID == dataset.FrameOfReferenceUID == ct.frame_of_reference_uid
    assert (study.ReferencedSOPInstanceUID, series.SeriesInstanceUID) == (ct.study_uid, ct.series_uid)
    known = {header.SOPInstanceUID: header for header in ct.headers}
    assert [item.ReferencedSOPInstanceUID for item in series.ContourImageSequence] == list(known)
    for roi in dataset.ROIContourSequence:
        for contour in roi.ContourSequence:
            (item,) = contour.ContourImageSequence
            header = known[item.ReferencedSOPInstanceUID]
            points = np.array(contour.ContourData, float).reshape(-1, 3)
            assert len(points) == contour.NumberOfContourPoints >= 3
            # The contour lies in the plane of the slice that it names.
            row, column = np.array(header.ImageOrientationPatient, float).reshape(2, 3)
            off = (points - np.array(header.ImagePositionPatient, float)) @ np.cross(row, column)
            np.testing.assert_allclose(off, 0, atol=1e-5)


def test_numbers_fit_their_decimal_strings(written):
    dataset = pydicom.dcmread(written)
    contour = dataset.ROIContourSequence[0].ContourSequence[0]
    raw = contour.get_item(0x30060050).value.decode()
    assert max(map(len, raw.split("\\"))) <= 16 and len(raw) % 2 == 0


def test_without_algorithm_or_approval(masks, ct, tmp_path):
    dataset = pydicom.dcmread(write(tmp_path, masks, ct))
    assert dataset.ApprovalStatus == "UNAPPROVED" and "ReviewerName" not in dataset
    assert not dataset.StructureSetROISequence[0].ROIGenerationAlgorithm
    approved = Approval(reviewer="A", at=WHEN, verified=False)
    dataset = pydicom.dcmread(write(tmp_path, masks, ct, approved=approved, force=True))
    assert dataset.ApprovalStatus == "REJECTED"


def test_the_same_result_is_the_same_file(masks, ct, written, tmp_path):
    first = write(tmp_path, masks, ct).read_bytes()
    assert write(tmp_path, masks, ct, force=True).read_bytes() == first
    uid = pydicom.dcmread(tmp_path / "rs.dcm").SOPInstanceUID
    later = pydicom.dcmread(write(tmp_path, masks, ct, created=datetime(2026, 2, 1), force=True))
    assert later.SOPInstanceUID == uid
    changed = dict(masks, lesion=cases.ball(ct.geometry, ct.geometry.centre_mm, 13))
    assert pydicom.dcmread(write(tmp_path, changed, ct, force=True)).SOPInstanceUID != uid
    with pytest.raises(OutputError, match="exists already"):
        write(tmp_path, masks, ct)


@pytest.mark.parametrize("codes", ["RAS", "SLA", "IPR"])
def test_the_same_grid_with_its_axes_in_another_order(masks, ct, tmp_path, codes):
    turned = {name: reorient(labels, codes) for name, labels in masks.items()}
    found = read_rtstruct(write(tmp_path, turned, ct), ct.geometry)
    for name, labels in masks.items():
        np.testing.assert_array_equal(found[name].array, labels.array)


def contour_volume_ml(path, number, geometry):
    """The polygons' areas times the distance between slices: what a program that measures polygons finds."""
    dataset = pydicom.dcmread(path)
    total = 0.0
    for contour in dataset.ROIContourSequence[number].ContourSequence:
        points = np.array(contour.ContourData, float).reshape(-1, 3)
        total += np.linalg.norm(np.cross(points, np.roll(points, -1, axis=0)).sum(axis=0) / 2)
    return total * geometry.spacing_mm[2] / 1000


@pytest.mark.parametrize("codes", ["LPS", "PIR"])
def test_a_mask_on_another_grid_keeps_its_volume(ct, tmp_path, codes):
    """A sphere drawn on fine, a shifted, and a turned grid: its volume by area, and by counted voxels."""
    place = ct.geometry.centre_mm + np.array([3.3, -7.1, 5.9])
    angle = np.deg2rad(17)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    grids = [
        cases.axial((50, 50, 50), spacing_mm=(1.3, 1.3, 1.3), centre_mm=place, codes=codes),
        cases.turned((40, 40, 30), turn, spacing_mm=(2.0, 2.0, 2.5), centre_mm=place),
    ]
    masks = {f"sphere {n}": cases.ball(grid, place, 21) for n, grid in enumerate(grids)}
    path = write(tmp_path, masks, ct)
    back = read_rtstruct(path, ct.geometry)
    for number, (name, labels) in enumerate(masks.items()):
        true_ml = labels.volume_ml("ball")
        assert contour_volume_ml(path, number, ct.geometry) == pytest.approx(true_ml, rel=3e-3)
        # To half a voxel: the contours hold as many voxel centres as the sphere has volume.
        half_ml = ct.geometry.voxel_volume_ml / 2
        assert back[name].volume_ml(name) == pytest.approx(true_ml, rel=0, abs=1.01 * half_ml)
        np.testing.assert_allclose(cases.centroid_mm(back[name]), cases.centroid_mm(labels), atol=0.5)


def test_a_lesion_smaller_than_a_voxel_of_the_reference_is_drawn_as_small(ct, tmp_path):
    grid = cases.axial((9, 9, 9), spacing_mm=(1, 1, 1), centre_mm=ct.geometry.to_world((15, 12, 9)) + 0.3)
    mask = np.zeros(grid.shape, bool)
    mask[4:6, 4, 4:6] = True
    path = write(tmp_path, {"spot": LabelMap.from_mask(mask, grid, name="spot")}, ct)
    assert contour_volume_ml(path, 0, ct.geometry) == pytest.approx(0.004, rel=0.05)


@pytest.mark.parametrize("name", [*cases.AXIS_CODES, *cases.obliques()])
def test_organs_stay_in_place_in_every_orientation(name, tmp_path):
    """Written on a series that is read from its files, with contours read back: within 0.01 mm of the truth."""
    geometry = cases.orientations()[name]
    masks = cases.organs(geometry)
    reference = cases.write_reference(tmp_path / "ct", geometry, modality="MR")
    found = read_rtstruct(write(tmp_path, masks, reference), reference.geometry)
    for organ, labels in masks.items():
        np.testing.assert_allclose(cases.centroid_mm(found[organ]), cases.centroid_mm(labels), atol=0.01)
        assert found[organ].volume_ml(organ) == pytest.approx(labels.volume_ml(organ), rel=1e-6)


@pytest.mark.parametrize("kind", cases.sources())
def test_every_kind_of_series(kind, tmp_path):
    geometry, modality, position = cases.sources()[kind]
    reference = cases.write_reference(tmp_path / "series", geometry, modality=modality, position=position)
    masks = cases.organs(geometry)
    found = read_rtstruct(write(tmp_path, masks, reference), reference.geometry)
    for organ, labels in masks.items():
        np.testing.assert_allclose(cases.centroid_mm(found[organ]), cases.centroid_mm(labels), atol=0.01)


def test_contours_on_frames_of_one_file_name_the_frame(tmp_path):
    geometry = cases.axial((12, 11, 6), spacing_mm=(4, 4, 5))
    cases.write_tomogram(tmp_path / "nm", geometry)
    reference = read_reference(tmp_path / "nm")
    ball = cases.ball(geometry, geometry.centre_mm, 9)
    path = write(tmp_path, {"ball": ball}, reference)
    for contour in pydicom.dcmread(path).ROIContourSequence[0].ContourSequence:
        (item,) = contour.ContourImageSequence
        z = float(contour.ContourData[2])
        assert item.ReferencedSOPInstanceUID == reference.headers[0].SOPInstanceUID
        assert geometry.to_voxel([0, 0, z])[2] == pytest.approx(item.ReferencedFrameNumber - 1)
    np.testing.assert_array_equal(read_rtstruct(path, geometry)["ball"].array, ball.array)


@pytest.mark.parametrize("codes", ["PIR", "LIP", "ILA", "LPS"])
def test_the_last_point_is_not_above_the_first(codes, tmp_path):
    """Programs that look at x and y alone would take it for the first point again, and drop it."""
    reference = cases.write_reference(tmp_path / "mr", cases.oriented(codes), modality="MR")
    path = write(tmp_path, cases.organs(cases.oriented(codes)), reference)
    for roi in pydicom.dcmread(path).ROIContourSequence:
        for contour in roi.ContourSequence:
            points = np.array(contour.ContourData, float).reshape(-1, 3)
            assert np.abs(points[0, :2] - points[-1, :2]).max() > 0.05


def test_an_enhanced_multi_frame_image(ct_folder, masks, tmp_path):
    """The same CT converted by highdicom: the same contours, on frames of one object."""
    slices = [pydicom.dcmread(path) for path in sorted(ct_folder.glob("*.dcm"))]
    enhanced = LegacyConvertedEnhancedCTImage(slices, "1.2.3.4", 7, "1.2.3.4.5", 1)
    (tmp_path / "enhanced").mkdir()
    enhanced.save_as(tmp_path / "enhanced" / "ct.dcm")
    reference = read_reference(tmp_path / "enhanced")
    path = write(tmp_path, masks, reference)
    (frame_of_reference,) = pydicom.dcmread(path).ReferencedFrameOfReferenceSequence
    (series,) = frame_of_reference.RTReferencedStudySequence[0].RTReferencedSeriesSequence
    assert [item.ReferencedSOPInstanceUID for item in series.ContourImageSequence] == ["1.2.3.4.5"]
    for contour in pydicom.dcmread(path).ROIContourSequence[0].ContourSequence:
        frame = enhanced.PerFrameFunctionalGroupsSequence[contour.ContourImageSequence[0].ReferencedFrameNumber - 1]
        place = frame.PlanePositionSequence[0].ImagePositionPatient
        assert float(contour.ContourData[2]) == pytest.approx(float(place[2]), abs=1e-5)
    found = read_rtstruct(path, reference.geometry)
    for name, labels in masks.items():
        np.testing.assert_array_equal(found[name].array, labels.array)


def test_slices_of_a_tilted_gantry(ct_folder, tmp_path):
    """Each slice further back than the one below: a sheared grid, whose contours stay in the planes of the slices."""
    for n, source in enumerate(sorted(ct_folder.glob("*.dcm"))):
        dataset = pydicom.dcmread(source)
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, float(y) + 1.7 * n, z]
        dataset.save_as(tmp_path / source.name)
    reference = read_reference(tmp_path)
    masks = cases.organs(reference.geometry)
    path = write(tmp_path / "out", masks, reference)
    found = read_rtstruct(path, reference.geometry)
    for name, labels in masks.items():
        np.testing.assert_array_equal(found[name].array, labels.array)
        np.testing.assert_allclose(cases.centroid_mm(found[name]), cases.centroid_mm(labels), atol=0.01)
    for contour in pydicom.dcmread(path).ROIContourSequence[0].ContourSequence:
        assert np.ptp(np.array(contour.ContourData[2::3], float)) == 0


def test_slices_that_are_rounded_off_the_even_grid_keep_their_own_planes(ct_folder, tmp_path):
    for n, source in enumerate(sorted(ct_folder.glob("*.dcm"))):
        dataset = pydicom.dcmread(source)
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y, round(float(z) + (0.2 if n % 2 else 0.0), 1)]
        dataset.save_as(tmp_path / source.name)
    reference = read_reference(tmp_path)
    masks = cases.organs(reference.geometry)
    path = write(tmp_path / "out", masks, reference)
    planes = {float(header.ImagePositionPatient[2]) for header in reference.headers}
    for roi in pydicom.dcmread(path).ROIContourSequence:
        for contour in roi.ContourSequence:
            assert min(abs(z - float(contour.ContourData[2])) for z in planes) < 1e-5
    found = read_rtstruct(path, reference.geometry)
    for name, labels in masks.items():
        np.testing.assert_array_equal(found[name].array, labels.array)


def test_masks_that_are_not_on_the_series(ct, masks, tmp_path):
    away = cases.axial((20, 20, 20), centre_mm=ct.geometry.centre_mm + 700)
    with pytest.raises(
        GeometryError, match=r"'away' does not fit the target CT series: it does not overlap .* provide the series"
    ):
        write(tmp_path, {"away": cases.ball(away, away.centre_mm, 15)}, ct)
    # Of a sphere, what lies beyond 2 mm from its centre: (r - 2)^2 (2 r + 2) / 4 r^3.
    edge = cases.axial((20, 20, 20), centre_mm=ct.geometry.to_world((0, 12, 10)))
    with pytest.raises(GeometryError, match=r"'edge' does not fit the target CT series: 40 % of it is outside"):
        write(tmp_path, {"edge": cases.ball(edge, edge.centre_mm, 15)}, ct)


def test_an_empty_mask_is_refused(ct, tmp_path):
    empty = LabelMap.from_mask(np.zeros(ct.geometry.shape, bool), ct.geometry, name="liver")
    with pytest.raises(InputError, match=r"mask 'liver' is empty: .* omit it"):
        write(tmp_path, {"liver": empty}, ct)
    with pytest.raises(InputError, match="no mask to write"):
        write(tmp_path, {}, ct)
    assert not (tmp_path / "rs.dcm").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x" * 65, "the ROI name 'x+' has 65 characters; expected 1 to 64"),
        ("", "the ROI name '' has 0 characters"),
        ("a\\b", "the ROI name .* without"),
        ("a\nb", "the ROI name .* printable"),
        ("../liver", "looks like a path"),
        ("..", "looks like a path"),
    ],
)
def test_names_that_dicom_or_a_disk_cannot_hold(ct, masks, tmp_path, name, message):
    with pytest.raises(InputError, match=message) as caught:
        write(tmp_path, {name: masks["lesion"]}, ct)
    assert "\n" not in str(caught.value)


def test_names_that_are_one_but_for_spaces(ct, masks, tmp_path):
    with pytest.raises(InputError, match="two masks are named 'liver' apart from surrounding spaces"):
        write(tmp_path, {"liver": masks["lesion"], " liver": masks["liver"]}, ct)


def test_a_map_of_several_labels_needs_the_name(ct, masks, tmp_path):
    both = LabelMap(np.asarray(masks["liver"].array) + 0, ct.geometry, names=((1, "liver"), (2, "lesion")))
    assert write(tmp_path, {"liver": both}, ct).exists()
    with pytest.raises(InputError, match="'spleen': its label map contains liver, lesion; expected one of that name"):
        write(tmp_path, {"spleen": both}, ct, force=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "x" * 17}, "the structure set label .* has 17 characters; expected 1 to 16"),
        ({"description": "x" * 1025}, "description has 1025 characters; expected at most 1024"),
        (
            {"colours": {"lesion": (0, 0, 256)}},
            r"the colour of 'lesion' is \(0, 0, 256\); expected red, green and blue",
        ),
        ({"colours": {"spleen": (0, 0, 2)}}, "there is a colour for 'spleen', which is not one of the masks: lesion"),
    ],
)
def test_options_that_dicom_cannot_hold(ct, masks, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        write(tmp_path, {"lesion": masks["lesion"]}, ct, **options)


def test_messages_hold_no_patient(ct, masks, tmp_path):
    with pytest.raises(GeometryError) as caught:
        away = cases.axial((20, 20, 20), centre_mm=ct.geometry.centre_mm + 700)
        write(tmp_path, {"away": cases.ball(away, away.centre_mm, 15)}, ct)
    assert not re.search("PHANTOM", str(caught.value))
