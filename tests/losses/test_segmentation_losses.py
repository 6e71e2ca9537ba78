"""Losses over the classes of voxels, against values worked out by hand and against each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax import losses

ALL = (losses.soft_dice_loss, losses.focal_loss, losses.cross_entropy_loss)
every_loss = pytest.mark.parametrize("loss", ALL)

# Two voxels of two classes whose second class has probabilities 1/4 and 3/4.
LOGITS = np.array([[[np.log(3), 0], [0, np.log(3)]]], "f4")
ONEHOT = np.array([[[1, 0], [0, 1]]], "f4")


def batch(*, classes=3, seed=0):
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(2, 3, 4, 5, classes)).astype("f4")
    onehot = np.eye(classes, dtype="f4")[draw.integers(0, classes, (2, 3, 4, 5))]
    return logits, onehot


def test_soft_dice_by_hand():
    # The class: common 3/4, sums 1 and 1. The background is its mirror image.
    assert float(losses.soft_dice_loss(LOGITS, ONEHOT, smooth=0.0)) == pytest.approx(1 - 1.5 / 2)
    assert float(losses.soft_dice_loss(LOGITS, ONEHOT)) == pytest.approx(1 - 2.5 / 3)
    assert float(losses.soft_dice_loss(LOGITS, ONEHOT, background=True, smooth=0.0)) == pytest.approx(0.25)
    # By sigmoids: of log 3 it is 3/4, of 0 1/2; both channels have common 3/4 and sums 5/4 and 1.
    assert float(losses.soft_dice_loss(LOGITS, ONEHOT, regions=True, smooth=0.0)) == pytest.approx(1 - 1.5 / 2.25)


def test_soft_dice_is_the_weighted_mean_over_classes():
    logits, onehot = batch(classes=4)
    each = [
        float(losses.soft_dice_loss(logits, onehot, class_weights=np.eye(4)[number], background=True))
        for number in range(4)
    ]
    assert len({round(one, 4) for one in each}) == 4
    weighted = losses.soft_dice_loss(logits, onehot, class_weights=np.array([9.0, 1.0, 3.0, 0.0]))
    assert float(weighted) == pytest.approx((each[1] + 3 * each[2]) / 4, rel=1e-5)
    with pytest.raises(ValueError, match="4 numbers"):
        losses.soft_dice_loss(logits, onehot, class_weights=np.ones(3))


def test_cross_entropy_by_hand():
    assert float(losses.cross_entropy_loss(LOGITS, ONEHOT)) == pytest.approx(-np.log(0.75))
    weighted = losses.cross_entropy_loss(LOGITS, ONEHOT, class_weights=np.array([1.0, 3.0]))
    assert float(weighted) == pytest.approx(-2 * np.log(0.75))
    each = -np.log(0.75) - np.log(0.5)
    assert float(losses.cross_entropy_loss(LOGITS, ONEHOT, regions=True)) == pytest.approx(each)
    assert float(losses.cross_entropy_loss(LOGITS[..., 1:], ONEHOT[..., 1:])) == pytest.approx(each / 2)


def test_focal_by_hand():
    assert float(losses.focal_loss(LOGITS, ONEHOT)) == pytest.approx(-np.log(0.75) / 16)
    assert float(losses.focal_loss(LOGITS, ONEHOT, gamma=1.0)) == pytest.approx(-np.log(0.75) / 4)
    each = -np.log(0.75) / 16 - np.log(0.5) / 4
    assert float(losses.focal_loss(LOGITS, ONEHOT, regions=True)) == pytest.approx(each)


@pytest.mark.parametrize("regions", [False, True])
def test_focal_without_focus_is_cross_entropy(regions):
    logits, onehot = batch()
    expected = losses.cross_entropy_loss(logits, onehot, regions=regions)
    np.testing.assert_allclose(losses.focal_loss(logits, onehot, gamma=0.0, regions=regions), expected, rtol=1e-6)


@every_loss
def test_order_of_voxels_samples_and_classes_does_not_matter(loss):
    logits, onehot = batch()
    expected = float(loss(logits, onehot))
    for change in (
        lambda x: x[:, ::-1, :, ::-1],
        lambda x: x[::-1],
        lambda x: np.moveaxis(x, 1, 3),
        lambda x: x[..., [0, 2, 1]],
    ):
        assert float(loss(change(logits), change(onehot))) == pytest.approx(expected, rel=1e-5)


@every_loss
@pytest.mark.parametrize("regions", [False, True])
def test_options_under_jit(loss, regions):
    logits, onehot = batch()
    compiled = jax.jit(lambda x, t: loss(x, t, regions=regions))(logits, onehot)
    np.testing.assert_allclose(compiled, loss(logits, onehot, regions=regions), rtol=1e-5)


@every_loss
@pytest.mark.slow
def test_sure_and_right_costs_nothing_and_keeps_finite_slopes(loss):
    _, onehot = batch()
    value, slopes = jax.value_and_grad(loss)(jnp.asarray(200 * onehot), onehot)
    assert 0 <= float(value) < 1e-6
    assert np.isfinite(slopes).all()
    value, slopes = jax.value_and_grad(loss)(jnp.asarray(-200 * onehot), onehot)
    assert float(value) > 0.5
    assert np.isfinite(slopes).all()


def test_sums_over_the_whole_batch():
    logits, onehot = batch()
    together = [np.concatenate(list(x), axis=0)[None] for x in (logits, onehot)]
    joined = losses.soft_dice_loss(*together)
    np.testing.assert_allclose(losses.soft_dice_loss(logits, onehot, whole_batch=True), joined, rtol=1e-6)
    each = [float(losses.soft_dice_loss(logits[n : n + 1], onehot[n : n + 1])) for n in range(2)]
    assert float(losses.soft_dice_loss(logits, onehot)) == pytest.approx(np.mean(each), rel=1e-5)


def test_a_class_in_neither_costs_nothing():
    onehot = np.zeros((1, 4, 4, 4, 3), "f4")
    onehot[..., 0] = 1
    assert float(losses.soft_dice_loss(60 * onehot, onehot)) == pytest.approx(0, abs=1e-6)


@every_loss
def test_what_does_not_fit_is_refused(loss):
    with pytest.raises(ValueError, match=r"one shape \(n, ..., classes\), got \(1, 2, 2\) and \(1, 3, 2\)"):
        loss(np.zeros((1, 2, 2)), np.zeros((1, 3, 2)))
    with pytest.raises(ValueError, match=r"got \(2, 2\) and \(2, 2\)"):
        loss(np.zeros((2, 2)), np.zeros((2, 2)))


@pytest.mark.parametrize("loss", ALL[1:])
def test_one_weight_a_class(loss):
    logits, onehot = batch()
    with pytest.raises(ValueError, match=r"class_weights must be 3 numbers, got shape \(2,\)"):
        loss(logits, onehot, class_weights=np.ones(2))
