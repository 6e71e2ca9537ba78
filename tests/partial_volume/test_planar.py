"""Counts of planar regions without blur: against closed forms of blurred plates, and unusable input."""

import math

import numpy as np
import pytest
from scipy.special import erf

from sirtjax import partial_volume as pv
from sirtjax.errors import InputError

PIXEL_MM = 4.0
SHAPE = (100, 80)
SIGMA_PER_FWHM = 1 / math.sqrt(8 * math.log(2))


def edge(u, sigma, ramp_mm):
    """Integral up to u of a ramp from 0 (at 0) to 1 (at ramp_mm), blurred by a Gaussian: closed form with erf."""

    def twice(x):  # second antiderivative of the normal distribution function
        below, density = (1 + erf(x / sigma / math.sqrt(2))) / 2, np.exp(-0.5 * (x / sigma) ** 2)
        return ((x * x + sigma * sigma) * below + sigma * x * density / math.sqrt(2 * math.pi)) / 2

    return (twice(u) - twice(u - ramp_mm)) / ramp_mm


def profile(first, last, length, fwhm_mm, ramp_mm):
    """Counts per pixel of a plate between two positions whose thickness falls to 0 over `ramp_mm` inside of it."""
    edges, sigma = np.arange(length + 1) * PIXEL_MM, max(fwhm_mm, 1e-3) * SIGMA_PER_FWHM
    return np.diff(edge(edges - first, sigma, ramp_mm) - edge(edges - last + ramp_mm, sigma, ramp_mm))


def plates(fwhm_mm, *, ramp_mm=20.0, lung=0.01):
    """A view of liver below lungs that share a border, and the true counts of both."""
    first, second = (profile(80.0, 320.0, 100, width, ramp_mm) for width in (fwhm_mm, 0.0))
    liver = np.outer(first, profile(80.0, 160.0, 80, fwhm_mm, ramp_mm))
    lungs = lung * np.outer(profile(40.0, 360.0, 100, fwhm_mm, ramp_mm), profile(160.0, 280.0, 80, fwhm_mm, ramp_mm))
    regions = np.zeros((3, *SHAPE), bool)
    regions[0, 10:90, 40:70], regions[1, 20:80, 20:40] = True, True
    regions[2] = ~regions[:2].any(axis=0)
    true = [lung * (320.0 - ramp_mm) * (120.0 - ramp_mm), second.sum() * (80.0 - ramp_mm)]
    return 1000 * (liver + lungs), regions, 1000 * np.array(true)


@pytest.mark.parametrize("fwhm_mm", [9.0, 15.0])
@pytest.mark.parametrize("lung", [0.005, 0.02])
def test_blurred_plates_in_closed_form(fwhm_mm, lung):
    view, regions, true = plates(fwhm_mm, lung=lung)
    found = pv.unblurred_region_counts(view, regions, (PIXEL_MM, PIXEL_MM), fwhm_mm)
    measured = np.array([view[region].sum() for region in regions])
    assert found[:2] == pytest.approx(true, rel=0.02)
    if lung < 0.01:  # the blur of the liver is a large part of the counts of the lungs
        assert measured[0] > (1.1 if fwhm_mm < 10 else 1.4) * true[0]
    # Without the rest, which is empty and can only become too large, the counts are those of the view.
    assert found[:2].sum() == pytest.approx(view.sum(), rel=2e-3)


def test_a_wrong_resolution_corrects_too_little_or_too_much():
    view, regions, true = plates(12.0, lung=0.005)
    narrow, right, wide = (
        pv.unblurred_region_counts(view, regions, (PIXEL_MM, PIXEL_MM), 12.0 * scale)[0] for scale in (0.8, 1.0, 1.2)
    )
    assert narrow > 1.02 * true[0] > wide and right == pytest.approx(true[0], rel=0.02)


def test_sharp_edges_are_corrected_in_part_and_never_too_much():
    view, regions, true = plates(9.0, ramp_mm=1e-3, lung=0.01)
    measured = view[regions[0]].sum()
    found = pv.unblurred_region_counts(view, regions, (PIXEL_MM, PIXEL_MM), 9.0)[0]
    assert true[0] < found < measured - 0.5 * (measured - true[0])


def test_pixels_of_two_sizes():
    view, regions, _ = plates(12.0)
    fine, masks = np.repeat(view, 2, axis=0) / 2, np.repeat(regions, 2, axis=1)
    found = pv.unblurred_region_counts(fine, masks, (PIXEL_MM / 2, PIXEL_MM), 12.0)
    coarse = pv.unblurred_region_counts(view, regions, (PIXEL_MM, PIXEL_MM), 12.0)
    swapped = pv.unblurred_region_counts(fine, masks, (PIXEL_MM, PIXEL_MM / 2), 12.0)
    # Repeated pixels are a little more blurred than pixels of half the size.
    assert found[:2] == pytest.approx(coarse[:2], rel=0.015)
    assert not 0.8 < swapped[0] / coarse[0] < 1.2


def test_a_small_blur_changes_nothing_and_views_without_counts_have_none():
    view, regions, _ = plates(9.0)
    found = pv.unblurred_region_counts(view, regions, (PIXEL_MM, PIXEL_MM), 0.01)
    assert found == pytest.approx([view[region].sum() for region in regions], rel=1e-9)
    assert pv.unblurred_region_counts(0 * view, regions, (4.0, 4.0), 9.0).tolist() == [0.0, 0.0, 0.0]


def test_counts_that_the_liver_explains_leave_none():
    view, regions, _ = plates(15.0, lung=0.0)
    lungs, liver, _ = pv.unblurred_region_counts(view, regions, (PIXEL_MM, PIXEL_MM), 18.0)
    assert 0.0 <= lungs < 1e-3 * liver


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fwhm_mm": 0.0}, "fwhm_mm: 0, expected above 0"),
        ({"fwhm_mm": -9.0}, "fwhm_mm: -9"),
        ({"fwhm_mm": float("nan")}, "fwhm_mm: nan"),
        ({"fwhm_mm": 1e4}, "below the extent of the view, 320 mm"),
        ({"spacing_mm": (4.0, 0.0)}, "spacing_mm: .* expected two positive distances"),
        ({"spacing_mm": (4.0, 4.0, 4.0)}, "spacing_mm"),
        ({"view": np.full(SHAPE, np.inf)}, "view: .* finite counts"),
        ({"view": np.ones((*SHAPE, 2))}, "view: shape"),
        ({"regions": np.ones((2, *SHAPE), bool)}, "regions: they overlap"),
        ({"regions": np.ones((1, 4, 4), bool)}, "regions: shape"),
    ],
)
def test_unusable_input_is_refused(change, message):
    view, regions, _ = plates(9.0)
    table = {"view": view, "regions": regions, "spacing_mm": (4.0, 4.0), "fwhm_mm": 9.0} | change
    with pytest.raises(InputError, match=message):
        pv.unblurred_region_counts(**table)
