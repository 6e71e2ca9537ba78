import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from sirtjax.errors import InputError
from sirtjax.partial_volume import geometric_transfer_matrix, gtm_means, region_based_voxelwise, with_background

SPACING_MM, FWHM_MM = (3.0, 4.0, 5.0), (9.0, 8.0, 12.0)


def test_matrix_means_and_rbv_equal_the_definitions(regions, image):
    expected = reference.transfer_matrix(regions, SPACING_MM, FWHM_MM)
    found = geometric_transfer_matrix(regions, SPACING_MM, FWHM_MM)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-5)
    means = reference.gtm(image, regions, SPACING_MM, FWHM_MM)
    np.testing.assert_allclose(gtm_means(image, regions, SPACING_MM, FWHM_MM), means, rtol=1e-4)
    corrected = reference.rbv(image, regions, SPACING_MM, FWHM_MM)
    np.testing.assert_allclose(region_based_voxelwise(image, regions, SPACING_MM, FWHM_MM), corrected, rtol=1e-4)


def test_spheres_of_a_finer_grid_are_recovered():
    shape, factors = (24, 18, 14), (3, 4, 5)
    first, fine_mm = reference.fine_sphere(shape, SPACING_MM, factors, radius_mm=9.0, offset_mm=(-13, 1, 2))
    second, _ = reference.fine_sphere(shape, SPACING_MM, factors, radius_mm=12.0, offset_mm=(13, 2, -3))
    measured = reference.voxel_means(reference.blur(1 + 3 * first + 7 * second, fine_mm, FWHM_MM), factors).astype("f4")
    masks = with_background(np.stack([reference.voxel_means(m, factors) for m in (first, second)]).astype("f4"))
    before = [float((m * measured).sum() / m.sum()) for m in masks[:2]]
    assert before[0] < 0.75 * 4 and before[1] < 0.8 * 8
    np.testing.assert_allclose(gtm_means(measured, masks, SPACING_MM, FWHM_MM), [4.0, 8.0, 1.0], rtol=0.01)


def test_background_fills_the_image(regions):
    np.testing.assert_allclose(with_background(regions[:2]), regions, atol=1e-6)


def test_a_negative_region_counts_as_zero_and_nothing_outside_regions(regions, image):
    dark = np.where(regions[1] > 0, -0.5, image).astype("f4")
    assert float(gtm_means(dark, regions, SPACING_MM, FWHM_MM)[1]) < 0
    corrected = region_based_voxelwise(dark, regions, SPACING_MM, FWHM_MM)
    assert bool(jnp.all(jnp.isfinite(corrected))) and float(jnp.abs(corrected[10, 6, 6])) == 0
    alone = region_based_voxelwise(image, regions[:1], SPACING_MM, FWHM_MM)
    assert float(jnp.abs(alone[regions[0] == 0]).max()) == 0


@pytest.mark.slow
def test_jit_vmap_and_gradients(regions, image):
    images = np.stack([image, 2 * image])
    batched = jax.jit(jax.vmap(lambda y: gtm_means(y, regions, SPACING_MM, FWHM_MM)))(images)
    np.testing.assert_allclose(batched[1], 2 * gtm_means(image, regions, SPACING_MM, FWHM_MM), rtol=1e-5)
    weight = np.random.default_rng(2).random(image.shape)

    def ours(y, f):
        return jnp.sum(weight * region_based_voxelwise(y, regions, SPACING_MM, f)) + gtm_means(
            y, regions, SPACING_MM, f
        ) @ jnp.arange(1.0, 4.0)

    def theirs(y, f):
        return (weight * reference.rbv(y, regions, SPACING_MM, f)).sum() + reference.gtm(
            y, regions, SPACING_MM, f
        ) @ np.arange(1.0, 4.0)

    direction = np.random.default_rng(3).normal(size=image.shape)
    by_image, by_fwhm = jax.jit(jax.grad(ours, argnums=(0, 1)))(image, 8.0)
    y = image.astype(float)
    step = (theirs(y + 1e-4 * direction, 8.0) - theirs(y - 1e-4 * direction, 8.0)) / 2e-4
    assert float(jnp.vdot(by_image, direction)) == pytest.approx(step, rel=1e-3)
    assert float(by_fwhm) == pytest.approx((theirs(y, 8.001) - theirs(y, 7.999)) / 2e-3, rel=5e-3)


def test_wrong_inputs(regions, image):
    overlap = regions.copy()
    overlap[1, 5, 5, 4] = 1.0
    for function in (gtm_means, region_based_voxelwise):
        with pytest.raises(InputError, match=r"masks: regions overlap in 1 voxels \(sum of occupancies up to 2\)"):
            function(image, overlap, SPACING_MM, 6.0)
        with pytest.raises(InputError, match=r"masks: shape \(15, 13, 11\) differs from that of the image"):
            function(image, regions[:, 1:], SPACING_MM, 6.0)
        with pytest.raises(InputError, match="image: 1 of 2288 voxels are NaN"):
            function(np.where(np.arange(image.size).reshape(image.shape) == 7, np.nan, image), regions, SPACING_MM, 6.0)
        with pytest.raises(InputError, match="fwhm_mm: expected positive, finite numbers, got -1"):
            function(image, regions, SPACING_MM, -1.0)
    with pytest.raises(InputError, match="masks: regions overlap"):
        geometric_transfer_matrix(overlap, SPACING_MM, 6.0)
    with pytest.raises(InputError, match=r"masks\[0\]: empty"):
        geometric_transfer_matrix(regions * np.array([0, 1, 1], "f4")[:, None, None, None], SPACING_MM, 6.0)
    with pytest.raises(InputError, match="masks: 2288 of 6864 voxels are NaN"):
        with_background(np.where(np.arange(3)[:, None, None, None] == 1, np.nan, regions))
