import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Outline

from sirtjax.dicom.rtstruct._between import between
from sirtjax.dicom.rtstruct._fill import fill_plane, fill_polygon


def box(low, high):
    (a, b), (c, d) = low, high
    return np.array([(a, b), (c, b), (c, d), (a, d)], float)


def test_square_by_hand():
    expected = np.zeros((5, 4), bool)
    expected[1:4, 1:3] = True
    np.testing.assert_array_equal(fill_polygon(box((0.5, 0.5), (3.5, 2.5)), (5, 4)), expected)


def test_edges_on_pixel_centres_belong_to_the_low_side():
    mask = fill_polygon(box((1, 1), (4, 3)), (6, 6))
    assert mask.sum() == 3 * 2 and mask[1:4, 1:3].all()
    nearly = fill_polygon(box((1 + 1e-9, 1 - 1e-9), (4 + 1e-9, 3 - 1e-9)), (6, 6))
    np.testing.assert_array_equal(nearly, mask)


def test_polygons_sharing_an_edge_share_no_pixel():
    whole = fill_polygon(box((0, 0), (9, 9)), (12, 12))
    lower = fill_polygon(np.array([(0, 0), (9, 0), (9, 9)], float), (12, 12))
    upper = fill_polygon(np.array([(0, 0), (9, 9), (0, 9)], float), (12, 12))
    assert not (lower & upper).any()
    np.testing.assert_array_equal(lower | upper, whole)


def test_parts_outside_the_grid_are_cut_off():
    assert fill_polygon(box((-50, -1e6), (2.5, 1e6)), (5, 4)).sum() == 3 * 4
    assert not fill_polygon(box((7, 7), (9, 9)), (5, 4)).any()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_same_pixels_as_an_independent_program(seed):
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 30)))
    radius = rng.uniform(2, 14, angles.size)
    polygon = np.stack([12 + radius * np.cos(angles), 9 + radius * np.sin(angles)], axis=1)
    shape = (25, 19)
    centres = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 2)
    closed = np.concatenate([polygon, polygon[:1]])
    expected = Outline(closed, closed=True).contains_points(centres).reshape(shape)
    np.testing.assert_array_equal(fill_polygon(polygon, shape), expected)


def test_filled_area_is_the_area_on_average():
    rng = np.random.default_rng(1)
    triangle = np.array([(4, 3), (11, 5), (6, 12)], float)
    area = 0.5 * abs(7 * 9 - 2 * 2)
    counts = [fill_polygon(triangle + rng.uniform(0, 1, 2), (16, 16)).sum() for _ in range(400)]
    assert np.mean(counts) == pytest.approx(area, rel=0.01)


def test_keyhole_leaves_its_hole_and_no_trace_of_the_channel():
    outer, inner = box((0.5, 0.5), (9.5, 9.5)), box((3.5, 3.5), (6.5, 6.5))
    keyhole = np.concatenate([outer, outer[:1], inner[[0, 3, 2, 1]], inner[:1]])
    expected = fill_polygon(outer, (11, 11)) & ~fill_polygon(inner, (11, 11))
    assert expected.sum() == 81 - 9
    np.testing.assert_array_equal(fill_polygon(keyhole, (11, 11)), expected)


def test_nested_contours_are_hole_and_island():
    contours = [box((4.5, 4.5), (6.5, 6.5)), box((0.5, 0.5), (10.5, 10.5)), box((2.5, 2.5), (8.5, 8.5))]
    for exclusive_or in (False, True):
        mask = fill_plane(contours, (12, 12), exclusive_or=exclusive_or)
        assert mask.sum() == 100 - 36 + 4 and mask[5, 5] and not mask[3, 3]


def test_overlapping_pieces_join_unless_exclusive():
    contours = [box((0.5, 0.5), (6.5, 6.5)), box((4.5, 4.5), (9.5, 9.5))]
    assert fill_plane(contours, (12, 12), exclusive_or=False).sum() == 36 + 25 - 4
    assert fill_plane(contours, (12, 12), exclusive_or=True).sum() == 36 + 25 - 8


def test_a_contour_given_twice_counts_once():
    square = box((0.5, 0.5), (6.5, 6.5))
    twice = [square, np.roll(square, 1, axis=0)[::-1]]
    assert fill_plane(twice, (12, 12), exclusive_or=False).sum() == 36
    assert fill_plane(twice, (12, 12), exclusive_or=True).sum() == 0


def disc(radius, centre=(20.0, 20.0), shape=(48, 40)):
    i, j = np.indices(shape)
    return np.hypot(i - centre[0], j - centre[1]) < radius


def test_between_two_discs_the_radius_changes_evenly():
    near, far = (disc(radius, (50.3, 48.6), (101, 99)) for radius in (20, 40))
    shapes = between(near, far, (1.0, 1.0))
    for fraction in (0.25, 0.5, 0.75):
        assert shapes.at(fraction).sum() == pytest.approx(np.pi * (20 + 20 * fraction) ** 2, rel=0.01)


def test_a_piece_or_hole_without_counterpart_keeps_its_shape_for_half_the_gap():
    both = disc(8) | disc(3, (38.0, 10.0))
    shapes = between(both, disc(8), (1.0, 1.0))
    np.testing.assert_array_equal(shapes.at(0.49), both)
    np.testing.assert_array_equal(shapes.at(0.51), disc(8))
    holed = disc(8) & ~disc(3)
    shapes = between(disc(8), holed, (1.0, 1.0))
    np.testing.assert_array_equal(shapes.at(0.49), disc(8))
    np.testing.assert_array_equal(shapes.at(0.51), holed)


def test_points_between_planes_agree_with_pixels():
    shapes = between(disc(6) | disc(3, (38.0, 10.0)), disc(11, (23.0, 19.0)) & ~disc(2, (23.0, 19.0)), (1.0, 2.0))
    pixels = np.indices((48, 40)).reshape(2, -1).astype(float)
    for fraction in (0.2, 0.7):
        inside = shapes.at_points(pixels, np.full(pixels.shape[1], fraction))
        np.testing.assert_array_equal(inside.reshape(48, 40), shapes.at(fraction))
