import jax
import numpy as np
import pytest
from pydantic import ValidationError

from sirtjax import losses, train
from sirtjax.train._objective import centre, pooled


def config(*terms, **values):
    return train.LossConfig.model_validate({"terms": [{"kind": kind, "weight": w} for kind, w in terms], **values})


def batch(shape=(6, 4, 8), *, classes=3, seed=0):
    draw = np.random.default_rng(seed)
    onehot = np.eye(classes, dtype="f4")[draw.integers(0, classes, (2, *shape))]
    return draw.normal(size=onehot.shape).astype("f4"), onehot


@pytest.mark.slow
def test_a_sum_of_losses():
    logits, onehot = batch()
    made = config(("soft-dice", 2.0), ("focal", 3.0), ("cross-entropy", 0.5))
    expected = (
        2 * losses.soft_dice_loss(logits, onehot)
        + 3 * losses.focal_loss(logits, onehot)
        + 0.5 * losses.cross_entropy_loss(logits, onehot)
    )
    np.testing.assert_allclose(
        jax.jit(lambda x: train.objective((x,), onehot, config=made))(logits), expected, rtol=1e-5
    )


@pytest.mark.slow
def test_coarse_outputs_meet_the_mean_of_the_labels():
    logits, onehot = batch()
    coarse, _ = batch((3, 2, 4), seed=1)
    made = config(("soft-dice", 1.0), deep_supervision=[1.0, 0.5])
    small = onehot.reshape(2, 3, 2, 2, 2, 4, 2, 3).mean(axis=(2, 4, 6))
    expected = 2 / 3 * losses.soft_dice_loss(logits, onehot) + 1 / 3 * losses.soft_dice_loss(coarse, small)
    np.testing.assert_allclose(train.objective((logits, coarse), onehot, config=made), expected, rtol=1e-5)


def test_small_outputs_meet_the_middle_of_the_labels():
    logits, onehot = batch()
    made = config(("cross-entropy", 1.0))
    inner = logits[:, 1:5, 1:3, 2:6]
    expected = losses.cross_entropy_loss(inner, onehot[:, 1:5, 1:3, 2:6])
    np.testing.assert_allclose(train.objective((inner,), onehot, config=made), expected, rtol=1e-5)
    assert centre(onehot, (5, 4, 7)).shape == (2, 5, 4, 7, 3)
    np.testing.assert_array_equal(centre(onehot, (5, 4, 7)), onehot[:, :5, :, :7])


def test_what_does_not_fit_is_refused():
    logits, onehot = batch()
    with pytest.raises(ValueError, match=r"the network gives 2 outputs but loss\.deep_supervision has 1 weights"):
        train.objective((logits, logits), onehot, config=config(("focal", 1.0)))
    with pytest.raises(ValueError, match=r"\(7, 4, 8\) is larger than the labels \(6, 4, 8\)"):
        centre(onehot, (7, 4, 8))
    with pytest.raises(
        ValueError, match=r"an output of \(4, 4, 8\) is not a whole fraction of the finest, \(6, 4, 8\)"
    ):
        pooled(onehot, (4, 4, 8))
    with pytest.raises(ValidationError, match="at least 1 item"):
        config()
