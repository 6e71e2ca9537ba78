import jax
import numpy as np
import pytest
from scipy import ndimage

from sirtjax import losses
from sirtjax.losses import descriptor_loss

# Compiled: running every operation by itself would compile each of them.
mind_ssc = jax.jit(losses.mind_ssc, static_argnames=("dilation", "radius"))


def image(shape=(13, 9, 11)):
    return np.random.default_rng(5).normal(size=shape).astype("f4")


def independent(values, dilation, radius):
    """The definition by SciPy's shifts and box filter; channels in any order."""
    values = values.astype("f8")
    steps = dilation * np.concatenate([np.eye(3, dtype=int), -np.eye(3, dtype=int)])
    moved = [ndimage.shift(values, -step, order=0, mode="nearest") for step in steps]
    distances = [
        ndimage.uniform_filter((moved[a] - moved[b]) ** 2, 2 * radius + 1, mode="nearest")
        for a in range(6)
        for b in range(a)
        if a - b != 3
    ]
    spread = np.stack(distances) - np.min(distances, axis=0)
    variance = spread.mean(axis=0)
    return np.exp(-spread / np.clip(variance, 1e-3 * variance.mean(), 1e3 * variance.mean()))


@pytest.mark.parametrize(("dilation", "radius"), [(2, 1), (1, 2), (3, 0)])
def test_equals_an_independent_implementation(dilation, radius):
    found = np.sort(mind_ssc(image(), dilation=dilation, radius=radius), axis=-1)
    expected = np.sort(np.moveaxis(independent(image(), dilation, radius), 0, -1), axis=-1)
    assert expected.shape == (13, 9, 11, 12)
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_contrast_does_not_matter():
    expected = mind_ssc(image())
    np.testing.assert_allclose(mind_ssc(4 * image() + 2), expected, atol=1e-4)
    np.testing.assert_allclose(mind_ssc(-0.5 * image()), expected, atol=1e-4)


@pytest.mark.slow
def test_moves_with_the_image():
    whole = np.asarray(mind_ssc(image((20, 18, 16))))
    # Six voxels from every face, what is held beyond the image is out of sight; the mean noise alone differs.
    part = np.asarray(mind_ssc(image((20, 18, 16))[1:, 2:, 1:]))
    np.testing.assert_allclose(part[6:-6, 6:-6, 6:-6], whole[7:-6, 8:-6, 7:-6], atol=1e-5)


def test_a_mirrored_image_has_its_channels_in_another_order():
    found = np.sort(np.asarray(mind_ssc(image()[::-1].transpose(2, 0, 1))), axis=-1)
    expected = np.sort(np.asarray(mind_ssc(image())), axis=-1)[::-1].transpose(2, 0, 1, 3)
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_a_constant_image_gives_ones():
    assert (np.asarray(mind_ssc(np.full((5, 6, 4), 30.0, "f4"))) == 1).all()


@pytest.mark.slow
def test_batches_and_slopes():
    batch = np.stack([image((6, 7, 5)), 2 * image((6, 7, 5)) ** 2])
    np.testing.assert_allclose(jax.vmap(mind_ssc)(batch)[1], mind_ssc(batch[1]), atol=2e-5)
    assert np.isfinite(jax.jit(jax.grad(lambda x: mind_ssc(x)[..., 3].sum()))(batch[0])).all()


def test_descriptor_loss_by_hand():
    warped = np.array([[1.0, 0.0, 1.0], [0.5, 0.5, 0.0]], "f4")
    reference = np.array([[0.0, 0.0, 1.0], [0.5, 0.0, 0.0]], "f4")
    assert float(descriptor_loss(warped, reference)) == pytest.approx(1.25 / 6)
    assert float(descriptor_loss(warped, reference, weights=np.array([1.0, 3.0], "f4"))) == pytest.approx(1.75 / 12)
    each = np.array([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]], "f4")
    assert float(descriptor_loss(warped, reference, weights=each)) == pytest.approx(1 / 3)


@pytest.mark.slow
def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"takes an \(i, j, k\) image, got shape \(3, 4\)"):
        mind_ssc(np.zeros((3, 4), "f4"))
    for options in ({"dilation": 0}, {"radius": -1}):
        with pytest.raises(ValueError, match="needs dilation >= 1 and radius >= 0, got "):
            mind_ssc(image(), **options)
    with pytest.raises(ValueError, match="must have the same shape"):
        descriptor_loss(np.zeros((2, 12)), np.zeros((3, 12)))
    with pytest.raises(ValueError, match=r"weights must have shape \(2, 12\) or \(2,\), got \(12,\)"):
        descriptor_loss(np.zeros((2, 12)), np.zeros((2, 12)), weights=np.zeros(12))
