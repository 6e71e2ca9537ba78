"""Colours of a registration's pictures by hand-computed pixels."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from sirtjax.reports._registration_paint import (
    FOLDED,
    RATIO_STOPS,
    checkerboard,
    grey_window,
    greys,
    neutral,
    png_uri,
    ratio_colours,
    tinted,
)


def test_a_ct_has_the_soft_tissue_window_and_others_their_percentiles():
    values = np.concatenate([np.zeros(500), np.linspace(100, 1100, 1001)]).astype(np.float32)
    assert grey_window(values, "HU") == (-110.0, 190.0)
    low, high = grey_window(values, "1")  # the background of zeros does not count
    assert low == pytest.approx(110, abs=1) and high == pytest.approx(1095, abs=1)
    assert grey_window(np.full(9, 4.0, np.float32), "1") == (4.0, 5.0)


def test_greys_go_from_0_to_1_and_no_further():
    values = np.array([[-200.0, -110, 40, 190, 900]])
    np.testing.assert_allclose(greys(values, (-110.0, 190.0)), [[0, 0, 0.5, 1, 1]])


def test_tiles_take_turns_and_the_first_is_the_references():
    reference, floating = np.full((40, 60), 0.2, np.float32), np.full((40, 60), 0.8, np.float32)
    board = checkerboard(reference, floating, 3.0)  # tiles of 30 mm are ten pixels
    np.testing.assert_array_equal(board[0, 0], neutral(reference)[0, 0])
    np.testing.assert_array_equal(board[9, 9], board[0, 0])
    np.testing.assert_array_equal(board[0, 10], tinted(floating)[0, 0])
    np.testing.assert_array_equal(board[10, 0], board[0, 10])
    np.testing.assert_array_equal(board[10, 10], board[0, 0])
    assert board[0, 10, 0] == 204 and board[0, 10, 2] < board[0, 10, 1] < 204


def test_the_scale_of_ratios_is_centred_at_1_and_logarithmic():
    ratio = np.array([[1.0, 2 / 3, 1.5, 0.1, 9.0, 0.0, -0.5]], np.float32)
    colours = ratio_colours(ratio)[0]
    np.testing.assert_allclose(colours[0].astype(int), RATIO_STOPS[2], atol=1)
    np.testing.assert_allclose(colours[1].astype(int), RATIO_STOPS[0], atol=1)
    np.testing.assert_allclose(colours[2].astype(int), RATIO_STOPS[-1], atol=1)
    np.testing.assert_array_equal(colours[3], RATIO_STOPS[0])
    np.testing.assert_array_equal(colours[4], RATIO_STOPS[-1])
    np.testing.assert_array_equal(colours[5:], [FOLDED, FOLDED])
    # Half way to either end by logarithm.
    halves = ratio_colours(np.array([[1.5**-0.5, 1.5**0.5]], np.float32))[0].astype(int)
    np.testing.assert_allclose(halves, [RATIO_STOPS[1], RATIO_STOPS[3]], atol=1)


def test_a_png_holds_the_pixels():
    colours = np.random.default_rng(1).integers(0, 256, (7, 11, 3), np.uint8)
    head, data = png_uri(colours[:, ::-1]).split(",")
    assert head == "data:image/png;base64"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), colours[:, ::-1])
