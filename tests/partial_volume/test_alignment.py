import jax
import numpy as np
import pytest
import reference
from scipy import ndimage

from sirtjax.errors import InputError
from sirtjax.partial_volume import align_masks, with_background

SPACING_MM, SHAPE, FWHM_MM = (4.0, 3.0, 4.0), (24, 28, 22), 10.0
ALIGN = jax.jit(lambda image, masks: align_masks(image, masks, SPACING_MM, FWHM_MM))


def sphere(radius_mm, offset_mm):
    return reference.fine_sphere(SHAPE, SPACING_MM, (4, 3, 4), radius_mm=radius_mm, offset_mm=offset_mm)


def scene(shift_mm, *, perfused=1.0):
    """An image of a lesion and a liver of two halves, and their masks drawn too far by minus the shift."""
    liver, fine_mm = sphere(30.0, np.zeros(3))
    lesion, _ = sphere(10.0, (-13.0, 4.0, 5.0))
    half = liver * (np.arange(liver.shape[0]) < liver.shape[0] // 2)[:, None, None]
    activity = 0.05 + 0.95 * half + perfused * (liver - half) + 3.0 * lesion
    image = reference.voxel_means(reference.blur(activity, fine_mm, FWHM_MM), (4, 3, 4))
    masks = []
    for one in (lesion, half - lesion, liver - half):
        moved = np.roll(one, -np.rint(shift_mm / fine_mm).astype(int), axis=(0, 1, 2))
        masks.append(reference.voxel_means(moved, (4, 3, 4)))
    return image.astype("f4"), np.asarray(with_background(np.asarray(masks, "f4")))


def noise(seed):
    white = np.random.default_rng(seed).normal(size=SHAPE)
    filtered = ndimage.gaussian_filter(white, 5.0 * reference.SIGMA_PER_FWHM / np.asarray(SPACING_MM), mode="wrap")
    return filtered / filtered.std()


@pytest.mark.slow
def test_a_shift_is_found():
    shift = np.array([6.0, -3.0, 5.0])  # whole voxels of the finer grid of 1 mm
    image, masks = scene(shift)
    found = ALIGN(1000.0 * image, masks)
    np.testing.assert_allclose(found.shift_mm, shift, atol=0.15)
    np.testing.assert_allclose(found.concentrations, [4000.0, 1000.0, 1050.0, 50.0], rtol=0.03)
    assert float(found.residual_sd) < 0.2 * float(found.residual_sd_before)


@pytest.mark.slow
def test_a_part_that_is_not_perfused_does_not_attract_the_masks():
    image, masks = scene(np.zeros(3), perfused=0.0)
    assert np.abs(np.asarray(ALIGN(image, masks).shift_mm)).max() < 0.15
    whole = np.stack([masks[:3].sum(axis=0), masks[3]])
    assert abs(float(ALIGN(image, whole).shift_mm[0])) > 3.0


@pytest.mark.slow
def test_the_standard_error_covers_the_error():
    shift = np.array([-4.0, 3.0, 2.0])
    image, masks = scene(shift)
    ratios = []
    for seed in range(10):
        found = ALIGN((image + 0.15 * noise(seed)).astype("f4"), masks)
        ratios.append((np.asarray(found.shift_mm) - shift) / np.asarray(found.standard_error_mm))
    assert 0.2 < np.sqrt(np.mean(np.square(ratios))) < 1.3


@pytest.mark.slow
def test_an_image_without_an_edge_keeps_the_prior():
    _, masks = scene(np.zeros(3))
    for flat in (np.full(SHAPE, 5.0, "f4"), np.zeros(SHAPE, "f4")):
        found = ALIGN(flat, masks)
        np.testing.assert_allclose(found.shift_mm, 0.0, atol=0.1)
        assert float(found.standard_error_mm.min()) > 4.0
    for seed in range(4):
        found = ALIGN((1 + 0.15 * noise(seed)).astype("f4"), masks)
        assert float(found.standard_error_mm.min()) > 2.0


@pytest.mark.slow
def test_the_least_squares_fit_of_scipy_agrees():
    from scipy import optimize

    shift = np.array([3.0, -2.0, 1.0])
    image, masks = scene(shift)
    used = reference.blur(masks[:3].sum(axis=0), SPACING_MM, 20 / 3 / reference.SIGMA_PER_FWHM) > 0.00135
    noisy = image + 0.1 * noise(1)

    def residuals(by_mm):
        blurred = [
            ndimage.shift(reference.blur(m, SPACING_MM, FWHM_MM), by_mm / np.array(SPACING_MM), order=5, mode="nearest")
            for m in masks
        ]
        columns = np.stack([b[used] for b in blurred], axis=1)
        return noisy[used] - columns @ np.linalg.lstsq(columns, noisy[used], rcond=None)[0]

    fit = optimize.least_squares(residuals, np.zeros(3), diff_step=1e-3)
    free = jax.jit(lambda image, masks: align_masks(image, masks, SPACING_MM, FWHM_MM, prior_sd_mm=1e3))
    np.testing.assert_allclose(free(noisy.astype("f4"), masks).shift_mm, fit.x, atol=0.03)


@pytest.mark.slow
def test_gradient_and_batch():
    image, masks = scene(np.array([2.0, 1.0, 0.0]))
    direction = reference.blur(noise(5), SPACING_MM, 8.0)
    with jax.enable_x64(True):
        along = jax.jit(lambda y: align_masks(y, masks.astype(float), SPACING_MM, FWHM_MM, prior_sd_mm=1e3).shift_mm[0])
        y = image.astype(float) + 0.05 * noise(2)
        slope = float(jax.jit(lambda y, v: jax.jvp(along, (y,), (v,))[1])(y, direction))
        assert slope == pytest.approx(float(along(y + 1e-3 * direction) - along(y - 1e-3 * direction)) / 2e-3, rel=0.02)
    batch = jax.jit(jax.vmap(ALIGN, in_axes=(0, None)))(np.stack([image, 2 * image]), masks)
    np.testing.assert_allclose(batch.shift_mm, np.stack([ALIGN(image, masks).shift_mm] * 2), atol=2e-3)


def test_wrong_inputs():
    image, masks = scene(np.zeros(3))
    with pytest.raises(InputError, match="regions overlap"):
        align_masks(image, np.stack([masks[0], masks[0]]), SPACING_MM, FWHM_MM)
    with pytest.raises(InputError, match="prior_sd_mm: expected positive"):
        align_masks(image, masks, SPACING_MM, FWHM_MM, prior_sd_mm=0.0)
    with pytest.raises(InputError, match="differs from that of the image"):
        align_masks(image[1:], masks, SPACING_MM, FWHM_MM)
