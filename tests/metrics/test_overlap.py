import numpy as np
import pytest

from sirtjax.errors import InputError
from sirtjax.metrics import centroid_distance_mm, dice


def test_dice_by_hand():
    a, b = np.zeros((4, 5, 6), bool), np.zeros((4, 5, 6), bool)
    a[1:3, 1:3, 1:4] = True  # 12 voxels
    b[1:3, 1:3, 3:5] = True  # 8 voxels, 4 of them in common
    assert dice(a, b) == 2 * 4 / 20
    assert dice(a, a) == 1
    assert dice(a, np.zeros_like(a)) == 0
    assert dice(a.astype(float) * 0.5, b * 0.4 + 0.0) == 0  # half filled counts, less does not


def test_dice_agrees_with_simpleitk():
    import SimpleITK as sitk

    rng = np.random.default_rng(1)
    a, b = rng.random((2, 9, 8, 7)) > 0.6
    measure = sitk.LabelOverlapMeasuresImageFilter()
    measure.Execute(sitk.GetImageFromArray(a.astype(np.uint8)), sitk.GetImageFromArray(b.astype(np.uint8)))
    assert dice(a, b) == pytest.approx(measure.GetDiceCoefficient(), rel=1e-12)


def test_mass_centres_by_hand():
    a, b = np.zeros((6, 5, 7)), np.zeros((6, 5, 7))
    a[1, 1, 1] = 1
    b[4, 1, 1], b[4, 1, 3] = 1, 1  # centre (4, 1, 2)
    assert centroid_distance_mm(a, b, (2.0, 3.0, 8.0)) == pytest.approx(10.0)
    b[4, 1, 3] = 0.5  # a third of the way: (4, 1, 5/3)
    assert centroid_distance_mm(a, b, (1.0, 1.0, 6.0)) == pytest.approx(5.0)


def test_refuses():
    a = np.zeros((3, 3, 3), bool)
    with pytest.raises(InputError, match="both masks are empty"):
        dice(a, a)
    with pytest.raises(InputError, match="expected both on one grid"):
        dice(a, np.ones((3, 3, 4), bool))
    with pytest.raises(InputError, match="has no centroid"):
        centroid_distance_mm(a, ~a, (1, 1, 1))
    with pytest.raises(InputError, match="expected both on one grid"):
        centroid_distance_mm(~a, np.ones((3, 3, 4), bool), (1, 1, 1))
