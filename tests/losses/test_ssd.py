import numpy as np
import pytest

from sirtjax.losses import ssd_loss


def test_by_hand():
    warped, reference = np.array([1.0, 2.0, 4.0], "f4"), np.array([0.0, 2.0, 1.0], "f4")
    assert float(ssd_loss(warped, reference)) == pytest.approx(10 / 3)
    assert float(ssd_loss(warped, reference, weights=np.array([1.0, 5.0, 2.0], "f4"))) == pytest.approx(19 / 8)


def test_channels_are_summed():
    warped = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]], "f4")
    reference = np.zeros((3, 2), "f4")
    assert float(ssd_loss(warped, reference)) == pytest.approx((2 + 5) / 3)
    assert float(ssd_loss(warped, reference, weights=np.array([1.0, 0.0, 1.0], "f4"))) == pytest.approx((2 + 1) / 2)


def test_a_channel_can_weigh_more():
    warped, reference = np.array([[1.0, 0.0], [1.0, 2.0]], "f4"), np.zeros((2, 2), "f4")
    weights = np.array([[1.0, 3.0], [1.0, 3.0]], "f4")
    assert float(ssd_loss(warped, reference, weights=weights)) == pytest.approx(2 * (1 + 1 + 3 * 4) / 8)


def test_a_grid_counts_as_its_points():
    draw = np.random.default_rng(0)
    warped, reference = draw.normal(size=(2, 4, 3, 5)).astype("f4")
    weights = draw.random((4, 3, 5)).astype("f4")
    expected = ssd_loss(warped.ravel(), reference.ravel(), weights=weights.ravel())
    np.testing.assert_allclose(ssd_loss(warped, reference, weights=weights), expected, rtol=1e-6)
    channels = ssd_loss(warped[..., None], reference[..., None], weights=weights)
    np.testing.assert_allclose(channels, expected, rtol=1e-6)


def test_no_weight_at_all_is_no_loss():
    assert float(ssd_loss(np.ones(4, "f4"), np.zeros(4, "f4"), weights=np.zeros(4, "f4"))) == 0


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"must have the same shape, got \(4,\) and \(5,\)"):
        ssd_loss(np.zeros(4), np.zeros(5))
    with pytest.raises(ValueError, match=r"weights must have shape \(4, 2\) or \(4,\), got \(2,\)"):
        ssd_loss(np.zeros((4, 2)), np.zeros((4, 2)), weights=np.zeros(2))
    with pytest.raises(ValueError, match=r"got \(1, 1, 1, 1, 1\)"):
        ssd_loss(np.zeros((1,) * 5), np.zeros((1,) * 5))
