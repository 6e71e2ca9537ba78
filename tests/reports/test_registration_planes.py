"""The planes of a registration's pictures: where their pixels are, and what they sample."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sirtjax.reports._registration_planes import enlarged, planes_for, sample_at, volume_ratio
from sirtjax.spatial import AffineTransform, DisplacementField, identity, voxel_centres_mm
from sirtjax.volume import Geometry, LabelMap

TURN = Rotation.from_rotvec([0.1, -0.2, 0.3]).as_matrix()
OBLIQUE = Geometry.from_axes((30, 26, 22), spacing_mm=(4.0, 5.0, 6.0), origin_mm=(-60.0, -50.0, 10.0), direction=TURN)


def ball(geometry, centre_mm, radius_mm, name="liver"):
    inside = np.linalg.norm(voxel_centres_mm(geometry) - centre_mm, axis=-1) <= radius_mm
    return LabelMap.from_mask(inside, geometry, name=name)


@pytest.fixture
def planes():
    masks = {"liver": ball(OBLIQUE, OBLIQUE.centre_mm, 25.0)}
    return {plane.name: plane for plane in planes_for(OBLIQUE, masks, identity(), focus="liver")}


def test_pixels_run_as_radiologists_see_them(planes):
    # LPS: the patient's right, front and feet have the low coordinates.
    axial, coronal, sagittal = (planes[name].points_mm(2.0) for name in ("axial", "coronal", "sagittal"))
    assert planes["axial"].letters == "RLAP"
    assert (np.diff(axial[0, :, 0]) > 0).all() and (np.diff(axial[:, 0, 1]) > 0).all()
    assert planes["coronal"].letters == "RLHF"
    assert (np.diff(coronal[0, :, 0]) > 0).all() and (np.diff(coronal[:, 0, 2]) < 0).all()
    assert planes["sagittal"].letters == "APHF"
    assert (np.diff(sagittal[0, :, 1]) > 0).all() and (np.diff(sagittal[:, 0, 2]) < 0).all()


def test_planes_cut_the_middle_of_the_liver_and_show_all_of_it(planes):
    for plane in planes.values():
        assert plane.at_mm == pytest.approx(OBLIQUE.centre_mm[plane.across_axis], abs=6.0)
        low = np.asarray(plane.low_mm)
        centre = OBLIQUE.centre_mm[[plane.column_axis, plane.row_axis]]
        assert (low < centre - 25).all() and (low + plane.size_mm > centre + 25).all()
        assert max(plane.size_mm) < 25 * 2 + 2 * 30 + 30  # the mask's box is oblique


def test_pixels_cover_the_plane_evenly(planes):
    plane = planes["coronal"]
    points = plane.points_mm(1.7)
    step = plane.size_mm[0] / points.shape[1]
    assert points[0, 0, 0] == pytest.approx(plane.low_mm[0] + step / 2, abs=1e-3)
    assert points[0, -1, 0] == pytest.approx(plane.low_mm[0] + plane.size_mm[0] - step / 2, abs=1e-3)
    assert points[-1, 0, 2] == pytest.approx(plane.low_mm[1] + 0.5 * plane.size_mm[1] / points.shape[0], abs=1e-3)
    assert step == pytest.approx(1.7, rel=0.02)


def test_a_hollow_organ_is_cut_where_it_is():
    shell = ball(OBLIQUE, OBLIQUE.centre_mm, 30.0).mask("liver") & ~ball(OBLIQUE, OBLIQUE.centre_mm, 18.0).mask("liver")
    hollow = LabelMap.from_mask(shell, OBLIQUE, name="liver")
    found = {
        plane.across_axis: plane.at_mm for plane in planes_for(OBLIQUE, {"liver": hollow}, identity(), focus="liver")
    }
    middle = np.array([found[0], found[1], found[2]])
    assert 5 < np.linalg.norm(middle - OBLIQUE.centre_mm) < 35


def test_without_masks_the_field_or_the_image_says_where():
    box = Geometry.from_axes((6, 6, 6), spacing_mm=(10.0, 10.0, 10.0), origin_mm=OBLIQUE.centre_mm - 20)
    field = DisplacementField(np.zeros((6, 6, 6, 3), np.float32), box)
    axial = planes_for(OBLIQUE, {}, field, focus=None)[0]
    assert axial.at_mm == pytest.approx(box.centre_mm[2])
    assert axial.size_mm == pytest.approx((60.0, 60.0))
    whole = planes_for(OBLIQUE, {}, identity(), focus=None)[0]
    assert whole.at_mm == pytest.approx(OBLIQUE.centre_mm[2])
    assert whole.size_mm[0] > 120


def test_samples_of_a_linear_image_are_exact_on_an_oblique_grid(planes):
    world = voxel_centres_mm(OBLIQUE)
    array = (2 * world[..., 0] - 3 * world[..., 1] + 0.5 * world[..., 2]).astype(np.float32)
    points = planes["sagittal"].points_mm(3.0)
    inside = (
        np.abs(OBLIQUE.to_voxel(points) - (np.array(OBLIQUE.shape) - 1) / 2) < np.array(OBLIQUE.shape) / 2 - 1
    ).all(-1)
    values = sample_at(array, OBLIQUE, points, fill=-7.0)
    expected = points @ np.array([2, -3, 0.5])
    assert inside.sum() > 100
    np.testing.assert_allclose(values[inside], expected[inside], atol=1e-2)
    np.testing.assert_array_equal(sample_at(array, OBLIQUE, points + 900.0, fill=-7.0), -7.0)


@pytest.mark.parametrize("name", ["axial", "coronal", "sagittal"])
def test_volume_ratio_of_an_affine_is_its_determinant(planes, name):
    matrix = np.eye(4)
    matrix[:3, :3] = TURN @ np.diag([1.3, 0.9, 1.1]) + np.array([[0, 0.2, 0], [0, 0, 0], [0, 0.1, 0]])
    expected = np.linalg.det(matrix[:3, :3])
    ratio = volume_ratio(AffineTransform(matrix), planes[name], 2.0)
    np.testing.assert_allclose(ratio, expected, rtol=2e-4)
    mirror = np.diag([1.0, -1.0, 1.0, 1.0]) @ matrix
    np.testing.assert_allclose(volume_ratio(AffineTransform(mirror), planes[name], 2.0), -expected, rtol=2e-4)


def test_volume_ratio_of_a_field_is_its_own_and_the_affine_maps(planes):
    # u = a x^2 along L: the ratio is 1 + 2 a x.
    world = voxel_centres_mm(OBLIQUE)
    u = np.zeros((*OBLIQUE.shape, 3), np.float32)
    u[..., 0] = 0.004 * world[..., 0] ** 2
    field = DisplacementField(u, OBLIQUE, np.diag([2.0, 1.0, 1.0, 1.0]))
    plane = planes["axial"]
    points = plane.points_mm(2.0)
    index = OBLIQUE.to_voxel(points)
    inside = ((index > 2) & (index < np.array(OBLIQUE.shape) - 3)).all(-1)
    ratio = volume_ratio(field, plane, 2.0)
    assert inside.sum() > 500
    np.testing.assert_allclose(ratio[inside], 2 * (1 + 0.008 * points[..., 0][inside]), atol=0.07)


def test_vectors_on_smaller_pixels(planes):
    # A linear field is met exactly within the outermost centres, and held beyond them.
    plane = planes["coronal"]
    coarse, fine = plane.points_mm(2.0), plane.points_mm(0.6)
    slope = np.array([[0.1, 0.0, -0.2], [0.0, 0.0, 0.0], [0.05, 0.0, 0.3]], np.float32)
    found = enlarged(coarse @ slope, fine.shape[:2])
    within = ((fine >= coarse.min(axis=(0, 1))) & (fine <= coarse.max(axis=(0, 1)))).all(-1)
    assert within.sum() > 1000
    np.testing.assert_allclose(found[within], (fine @ slope)[within], atol=2e-3)
    assert np.abs(found - fine @ slope).max() < 0.6  # at most half a coarse pixel, times the slopes
