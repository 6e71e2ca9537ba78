"""Lesions and the noise of the liver: what is removed, what is retained, and when an image shows none."""

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import ndimage

from sirtjax import segmentation
from sirtjax.segmentation import LesionDetectability
from sirtjax.segmentation._lesion_detectability import detectability_flags, typical_contrast
from sirtjax.segmentation._liver_noise import Scale, liver_noise, threshold_z
from sirtjax.segmentation._visible_lesions import visible_lesions
from sirtjax.volume import Geometry, LabelMap, Volume

GRID = Geometry.from_axes((64, 60, 52), spacing_mm=(2.5, 2.5, 3.0), origin_mm=(-80, -75, 100))
LIMITS = LesionDetectability(least_contrast_hu=16.0)
CENTRE = (0, 0, 176)


def ball(centre, radius, grid=GRID):
    places = grid.to_world(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1))
    return np.linalg.norm(places - np.asarray(centre), axis=-1) < radius


LIVER = ball(CENTRE, 65)


def image(liver_hu, noise_hu, *lesions, seed=0, correlated=0.8):
    """A liver with balls of (centre, radius, contrast) in noise that is correlated between voxels."""
    hu = np.where(LIVER, float(liver_hu), -100.0)
    for centre, radius, contrast in lesions:
        hu[ball(centre, radius) & LIVER] += contrast
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(GRID.shape), correlated)
    return Volume((hu + noise / noise.std() * noise_hu).astype("f4"), GRID, unit="HU")


def darkest(volume, radius=4, count=40):
    """What a network takes for lesions if there is only noise: the darkest places of the liver."""
    smooth = ndimage.gaussian_filter(np.asarray(volume.array), 1.0)
    inside = ndimage.binary_erosion(LIVER, iterations=3)
    found = np.zeros(GRID.shape, np.uint8)
    for _ in range(count):
        lowest = np.unravel_index(np.argmin(np.where(inside & (found == 0), smooth, np.inf)), GRID.shape)
        found[ball(GRID.to_world(np.asarray(lowest)), radius) & LIVER] = 1
    return found


def seen(volume, labels, limits=LIMITS, modality="CT"):
    liver = LabelMap.from_mask(LIVER, GRID, name="liver")
    return visible_lesions(volume, labels.astype(np.uint8), liver, modality=modality, limits=limits)


@pytest.mark.parametrize("correlated", [0.6, 1.5])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_extremes_of_noise_are_removed(seed, correlated):
    volume = image(55, 25, seed=seed, correlated=correlated)
    found = darkest(volume)
    result = seen(volume, found)
    assert result.removed > 5 and not result.labels.any()
    # Without limits of the model nothing is removed, and the image is flagged for its noise alone.
    np.testing.assert_array_equal(seen(volume, found, limits=None).labels, found)


def test_lesions_of_contrast_ct_are_retained_and_noise_next_to_them_is_not():
    lesions = (((20, 10, 190), 14, -45), ((-30, -10, 160), 7, -45), ((0, 35, 170), 5, 60))
    volume = image(110, 12, *lesions)
    true = np.any([ball(centre, radius) for centre, radius, _ in lesions], axis=0)
    noise = darkest(image(110, 12, seed=0), count=12).astype(bool) & ~ndimage.binary_dilation(true, iterations=3)
    result = seen(volume, true | noise)
    np.testing.assert_array_equal(result.labels > 0, true)
    assert result.flags == () and result.removed >= 3


@pytest.mark.parametrize("fraction", [0.3, 0.5, 0.65])
@pytest.mark.slow
def test_a_liver_full_of_lesions_does_not_pass_for_noise(fraction):
    """They would inflate a standard deviation: the noise is measured without what was found."""
    random = np.random.default_rng(4)
    true = np.zeros(GRID.shape, bool)
    while true[LIVER].mean() < fraction:
        true |= ball(random.uniform(-50, 50, 3) + CENTRE, 12)
    true &= LIVER
    volume = image(110, 12)
    volume = replace(volume, array=np.asarray(volume.array) - 45.0 * true)
    result = seen(volume, true)
    assert (result.labels > 0)[true].mean() > 0.97


def test_a_low_contrast_needs_a_large_lesion():
    """The same contrast of 20 HU is beyond the noise averaged over 20 mm, not over 5 mm."""
    small, large = ((-35, 0, 176), 5, -20), ((20, 0, 176), 20, -20)
    volume = image(110, 25, small, large)
    result = seen(volume, ball(*small[:2]) | ball(*large[:2]))
    assert (result.labels > 0)[ball(*large[:2])].all() and not (result.labels > 0)[ball(*small[:2])].any()


@pytest.mark.parametrize(("liver_hu", "noise_hu", "flagged"), [(110, 12, False), (55, 25, True)])
def test_larger_components_are_removed_only_if_lesions_are_not_detectable(liver_hu, noise_hu, flagged):
    """Neither exceeds the noise; the larger one could be a lesion of low contrast if the image can show lesions."""
    small, large = ball((-35, 0, 176), 5), ball((20, 0, 176), 9)
    result = seen(image(liver_hu, noise_hu, seed=3), small | large)
    assert bool(result.flags) == flagged
    assert not (result.labels > 0)[small].any() and (result.labels > 0)[large].all() == (not flagged)
    assert result.removed == 1 + flagged


def test_the_noise_of_averages_is_that_of_many_images():
    """Balls of 9 mm in white noise: the standard deviation falls with the square root of their voxels."""
    volume = image(100, 20, correlated=0.0)
    found = liver_noise(np.asarray(volume.array), LIVER, np.zeros_like(LIVER), spacing_mm=GRID.spacing_mm)
    (scale,) = (one for one in found.scales if one.radius_mm == 9)
    expected = 20 / np.sqrt(4 / 3 * np.pi * 9**3 / np.prod(GRID.spacing_mm))
    assert scale.noise == pytest.approx(expected, rel=0.15)  # and that of the background
    assert found.noise_at(9) == pytest.approx(scale.noise) and found.median == pytest.approx(100, abs=0.5)
    assert found.noise_at(12) < found.noise_at(7)


def test_more_places_need_a_larger_contrast():
    def z(places, false_alarms=0.2):
        return threshold_z(Scale(radius_mm=6, noise=1, places=places), false_alarms=false_alarms)

    assert 3 < z(20) < z(1000) < z(20, 1e-3) + 1 < 7
    places = 400.0
    left = 2 * places / np.sqrt(2 * np.pi) * (z(places) ** 2 - 1) * np.exp(-(z(places) ** 2) / 2)
    assert left == pytest.approx(0.2)


def test_a_low_dose_ct_is_flagged_with_numbers_and_a_remedy():
    result = seen(image(55, 30, correlated=1.5), np.zeros(GRID.shape))
    (flag,) = result.flags
    assert flag.code == "lesions_not_detectable"
    assert flag.message.startswith("lesions cannot be detected in this image: one of 15 mm radius needs a contrast of")
    assert (
        "(5 times the noise), but 15 HU is typical in a liver of 54 HU (no or little contrast medium)" in flag.message
    )
    assert flag.message.endswith("segment them on the diagnostic image")


@pytest.mark.parametrize(
    ("liver", "noise", "modality", "limits", "flagged"),
    [
        (112.0, 4.5, "CT", LIMITS, False),
        (112.0, 8.5, "CT", LIMITS, True),
        (55.0, 2.5, "CT", None, False),
        (55.0, 2.5, "CT", LIMITS, True),  # below every contrast that the model was trained with
        (480.0, 15.0, "MR", LIMITS, False),
        (480.0, 40.0, "MR", LIMITS, True),
        (112.0, np.nan, "CT", LIMITS, False),
    ],
)
def test_when_lesions_are_not_detectable(liver, noise, modality, limits, flagged):
    found = detectability_flags(liver, noise, modality=modality, limits=limits)
    assert [flag.code for flag in found] == ["lesions_not_detectable"] * flagged


def test_typical_contrasts_grow_with_the_contrast_medium():
    assert [typical_contrast(liver, modality="CT") for liver in (20, 60, 90, 110, 160)] == [15, 15, 30, 40, 40]
    assert typical_contrast(500, modality="MR") == 150


def test_a_liver_beyond_the_image_or_too_small_removes_nothing():
    labels = np.zeros(GRID.shape, np.uint8)
    labels[30:33, 30:33, 25:27] = 1
    volume = image(100, 10)
    for centre, radius in (((900, 0, 0), 30), (CENTRE, 6)):
        grid = GRID if radius == 6 else Geometry.from_axes((20, 20, 20), spacing_mm=(5, 5, 5), origin_mm=(900, 0, 0))
        mask = ball(centre, radius) if radius == 6 else np.ones(grid.shape, bool)
        found = visible_lesions(
            volume, labels, LabelMap.from_mask(mask, grid, name="liver"), modality="CT", limits=LIMITS
        )
        np.testing.assert_array_equal(found.labels, labels)
        assert found.flags == ()


def test_the_bundled_model_has_limits_and_false_ones_are_refused():
    limits = segmentation.load_model("lesions").spec.detectability
    assert limits == LesionDetectability(false_alarms=0.2, least_contrast_hu=16.0)
    for wrong in ({"false_alarms": 0}, {"least_contrast_hu": -1.0}, {"noise": 3}):
        with pytest.raises(ValidationError):
            LesionDetectability(**wrong)
