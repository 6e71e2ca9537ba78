import numpy as np
import pytest

from sirtjax import postprocess

SPACING_MM = (1.0, 1.5, 3.0)


def dumbbell():
    """Two blocks joined by a bridge of one voxel, in voxels of 1 x 1.5 x 3 mm; the large one at the edge."""
    mask = np.zeros((40, 24, 16), bool)
    large, small, bridge = np.zeros_like(mask), np.zeros_like(mask), np.zeros_like(mask)
    large[0:16, 2:18, 3:12] = True
    small[24:34, 4:14, 4:10] = True
    bridge[16:24, 8, 7] = True
    return large, small, bridge


def test_a_thin_bridge_is_cut_and_the_large_part_keeps_its_edges():
    large, small, bridge = dumbbell()
    kept = postprocess.erode_select_dilate(large | small | bridge, SPACING_MM, radius_mm=2.0)
    assert kept[large].mean() > 0.99  # at most a few corner voxels are further from the eroded block
    assert not kept[small].any()
    assert kept[bridge].sum() <= 4  # within the radius and a voxel's diagonal of the block's core
    assert not (kept & ~(large | small | bridge)).any()


def test_an_erosion_of_nothing_leaves_the_bridge():
    large, small, bridge = dumbbell()
    whole = large | small | bridge
    np.testing.assert_array_equal(postprocess.erode_select_dilate(whole, SPACING_MM, radius_mm=0.0), whole)


def test_a_mask_thinner_than_the_erosion_is_not_lost():
    sheet = np.zeros((12, 12, 6), bool)
    sheet[2:10, 2:10, 2] = True
    sheet[0, 0, 5] = True
    kept = postprocess.erode_select_dilate(sheet, SPACING_MM, radius_mm=9.0)
    assert kept.sum() == 64 and not kept[0, 0, 5]


def test_an_empty_mask_stays_empty():
    assert not postprocess.erode_select_dilate(np.zeros((4, 5, 6), bool), SPACING_MM, radius_mm=3.0).any()


def test_a_negative_radius_is_refused():
    with pytest.raises(ValueError, match="radius_mm must not be negative, got -1"):
        postprocess.erode_select_dilate(np.ones((2, 2, 2), bool), SPACING_MM, radius_mm=-1)
