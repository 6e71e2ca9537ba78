import numpy as np
import pytest

from sirtjax import postprocess
from sirtjax.volume import Geometry

SPACING_MM = (1.0, 2.0, 5.0)  # a voxel of 0.01 mL


def test_above_is_strict():
    values = np.array([[[0.49, 0.5, 0.51]]], np.float32)
    np.testing.assert_array_equal(postprocess.threshold(values), [[[False, False, True]]])
    np.testing.assert_array_equal(postprocess.threshold(values, threshold=0.49), [[[False, True, True]]])


def test_the_largest_part_goes_by_faces():
    mask = np.zeros((6, 5, 4), bool)
    mask[0:2, 0:2, 0:2] = True  # 8 voxels
    mask[2, 2, 2] = True  # touches it by a corner only
    mask[4:6, 3:5, 3] = True  # 4 voxels at the image's corner
    kept = postprocess.keep_largest(mask)
    assert kept.sum() == 8 and kept[0, 0, 0]
    assert not postprocess.keep_largest(np.zeros_like(mask)).any()


def test_holes_are_filled_where_they_are_enclosed():
    mask = np.zeros((7, 6, 5), bool)
    mask[0:5, 0:5, 0:5] = True  # fills the image along k and ends at its faces
    mask[2, 2, 2] = False  # a hole
    mask[1, 1, 4] = False  # a dent in a face of the image
    filled = postprocess.fill_holes(mask)
    assert filled[2, 2, 2] and not filled[1, 1, 4]
    assert filled.sum() == mask.sum() + 1


@pytest.mark.parametrize(("min_volume_ml", "voxels"), [(0.0, 9), (0.03, 8), (0.0301, 5), (0.05, 5), (0.06, 0)])
def test_parts_below_a_volume_go(min_volume_ml, voxels):
    mask = np.zeros((9, 8, 3), bool)
    mask[0:5, 0, 0] = True  # 0.05 mL
    mask[0, 3:6, 2] = True  # 0.03 mL
    mask[8, 7, 2] = True  # 0.01 mL
    assert postprocess.remove_small(mask, SPACING_MM, min_volume_ml=min_volume_ml).sum() == voxels
    np.testing.assert_allclose(postprocess.component_volumes_ml(mask, SPACING_MM), [0.05, 0.03, 0.01])


def test_a_negative_volume_is_refused():
    with pytest.raises(ValueError, match="min_volume_ml must not be negative, got -2"):
        postprocess.remove_small(np.ones((2, 2, 2), bool), SPACING_MM, min_volume_ml=-2)


def test_volumes_on_a_sheared_grid_are_those_of_its_voxels():
    # A tilted gantry of 20 degrees: the slices are 5 mm apart along k, and 4.7 mm across them.
    tilt = np.deg2rad(20)
    direction = np.array([[1, 0, 0], [0, 1, np.sin(tilt)], [0, 0, np.cos(tilt)]])
    grid = Geometry.from_axes((9, 8, 3), spacing_mm=SPACING_MM, direction=direction)
    mask = np.zeros(grid.shape, bool)
    mask[0:5, 0, 0] = True  # 0.05 mL times the cosine
    volume_ml = 0.05 * np.cos(tilt)
    sheared = {"voxel_volume_ml": grid.voxel_volume_ml}
    np.testing.assert_allclose(postprocess.component_volumes_ml(mask, SPACING_MM, **sheared), [volume_ml])
    for factor, voxels in ((0.99, 5), (1.01, 0)):
        assert postprocess.remove_small(mask, SPACING_MM, min_volume_ml=factor * volume_ml, **sheared).sum() == voxels
        steps = (postprocess.RemoveSmall(min_volume_ml=factor * volume_ml),)
        assert postprocess.postprocess(mask, SPACING_MM, steps=steps, **sheared).sum() == voxels
