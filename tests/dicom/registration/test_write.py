"""Registration objects against the equations of PS3.3 C.20.2.1.1 and C.20.3.1.1, worked out with NumPy alone."""

import copy
import dataclasses
import re

import cases
import numpy as np
import pydicom
import pytest
from scipy.ndimage import map_coordinates

from sirtjax.dicom import read_registration, write_registration
from sirtjax.errors import GeometryError, ImageFormatError, InputError, OutputError
from sirtjax.spatial import (
    AffineTransform,
    DisplacementField,
    identity,
    rigid_matrix,
    to_displacement_field,
    transform_points,
)
from sirtjax.volume import Geometry

RIGID = rigid_matrix((0.1, -0.2, 0.35), (5.0, -7.0, 11.0), cases.CENTRE_MM)
AFFINE = RIGID @ np.array([[1.07, 0.02, 0, 3], [0, 0.96, -0.03, -4], [0.01, 0, 1.03, 5], [0, 0, 0, 1.0]])


@pytest.fixture(scope="module")
def mr(tmp_path_factory):
    """A series of the same patient in another study and frame of reference."""
    folder = tmp_path_factory.mktemp("series") / "mr"
    return cases.write_reference(folder, cases.oriented("PIR"), modality="MR", seed="another study")


def points(count=40):
    return cases.CENTRE_MM + np.random.default_rng(3).uniform(-35, 35, (count, 3))


def field(codes="LPS", matrix=None):
    geometry = cases.axial((9, 8, 7), spacing_mm=(9.0, 10.0, 12.0), codes=codes)
    vectors = np.random.default_rng(4).normal(scale=6, size=(*geometry.shape, 3)).astype(np.float32)
    return DisplacementField(vectors, geometry, matrix)


def numbers(item):
    return np.array([float(x) for x in item.FrameOfReferenceTransformationMatrix]).reshape(4, 4)


def moved(matrix, p):
    return p @ matrix[:3, :3].T + matrix[:3, 3]


def decoded_matrix(dataset, frame):
    """Equation C.20.2-1: from the frame of reference of an item to the registered one."""
    (item,) = (item for item in dataset.RegistrationSequence if item.FrameOfReferenceUID == frame)
    (registration,) = item.MatrixRegistrationSequence
    (matrix,) = registration.MatrixSequence
    return numbers(matrix), matrix.FrameOfReferenceTransformationMatrixType


def decoded_points(dataset, p):
    """Equation C.20.3-1: registered to source, the deformation interpolated linearly and none beyond its grid."""
    (item,) = dataset.DeformableRegistrationSequence
    (grid,) = item.DeformableRegistrationGridSequence
    columns, rows, planes = grid.GridDimensions
    vectors = np.frombuffer(grid.VectorGridData, "<f4").reshape(planes, rows, columns, 3).astype(float)
    row, column = np.array([float(x) for x in grid.ImageOrientationPatient]).reshape(2, 3)
    start = np.array([float(x) for x in grid.ImagePositionPatient])
    axes = np.stack([row, column, np.cross(row, column)])
    index = ((p - start) @ axes.T / np.array(grid.GridResolution)).T
    delta = np.stack([map_coordinates(vectors[..., a], index[::-1], order=1) for a in range(3)], axis=-1)
    before = moved(numbers(item.PreDeformationMatrixRegistrationSequence[0]), p)
    return moved(numbers(item.PostDeformationMatrixRegistrationSequence[0]), before + delta)


@pytest.mark.parametrize(("matrix", "kind"), [(RIGID, "RIGID"), (AFFINE, "AFFINE"), (np.eye(4), "RIGID")])
def test_a_matrix_maps_from_the_moving_to_the_fixed_frame(ct, mr, tmp_path, matrix, kind):
    transform = AffineTransform(matrix)
    written = pydicom.dcmread(write_registration(tmp_path / "r.dcm", transform, ct, mr))
    assert written.FrameOfReferenceUID == ct.frame_of_reference_uid
    fixed_from_moving, stated = decoded_matrix(written, mr.frame_of_reference_uid)
    assert stated == kind
    on_moving = transform_points(transform, points())
    np.testing.assert_allclose(moved(fixed_from_moving, on_moving), points(), atol=1e-6)
    own, stated = decoded_matrix(written, ct.frame_of_reference_uid)
    assert stated == "RIGID" and np.array_equal(own, np.eye(4))
    back = read_registration(tmp_path / "r.dcm")
    assert (back.fixed_frame_uid, back.moving_frame_uid) == (ct.frame_of_reference_uid, mr.frame_of_reference_uid)
    np.testing.assert_allclose(transform_points(back.transform, points()), on_moving, atol=1e-6)


@pytest.mark.parametrize("matrix", [None, AFFINE])
@pytest.mark.parametrize("codes", ["LPS", "LPI", "PIR", "SAL"])
def test_a_field_maps_from_the_fixed_to_the_moving_frame(ct, mr, tmp_path, codes, matrix):
    transform = field(codes, matrix)
    written = pydicom.dcmread(write_registration(tmp_path / "d.dcm", transform, ct, mr))
    assert written.FrameOfReferenceUID == ct.frame_of_reference_uid
    assert written.DeformableRegistrationSequence[0].SourceFrameOfReferenceUID == mr.frame_of_reference_uid
    inside = np.concatenate([points(), transform.geometry.to_world(np.argwhere(np.ones(transform.geometry.shape)))])
    far = cases.CENTRE_MM + np.array([[400.0, 0, 0], [0, -300, 200]])
    for p in (inside, far):
        expected = transform_points(transform, p)
        np.testing.assert_allclose(decoded_points(written, p), expected, atol=1e-3)
        back = read_registration(tmp_path / "d.dcm")
        np.testing.assert_allclose(transform_points(back.transform, p), expected, atol=1e-3)
    if matrix is None:
        assert back.transform.floating_from_displaced is None


def test_an_oblique_field(ct, mr, tmp_path):
    geometry = cases.obliques(3)["oblique 3"]  # left-handed
    vectors = np.random.default_rng(5).normal(size=(*geometry.shape, 3)).astype(np.float32)
    transform = DisplacementField(vectors, geometry)
    written = pydicom.dcmread(write_registration(tmp_path / "d.dcm", transform, ct, mr))
    np.testing.assert_allclose(decoded_points(written, points()), transform_points(transform, points()), atol=1e-3)


def foreign_field(ct, mr, folder, *, first):
    """A deformation of another program: with a matrix before the displacements."""
    path = write_registration(folder / "own.dcm", field("LPS", RIGID), ct, mr)
    dataset = pydicom.dcmread(path)
    item = dataset.DeformableRegistrationSequence[0].PreDeformationMatrixRegistrationSequence[0]
    item.FrameOfReferenceTransformationMatrix = [f"{x:.10g}" for x in first.ravel()]
    dataset.save_as(folder / "foreign.dcm")
    return dataset, folder / "foreign.dcm"


def test_a_matrix_before_the_deformation(ct, mr, tmp_path):
    dataset, path = foreign_field(ct, mr, tmp_path, first=AFFINE)
    back = read_registration(path)
    np.testing.assert_allclose(transform_points(back.transform, points()), decoded_points(dataset, points()), atol=1e-3)


def test_a_deformation_without_a_grid_is_affine(ct, mr, tmp_path):
    dataset, path = foreign_field(ct, mr, tmp_path, first=AFFINE)
    del dataset.DeformableRegistrationSequence[0].DeformableRegistrationGridSequence
    dataset.save_as(path)
    transform = read_registration(path).transform
    assert isinstance(transform, AffineTransform)
    np.testing.assert_allclose(transform_points(transform, points()), moved(RIGID, moved(AFFINE, points())), atol=1e-6)


def test_frames_both_registered_to_a_third(ct, mr, tmp_path):
    """As another program may write it: equation C.20.2-3."""
    dataset = pydicom.dcmread(write_registration(tmp_path / "r.dcm", identity(), ct, mr))
    dataset.FrameOfReferenceUID = "1.2.3.4"
    for item, matrix in zip(dataset.RegistrationSequence, (RIGID, AFFINE), strict=True):
        values = item.MatrixRegistrationSequence[0].MatrixSequence[0]
        values.FrameOfReferenceTransformationMatrix = [f"{x:.12g}" for x in matrix.ravel()]
    dataset.save_as(tmp_path / "atlas.dcm")
    frames = {"fixed_frame_uid": ct.frame_of_reference_uid, "moving_frame_uid": mr.frame_of_reference_uid}
    found = read_registration(tmp_path / "atlas.dcm", **frames).transform
    np.testing.assert_allclose(moved(AFFINE, transform_points(found, points())), moved(RIGID, points()), atol=1e-6)
    to_atlas = read_registration(tmp_path / "atlas.dcm", moving_frame_uid=ct.frame_of_reference_uid).transform
    np.testing.assert_allclose(moved(RIGID, transform_points(to_atlas, points())), points(), atol=1e-6)
    with pytest.raises(ImageFormatError, match=r"expected one moving frame of reference, found 2 .*specify which"):
        read_registration(tmp_path / "atlas.dcm")
    with pytest.raises(ImageFormatError, match=r"has no transform for frame of reference 1\.9"):
        read_registration(tmp_path / "atlas.dcm", fixed_frame_uid="1.9")


def test_series_of_one_frame_are_told_apart(ct, tmp_path):
    """Both images of a SPECT/CT are in one frame; a correction of motion between them still has a direction."""
    other = dataclasses.replace(ct, series_uid="1.2.3", headers=ct.headers[:2])
    for transform in (AffineTransform(RIGID), field()):
        write_registration(tmp_path / "r.dcm", transform, ct, other, force=True)
        back = read_registration(tmp_path / "r.dcm")
        np.testing.assert_allclose(
            transform_points(back.transform, points()), transform_points(transform, points()), atol=1e-3
        )


def test_both_series_are_referred_to(ct, mr, tmp_path):
    written = pydicom.dcmread(write_registration(tmp_path / "r.dcm", AffineTransform(RIGID), ct, mr, description="x"))
    (own,) = written.ReferencedSeriesSequence
    (study,) = written.StudiesContainingOtherReferencedInstancesSequence
    (other,) = study.ReferencedSeriesSequence
    assert (own.SeriesInstanceUID, study.StudyInstanceUID) == (ct.series_uid, mr.study_uid)
    for series, image in ((own, ct), (other, mr)):
        uids = [item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence]
        assert uids == [header.SOPInstanceUID for header in image.headers]
    for item, image in zip(written.RegistrationSequence, (ct, mr), strict=True):
        uids = {each.ReferencedSOPInstanceUID for each in item.ReferencedImageSequence}
        assert uids == {header.SOPInstanceUID for header in image.headers}
    assert (written.StudyInstanceUID, written.PatientID, written.Modality) == (ct.study_uid, "PHANTOM-7", "REG")
    assert written.SeriesDescription == written.ContentDescription == "x"


def test_the_same_registration_is_the_same_object(ct, mr, tmp_path):
    def uid(transform):
        return pydicom.dcmread(write_registration(tmp_path / "r.dcm", transform, ct, mr, force=True)).SOPInstanceUID

    assert uid(AffineTransform(RIGID)) == uid(AffineTransform(RIGID)) != uid(AffineTransform(AFFINE))
    assert uid(field()) == uid(field()) != uid(field(matrix=RIGID))


def sheared():
    affine = np.diag([9.0, 10, 12, 1])
    affine[0, 2] = 4
    return DisplacementField(np.zeros((4, 4, 4, 3), np.float32), Geometry.from_affine((4, 4, 4), affine))


def undefined():
    vectors = np.zeros((4, 4, 4, 3), np.float32)
    vectors[1, 2, 3] = np.nan
    return DisplacementField(vectors, cases.axial((4, 4, 4)))


@pytest.mark.parametrize(
    ("transform", "error", "message"),
    [
        (np.eye(4), InputError, "a ndarray cannot be written as a DICOM registration; expected an AffineTransform"),
        (AffineTransform(np.diag([1.0, 1, 0, 1])), GeometryError, "not an invertible affine map"),
        (AffineTransform(np.full((4, 4), np.nan)), GeometryError, "not an invertible affine map"),
        (sheared(), GeometryError, "has a sheared grid, which DICOM cannot store"),
        (undefined(), GeometryError, "NaN or infinite displacements"),
    ],
)
def test_what_cannot_be_written(ct, mr, tmp_path, transform, error, message):
    with pytest.raises(error, match=message) as caught:
        write_registration(tmp_path / "r.dcm", transform, ct, mr)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_two_patients_are_refused(ct, mr, tmp_path):
    header = copy.deepcopy(mr.headers[0])
    header.PatientID = "SOMEONE-ELSE"
    stranger = dataclasses.replace(mr, headers=(header, *mr.headers[1:]))
    with pytest.raises(InputError, match="belong to two patients") as caught:
        write_registration(tmp_path / "r.dcm", identity(), ct, stranger)
    assert "SOMEONE" not in str(caught.value) and "PHANTOM" not in str(caught.value)


def test_nothing_is_overwritten(ct, mr, tmp_path):
    write_registration(tmp_path / "r.dcm", identity(), ct, mr)
    with pytest.raises(OutputError, match="exists already"):
        write_registration(tmp_path / "r.dcm", identity(), ct, mr)


def edited(ct, mr, folder, transform, edit):
    dataset = pydicom.dcmread(write_registration(folder / "r.dcm", transform, ct, mr))
    edit(dataset)
    dataset.save_as(folder / "r.dcm")
    return folder / "r.dcm"


def twice(dataset):
    matrices = dataset.RegistrationSequence[1].MatrixRegistrationSequence[0].MatrixSequence
    matrices.append(matrices[0])


def flat(dataset):
    matrix = dataset.RegistrationSequence[1].MatrixRegistrationSequence[0].MatrixSequence[0]
    matrix.FrameOfReferenceTransformationMatrix = [0] * 15 + [1]


def shorter(dataset):
    dataset.DeformableRegistrationSequence[0].DeformableRegistrationGridSequence[0].GridDimensions = [9, 8, 6]


def not_a_number(dataset):
    grid = dataset.DeformableRegistrationSequence[0].DeformableRegistrationGridSequence[0]
    grid.VectorGridData = np.full(9 * 8 * 7 * 3, np.nan, "<f4").tobytes()


@pytest.mark.parametrize(
    ("transform", "edit", "error", "message"),
    [
        (identity(), twice, ImageFormatError, "2 matrices in a row; expected one"),
        (identity(), flat, GeometryError, "not an invertible affine map"),
        (identity(), lambda d: d.RegistrationSequence.pop(), ImageFormatError, "found 0 (none)"),
        (
            identity(),
            lambda d: delattr(d, "RegistrationSequence"),
            ImageFormatError,
            "not readable as DICOM registration",
        ),
        (field(), shorter, ImageFormatError, "a grid of (9, 8, 6) vectors contains 504 of them"),
        (field(), not_a_number, GeometryError, "not defined everywhere on its grid"),
    ],
)
def test_what_cannot_be_read(ct, mr, tmp_path, transform, edit, error, message):
    path = edited(ct, mr, tmp_path, transform, edit)
    with pytest.raises(error, match=re.escape(message)) as caught:
        read_registration(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_other_files_are_refused(ct_folder, ct, mr, tmp_path):
    with pytest.raises(
        ImageFormatError, match="expected a Spatial or Deformable Spatial Registration, found modality CT"
    ):
        read_registration(next(ct_folder.glob("*.dcm")))
    with pytest.raises(ImageFormatError, match="no such file"):
        read_registration(tmp_path / "nothing.dcm")
    write_registration(tmp_path / "d.dcm", field(), ct, mr)
    with pytest.raises(ImageFormatError, match="a deformation goes one way only"):
        read_registration(tmp_path / "d.dcm", fixed_frame_uid=mr.frame_of_reference_uid)


def test_a_sampled_affine_is_the_affine_on_its_grid(ct, mr, tmp_path):
    """What cannot be written in one form can be in another: an affine map as displacements."""
    sampled = to_displacement_field(AffineTransform(AFFINE), cases.axial((9, 8, 7), spacing_mm=(9.0, 10.0, 12.0)))
    write_registration(tmp_path / "d.dcm", sampled, ct, mr)
    np.testing.assert_allclose(
        transform_points(read_registration(tmp_path / "d.dcm").transform, points()), moved(AFFINE, points()), atol=1e-3
    )
