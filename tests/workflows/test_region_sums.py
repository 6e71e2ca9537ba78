"""Sums over large regions of a plan against exact values."""

import numpy as np
import pytest

from sirtjax.workflows._coverage_checks import liver_fraction_away
from sirtjax.workflows._partial_volume_regions import region_means


def test_the_mean_of_a_uniform_image_of_1_5_litres_at_1_mm():
    weights = np.ones((1, 100, 120, 125), np.float32)
    image = np.full(weights.shape[1:], np.float32(0.3))
    assert region_means(weights, image)[0] == pytest.approx(float(np.float32(0.3)), rel=1e-9)


def test_the_part_of_the_counts_away_from_the_territories():
    liver, territory = np.ones((100, 120, 125), np.float32), np.zeros((100, 120, 125), np.float32)
    territory[:50] = 1.0
    counts = np.full(liver.shape, np.float32(0.3))
    # The distance to the last voxel of the territory is 20 voxels or less for 20 of 100 slices.
    found = liver_fraction_away(counts, liver, [territory], spacing_mm=(1.0, 1.0, 1.0), fwhm_mm=20.0)
    assert found == pytest.approx(0.3, rel=1e-9)
