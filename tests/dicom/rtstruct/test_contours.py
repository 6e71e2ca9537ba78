import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Outline
from scipy import ndimage

from sirtjax.dicom.rtstruct._apportion import apportioned
from sirtjax.dicom.rtstruct._contours import plane_outlines
from sirtjax.dicom.rtstruct._keyholes import polygon_area


def filled(polygons, shape):
    """How often matplotlib finds the centre of each pixel inside."""
    centres = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 2)
    count = np.zeros(shape, int)
    for polygon in polygons:
        closed = np.concatenate([polygon, polygon[:1]])
        count += Outline(closed, closed=True).contains_points(centres).reshape(shape)
    return count


def area(polygons):
    """By the shoelace formula, written out."""
    total = 0.0
    for polygon in polygons:
        for (a, b), (c, d) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            total += (a * d - c * b) / 2
    return total


SHAPES = {
    "one pixel": [[1]],
    "two": [[1, 1]],
    "touching at a corner": [[1, 0], [0, 1]],
    "a hole of one pixel": [[1, 1, 1], [1, 0, 1], [1, 1, 1]],
    "holes touching at a corner": [[1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 1]],
    "an island in a hole": np.pad(np.pad(np.pad([[1]], 1), 2, constant_values=1), 1),
    "thin and bent": [[1, 1, 1, 1, 1], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 1]],
    "filling the slice": np.ones((5, 7)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_keep_their_pixels_and_their_area(name):
    mask = np.array(SHAPES[name], float)
    outlines = plane_outlines(mask, mask)
    np.testing.assert_array_equal(filled(outlines, mask.shape), mask)
    # Where pixels touch at a corner alone, at most a 1250th of each is cut off.
    assert area(outlines) == pytest.approx(mask.sum(), rel=1e-3)
    assert area(outlines) == pytest.approx(sum(map(polygon_area, outlines)))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.05, 0.95), size=st.sampled_from([(9, 14), (25, 6)]))
def test_any_mask_keeps_its_pixels_and_its_area(seed, share, size):
    mask = np.random.default_rng(seed).random(size) < share
    outlines = plane_outlines(mask, mask)
    np.testing.assert_array_equal(filled(outlines, mask.shape), mask)
    # Where pixels touch at a corner alone, at most a 1250th of each is cut off.
    assert area(outlines) == pytest.approx(mask.sum(), rel=1e-3)


def test_a_hole_is_joined_to_its_outer_outline():
    i, j = np.mgrid[:30, :26]
    ring = (np.hypot(i - 14, j - 12) < 11) & (np.hypot(i - 12, j - 13) > 4)
    (outline,) = plane_outlines(ring, ring)
    np.testing.assert_array_equal(filled([outline], ring.shape), ring)
    # The channel: one edge run once each way.
    edges = {(*np.round(a, 9), *np.round(b, 9)) for a, b in zip(outline, np.roll(outline, -1, axis=0), strict=True)}
    assert sum((c, d, a, b) in edges for a, b, c, d in edges) == 2


def test_whole_pixels_are_outlined_halfway_to_their_neighbours():
    mask = np.zeros((40, 40))
    mask[10:30, 12:15] = 1
    (outline,) = plane_outlines(mask, mask)
    assert {tuple(point) for point in outline.tolist()} == {(9.5, 11.5), (29.5, 11.5), (29.5, 14.5), (9.5, 14.5)}


@pytest.mark.parametrize("finer", [1, 2, 3])
def test_points_of_shifted_and_finer_grids_count_the_same(finer):
    """Programs count the points of their dose's grid: as many for every pixel, wherever that grid lies."""
    i, j = np.mgrid[:24, :22]
    mask = (np.hypot(i - 11.3, j - 10.2) < 8.1) & (np.hypot(i - 9, j - 11) > 2.5)
    outlines = plane_outlines(mask, mask)
    for shift in np.random.default_rng(1).random((6, 2)):
        points = np.stack(np.mgrid[: 24 * finer, : 22 * finer], axis=-1).reshape(-1, 2) / finer - 0.5 + shift / finer
        count = sum(Outline(np.concatenate([p, p[:1]]), closed=True).contains_points(points).sum() for p in outlines)
        assert count == mask.sum() * finer**2


@pytest.mark.parametrize("sigma", [1.0, 2.5])
def test_partly_filled_pixels_keep_their_area_and_their_centres(sigma):
    rng = np.random.default_rng(3)
    fraction = np.clip(ndimage.gaussian_filter(rng.random((40, 33, 1)), (sigma, sigma, 0)) * 4 - 1.7, 0, 1)
    held = apportioned(fraction)[:, :, 0]
    outlines = plane_outlines(held, fraction[:, :, 0])
    np.testing.assert_array_equal(filled(outlines, held.shape), held > 0)
    assert area(outlines) == pytest.approx(held.sum(), rel=1e-3)
    parts = ndimage.label(fraction > 0, structure=np.ones((3, 3, 3)))[1]
    assert abs(held.sum() - fraction.sum()) <= 0.5 * parts


def test_a_disc_between_pixels_is_outlined_finer_than_them():
    """From the area that a disc takes of each pixel, its outline comes back within a tenth of a pixel."""
    fine, centre, radius = 20, np.array([10.3, 11.8]), 6.37
    places = (np.arange(24 * fine) + 0.5) / fine - 0.5
    inside = np.hypot(places[:, None] - centre[0], places[None] - centre[1]) < radius
    fraction = inside.reshape(24, fine, 24, fine).mean(axis=(1, 3))
    (outline,) = plane_outlines(apportioned(fraction[:, :, None])[:, :, 0], fraction)
    assert np.abs(np.hypot(*(outline - centre).T) - radius).max() < 0.1
    assert polygon_area(outline) == pytest.approx(np.pi * radius**2, abs=0.5)


def test_less_than_half_a_voxel_is_outlined_as_less():
    fraction = np.array([[0, 0.0, 0], [0, 0.2, 0.1], [0, 0, 0]])
    held = apportioned(fraction[:, :, None])[:, :, 0]
    (outline,) = plane_outlines(held, fraction)
    assert held.sum() == pytest.approx(0.3) and polygon_area(outline) == pytest.approx(0.3, abs=1e-6)
    assert filled([outline], fraction.shape)[1, 1] == 1


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), thin=st.floats(0.05, 1.0))
def test_whole_voxels_stand_for_filled_ones_to_half_a_voxel(seed, thin):
    """A ball in thin slices: each slice's area to a voxel, the volume to half of one, the fullest voxels first."""
    rng = np.random.default_rng(seed)
    i, j, k = np.mgrid[:14, :13, :9]
    centre = np.array([6.5, 6, 4]) + rng.random(3)
    depth = 3.1 - np.sqrt((i - centre[0]) ** 2 + (j - centre[1]) ** 2 + (k - centre[2]) ** 2)
    fraction = np.clip(depth, 0, 1) * thin
    held = apportioned(fraction)
    if fraction.sum() < 0.5:
        assert held.sum() == pytest.approx(fraction.sum()) and np.count_nonzero(held) == 1
        return
    assert set(np.unique(held)) <= {0, 1} and abs(held.sum() - fraction.sum()) <= 0.5 + 1e-9
    assert np.abs(held.sum(axis=(0, 1)) - fraction.sum(axis=(0, 1))).max() <= 1
    for plane, chosen in zip(fraction.transpose(2, 0, 1), held.transpose(2, 0, 1) > 0, strict=True):
        assert not chosen.any() or plane[chosen].min() >= plane[~chosen].max()


def test_parts_are_apportioned_each_for_itself():
    fraction = np.zeros((9, 9, 3))
    fraction[1:3, 1:3, 1] = 1
    fraction[6, 6, 1] = 0.6
    fraction[6, 2, 1] = 0.2
    expected = fraction.copy()
    expected[6, 6, 1] = 1
    np.testing.assert_array_equal(apportioned(fraction), expected)
    whole = fraction == 1
    np.testing.assert_array_equal(apportioned(whole), whole)


@pytest.mark.parametrize("name", SHAPES)
def test_no_vertex_and_no_channel_lies_on_a_line_of_centres(name):
    """There the rounding of coordinates would decide what a program that fills line by line finds inside."""
    mask = np.array(SHAPES[name], float)
    for outline in plane_outlines(mask, mask):
        assert np.abs(outline - np.rint(outline)).min() > 0.004


def test_nothing_has_no_outline():
    assert plane_outlines(np.zeros((4, 5)), np.zeros((4, 5))) == []
