import logging
import tarfile

import nibabel
import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from sirtjax.dicom import read_rtstruct
from sirtjax.errors import GeometryError, ImageFormatError, InputError
from sirtjax.volume import Geometry

FRAME = "1.2.3.4"


def rotation(*degrees):
    x, y, z = np.radians(degrees)
    rx = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    ry = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    rz = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    return rz @ ry @ rx


OBLIQUE = Geometry.from_axes(
    (52, 60, 24), spacing_mm=(1.1, 0.9, 2.5), origin_mm=(-30, -190, 700), direction=rotation(12, -20, 30)
)
FLIPPED = Geometry.from_axes(
    (52, 60, 24), spacing_mm=(1.1, 0.9, 2.5), origin_mm=(40, 30, -20), direction=np.diag([-1, 1, -1])
)
CENTRE = (25.7, 29.2, 11.6)


def save(path, rois, *, sop_class="1.2.840.10008.5.1.4.1.1.481.3"):
    """Write an RTSTRUCT; rois: pairs of name and list of contours, each points (LPS mm) or (points, type)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = sop_class, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[path.name])
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    dataset.Modality = "RTSTRUCT"
    listed, drawn = [], []
    for number, (name, contours) in enumerate(rois, start=1):
        roi = Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, name, FRAME
        listed.append(roi)
        item = Dataset()
        item.ReferencedROINumber = number
        item.ContourSequence = Sequence()
        for contour in contours:
            points, kind = contour if isinstance(contour, tuple) else (contour, "CLOSED_PLANAR")
            drawing = Dataset()
            drawing.ContourGeometricType = kind
            drawing.NumberOfContourPoints = len(points)
            drawing.ContourData = [f"{x:.4f}" for x in np.asarray(points).ravel()]
            item.ContourSequence.append(drawing)
        drawn.append(item)
    dataset.StructureSetROISequence, dataset.ROIContourSequence = Sequence(listed), Sequence(drawn)
    dataset.save_as(path, enforce_file_format=True)
    return path


def circle(radius, *, centre, u, v, count=180):
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)[:, None]
    return centre + radius * (np.cos(angle) * u + np.sin(angle) * v)


def discs(geometry, *, radius_mm, offsets_mm, axes, centre=CENTRE):
    """Circles of `radius_mm(offset)` in planes at offsets along axes[2] from a voxel position."""
    middle = geometry.to_world(centre)
    u, v, n = axes
    return [circle(radius_mm(s), centre=middle + s * n, u=u, v=v) for s in offsets_mm if radius_mm(s) > 0]


def ball(s, radius=19.0):
    return np.sqrt(max(radius**2 - s**2, 0.0))


def true_ball(geometry, radius=19.0):
    voxels = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), axis=-1)
    distance = np.linalg.norm(geometry.to_world(voxels) - geometry.to_world(CENTRE), axis=-1)
    return distance < radius


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("geometry", [OBLIQUE, FLIPPED], ids=["oblique", "flipped"])
@pytest.mark.parametrize(
    ("step_mm", "shift_mm", "least_dice"),
    [(2.5, 0.0, 0.965), (2.5, 1.25, 0.965), (1.0, 0.3, 0.98), (6.0, 0.7, 0.95)],
    ids=["on", "between", "finer", "coarser"],
)
@pytest.mark.parametrize("normal", [2, 0], ids=["axial", "sagittal"])
def test_sphere_from_planes_parallel_to_the_grid(tmp_path, geometry, step_mm, shift_mm, least_dice, normal):
    u, v, n = np.roll(geometry.direction.T, -normal - 1, axis=0)
    # "on": planes through slices of the grid, whose fraction of a slice the centre's position gives away.
    fraction = (CENTRE[normal] - round(CENTRE[normal])) * geometry.spacing_mm[normal]
    offsets = np.arange(-20, 21) * step_mm + shift_mm - fraction
    path = save(tmp_path / "rs.dcm", [("ball", discs(geometry, radius_mm=ball, offsets_mm=offsets, axes=(u, v, n)))])
    ((name, labels),) = read_rtstruct(path, geometry).items()
    assert name == "ball" and labels.geometry == geometry and labels.names == ((1, "ball"),)
    assert labels.volume_ml("ball") == pytest.approx(4 / 3 * np.pi * 1.9**3, rel=0.025)
    assert dice(labels.mask("ball"), true_ball(geometry)) > least_dice


@pytest.mark.parametrize("geometry", [OBLIQUE, FLIPPED], ids=["oblique", "flipped"])
@pytest.mark.parametrize("step_mm", [1.0, 3.0])
def test_sphere_from_planes_oblique_to_the_grid(tmp_path, geometry, step_mm):
    axes = (geometry.direction @ rotation(33, 21, -40)).T
    offsets = np.arange(-19.5, 20, step_mm)
    path = save(tmp_path / "rs.dcm", [("ball", discs(geometry, radius_mm=ball, offsets_mm=offsets, axes=axes))])
    labels = read_rtstruct(path, geometry)["ball"]
    assert labels.volume_ml("ball") == pytest.approx(4 / 3 * np.pi * 1.9**3, rel=0.025)
    assert dice(labels.mask("ball"), true_ball(geometry)) > 0.965


def test_sphere_on_the_slices_of_a_tilted_gantry(tmp_path):
    affine = OBLIQUE.affine
    affine[:3, 2] += 0.4 * OBLIQUE.affine[:3, 1]
    sheared = Geometry.from_affine(OBLIQUE.shape, affine)
    axes = OBLIQUE.direction.T
    offsets = np.arange(-20, 21) * 2.5 + 1.0
    contours = discs(sheared, radius_mm=ball, offsets_mm=offsets, axes=axes)
    labels = read_rtstruct(save(tmp_path / "rs.dcm", [("ball", contours)]), sheared)["ball"]
    assert labels.volume_ml("ball") == pytest.approx(4 / 3 * np.pi * 1.9**3, rel=0.025)
    assert dice(labels.mask("ball"), true_ball(sheared)) > 0.965


@pytest.mark.parametrize("shift_mm", [0.0, 0.5, 1.25, 2.0])
def test_ends_reach_half_a_plane_distance(tmp_path, shift_mm):
    geometry = Geometry.from_axes((30, 30, 30), spacing_mm=(1, 1, 1), origin_mm=(0, 0, -15))
    square = np.array([(4.5, 4.5), (14.5, 4.5), (14.5, 14.5), (4.5, 14.5)])
    planes = [np.column_stack([square, np.full(4, z + shift_mm)]) for z in (-6, -2, 2)]
    labels = read_rtstruct(save(tmp_path / "rs.dcm", [("block", planes)]), geometry)["block"]
    # Three planes 4 mm apart: 12 mm, of 1 mm slices.
    assert labels.volume_ml("block") == pytest.approx(10 * 10 * 12 / 1000)


def test_one_plane_is_one_slice(tmp_path):
    square = np.array([(4.5, 4.5, 3.2), (14.5, 4.5, 3.2), (14.5, 14.5, 3.2), (4.5, 14.5, 3.2)])
    geometry = Geometry.from_axes((30, 30, 9), spacing_mm=(1, 1, 3))
    mask = read_rtstruct(save(tmp_path / "rs.dcm", [("x", [square])]), geometry)["x"].mask("x")
    assert mask.sum() == 100 and mask[:, :, 1].sum() == 100


def block(z):
    return np.array([(4.5, 4.5, z), (14.5, 4.5, z), (14.5, 14.5, z), (4.5, 14.5, z)])


def test_one_missing_contour_is_bridged_and_a_wide_gap_is_not(tmp_path):
    geometry = Geometry.from_axes((30, 30, 30), spacing_mm=(1, 1, 1))
    bridged = [block(z) for z in (3, 4, 5, 7, 8, 9)]
    apart = [block(z) for z in (3, 4, 5, 9, 10, 11)]
    masks = read_rtstruct(save(tmp_path / "rs.dcm", [("bridged", bridged), ("apart", apart)]), geometry)
    np.testing.assert_array_equal(np.flatnonzero(masks["bridged"].mask("bridged").any((0, 1))), np.arange(3, 10))
    np.testing.assert_array_equal(np.flatnonzero(masks["apart"].mask("apart").any((0, 1))), [3, 4, 5, 9, 10, 11])


@pytest.mark.parametrize("kind", ["CLOSED_PLANAR", "CLOSEDPLANAR_XOR"])
def test_ring_with_a_hole(tmp_path, kind):
    geometry, axes = OBLIQUE, OBLIQUE.direction.T
    offsets = np.arange(-5, 5) * 2.5 + 0.4
    contours = [
        (c, kind)
        for r in (17.0, 8.0)
        for c in discs(geometry, radius_mm=lambda s, r=r: r, offsets_mm=offsets, axes=axes)
    ]
    labels = read_rtstruct(save(tmp_path / "rs.dcm", [("ring", contours)]), geometry)["ring"]
    assert labels.volume_ml("ring") == pytest.approx(np.pi * (1.7**2 - 0.8**2) * 2.5, rel=0.02)
    i, j, k = np.rint(CENTRE).astype(int)
    assert not labels.mask("ring")[i, j, k]


def test_names_are_made_unique_and_chosen(tmp_path):
    rois = [("lesion", [block(3)]), ("lesion", [block(5)]), ("", [block(6)])]
    geometry = Geometry.from_axes((30, 30, 9), spacing_mm=(1, 1, 1))
    path = save(tmp_path / "rs.dcm", rois)
    assert list(read_rtstruct(path, geometry)) == ["lesion", "lesion (2)", "ROI 3"]
    assert list(read_rtstruct(path, geometry, only=["LESION (2)"])) == ["lesion (2)"]
    with pytest.raises(InputError, match=r"rs\.dcm: asked for 'liver', but no mask has that name; choose"):
        read_rtstruct(path, geometry, only=["liver"])


def test_what_encloses_nothing_is_left_out_and_said(tmp_path, caplog):
    geometry = Geometry.from_axes((30, 30, 9), spacing_mm=(1, 1, 1))
    rois = [
        ("liver", [block(3), block(3)[:2], (block(3)[:1], "POINT"), (block(3), "OPEN_PLANAR")]),
        ("isocentre", [(block(3)[:1], "POINT")]),
        ("nothing", []),
        ("far", [block(3) + np.array([100, 0, 0])]),
        ("tiny", [block(3) * [0.01, 0.01, 1] + [7.3, 7.3, 0]]),
    ]
    path = save(tmp_path / "rs.dcm", rois)
    with caplog.at_level(logging.WARNING):
        assert list(read_rtstruct(path, geometry)) == ["liver"]
    assert "ROI liver: 3 contours that enclose nothing" in caplog.text
    assert "2 of 5 ROIs omitted: each has no closed contour: isocentre, nothing" in caplog.text
    assert "each is outside the grid of the reference image: far" in caplog.text
    assert "each contains no voxel centre" in caplog.text
    for name, reason in [
        ("nothing", "no closed contour"),
        ("far", "outside the grid"),
        ("tiny", "no voxel centre"),
    ]:
        with pytest.raises(GeometryError, match=f"ROI '{name}' .*{reason}"):
            read_rtstruct(path, geometry, only=[name])


def test_what_reaches_beyond_the_grid_is_cut_off_and_said(tmp_path, caplog):
    geometry = Geometry.from_axes((10, 30, 9), spacing_mm=(1, 1, 1))
    path = save(tmp_path / "rs.dcm", [("liver", [block(3)])])
    with caplog.at_level(logging.WARNING):
        labels = read_rtstruct(path, geometry)["liver"]
    assert labels.mask("liver").sum() == 5 * 10
    assert "ROI liver extends 5.0 mm beyond the reference image" in caplog.text


def test_another_frame_of_reference(tmp_path):
    geometry = Geometry.from_axes((30, 30, 9), spacing_mm=(1, 1, 1))
    path = save(tmp_path / "rs.dcm", [("liver", [block(3)])])
    assert list(read_rtstruct(path, geometry, frame_of_reference_uid=FRAME)) == ["liver"]
    with pytest.raises(GeometryError, match=r"frame of reference 1\.2\.3\.4, but the reference image is in 9\.9"):
        read_rtstruct(path, geometry, frame_of_reference_uid="9.9")


def test_unusable_files(tmp_path):
    geometry = Geometry.from_axes((30, 30, 9), spacing_mm=(1, 1, 1))
    with pytest.raises(ImageFormatError, match="no such file; expected a DICOM RTSTRUCT"):
        read_rtstruct(tmp_path / "none.dcm", geometry)
    (tmp_path / "text.dcm").write_text("hello" * 100)
    with pytest.raises(ImageFormatError, match="not readable as DICOM RTSTRUCT"):
        read_rtstruct(tmp_path / "text.dcm", geometry)
    path = save(tmp_path / "ct.dcm", [], sop_class="1.2.840.10008.5.1.4.1.1.2")
    with pytest.raises(ImageFormatError, match="expected an RTSTRUCT, found RTSTRUCT"):
        read_rtstruct(path, geometry)
    with pytest.raises(GeometryError, match="none of its 0 ROIs yields a mask"):
        read_rtstruct(save(tmp_path / "none.dcm", []), geometry)
    with pytest.raises(GeometryError, match=r"none of its 1 ROIs yields a mask \(1: each is outside"):
        read_rtstruct(save(tmp_path / "far.dcm", [("a", [block(300)])]), geometry)
    with pytest.raises(ImageFormatError, match="a contour point that is not a position"):
        read_rtstruct(save(tmp_path / "far.dcm", [("a", [block(3e5)])]), geometry)
    bent = block(3) + np.array([[0, 0, 0], [0, 0, 4], [0, 0, 0], [0, 0, 4]])
    with pytest.raises(InputError, match=r"bent\.dcm: ROI 'a': its contours are not in parallel planes"):
        read_rtstruct(save(tmp_path / "bent.dcm", [("a", [bent])]), geometry)
    path = save(tmp_path / "odd.dcm", [("a", [block(3)])])
    dataset = pydicom.dcmread(path)
    dataset.ROIContourSequence[0].ContourSequence[0].ContourData = ["1", "2", "3", "4"]
    dataset.save_as(path)
    with pytest.raises(ImageFormatError, match="a contour of 4 numbers, not a multiple of three"):
        read_rtstruct(path, geometry)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_are_an_input_error_or_masks(tmp_path, data):
    geometry = Geometry.from_axes((30, 30, 9), spacing_mm=(1, 1, 1))
    raw = bytearray(save(tmp_path / "rs.dcm", [("liver", [block(3), block(4)]), ("b", [block(5)])]).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(128, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.dcm"
    path.write_bytes(raw[: data.draw(st.integers(140, len(raw)))])
    try:
        masks = read_rtstruct(path, geometry)
    except InputError as error:
        assert str(path) in str(error)
    else:
        assert all(labels.array.shape == geometry.shape for labels in masks.values())


@pytest.fixture(scope="module")
def spect(shared_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("spect")
    with tarfile.open(shared_data / "spect-lu177" / "scans.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder


def series_geometry(folder):
    """From the files' own tags, independent of the package's reader."""
    headers = sorted(
        (pydicom.dcmread(f, stop_before_pixels=True) for f in folder.iterdir()),
        key=lambda h: float(h.ImagePositionPatient[2]),
    )
    first, second = headers[:2]
    step = float(second.ImagePositionPatient[2]) - float(first.ImagePositionPatient[2])
    spacing = (*map(float, first.PixelSpacing[::-1]), step)
    shape = (first.Columns, first.Rows, len(headers))
    return Geometry.from_axes(shape, spacing_mm=spacing, origin_mm=[float(x) for x in first.ImagePositionPatient])


@pytest.mark.parametrize(("scan", "volumes_ml"), [("SCAN_001", (107.0, 2.86)), ("SCAN_002", (107.9, 2.91))])
def test_lesions_of_a_real_patient_have_their_known_volumes(spect, scan, volumes_ml):
    (path,) = (spect / scan / "mask").iterdir()
    masks = read_rtstruct(path, series_geometry(spect / scan / "image"))
    assert list(masks) == ["lesion1 liver R lobe", "lesion2 liver L lateral"]
    for (name, labels), expected in zip(masks.items(), volumes_ml, strict=True):
        assert labels.volume_ml(name) == pytest.approx(expected, rel=0.01)


@pytest.mark.slow
def test_structure_set_of_104_rois_beside_a_missing_slice(shared_data, caplog):
    (path,) = (shared_data / "dicom-odd" / "gstt_chest_missing_slice_rtstruct" / "rtstruct").iterdir()
    header = pydicom.dcmread(path.parents[1] / "dcm" / "CT000100.dcm", stop_before_pixels=True)
    # The series lacks one slice; this is the grid with it.
    dz = 16.0 / 19
    geometry = Geometry.from_axes(
        (512, 512, 20),
        spacing_mm=(*map(float, header.PixelSpacing), dz),
        origin_mm=(*map(float, header.ImagePositionPatient[:2]), -821.0),
    )
    with caplog.at_level(logging.WARNING):
        masks = read_rtstruct(path, geometry)
    assert len(masks) == 34 and "70 of 104 ROIs omitted: each has no closed contour" in caplog.text
    aorta = next(r.ROINumber for r in pydicom.dcmread(path).StructureSetROISequence if r.ROIName == "aorta")
    item = next(c for c in pydicom.dcmread(path).ROIContourSequence if c.ReferencedROINumber == aorta)
    area_mm2 = 0.0
    for contour in item.ContourSequence:
        x, y, _ = np.array(contour.ContourData, float).reshape(-1, 3).T
        area_mm2 += abs(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2
    assert masks["aorta"].volume_ml("aorta") == pytest.approx(area_mm2 * dz / 1000, rel=0.01)


@pytest.mark.slow
def test_tumour_on_an_uneven_pet_agrees_with_its_published_mask(shared_data):
    folder = shared_data / "ct-mr-pet-thigh"
    (path,) = (folder / "wholebody-pet-dicom" / "mask").iterdir()
    headers = [pydicom.dcmread(f, stop_before_pixels=True) for f in (path.parents[1] / "image").iterdir()]
    positions = np.array(sorted(float(h.ImagePositionPatient[2]) for h in headers))
    spacing = (*map(float, headers[0].PixelSpacing[::-1]), (positions[-1] - positions[0]) / (len(headers) - 1))
    origin = (*map(float, headers[0].ImagePositionPatient[:2]), positions[0])
    geometry = Geometry.from_axes((128, 128, len(headers)), spacing_mm=spacing, origin_mm=origin)
    labels = read_rtstruct(path, geometry, frame_of_reference_uid=headers[0].FrameOfReferenceUID)["GTV_Mass"]
    image = nibabel.load(folder / "STS_001" / "PET" / "nifti" / "mask" / "mask.nii.gz")
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine
    inside = np.argwhere(np.asarray(image.dataobj) > 0) @ affine[:3, :3].T + affine[:3, 3]
    theirs = np.zeros(geometry.shape, bool)
    theirs[tuple(np.rint(geometry.to_voxel(inside)).astype(int).T)] = True
    assert theirs.sum() == len(inside)
    assert dice(labels.mask("GTV_Mass"), theirs) > 0.999


def two_balls(path, names):
    """Balls of two sizes side by side."""
    axes = tuple(FLIPPED.direction.T)
    rois = []
    for name, radius, shift in zip(names, (9.0, 6.0), (-4.0, 14.0), strict=True):
        centre = (CENTRE[0] + shift, CENTRE[1], CENTRE[2])

        def outline(s, radius=radius):
            return ball(s, radius)

        offsets = np.arange(-12, 13) * 2.5
        rois.append((name, discs(FLIPPED, radius_mm=outline, offsets_mm=offsets, axes=axes, centre=centre)))
    return save(path, rois)


def test_one_of_several_rois_of_one_name_is_not_chosen_silently(tmp_path):
    path = two_balls(tmp_path / "rs.dcm", ["GTV", " GTV"])
    for wanted in (["GTV"], ["gtv"]):
        with pytest.raises(InputError, match=r"several masks are named 'GTV'; name each one \('GTV', 'GTV \(2\)'\)"):
            read_rtstruct(path, FLIPPED, only=wanted)
    both = read_rtstruct(path, FLIPPED, only=["GTV", "GTV (2)"])
    volumes = [labels.volume_ml(name) for name, labels in both.items()]
    assert volumes == pytest.approx([4 / 3 * np.pi * r**3 for r in (0.9, 0.6)], rel=0.05)
    assert list(read_rtstruct(path, FLIPPED, only=["GTV (2)"])) == ["GTV (2)"]
    dataset = pydicom.dcmread(path)
    dataset.ROIContourSequence[1].ContourSequence = []
    dataset.save_as(path)
    assert list(read_rtstruct(path, FLIPPED, only=["GTV"])) == ["GTV"]


def test_contours_of_one_roi_in_two_items_are_joined(tmp_path):
    path = two_balls(tmp_path / "rs.dcm", ["liver", "lesion"])
    whole = read_rtstruct(path, FLIPPED)["liver"]
    dataset = pydicom.dcmread(path)
    first = dataset.ROIContourSequence[0]
    rest = Dataset()
    rest.ReferencedROINumber, rest.ContourSequence = 1, first.ContourSequence[3:]
    first.ContourSequence = first.ContourSequence[:3]
    dataset.ROIContourSequence.append(rest)
    dataset.save_as(path)
    np.testing.assert_array_equal(read_rtstruct(path, FLIPPED)["liver"].array, whole.array)


def test_rois_with_one_number_are_refused(tmp_path):
    path = two_balls(tmp_path / "rs.dcm", ["liver", "lesion"])
    dataset = pydicom.dcmread(path)
    dataset.StructureSetROISequence[1].ROINumber = 1
    dataset.save_as(path)
    with pytest.raises(ImageFormatError, match=r"rs\.dcm: 2 ROIs have the number 1"):
        read_rtstruct(path, FLIPPED)


def test_the_frame_of_the_structure_set_counts_for_rois_without_one(tmp_path):
    path = two_balls(tmp_path / "rs.dcm", ["liver", "lesion"])
    dataset = pydicom.dcmread(path)
    for roi in dataset.StructureSetROISequence:
        del roi.ReferencedFrameOfReferenceUID
    frame = Dataset()
    frame.FrameOfReferenceUID = FRAME
    dataset.ReferencedFrameOfReferenceSequence = [frame]
    dataset.save_as(path)
    assert len(read_rtstruct(path, FLIPPED, frame_of_reference_uid=FRAME)) == 2
    with pytest.raises(GeometryError, match="ROI 'liver' is contoured in frame of reference"):
        read_rtstruct(path, FLIPPED, frame_of_reference_uid="1.2.3.5")
