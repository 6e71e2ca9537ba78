"""The bias of the dose of a lesion with a cold core, against the closed form of two concentric spheres."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from ball_treatment import DATA, FWHM_MM, SHAPE, SHUNT, SPACING_MM, sources, with_territory
from scipy import ndimage

from sirtjax import uncertainty

LESION_MM, CORE_MM, SMALL_MM, LIVER_MM = 18.0, 10.0, 9.0, 46.0
RIM, CORE, SMALL = 6.0, 0.3, 3.0
LESION_AT, SMALL_AT = (14.0, 1.0, -3.0), (-20.0, 8.0, 10.0)


def ball(centre, radius_mm, points):
    """Occupancy of a ball by counting points within each voxel."""
    steps = (np.arange(points) + 0.5) / points - 0.5
    axes = [
        (4.0 * (np.arange(n)[:, None] - (n - 1) / 2 + steps)).ravel() - c for n, c in zip(SHAPE, centre, strict=True)
    ]
    inside = sum(a**2 for a in np.meshgrid(*axes, indexing="ij", sparse=True)) < radius_mm**2
    i, j, k = SHAPE
    return inside.reshape(i, points, j, points, k, points).mean(axis=(1, 3, 5))


def distance(centre, radius_mm):
    axes = np.meshgrid(*(4.0 * (np.arange(n) - (n - 1) / 2) for n in SHAPE), indexing="ij")
    return np.sqrt(sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True))) - radius_mm


def true_mean_gy(core):
    """Mean dose of the lesion, from volumes and ratios."""
    lesion, inner, small, liver = (4 / 3 * np.pi * r**3 / 1000 for r in (LESION_MM, CORE_MM, SMALL_MM, LIVER_MM))
    in_lesion = RIM * (lesion - inner) + core * inner
    relative_ml = (liver - lesion - small) + SMALL * small + in_lesion
    return 950.0 / relative_ml * in_lesion / lesion * 49.67 / 1.05


def image_of(core):
    whole, inner, small = (
        ball(at, r, 5) for at, r in ((LESION_AT, LESION_MM), (LESION_AT, CORE_MM), (SMALL_AT, SMALL_MM))
    )
    truth = ball((0.0, 0.0, 0.0), LIVER_MM, 5) + (RIM - 1.0) * whole + (core - RIM) * inner + (SMALL - 1.0) * small
    return ndimage.gaussian_filter(truth, 12.0 / np.sqrt(8.0 * np.log(2.0)) / 4.0).astype(np.float32)


@pytest.mark.slow
def test_interval_is_freed_from_the_bias_of_a_cold_core():
    image = image_of(CORE)
    outlines = np.stack([distance(LESION_AT, LESION_MM), distance(SMALL_AT, SMALL_MM), distance((0, 0, 0), LIVER_MM)])
    distance_mm = with_territory(outlines.astype(np.float32))
    regions = np.asarray(uncertainty.regions_of(distance_mm, SPACING_MM, lesions=2))
    errors = uncertainty.CoreErrors(
        noise_fraction=0.05,
        noise_fwhm_mm=8.0,
        shift_mm=(1.0, 1.0, 1.0),
        contour_mm=1.5,
        contour_correlation_mm=20.0,
        resolution=0.1,
        texture=0.15,
    )
    fitted = uncertainty.core_uptake(
        image, regions, distance_mm[0], (4.0,) * 3, float(FWHM_MM), errors, lesion=0, liver_mean=1.3
    )
    assert fitted.cold
    shapes = np.ones((2, *SHAPE), np.float32)
    shapes[0] = uncertainty.relative_core_uptake(distance_mm[0], fitted, spacing_mm=4.0)
    assert shapes.min() >= 0.0 and shapes.max() == 1.0
    # The profile removes the uptake of the core: 17 % of the volume with 95 % less than the rim.
    lost = float(((1.0 - shapes[0]) * regions[0]).sum() / regions[0].sum())
    assert lost == pytest.approx((CORE_MM / LESION_MM) ** 3 * (1.0 - CORE / RIM), abs=0.04)
    data = replace(
        DATA, near=uncertainty.near_voxels(np.concatenate([distance_mm[:2], distance_mm[-1:]]), capacity=4096)
    )
    quiet = sources(boundary_mm=0.4, territory_mm=0.0, resolution=0.03, shift_mm=0.3, noise=0.2)
    even, cored = (
        uncertainty.treatment_intervals(
            image, distance_mm, SHUNT, data, quiet, jax.random.key(0), noise_fwhm_mm=8.0, noise_fraction=0.05,
            relative_uptake=shape, count=64,
        )
        for shape in (np.ones_like(shapes), shapes)
    )  # fmt: skip
    # Voxels of 4 mm lower all doses of this lesion alike, as a lesion without a core shows.
    plain = uncertainty.estimated_doses(image_of(RIM), distance_mm, SHUNT, data).mean_gy[0] / true_mean_gy(RIM)
    true = true_mean_gy(CORE) * float(plain)
    # The estimate takes the lesion as uniform, with or without a known core.
    np.testing.assert_allclose(even.estimate.mean_gy, cored.estimate.mean_gy, rtol=1e-5)
    assert even.estimate.mean_gy[0] / true < 0.945
    assert even.median.mean_gy[0] / true < 0.955
    assert cored.median.mean_gy[0] / true == pytest.approx(1.0, abs=0.025)
    # The other lesion and the liver hardly change.
    np.testing.assert_allclose(even.median.mean_gy[1:], cored.median.mean_gy[1:], rtol=0.015)
