"""The uncertainty of a contour from probabilities, against contours that are really displaced."""

import numpy as np
import pytest
from scipy import ndimage

from sirtjax import uncertainty
from sirtjax.errors import InputError

SPACING = (1.5, 1.5, 3.0)
SHAPE = (56, 56, 30)
AXES = np.meshgrid(*((np.arange(n) - n / 2) * s for n, s in zip(SHAPE, SPACING, strict=True)), indexing="ij")
RADIUS = np.sqrt(sum(axis**2 for axis in AXES))


@pytest.mark.parametrize("size_mm", [1.0, 2.5])
def test_the_fraction_of_displaced_contours_is_such_a_probability(size_mm):
    # No formula: 400 contours with smooth random displacements, and the fraction of them around each voxel.
    random = np.random.default_rng(3)
    inside = np.zeros(SHAPE)
    for _ in range(400):
        field = ndimage.gaussian_filter(random.standard_normal(SHAPE), [8.0 / s for s in SPACING], mode="wrap")
        inside += 28.0 + size_mm * field / field.std() > RADIUS
    found = uncertainty.probability_variation(inside / 400, SPACING)
    assert found == pytest.approx(size_mm, rel=0.08)


def test_certainty_far_from_the_contour_does_not_count():
    certain = np.where(RADIUS < 20.0, 1.0, 0.0)
    faint = ndimage.gaussian_filter(certain, [1.0 / s for s in SPACING])
    distant = np.where(RADIUS > 42.0, 0.2, faint)
    assert uncertainty.probability_variation(distant, SPACING) == uncertainty.probability_variation(faint, SPACING)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.where(RADIUS < 20.0, 1.0, 0.0), "not a mask"),
        (np.full(SHAPE, 0.3), "no contour at 0.5"),
        (np.where(RADIUS < 20.0, 255.0, 0.0), "from 0 to 1"),
        (np.where(RADIUS < 20.0, np.nan, 0.0), "from 0 to 1"),
    ],
)
def test_what_is_refused(values, words):
    with pytest.raises(InputError, match=words):
        uncertainty.probability_variation(values, SPACING)
