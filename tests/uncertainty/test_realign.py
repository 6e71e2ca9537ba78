"""The alignment that simulations repeat: against displaced images, and the iterated fit of `partial_volume`."""

from dataclasses import replace

import numpy as np
import pytest
from ball_treatment import DATA, DISTANCE_MM, FWHM_MM, REGIONS, SPACING_MM, TRUTH, errors, known

from sirtjax import partial_volume, uncertainty


@pytest.fixture(scope="module")
def fit():
    return uncertainty.realignment(TRUTH, REGIONS, DISTANCE_MM, DATA, noise_scale=0.1)


def measured(shift_mm):
    return np.asarray(partial_volume.gaussian_blur(TRUTH, SPACING_MM, FWHM_MM, shift_mm=np.asarray(shift_mm, "f4")))


def fitted(image):
    return np.asarray(uncertainty.region_model(image, REGIONS, DATA)[1])


@pytest.mark.parametrize("shift_mm", [(0.0, 0.0, 0.0), (2.0, 0.0, 0.0), (0.0, -1.0, 1.5), (3.0, 2.0, -2.0)])
@pytest.mark.slow
def test_a_displaced_image_is_found(fit, shift_mm):
    image = measured(shift_mm)
    found = uncertainty.realigned_shift_mm(fit, image - fitted(image))
    np.testing.assert_allclose(found, shift_mm, atol=0.06 * np.linalg.norm(shift_mm) + 0.02)


@pytest.mark.slow
def test_noise_moves_it_like_the_iterated_fit(fit):
    """The scatter by noise is that of `align_masks`, which iterates and estimates its own weights."""
    rng, ours, theirs = np.random.default_rng(0), [], []
    masks = REGIONS[[0, 1, 2, 4]]
    for _ in range(12):
        white = np.asarray(partial_volume.gaussian_blur(rng.normal(size=TRUTH.shape).astype("f4"), SPACING_MM, 8.0))
        image = measured((1.0, 0.0, 0.0)) + 0.1 * white / white.std()
        ours.append(uncertainty.realigned_shift_mm(fit, image - fitted(image)))
        theirs.append(partial_volume.align_masks(image, masks / masks.sum(axis=0), SPACING_MM, FWHM_MM).shift_mm)
    difference = np.asarray(ours) - np.asarray(theirs)
    assert np.sqrt(np.mean(difference**2)) < 0.5 * np.std(np.asarray(theirs), axis=0).mean() + 0.05


@pytest.mark.slow
def test_a_prior_holds_contours_without_an_edge():
    flat = np.zeros_like(REGIONS)
    flat[2] = 1.0
    held = uncertainty.realignment(np.ones_like(TRUTH), flat, DISTANCE_MM, DATA, noise_scale=0.1)
    noise = np.random.default_rng(1).normal(size=TRUTH.shape).astype(np.float32)
    assert np.all(np.abs(uncertainty.realigned_shift_mm(held, 0.1 * noise)) < 0.1)


@pytest.mark.slow
def test_common_displacements_of_contours_are_found_again():
    """Lesions whose contours both move are aligned again. What an alignment cannot find remains."""
    fit = uncertainty.realignment(TRUTH, REGIONS, DISTANCE_MM, DATA, noise_scale=0.1)
    aligned = replace(known(), alignment=fit)
    plain = uncertainty.log_ratios(errors(), known())
    # Far enough that 3 % of the volume, which a lesion has more or less between voxels, hardly count.
    together = {"lesion_shift_mm": np.array([[6.0, 0.0, 0.0]] * 2)}
    lost = uncertainty.log_ratios(errors(**together), known()).mean_gy[:2] - plain.mean_gy[:2]
    found = uncertainty.log_ratios(errors(**together), aligned).mean_gy[:2] - plain.mean_gy[:2]
    assert np.all(lost < -0.01) and np.all(np.abs(found) < 0.6 * np.abs(lost))
    shift = {"shift_mm": np.array([4.0, 0.0, 0.0])}
    without, remaining = (uncertainty.log_ratios(errors(**shift), one).mean_gy[:2] for one in (known(), aligned))
    np.testing.assert_allclose(remaining, without, atol=0.01)
    nothing = uncertainty.log_ratios(errors(), aligned)
    np.testing.assert_allclose(nothing.mean_gy, plain.mean_gy, atol=2e-3)
