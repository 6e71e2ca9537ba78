import numpy as np
import pytest

from sirtjax import postprocess
from sirtjax.errors import GeometryError

SPACING_MM = (2.0, 3.0, 4.0)


def test_the_margin_is_measured_in_millimetres():
    liver = np.zeros((21, 15, 11), bool)
    liver[10, 7, 5] = True
    around = postprocess.dilate(liver, SPACING_MM, margin_mm=6.0)
    offset = (np.indices(liver.shape).T - (10, 7, 5)) * SPACING_MM
    np.testing.assert_array_equal(around, (np.linalg.norm(offset, axis=-1) <= 6.0).T)
    assert around[7, 7, 5] and around[10, 9, 5] and not around[10, 7, 7]  # 6, 6 and 8 mm away


@pytest.mark.parametrize("degrees", [0.0, 20.0, -28.0])
def test_the_margin_is_that_of_a_tilted_gantry(degrees):
    tilt = np.radians(degrees)
    direction = np.array([[1, 0, 0], [0, 1, np.sin(tilt)], [0, 0, np.cos(tilt)]])
    liver = np.zeros((15, 21, 11), bool)
    liver[7, 9:12, 5:7] = True
    around = postprocess.dilate(liver, SPACING_MM, margin_mm=9.0, direction=direction)
    places = np.argwhere(np.ones_like(liver)) * SPACING_MM @ direction.T
    apart = np.linalg.norm(places[:, None] - places[liver.ravel()], axis=-1).min(axis=1)
    np.testing.assert_array_equal(around, (apart <= 9.0 + 1e-6).reshape(liver.shape))
    assert postprocess.dilate(liver, SPACING_MM, margin_mm=0.0, direction=direction).sum() == 6


def test_at_the_edge_of_the_image_nothing_wraps():
    liver = np.zeros((6, 6, 6), bool)
    liver[0, 0, 0] = True
    assert postprocess.dilate(liver, SPACING_MM, margin_mm=100.0).all()
    assert postprocess.dilate(liver, SPACING_MM, margin_mm=0.0).sum() == 1
    assert not postprocess.dilate(np.zeros_like(liver), SPACING_MM, margin_mm=5.0).any()


def test_lesions_stay_up_to_six_millimetres_outside_the_liver():
    liver = np.zeros((20, 4, 4), bool)
    liver[0:5] = True
    lesions = np.zeros_like(liver)
    lesions[[2, 7, 8], 1, 1] = True  # inside, 6 mm and 8 mm away
    kept = postprocess.within_liver(lesions, liver, SPACING_MM)
    np.testing.assert_array_equal(np.flatnonzero(kept[:, 1, 1]), [2, 7])


def test_two_grids_and_negative_margins_are_refused():
    with pytest.raises(GeometryError, match=r"lesions of \(2, 2, 2\) voxels, a liver of \(2, 2, 3\)"):
        postprocess.within_liver(np.ones((2, 2, 2), bool), np.ones((2, 2, 3), bool), SPACING_MM)
    with pytest.raises(ValueError, match="margin_mm must not be negative, got -6"):
        postprocess.dilate(np.ones((2, 2, 2), bool), SPACING_MM, margin_mm=-6)
