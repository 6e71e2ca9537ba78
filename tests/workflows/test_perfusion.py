"""The part of a territory without uptake, on livers whose perfused part is known."""

import numpy as np
import pytest
from scipy import ndimage

from sirtjax.workflows._perfusion import cold_fractions

SPACING_MM = (4.0, 4.0, 5.0)
x_mm, y_mm, z_mm = (n * s for n, s in zip(np.indices((60, 56, 40)), SPACING_MM, strict=True))
CENTRE_MM = (120.0, 112.0, 100.0)


def ball(centre_mm, radius_mm):
    return sum((a - c) ** 2 for a, c in zip((x_mm, y_mm, z_mm), centre_mm, strict=True)) < radius_mm**2


LIVER, LESION = ball(CENTRE_MM, 75.0), ball((95.0, 90.0, 100.0), 18.0)
RIGHT = x_mm < CENTRE_MM[0]


def image(concentration, noise=0.0, shift_mm=(0.0, 0.0, 0.0)):
    """What a camera of 12 mm shows, with noise relative to normal tissue."""
    sigma = 12.0 / 2.3548 / np.array(SPACING_MM)
    shown = ndimage.shift(concentration, np.divide(shift_mm, SPACING_MM), order=1)
    shown = ndimage.gaussian_filter(shown, sigma)
    rough = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal(shown.shape), sigma / 1.5)
    return (shown + noise * rough / rough.std()).astype(np.float32)


def cold(counts, territories=None, lesions=LESION):
    territories = {"liver": LIVER} if territories is None else territories
    weights = {name: one.astype(np.float32) for name, one in territories.items()}
    return cold_fractions(counts, LIVER.astype(np.float32), weights, lesions.astype(np.float32), SPACING_MM)


@pytest.mark.parametrize("noise", [0.0, 0.15, 0.4])
@pytest.mark.parametrize("tissue", ["even", "uneven"])
def test_perfused_livers_have_none(noise, tissue):
    rough = ndimage.gaussian_filter(
        np.random.default_rng(1).standard_normal(x_mm.shape), 20.0 / 2.35 / np.array(SPACING_MM)
    )
    uptake = np.exp(0.3 * rough / rough.std()) if tissue == "uneven" else 1.0
    assert cold(image(np.where(LESION, 6.0, uptake) * LIVER, noise))["liver"] < 0.02


def test_a_misplaced_or_cold_lesion_is_no_missing_perfusion():
    active = np.where(LESION, 6.0, 1.0) * LIVER
    assert cold(image(active, shift_mm=(6.0, 6.0, 6.0)))["liver"] < 0.02
    assert cold(image(np.where(LESION, 0.0, 1.0) * LIVER))["liver"] < 0.02
    # A cold mass that is not contoured as a lesion is missing perfusion.
    mass = ball(CENTRE_MM, 35.0)
    assert cold(image(1.0 * (LIVER & ~mass)), lesions=mass)["liver"] < 0.02
    missed = cold(image(1.0 * (LIVER & ~mass)))["liver"]
    assert 0.4 < missed / (mass.sum() / ball(CENTRE_MM, 65.0).sum()) < 1.0


@pytest.mark.parametrize("fraction", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_the_part_without_activity_is_measured(fraction, noise):
    height = np.quantile(z_mm[ball(CENTRE_MM, 65.0)], fraction)
    active = np.where(LESION, 6.0, 1.0) * LIVER * (z_mm > height)
    inner = ball(CENTRE_MM, 65.0) & ~LESION
    truth = float(np.mean(z_mm[inner] <= height))
    # The blur moves the border of the activity by about half of the resolution.
    assert cold(image(active, noise))["liver"] == pytest.approx(truth, abs=0.1)


def test_fine_voxels_have_the_same_result():
    counts = image(np.where(LESION, 6.0, 1.0) * LIVER * (z_mm > CENTRE_MM[2]), 0.2)
    coarse = cold(counts)["liver"]

    def fine(values):
        for axis in range(3):
            values = np.repeat(values, 3, axis=axis)
        return np.asarray(values[1:], np.float32)  # an odd number of rows

    weights = {"liver": fine(LIVER)}
    found = cold_fractions(fine(counts), fine(LIVER), weights, fine(LESION), tuple(s / 3 for s in SPACING_MM))
    assert found["liver"] == pytest.approx(coarse, abs=0.02) and 0.3 < coarse < 0.6


def test_each_territory_has_its_own_level():
    # The left lobe got a tenth of the concentration of the right one, evenly; the right one is half perfused.
    active = np.where(RIGHT, 10.0 * (z_mm > CENTRE_MM[2]), 1.0) * LIVER
    found = cold(image(active), {"right": LIVER & RIGHT, "left": LIVER & ~RIGHT}, np.zeros_like(LESION))
    assert found["right"] == pytest.approx(0.46, abs=0.1) and found["left"] < 0.02


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_a_territory_without_any_uptake_is_no_perfused_one(noise):
    # Scatter and a wide gap leave an even 2 %, which has no cold part of its own.
    active = np.where(RIGHT, 10.0 * (x_mm < CENTRE_MM[0] - 20.0), 0.2) * LIVER
    found = cold(image(active, noise), {"right": LIVER & RIGHT, "left": LIVER & ~RIGHT}, np.zeros_like(LESION))
    assert found["left"] == 1.0 and found["right"] < 0.4
    # Beside a perfused territory, its blur is the only uptake.
    active = np.where(RIGHT, 10.0, 0.0) * LIVER
    found = cold(image(active, noise), {"right": LIVER & RIGHT, "left": LIVER & ~RIGHT}, np.zeros_like(LESION))
    assert found["left"] > 0.7 and found["right"] == 0.0
    assert cold(np.zeros(LIVER.shape, np.float32)) == {"liver": 1.0}


def test_small_territories_have_no_result():
    active = image(1.0 * LIVER)
    assert cold(active, {"segment": ball(CENTRE_MM, 14.0)}) == {}
    assert list(cold(active, {"segment": ball(CENTRE_MM, 20.0)})) == ["segment"]
