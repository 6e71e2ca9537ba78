"""The noise of an image from the image itself, against repeated images and noise of known size."""

import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from sirtjax import uncertainty
from sirtjax.errors import ComputationError, InputError
from sirtjax.phantom._acquire import pet_image
from sirtjax.volume import Geometry

SIGMA = 1 / 2.3548
SPACING = (4.8, 4.0, 5.5)
SHAPE = (48, 44, 36)


def ellipsoid(*half_mm, centre_mm=(0.0, 0.0, 0.0)):
    axes = [(np.arange(n) - n / 2) * s - c for n, s, c in zip(SHAPE, SPACING, centre_mm, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return ((x / half_mm[0]) ** 2 + (y / half_mm[1]) ** 2 + (z / half_mm[2]) ** 2 < 1).astype(float)


LIVER = ellipsoid(95, 70, 75)
LESION = ellipsoid(20, 20, 20, centre_mm=(40, 0, 0))


def filtered(random, fwhm_mm):
    sigma = [fwhm_mm * SIGMA / s for s in SPACING]
    noise = ndimage.gaussian_filter(random.standard_normal(SHAPE), sigma, mode="wrap")
    return noise / noise.std()


def measured(true, *, seed, noise=0.15, width_mm=9.0, fwhm_mm=13.0):
    """A blurred image whose noise has a variance in proportion to it; `noise` at a concentration of 1."""
    mean = ndimage.gaussian_filter(true, [fwhm_mm * SIGMA / s for s in SPACING])
    return mean + noise * np.sqrt(mean) * filtered(np.random.default_rng(seed), width_mm)


def noise_of(image, tissue=LIVER, liver=LIVER):
    return uncertainty.image_noise(image, tissue[None], liver, SPACING, fwhm_mm=13.0)


@pytest.mark.parametrize("width_mm", [6.0, 9.0, 13.0])
def test_noise_of_known_size_and_correlation(width_mm):
    found = [noise_of(measured(LIVER, seed=seed, width_mm=width_mm)) for seed in range(4)]
    mean = (measured(LIVER, seed=0, noise=0.0) * LIVER).sum() / LIVER.sum()
    fractions = np.array([one.fraction for one in found])
    assert fractions.mean() == pytest.approx(0.15 / np.sqrt(mean), rel=0.05)
    assert np.mean([one.correlation_fwhm_mm for one in found]) == pytest.approx(width_mm, rel=0.12)
    # The standard error is the scatter between images, within a factor.
    assert fractions.std(ddof=1) / 3 < np.mean([one.fraction_error for one in found]) < 6 * fractions.std(ddof=1)


def test_uptake_that_changes_slowly_and_hot_lesions_are_no_noise():
    slow = np.exp(0.3 * filtered(np.random.default_rng(9), 60.0))
    true = LIVER * slow * (1 + 5 * LESION)
    image = measured(true, seed=1)
    scale = np.sqrt((image * LIVER).sum() / LIVER.sum())
    found = noise_of(image, LIVER * (1 - LESION))
    assert found.fraction == pytest.approx(0.15 / scale, rel=0.12)
    # With the lesion as part of the tissue, its edge would pass for noise.
    assert noise_of(image).fraction > 1.3 * found.fraction


def test_the_image_around_the_tissue_has_no_effect():
    image, padding = measured(LIVER, seed=5), ((3, 0), (0, 9), (7, 2))
    fields = [np.pad(values, padding) for values in (image, LIVER)]
    whole = ndimage.distance_transform_edt(np.pad(LIVER, 1) > 0.99, sampling=SPACING) > 13.0
    found = noise_of(image)
    padded = noise_of(fields[0], *fields[1:], fields[1])
    # Sums over arrays of another shape are rounded otherwise.
    assert dataclasses.astuple(padded) == pytest.approx(dataclasses.astuple(found), rel=1e-9)
    assert found.volume_ml == pytest.approx(whole.sum() * np.prod(SPACING) / 1000.0)


def test_two_tissues_with_different_uptake():
    right = LIVER * (np.arange(SHAPE[0]) < SHAPE[0] // 2)[:, None, None]
    image = measured(LIVER + 4 * right, seed=2)
    mean = (image * LIVER).sum() / LIVER.sum()
    found = uncertainty.image_noise(image, np.stack([right, LIVER - right]), LIVER, SPACING, fwhm_mm=13.0)
    assert found.fraction == pytest.approx(0.15 / np.sqrt(mean), rel=0.1)


def test_against_repeated_images_of_the_same_activity():
    geometry = Geometry.from_axes(SHAPE, spacing_mm=SPACING, origin_mm=(0.0, 0.0, 0.0), direction=np.eye(3))
    bq_per_ml = (2e5 * (LIVER + 3 * LESION)).astype(np.float32)
    images = np.stack(
        [
            pet_image(np.random.default_rng(seed), bq_per_ml, geometry, fwhm_mm=8.0, counts_per_bq=2e-3)
            for seed in range(6)
        ]
    )
    inside = ndimage.distance_transform_edt(LIVER * (1 - LESION), sampling=SPACING) > 8
    mean = (images.mean(axis=0) * LIVER).sum() / LIVER.sum()
    # sd of repeated images at the mean of normal tissue, scaled to the mean of the liver as counts scale it.
    normal = images.mean(axis=0)[inside].mean()
    expected = np.sqrt(images.var(axis=0, ddof=1)[inside].mean() / normal / mean)
    found = [
        uncertainty.image_noise(image, (LIVER * (1 - LESION))[None], LIVER, SPACING, fwhm_mm=8.0) for image in images
    ]
    assert np.mean([one.fraction for one in found]) == pytest.approx(expected, rel=0.08)
    assert np.mean([one.correlation_fwhm_mm for one in found]) == pytest.approx(8.0 / np.sqrt(2), rel=0.25)


def test_what_must_not_pass():
    with pytest.raises(ComputationError, match=r"are farther than 13 mm .* state the noise instead"):
        noise_of(measured(LIVER, seed=0), LESION)
    with pytest.raises(ComputationError, match="without a plateau"):
        x = np.arange(SHAPE[0])[:, None, None] * SPACING[0]
        noise_of(LIVER * (1 + 0.01 * x + 0 * LIVER))
    with pytest.raises(InputError, match="expected the shape of the image"):
        noise_of(measured(LIVER, seed=0)[1:])
    with pytest.raises(InputError, match="no activity"):
        noise_of(0 * LIVER)
