"""Dependence of doses on contours: closed forms for a fixed dose, and contours that are really displaced."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage, stats

from sirtjax import uncertainty
from sirtjax.errors import InputError
from sirtjax.partial_volume import gaussian_blur
from sirtjax.uncertainty import ContourMetric
from sirtjax.uncertainty._metric_slope import dose_at_volume_slope, mean_slope

SHAPE, SPACING_MM = (44, 42, 40), np.array([2.5, 2.5, 2.5], np.float32)
FWHM_MM = 10.0
AXES = np.meshgrid(*(2.5 * (np.arange(n) - (n - 1) / 2) for n in SHAPE), indexing="ij")
CENTRE_MM, RADIUS_MM = (11.0, 3.0, -2.0), 13.0
AWAY_MM = np.sqrt(sum((a - c) ** 2 for a, c in zip(AXES, CENTRE_MM, strict=True)))
LESION = AWAY_MM - RADIUS_MM
LIVER = np.sqrt(sum(a**2 for a in AXES)) - 40.0
DISTANCE_MM = np.stack([LESION, LIVER]).astype(np.float32)
AREA_MM2, VOLUME_MM3 = 4 * np.pi * RADIUS_MM**2, 4 / 3 * np.pi * RADIUS_MM**3
MEAN, D70 = ContourMetric(voi=0, contour=0), ContourMetric(voi=0, contour=0, volume_fraction=0.7)


def occupancy(distance_mm):
    return jnp.clip(0.5 - distance_mm / 2.5, 0.0, 1.0)


def fixed(distance_mm, dose_gy):
    return dose_gy, occupancy(distance_mm)


def corrected(distance_mm, image):
    """A relative calibration after region-based correction: the dose depends on both contours."""
    lesion, liver = occupancy(distance_mm)
    regions = jnp.stack([lesion, jnp.maximum(liver - lesion, 0.0), 1.0 - jnp.maximum(liver, lesion)])
    blurred = jnp.stack([gaussian_blur(one, SPACING_MM, FWHM_MM) for one in regions])
    volume = regions.sum(axis=(1, 2, 3))
    matrix = jnp.einsum("aijk,bijk->ab", regions, blurred) / volume[:, None]
    means = jnp.linalg.solve(matrix, jnp.tensordot(regions, image, axes=3) / volume)
    activity = image * jnp.tensordot(means, regions, axes=1) / (jnp.tensordot(means, blurred, axes=1) + 1e-6)
    inside = activity * (regions[0] + regions[1])
    return inside * (40.0 * 40.0**3 / 0.24 / 2.5**3) / jnp.sum(inside), regions[:2]


def measured():
    """A hot lesion with a gradient in a liver, blurred; not symmetric."""
    inside = np.clip(0.5 - DISTANCE_MM / 2.5, 0, 1)
    hot = 5.0 + 0.12 * (AXES[0] - CENTRE_MM[0]) + 0.05 * AXES[2]
    truth = inside[0] * hot + (inside[1] - inside[0]) * (1.0 + 0.004 * AXES[1])
    return ndimage.gaussian_filter(truth, FWHM_MM / 2.3548 / 2.5).astype(np.float32)


IMAGE = measured()


def exact(dose_gy, weight, fraction):
    """Mean or D_x by NumPy only, from the sorted voxels."""
    dose, part = np.asarray(dose_gy, np.float64).ravel(), np.asarray(weight, np.float64).ravel()
    if fraction is None:
        return float((dose * part).sum() / part.sum())
    order = np.argsort(-dose)
    middle = np.cumsum(part[order]) - 0.5 * part[order]
    return float(np.interp(fraction * part.sum(), middle, dose[order]))


def displaced(estimate, field_mm, argument, fraction, *, contour=0, step_mm=1.0):
    """Change per mm if a contour is really displaced outward, and the estimate is repeated."""
    values = []
    for sign in (1.0, -1.0):
        moved = DISTANCE_MM.copy()
        moved[contour] -= sign * step_mm * field_mm
        dose, tissue = estimate(moved, argument)
        values.append(exact(dose, tissue[0], fraction))
    return (values[0] - values[1]) / (2 * step_mm)


def bump(direction):
    """A displacement of 1 mm at the surface in a direction, with an area of 1 cm2."""
    unit = np.asarray(direction, float) / np.linalg.norm(direction)
    at = np.asarray(CENTRE_MM) + RADIUS_MM * unit
    # The same for all points on a normal of the surface.
    foot = [c + RADIUS_MM * (a - c) / np.maximum(AWAY_MM, 1e-6) for a, c in zip(AXES, CENTRE_MM, strict=True)]
    squared = sum((a - c) ** 2 for a, c in zip(foot, at, strict=True))
    voxel = tuple(np.rint(at / 2.5 + (np.asarray(SHAPE) - 1) / 2).astype(int))
    return np.exp(-squared / (2 * 100.0 / (2 * np.pi))), voxel


DIRECTIONS = [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, 0, -1), (1, 1, 1), (-1, 0.4, 0.7)]


@pytest.mark.slow
def test_a_fixed_dose_has_the_closed_form():
    # The dose depends on the distance from the centre: every point of the surface counts the same.
    dose = (50.0 + 0.5 * AWAY_MM**2).astype(np.float32)
    found = uncertainty.contour_sensitivity(fixed, DISTANCE_MM, SPACING_MM, [MEAN], args=(dose,))
    mean, edge = 50.0 + 0.3 * RADIUS_MM**2, 50.0 + 0.5 * RADIUS_MM**2
    per_mm2 = (edge - mean) / VOLUME_MM3
    assert found.value_gy[0] == pytest.approx(mean, rel=0.02)
    assert found.area_mm2[0] == pytest.approx(AREA_MM2, rel=0.02)
    assert found.contour_gy_per_mm[0, 0] == pytest.approx(per_mm2 * AREA_MM2, rel=0.03)
    assert found.contour_gy_per_mm[0, 1] == 0.0  # the dose is fixed: the contour of the liver does not matter
    near = np.abs(LESION) < 1.0
    assert found.patch_gy_per_mm[0][near] == pytest.approx(np.full(near.sum(), 100.0 * per_mm2), rel=0.12)
    assert found.half_area_fraction[0] == pytest.approx(0.5, abs=0.02)


def test_d70_of_a_fixed_dose_has_the_closed_form():
    # Falling from the centre: D70 is the dose on the sphere of 70 % of the volume, and moves with it.
    dose = (200.0 - 0.5 * AWAY_MM**2).astype(np.float32)
    found = uncertainty.contour_sensitivity(fixed, DISTANCE_MM, SPACING_MM, [D70], args=(dose,))
    # r70 = R 0.7^(1/3), so that dD70/dR = -r70 0.7^(1/3).
    wanted = -RADIUS_MM * 0.7 ** (2 / 3)
    assert found.value_gy[0] == pytest.approx(200.0 - 0.5 * (RADIUS_MM * 0.7 ** (1 / 3)) ** 2, rel=0.01)
    assert found.contour_gy_per_mm[0, 0] == pytest.approx(wanted, rel=0.08)


def test_the_part_that_decides_half_of_a_linear_dose():
    # On a sphere |cos| is uniform between 0 and 1: its upper half of the sum begins at 1 / sqrt(2).
    dose = (100.0 + 2.0 * (AXES[0] - CENTRE_MM[0])).astype(np.float32)
    found = uncertainty.contour_sensitivity(fixed, DISTANCE_MM, SPACING_MM, [MEAN], args=(dose,))
    assert found.half_area_fraction[0] == pytest.approx(1 - np.sqrt(0.5), abs=0.02)
    one_side = 2.0 * RADIUS_MM * np.pi * RADIUS_MM**2 / VOLUME_MM3
    assert abs(found.contour_gy_per_mm[0, 0]) < 0.02 * one_side  # both sides cancel
    marked = (np.abs(found.patch_gy_per_mm[0]) >= found.half_gy_per_mm[0]) & (np.abs(LESION) < 1.0)
    assert np.abs((AXES[0] - CENTRE_MM[0])[marked]).min() > 0.6 * RADIUS_MM


@pytest.mark.parametrize("metric", [MEAN, D70])
@pytest.mark.parametrize("estimate", [fixed, corrected])
@pytest.mark.slow
def test_patches_that_are_really_displaced(estimate, metric):
    argument = IMAGE if estimate is corrected else np.asarray(corrected(DISTANCE_MM, IMAGE)[0])
    found = uncertainty.contour_sensitivity(estimate, DISTANCE_MM, SPACING_MM, [metric], args=(argument,))
    predicted, real = [], []
    for direction in DIRECTIONS:
        field, voxel = bump(direction)
        predicted.append(found.patch_gy_per_mm[0][voxel])
        steps = (0.4, 0.7, 1.0)  # their mean: D_x of sorted voxels is a staircase of the contour's position
        real.append(np.mean([displaced(estimate, field, argument, metric.volume_fraction, step_mm=s) for s in steps]))
    error = np.sqrt(np.mean(np.subtract(predicted, real) ** 2))
    assert error < (0.1 if metric is MEAN else 0.3) * np.sqrt(np.mean(np.square(real)))
    assert stats.pearsonr(predicted, real).statistic > 0.9


@pytest.mark.parametrize("metric", [MEAN, D70])
@pytest.mark.slow
def test_whole_contours_that_are_really_displaced(metric):
    found = uncertainty.contour_sensitivity(corrected, DISTANCE_MM, SPACING_MM, [metric], args=(IMAGE,))
    everywhere = np.ones(SHAPE)
    for contour in (0, 1):
        real = displaced(corrected, everywhere, IMAGE, metric.volume_fraction, contour=contour, step_mm=0.5)
        assert found.contour_gy_per_mm[0, contour] == pytest.approx(real, rel=0.06)
    # The chain matters: with the dose held fixed the same contour has another effect.
    dose = np.asarray(corrected(DISTANCE_MM, IMAGE)[0])
    held = uncertainty.contour_sensitivity(fixed, DISTANCE_MM, SPACING_MM, [metric], args=(dose,))
    assert abs(held.contour_gy_per_mm[0, 0] / found.contour_gy_per_mm[0, 0] - 1) > 0.1


@pytest.mark.slow
def test_contours_that_are_really_translated():
    found = uncertainty.contour_sensitivity(corrected, DISTANCE_MM, SPACING_MM, [MEAN, D70], args=(IMAGE,))
    real = np.zeros((2, 3))
    for axis, row in np.ndindex(3, 2):
        values = []
        for step_mm in (0.75, -0.75):
            to = [step_mm if a == axis else 0.0 for a in range(3)]
            centre = np.add(CENTRE_MM, to)
            lesion = np.sqrt(sum((a - c) ** 2 for a, c in zip(AXES, centre, strict=True))) - RADIUS_MM
            liver = np.sqrt(sum((a - c) ** 2 for a, c in zip(AXES, to, strict=True))) - 40.0
            dose, tissue = corrected(np.stack([lesion, liver]).astype(np.float32), IMAGE)
            values.append(exact(dose, tissue[0], (None, 0.7)[row]))
        real[row, axis] = (values[0] - values[1]) / 1.5
    for row in range(2):
        assert found.region_gy_per_mm[row, 0] == pytest.approx(real[row], abs=0.2 * np.abs(real[row]).max())
        assert np.argmax(np.abs(found.region_gy_per_mm[row, 0])) == np.argmax(np.abs(real[row]))


def test_a_translated_image_is_the_opposite_translation_of_the_contours():
    found = uncertainty.contour_sensitivity(corrected, DISTANCE_MM, SPACING_MM, [MEAN], args=(IMAGE,))
    values = []
    for voxels in (0.3, -0.3):  # other code: SciPy's splines
        dose, tissue = corrected(DISTANCE_MM, ndimage.shift(IMAGE, (-voxels, 0.0, 0.0), order=3, mode="nearest"))
        values.append(exact(dose, tissue[0], None))
    assert found.region_gy_per_mm[0, 0, 0] == pytest.approx((values[0] - values[1]) / (0.6 * 2.5), rel=0.2)


@pytest.mark.slow
def test_regions_that_divide_space_add_up_to_the_translation():
    left = np.broadcast_to((AXES[0] > CENTRE_MM[0]).astype(np.float32), SHAPE)
    found = uncertainty.contour_sensitivity(
        corrected, DISTANCE_MM, SPACING_MM, [MEAN], args=(IMAGE,), regions=np.stack([left, 1 - left, np.ones(SHAPE)])
    )
    parts = found.region_gy_per_mm[0]
    assert parts[0] + parts[1] == pytest.approx(parts[2], abs=1e-3 * float(np.abs(parts).max()))
    # Moving the hot side of the surface outward is what a shift of the left part along x does.
    assert parts[0, 0] * parts[1, 0] < 0


@pytest.mark.parametrize("fraction", [None, 0.3, 0.7, 0.9])
@pytest.mark.slow
def test_derivatives_of_a_metric_against_differences_of_sorted_voxels(fraction):
    random = np.random.default_rng(7)
    # Smooth as a dose: a voxel contains only the doses next to its own.
    noise = ndimage.gaussian_filter(random.normal(0.0, 1.0, (40, 40, 40)), 4.0)
    dose = (100.0 * np.exp(0.5 * noise / noise.std())).astype(np.float32)
    weight = random.uniform(0.0, 1.0, dose.shape).astype(np.float32)
    slope = mean_slope(dose, weight) if fraction is None else dose_at_volume_slope(dose, weight, fraction)
    assert float(slope.value_gy) == pytest.approx(exact(dose, weight, fraction), rel=0.03)
    more = 0.02 * (dose / 100.0) ** 1.5  # higher doses rise more
    heavier = 0.05 * weight * (dose > np.median(dose))
    for change_dose, change_weight in ((more, 0.0), (0.0, heavier)):
        real = exact(dose + change_dose, weight + change_weight, fraction) - exact(dose, weight, fraction)
        predicted = float((slope.by_dose * change_dose).sum() + (slope.by_weight * change_weight).sum())
        assert predicted == pytest.approx(real, rel=0.15)


def test_a_uniform_dose_depends_on_no_contour():
    dose = np.full(SHAPE, 120.0, np.float32)
    found = uncertainty.contour_sensitivity(fixed, DISTANCE_MM, SPACING_MM, [MEAN, D70], args=(dose,))
    assert found.value_gy == pytest.approx([120.0, 120.0], rel=1e-3)
    assert np.abs(found.contour_gy_per_mm).max() < 0.01


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": []}, "metrics: empty"),
        ({"metrics": [ContourMetric(voi=2, contour=0)]}, "VOI 2 and contour 0, but there are 2 and 2"),
        ({"metrics": [ContourMetric(voi=0, contour=5)]}, "contour 5"),
        ({"spacing_mm": np.array([2.0, 0.0, 2.0])}, "spacing_mm: expected three numbers above 0"),
        ({"distance_mm": np.where(LIVER > 30, np.nan, DISTANCE_MM)}, "distance_mm: contains NaN"),
        ({"patch_mm2": -1.0}, "patch_mm2: expected an area above 0"),
        ({"regions": np.ones((1, 3, 3, 3), np.float32)}, "regions: expected the grid"),
    ],
)
def test_what_is_refused(changes, message):
    given = {"distance_mm": DISTANCE_MM, "spacing_mm": SPACING_MM, "metrics": [MEAN]} | changes
    first = [given.pop(name) for name in ("distance_mm", "spacing_mm", "metrics")]
    with pytest.raises(InputError, match=message):
        uncertainty.contour_sensitivity(fixed, *first, args=(np.ones(SHAPE, np.float32),), **given)


@pytest.mark.parametrize("fraction", [0.0, 1.0, 70.0, float("nan")])
def test_a_volume_fraction_is_no_percentage(fraction):
    with pytest.raises(InputError, match="volume_fraction: expected a number between 0 and 1"):
        ContourMetric(voi=0, contour=0, volume_fraction=fraction)
