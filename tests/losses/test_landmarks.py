import numpy as np
import pytest

from sirtjax.losses import landmark_loss

MOVED_MM = np.array([[1.0, 2.0, 3.0], [10.0, 0.0, 0.0]], "f4")
TARGET_MM = np.array([[1.0, 5.0, 7.0], [10.0, 0.0, 1.0]], "f4")


def test_by_hand():
    assert float(landmark_loss(MOVED_MM, TARGET_MM)) == pytest.approx((25 + 1) / 2)
    assert float(landmark_loss(MOVED_MM, TARGET_MM, weights=np.array([1.0, 3.0], "f4"))) == pytest.approx(28 / 4)


def test_padding_does_not_count():
    padded = [np.concatenate([points, np.full((3, 3), fill, "f4")]) for points, fill in ((MOVED_MM, 9), (TARGET_MM, 0))]
    weights = np.array([1, 1, 0, 0, 0], "f4")
    assert float(landmark_loss(*padded, weights=weights)) == pytest.approx(13)
    assert float(landmark_loss(*padded, weights=0 * weights)) == 0


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"moved_mm must have shape \(n, 3\), got \(2, 2\)"):
        landmark_loss(MOVED_MM[:, :2], TARGET_MM[:, :2])
    with pytest.raises(ValueError, match="moved_mm and target_mm must have the same shape"):
        landmark_loss(MOVED_MM, TARGET_MM[:1])
    with pytest.raises(ValueError, match=r"must have the same shape, got \(3,\) and \(2,\)"):
        landmark_loss(MOVED_MM, TARGET_MM, weights=np.ones(3))
