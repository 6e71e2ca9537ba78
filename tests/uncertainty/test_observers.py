"""The variation between contours, against random displacements of known size and correlation."""

import numpy as np
import pytest
from scipy import ndimage

from sirtjax import uncertainty
from sirtjax.errors import InputError

SPACING = (1.5, 1.5, 3.0)
SHAPE = (60, 60, 34)
AXES = np.meshgrid(*((np.arange(n) - n / 2) * s for n, s in zip(SHAPE, SPACING, strict=True)), indexing="ij")
RADIUS = np.sqrt(sum(axis**2 for axis in AXES))


def observers(count, *, size_mm, filter_mm, seed, radius_mm=26.0):
    """Spheres displaced by filtered noise: the correlation at h is exp(-h^2 / (4 filter^2))."""
    random = np.random.default_rng(seed)
    masks = []
    for _ in range(count):
        field = ndimage.gaussian_filter(
            random.standard_normal([3 * n for n in SHAPE]), [filter_mm / s for s in SPACING]
        )
        field = field / field.std()
        field = field[tuple(slice(n, 2 * n) for n in SHAPE)]
        masks.append(radius_mm + size_mm * field > RADIUS)
    return masks


@pytest.mark.parametrize(("size_mm", "filter_mm"), [(1.6, 6.0), (2.5, 10.0)])
@pytest.mark.slow
def test_size_and_correlation_are_found(size_mm, filter_mm):
    found = [
        uncertainty.contour_variation(observers(6, size_mm=size_mm, filter_mm=filter_mm, seed=seed), SPACING)
        for seed in range(5)
    ]
    assert np.sqrt(np.mean([one.size_mm**2 for one in found])) == pytest.approx(size_mm, rel=0.15)
    # Both correlations are one half at this distance; that of the lattice at 0.75 of its length.
    half_mm = 2.0 * filter_mm * np.sqrt(np.log(2.0))
    assert np.median([one.correlation_mm for one in found]) * 0.75 == pytest.approx(half_mm, rel=0.3)


def test_the_correlation_is_that_of_the_simulations():
    random = np.random.default_rng(1)
    lattice = random.standard_normal((400, 9, 2, 2)).astype(np.float32)
    field = np.asarray(uncertainty.boundary_field(lattice, (161, 2, 2)))[:, :, 0, 0]
    # Nodes are 20 voxels apart.
    for lag in (8, 16, 24):
        expected = np.mean(field[:, lag:] * field[:, :-lag]) / np.mean(field**2)
        assert float(uncertainty._observers._correlation(np.array([lag / 20]))[0]) == pytest.approx(expected, abs=0.06)


def test_equal_contours_do_not_vary():
    mask = RADIUS < 25.0
    assert uncertainty.contour_variation([mask, mask, mask], SPACING).size_mm < 1e-9


def test_contours_of_different_radius_are_correlated_everywhere():
    masks = [radius > RADIUS for radius in (23.0, 25.0, 27.0, 29.0)]
    found = uncertainty.contour_variation(masks, SPACING)
    assert found.size_mm == pytest.approx(np.std([23, 25, 27, 29], ddof=1), rel=0.1) and found.correlation_mm > 40.0


def test_noise_of_single_voxels_is_no_displacement():
    random = np.random.default_rng(4)
    masks = [RADIUS + random.uniform(-1.0, 1.0, SHAPE) < 25.0 for _ in range(5)]
    assert uncertainty.contour_variation(masks, SPACING).size_mm < 0.35


def test_what_must_not_pass():
    mask = RADIUS < 25.0
    for masks, words in (
        ([mask], "at least two"),
        ([mask, mask[1:]], "expected one grid"),
        ([mask, mask & False], "no voxels"),
        ([RADIUS < 2.0, RADIUS < 2.5], "too few"),
    ):
        with pytest.raises(InputError, match=words):
            uncertainty.contour_variation(masks, SPACING)
