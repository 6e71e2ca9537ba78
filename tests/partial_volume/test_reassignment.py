"""Counts moved between organs against images that SciPy blurred."""

import numpy as np
import pytest
from scipy import ndimage

from sirtjax.errors import InputError
from sirtjax.partial_volume import reassign_spill

SPACING, FWHM_MM = (4.0, 4.0, 4.0), 12.0
SIGMA = FWHM_MM / 4.0 / (2 * np.sqrt(2 * np.log(2)))


def organs():
    """A ball in a shell, and everything else."""
    axis = np.arange(28) - 13.5
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis**2)
    masks = [radius < 6, (radius >= 6) & (radius < 10), radius >= 10]
    return np.stack(masks).astype(np.float32)


def blurred(image):
    return ndimage.gaussian_filter(image, SIGMA, truncate=8).astype(np.float32)


def test_exact_for_the_shape_of_the_model_and_conserved_for_any_image():
    masks = organs()
    models = masks * np.array([10.0, 1.0, 0.2], np.float32)[:, None, None, None]
    truth = models.sum(axis=0)
    found = np.asarray(reassign_spill(blurred(truth), models, masks, SPACING, FWHM_MM))
    np.testing.assert_allclose(found.sum(axis=0), truth, atol=0.01)
    # Only the ratios of the models matter.
    again = np.asarray(reassign_spill(blurred(truth), 7 * models, masks, SPACING, FWHM_MM))
    np.testing.assert_allclose(again, found, rtol=1e-3, atol=1e-3)
    noisy = np.random.default_rng(0).poisson(20 * blurred(truth)).astype(np.float32)
    moved = np.asarray(reassign_spill(noisy, models, masks, SPACING, FWHM_MM))
    assert moved.sum() == pytest.approx(noisy.sum(), rel=1e-4)
    assert moved.min() >= 0
    for organ, mask in zip(moved, masks, strict=True):
        assert not organ[mask == 0].any()
        assert organ.sum() == pytest.approx(20 * (truth * mask).sum(), rel=0.02)


def test_a_wrong_model_leaves_an_error_but_less_than_none():
    """A gradient of 20 % through the ball that the model does not know, and a shell 30 % off."""
    masks = organs()
    truth = 10 * masks[0] * np.linspace(0.9, 1.1, 28)[:, None, None] + masks[1] + 0.2 * masks[2]
    models = masks * np.array([10.0, 1.3, 0.2], np.float32)[:, None, None, None]
    image = blurred(truth)
    found = np.asarray(reassign_spill(image, models, masks, SPACING, FWHM_MM))
    shell = float((truth * masks[1]).sum())
    assert abs(found[1].sum() / shell - 1) < 0.3 * abs(float((image * masks[1]).sum()) / shell - 1)


def test_wrong_inputs():
    masks = organs()
    image = masks.sum(axis=0)
    with pytest.raises(InputError, match="models: shape"):
        reassign_spill(image, masks[:2], masks, SPACING, FWHM_MM)
    with pytest.raises(InputError, match="overlap"):
        reassign_spill(image, masks, masks[[0, 0, 1]], SPACING, FWHM_MM)
    with pytest.raises(InputError, match="NaN"):
        reassign_spill(image * np.nan, masks, masks, SPACING, FWHM_MM)
