import numpy as np

from sirtjax.ops import distance_mm, signed_distance_mm


def test_distances_by_hand_on_an_anisotropic_grid():
    mask = np.zeros((3, 4, 2), bool)
    mask[0, 0, 0] = True
    found = distance_mm(mask, (2.0, 1.0, 5.0))
    assert found.dtype == np.float32
    assert found[0, 0, 0] == 0
    assert found[1, 0, 0] == 2
    assert found[0, 3, 0] == 3
    np.testing.assert_allclose(found[2, 3, 1], np.sqrt(16 + 9 + 25), rtol=1e-6)


def test_signed_distance_by_hand():
    mask = np.zeros((1, 6, 1), bool)
    mask[0, 1:4, 0] = True
    np.testing.assert_allclose(signed_distance_mm(mask, (1.0, 0.5, 1.0))[0, :, 0], [0.5, -0.5, -1.0, -0.5, 0.5, 1.0])


def test_empty_and_full_masks_are_infinitely_far():
    assert np.isposinf(distance_mm(np.zeros((2, 2, 2), bool), (1, 1, 1))).all()
    assert np.isneginf(signed_distance_mm(np.ones((2, 2, 2), bool), (1, 1, 1))).all()
