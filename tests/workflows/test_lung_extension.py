"""Counts of lungs that the image shows in part, against those of whole lungs: blur of the liver is not multiplied."""

import numpy as np
import pytest
from scipy import ndimage

from sirtjax.workflows._lung_extension import whole_lung_counts

MM = 4.0
SHAPE, DOME, TOP = (12, 12, 80), 25, 70
HEIGHT = np.broadcast_to(np.arange(SHAPE[2]), SHAPE)
LIVER, LUNGS = ((HEIGHT < DOME), (HEIGHT >= DOME) & (HEIGHT < TOP))


def image(lung):
    """A liver of 100 per voxel under lungs, blurred with 15 mm FWHM."""
    sharp = np.where(LIVER, 100.0, np.where(LUNGS, lung, 0.0))
    return ndimage.gaussian_filter1d(sharp, 15.0 / 2.3548 / MM, axis=2, mode="nearest").astype(np.float32)


def whole(counts, shown, seen_fraction):
    lungs = (LUNGS & shown).astype(np.float32)
    return whole_lung_counts(counts * lungs, lungs, LIVER.astype(np.float32), (MM, MM, MM), seen_fraction=seen_fraction)


@pytest.mark.parametrize("lung", [0.5, 3.0])
@pytest.mark.parametrize("last", [40, 50, 60])
def test_the_rest_has_the_mean_of_lung_without_blurred_liver(lung, last):
    counts, shown = image(lung), last > HEIGHT
    seen_fraction = (last - DOME) / (TOP - DOME)
    expected = float(counts[LUNGS].sum())
    assert whole(counts, shown, seen_fraction) == pytest.approx(expected, rel=0.04)
    by_volume = float(counts[LUNGS & shown].sum()) / seen_fraction
    assert by_volume > expected * (1.2 if lung < 1 else 1.03)


def test_whole_lungs_are_what_the_image_shows():
    counts = image(3.0)
    assert whole(counts, SHAPE[2] > HEIGHT, 1.0) == pytest.approx(float(counts[LUNGS].sum()), rel=1e-6)


def test_lung_at_the_liver_only_is_extended_by_volume():
    counts, shown = image(3.0), HEIGHT < DOME + 4
    assert whole(counts, shown, 4 / 45) == pytest.approx(float(counts[LUNGS & shown].sum()) * 45 / 4, rel=1e-5)
