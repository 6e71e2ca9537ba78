import numpy as np
import pytest
import small_patient as small

from sirtjax.errors import GeometryError
from sirtjax.registration import match_landmarks
from sirtjax.registration._landmarks import mass_centre_mm
from sirtjax.registration._pair import LANDMARKS
from sirtjax.spatial import voxel_centres_mm
from sirtjax.volume import LabelMap

SHIFT_MM = np.array([3.0, -2.0, 5.0])


def ball(geometry, centre_mm, *, name="ball"):
    inside = np.linalg.norm(voxel_centres_mm(geometry) - centre_mm, axis=-1) <= 9.0
    return LabelMap.from_mask(inside, geometry, name=name)


def test_a_mass_centre_on_an_oblique_grid():
    centre = small.LIVER_MM + np.array([10.0, 4.0, -6.0])
    for geometry in (small.STRAIGHT, small.OBLIQUE):
        np.testing.assert_allclose(mass_centre_mm(ball(geometry, centre), "ball"), centre, atol=0.6)


def test_masks_of_one_name_and_points_fill_the_places():
    names = ("lesion1", "clip")
    centres = {"lesion1": small.LIVER_MM, "clip": small.LIVER_MM + 15}
    moved = {name: centre + SHIFT_MM for name, centre in centres.items()}
    one = {
        name: LabelMap(ball(small.STRAIGHT, centres[name]).array, small.STRAIGHT, names=((1, name),)) for name in names
    }
    two = {name: LabelMap(ball(small.OBLIQUE, moved[name]).array, small.OBLIQUE, names=((1, name),)) for name in names}
    points = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    found = match_landmarks(one, two, reference_points_mm=points, floating_points_mm=points + 1)
    assert found.weight.tolist() == [1.0] * 4 + [0.0] * (LANDMARKS - 4)
    assert found.reference_mm.shape == found.floating_mm.shape == (LANDMARKS, 3)
    assert found.reference_mm.dtype == np.float32
    np.testing.assert_allclose(found.reference_mm[:2], [centres[n] for n in names], atol=0.6)
    np.testing.assert_allclose(found.floating_mm[:2], [moved[n] for n in names], atol=0.6)
    np.testing.assert_allclose(found.reference_mm[2:4], points)
    np.testing.assert_allclose(found.floating_mm[2:4], points + 1)


def test_none_at_all():
    assert not match_landmarks({}, {}).weight.any()


@pytest.mark.parametrize(
    ("one", "two", "told"),
    [
        (np.zeros((2, 3)), None, "missing for one image; provide points for both images"),
        (None, np.zeros((2, 3)), "missing for one image; provide points for both images"),
        (np.zeros((2, 3)), np.zeros((3, 3)), r"two lists of \(x, y, z\) of equal length, got \(2, 3\) and \(3, 3\)"),
        (np.zeros(3), np.zeros(3), r"got \(3,\) and \(3,\)"),
        (np.zeros((2, 2)), np.zeros((2, 2)), r"got \(2, 2\)"),
        (np.full((2, 3), np.nan), np.zeros((2, 3)), "must be finite numbers"),
        (np.zeros((2, 3)), np.full((2, 3), np.inf), "must be finite numbers"),
        (np.zeros((33, 3)), np.zeros((33, 3)), "33 landmarks, at most 32 can be used"),
    ],
)
def test_points_that_do_not_belong_together(one, two, told):
    with pytest.raises(GeometryError, match=told):
        match_landmarks({}, {}, reference_points_mm=one, floating_points_mm=two)
