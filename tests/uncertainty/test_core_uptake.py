"""The uptake of the core of a lesion: analytic lesions, blurred by SciPy on finer voxels, with Poisson-like noise."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from sirtjax import uncertainty
from sirtjax.errors import InputError
from sirtjax.uncertainty._core_model import (
    blur_kernels,
    blurred,
    core_image,
    core_scene,
    derivatives,
    predicted,
    smooth_modes,
)

SHAPE, SPACING_MM, PARTS, FWHM_MM = (30, 28, 26), np.array([4.0, 4.4, 4.8]), 3, 12.0
SIGMA_PER_FWHM = 1.0 / (2.0 * math.sqrt(2.0 * math.log(2.0)))
CENTRE_MM = np.array([57.0, 60.5, 61.0])
TISSUE, LESION, NOISE, NOISE_FWHM_MM = 1.0, 5.0, 0.1, 6.0
ERRORS = uncertainty.CoreErrors(
    noise_fraction=NOISE,
    noise_fwhm_mm=NOISE_FWHM_MM,
    shift_mm=(2.0, 2.0, 2.0),
    contour_mm=1.6,
    contour_correlation_mm=20.0,
    resolution=0.1,
    texture=0.15,
)


def points(parts):
    axes = [step * ((np.arange(n * parts) + 0.5) / parts - 0.5) for n, step in zip(SHAPE, SPACING_MM, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def distances(parts, radius_mm, moved_mm=(0.0, 0.0, 0.0)):
    return np.linalg.norm(points(parts) - CENTRE_MM - np.asarray(moved_mm), axis=-1) - radius_mm


def means(fine):
    i, j, k = SHAPE
    return fine.reshape(i, PARTS, j, PARTS, k, PARTS).mean(axis=(1, 3, 5))


def measured(radius_mm, *, core_mm=0.0, core=0.0, moved_mm=(0.0, 0.0, 0.0), texture=0.0, fwhm_mm=FWHM_MM, seed=0):
    """The image of a lesion in even tissue, whose core has a fraction of its uptake."""
    rng = np.random.default_rng(seed)
    inside = distances(PARTS, radius_mm, moved_mm) <= 0
    fine = np.where(inside, LESION, TISSUE)
    if core_mm:
        fine[distances(PARTS, core_mm, moved_mm) <= 0] = core * LESION
    if texture:
        field = ndimage.gaussian_filter(rng.standard_normal(fine.shape), 12.0 / SPACING_MM * PARTS, mode="wrap")
        fine = fine * (1.0 + texture * field / field.std())
    sigma = fwhm_mm * SIGMA_PER_FWHM / SPACING_MM
    image = means(ndimage.gaussian_filter(fine, sigma * PARTS, mode="nearest"))
    grain = ndimage.gaussian_filter(
        rng.standard_normal(SHAPE), NOISE_FWHM_MM * SIGMA_PER_FWHM / SPACING_MM, mode="wrap"
    )
    return image + NOISE * np.sqrt(image * TISSUE) * grain / grain.std()


def regions_of(radius_mm):
    lesion = means((distances(PARTS, radius_mm) <= 0).astype(float))
    return np.stack([lesion, 1.0 - lesion])


def found_in(image, radius_mm, *, errors=ERRORS, fwhm_mm=FWHM_MM):
    """What the check finds if this radius is contoured and this resolution is stated."""
    return uncertainty.core_uptake(
        image,
        regions_of(radius_mm),
        distances(1, radius_mm),
        SPACING_MM.tolist(),
        fwhm_mm,
        errors,
        lesion=0,
        liver_mean=TISSUE,
    )


@pytest.mark.parametrize(("radius_mm", "core_mm"), [(17.0, 10.0), (20.0, 10.0), (26.0, 15.0)])
def test_a_cold_core_is_found_with_its_contrast(radius_mm, core_mm):
    found = [found_in(measured(radius_mm, core_mm=core_mm, core=0.05, seed=seed), radius_mm) for seed in range(4)]
    assert all(one.cold for one in found)
    # Three sizes of core are compared; a core that is too large or too small changes the contrast.
    assert np.mean([one.contrast for one in found]) == pytest.approx(-0.95, abs=0.3)
    assert all(0.02 < one.volume_fraction < 0.5 and one.standard_error > 0.01 for one in found)


@pytest.mark.slow
def test_a_cold_core_is_found_in_a_misaligned_and_wrongly_contoured_lesion():
    for seed, moved_mm in enumerate(([3.0, 0.0, 0.0], [0.0, -2.0, 2.2])):
        image = measured(20.0, core_mm=11.0, core=0.1, moved_mm=moved_mm, seed=seed)
        for drawn_mm, fwhm_mm in ((20.0, 12.0), (21.6, 13.2), (18.4, 10.8)):
            assert found_in(image, drawn_mm, fwhm_mm=fwhm_mm).cold


@pytest.mark.parametrize("radius_mm", [8.0, 14.0, 22.0])
def test_even_uptake_is_no_cold_core(radius_mm):
    found = [found_in(measured(radius_mm, seed=seed), radius_mm) for seed in range(6)]
    assert not any(one.cold for one in found)
    scores = np.array([one.contrast / one.standard_error for one in found])
    assert np.abs(scores).mean() < 1.5


@pytest.mark.parametrize("radius_mm", [12.0, 20.0])
@pytest.mark.slow
def test_a_misaligned_or_wrongly_drawn_lesion_is_no_cold_core(radius_mm):
    for seed in range(2):
        moved = measured(radius_mm, moved_mm=(3.0, 0.0, 0.0), seed=seed)
        assert not found_in(moved, radius_mm).cold
        assert not found_in(measured(radius_mm, moved_mm=(1.5, -1.5, 2.0), seed=seed), radius_mm).cold
        plain = measured(radius_mm, seed=seed)
        for drawn_mm, fwhm_mm in ((1.0, 1.1), (1.0, 0.9), (1.1, 1.0), (0.9, 1.0), (0.92, 1.1), (1.08, 0.9)):
            assert not found_in(plain, drawn_mm * radius_mm, fwhm_mm=fwhm_mm * FWHM_MM).cold


@pytest.mark.parametrize("radius_mm", [14.0, 22.0])
@pytest.mark.slow
def test_uneven_uptake_and_a_hot_core_are_no_cold_core(radius_mm):
    marked = [found_in(measured(radius_mm, texture=0.15, seed=seed), radius_mm).cold for seed in range(12)]
    assert sum(marked) == 0
    hot = found_in(measured(radius_mm, core_mm=radius_mm / 2, core=1.8), radius_mm)
    assert hot.contrast > 0.25 and not hot.cold
    # A core with nine tenths of the uptake does not matter.
    assert not found_in(measured(radius_mm, core_mm=radius_mm / 2, core=0.9), radius_mm).cold


def test_contours_of_the_fit_are_correlated_as_those_of_the_simulations():
    length_mm = 20.0
    distance = distances(1, 24.0)
    scene = core_scene(
        measured(24.0), regions_of(24.0), distance, SPACING_MM, np.full(3, FWHM_MM),
        replace(ERRORS, contour_mm=1.0, contour_correlation_mm=length_mm), lesion=0,
    )  # fmt: skip
    # Independent numbers on nodes one correlation length apart, along an axis.
    lattice = np.random.default_rng(0).standard_normal((4000, 9, 2, 2)).astype(np.float32)
    simulated = np.asarray(uncertainty.boundary_field(lattice, (161, 2, 2)))[:, :, 0, 0]  # steps of 1 mm
    near = np.abs(scene.distance_mm) < 2.0
    at = np.argwhere(near)
    values = scene.outward_mm[:, near]
    apart_mm = np.linalg.norm((at[:, None] - at[None]) * SPACING_MM, axis=-1)
    product = values.T @ values
    for lag_mm in (8, 12, 20):
        found = product[np.abs(apart_mm - lag_mm) < 1.0].mean()
        expected = np.mean(simulated[:, lag_mm:] * simulated[:, :-lag_mm])
        assert found == pytest.approx(expected, abs=0.1), lag_mm


def test_errors_widen_the_standard_error():
    image = measured(18.0, core_mm=9.0, core=0.1)
    exact = replace(ERRORS, shift_mm=(0.0, 0.0, 0.0), contour_mm=0.0, resolution=0.0, texture=0.0)
    assert found_in(image, 18.0, errors=exact).standard_error < 0.6 * found_in(image, 18.0).standard_error


def test_a_core_is_cold_beyond_both_limits():
    def core(contrast, error):
        return uncertainty.CoreUptake(
            contrast=contrast, standard_error=error, depth=0.5, volume_fraction=0.1, profile=((0.5, contrast),)
        )

    assert core(-0.26, 0.05).cold and not core(-0.24, 0.05).cold
    assert core(-0.52, 0.2).cold and not core(-0.48, 0.2).cold
    assert not core(0.8, 0.1).cold


def test_the_unit_of_the_image_does_not_matter():
    image, arguments = measured(16.0, core_mm=8.0, core=0.2), {"lesion": 0}
    rest = (regions_of(16.0), distances(1, 16.0), SPACING_MM.tolist(), FWHM_MM, ERRORS)
    one = uncertainty.core_uptake(image, *rest, **arguments, liver_mean=TISSUE)
    other = uncertainty.core_uptake(3e4 * image, *rest, **arguments, liver_mean=3e4 * TISSUE)
    assert other.contrast == pytest.approx(one.contrast, rel=1e-3)
    assert other.standard_error == pytest.approx(one.standard_error, rel=1e-3)


def test_wrong_inputs():
    image, regions, distance = measured(12.0), regions_of(12.0), distances(1, 12.0)
    rest = {"lesion": 0, "liver_mean": 1.0}
    spacing = SPACING_MM.tolist()
    with pytest.raises(InputError, match="expected the shape of the image"):
        uncertainty.core_uptake(image[1:], regions, distance, spacing, FWHM_MM, ERRORS, **rest)
    image[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="NaN or infinite"):
        uncertainty.core_uptake(image, regions, distance, spacing, FWHM_MM, ERRORS, **rest)
    nowhere = np.full(SHAPE, 1000.0)
    assert uncertainty.core_uptake(np.ones(SHAPE), regions, nowhere, spacing, FWHM_MM, ERRORS, **rest) is None
    dark = np.zeros(SHAPE)
    assert uncertainty.core_uptake(dark, regions, distance, spacing, FWHM_MM, ERRORS, **rest) is None


def test_the_blur_is_that_of_scipy_and_its_derivatives_are_differences():
    values = np.random.default_rng(1).random((1, 20, 17, 15)).astype(np.float32)
    spacing, sigma, shift = np.array([4.0, 4.4, 4.8]), np.array([5.0, 6.0, 5.5]), np.array([0.7, -1.1, 0.0])

    def blur(sigma, shift, orders=(0, 0, 0)):
        return blurred(blur_kernels(values.shape[1:], spacing, sigma, shift), values, orders=orders)[0]

    expected = ndimage.gaussian_filter(values[0], sigma / spacing, mode="nearest")
    np.testing.assert_allclose(blur(sigma, np.zeros(3)), expected, atol=2e-4)
    step = 0.05
    for axis in range(3):
        by = step * np.eye(3)[axis]
        difference = (blur(sigma, shift + by) - blur(sigma, shift - by)) / (2 * step)
        np.testing.assert_allclose(blur(sigma, shift, np.eye(3, dtype=int)[axis]), difference, atol=1e-4)
        wider, narrower = (sigma * np.exp(sign * by) for sign in (1, -1))
        difference = (blur(wider, shift) - blur(narrower, shift)) / (2 * step)
        np.testing.assert_allclose(blur(sigma, shift, 2 * np.eye(3, dtype=int)[axis]), difference, atol=1e-3)


def test_the_derivatives_of_the_model_are_differences():
    radius_mm, spacing, width = 18.0, SPACING_MM, np.full(3, FWHM_MM)
    scene = core_scene(
        measured(radius_mm), regions_of(radius_mm), distances(1, radius_mm), spacing, width, ERRORS, lesion=0
    )
    rng = np.random.default_rng(3)
    contour, texture = len(scene.outward_mm), len(scene.within)
    assert min(contour, texture, len(scene.around)) >= 4
    errors = 0.1 * rng.standard_normal(len(scene.prior) - 4)
    for depth, uptakes in ((0.0, [1.0, 0.2]), (0.5, [1.0, 0.2, -0.4])):
        unknowns = np.concatenate([uptakes, [0.5, -0.7, 0.3, 0.05], errors])
        rows = derivatives(scene, core_image(scene, unknowns, core_depth=depth))
        count = len(uptakes)
        first = count + 4
        # Uptakes also scale the uneven uptake, and the contour also moves the core: a step neglects both.
        limits = dict.fromkeys(range(count), 0.2)
        limits |= dict.fromkeys((*range(count, first), first + contour, first + contour + texture), 0.01)
        limits |= dict.fromkeys((first, first + 2), 0.15 if depth == 0.0 else 0.6)
        for index, limit in limits.items():
            step = 0.05 * np.eye(len(unknowns))[index]
            up, down = (
                predicted(scene, core_image(scene, unknowns + sign * step, core_depth=depth)) for sign in (1, -1)
            )
            difference = (up - down) / 0.1
            assert np.linalg.norm(rows[index] - difference) < limit * np.linalg.norm(difference), (depth, index)


def test_the_modes_have_the_covariance_of_the_field():
    inside = distances(1, 16.0) < 0
    modes = smooth_modes(inside, SPACING_MM, 20.0)
    assert not modes[:, ~inside].any()
    where = points(1)[inside][::7]
    found = modes[:, inside][:, ::7]
    square = ((where[:, None] - where[None]) ** 2).sum(axis=-1)
    np.testing.assert_allclose(found.T @ found, np.exp(-square / (2 * 20.0**2)), atol=0.08)
