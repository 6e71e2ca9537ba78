import math

import numpy as np
import pytest
import SimpleITK as sitk

from sirtjax.errors import InputError
from sirtjax.metrics import lesion_detection
from sirtjax.volume import Geometry

SPACING_MM = (1.0, 2.0, 5.0)  # 0.01 mL a voxel


def masks(drawn=(), found=()):
    reference, predicted = np.zeros((20, 20, 10), bool), np.zeros((20, 20, 10), bool)
    for mask, boxes in ((reference, drawn), (predicted, found)):
        for box in boxes:
            mask[tuple(slice(*ends) for ends in box)] = True
    return predicted, reference


A, B, C = ((1, 4), (1, 4), (1, 3)), ((8, 11), (1, 4), (1, 3)), ((15, 18), (15, 18), (6, 8))


def count(drawn, found, **options):
    made = lesion_detection(*masks(drawn, found), SPACING_MM, **options)
    return made.detected, made.missed, made.false_positives


def test_the_rules_of_the_thesis():
    # Several predicted lesions on one that is drawn count once.
    assert count([A], [((1, 2), (1, 2), (1, 2)), ((3, 4), (3, 4), (2, 3))], connectivity=6) == (1, 0, 0)
    # One predicted lesion over several drawn ones detects each.
    assert count([A, B], [((2, 10), (2, 3), (1, 2))]) == (2, 0, 0)
    # One that touches none is false, one that is touched by none is missed.
    assert count([A, B], [C, A]) == (1, 1, 1)
    made = lesion_detection(*masks([A, B], [C, A]), SPACING_MM)
    assert (made.reference_count, made.predicted_count) == (2, 2)
    assert made.sensitivity == 0.5 and made.precision == 0.5
    # A common voxel is enough, a common face is not.
    assert count([A], [((3, 8), (3, 4), (2, 3))]) == (1, 0, 0)
    assert count([A], [((4, 8), (1, 4), (1, 3))]) == (0, 1, 1)


def test_connectivity_says_what_one_lesion_is():
    corner = [((1, 3), (1, 3), (1, 3)), ((3, 5), (3, 5), (3, 5))]
    edge = [((1, 3), (1, 3), (1, 3)), ((3, 5), (3, 5), (1, 3))]
    for connectivity, wanted in ((26, (1, 1)), (18, (2, 1)), (6, (2, 2))):
        found = [
            lesion_detection(*masks(boxes), SPACING_MM, connectivity=connectivity).reference_count
            for boxes in (corner, edge)
        ]
        assert tuple(found) == wanted
    with pytest.raises(ValueError, match="connectivity must be 6, 18 or 26, got 4"):
        lesion_detection(*masks(corner), SPACING_MM, connectivity=4)


def test_small_lesions_are_left_out_on_both_sides():
    small = ((8, 10), (8, 9), (5, 6))  # 2 voxels, 0.02 mL
    assert count([A, small], [A], min_volume_ml=0.03) == (1, 0, 0)
    assert count([A, small], [A], min_volume_ml=0.02) == (1, 1, 0)
    assert count([A], [A, small], min_volume_ml=0.03) == (1, 0, 0)
    # One on a lesion too small to count is not false; one that is too small detects nothing.
    large_on_small = ((7, 11), (7, 11), (4, 7))
    assert count([A, small], [large_on_small], min_volume_ml=0.03) == (0, 1, 0)
    assert count([A], [((1, 2), (1, 2), (1, 2))], min_volume_ml=0.03) == (0, 1, 0)


def test_nothing_drawn_or_found_has_no_rate():
    nothing = lesion_detection(*masks(), SPACING_MM)
    assert math.isnan(nothing.sensitivity) and math.isnan(nothing.precision)
    assert lesion_detection(*masks([A]), SPACING_MM).sensitivity == 0
    false = lesion_detection(*masks([], [A]), SPACING_MM)
    assert math.isnan(false.sensitivity) and false.precision == 0 and false.false_positives == 1


def test_counts_against_the_components_of_simpleitk():
    rng = np.random.default_rng(2)
    drawn, found = (rng.random((16, 14, 12)) > 0.93 for _ in range(2))
    made = lesion_detection(found, drawn, SPACING_MM, connectivity=26)
    parts = []
    for mask in (drawn, found):
        labels = sitk.ConnectedComponent(sitk.GetImageFromArray(mask.astype("u1")), True)
        parts.append(sitk.GetArrayFromImage(labels))
    hit = [found[parts[0] == n].any() for n in range(1, parts[0].max() + 1)]
    touching = [drawn[parts[1] == n].any() for n in range(1, parts[1].max() + 1)]
    assert (made.detected, made.missed) == (sum(hit), len(hit) - sum(hit))
    assert made.false_positives == len(touching) - sum(touching)


def test_masks_of_different_grids_are_refused():
    with pytest.raises(InputError, match=r"masks of shape \(2, 2, 2\) and \(3, 2, 2\)"):
        lesion_detection(np.zeros((2, 2, 2), bool), np.zeros((3, 2, 2), bool), SPACING_MM)


def test_the_minimum_volume_on_a_sheared_grid_is_that_of_its_voxels():
    tilt = np.deg2rad(20)
    direction = np.array([[1, 0, 0], [0, 1, np.sin(tilt)], [0, 0, np.cos(tilt)]])
    grid = Geometry.from_axes((20, 20, 10), spacing_mm=SPACING_MM, direction=direction)
    volume_ml = 18 * 0.01 * np.cos(tilt)  # 3 x 3 x 2 voxels of A
    for factor, counted in ((0.99, 1), (1.01, 0)):
        made = lesion_detection(
            *masks([A], [A]), SPACING_MM, min_volume_ml=factor * volume_ml, voxel_volume_ml=grid.voxel_volume_ml
        )
        assert made.reference_count == made.predicted_count == made.detected == counted
