import itertools

import numpy as np
import pytest

from sirtjax import inference


@pytest.mark.parametrize(
    ("size", "tile", "overlap", "starts"),
    [
        (10, 10, 0.5, (0,)),
        (7, 10, 0.5, (0,)),
        (11, 10, 0.5, (0, 1)),
        (25, 10, 0.5, (0, 5, 10, 15)),
        (26, 10, 0.5, (0, 4, 8, 12, 16)),
        # round(n * 78 / 5) and round(n * 172 / 3)
        (110, 32, 0.5, (0, 16, 31, 47, 62, 78)),
        (300, 128, 0.5, (0, 57, 115, 172)),
        (26, 10, 0.0, (0, 8, 16)),
    ],
)
def test_tiles_are_spread_evenly_from_end_to_end(size, tile, overlap, starts):
    assert inference.tile_starts(size, tile, overlap=overlap) == starts


@pytest.mark.parametrize(("size", "tile", "overlap"), [(97, 13, 0.5), (200, 41, 0.2), (51, 50, 0.9), (64, 32, 0.25)])
def test_neighbours_overlap_enough_and_nothing_is_left_out(size, tile, overlap):
    starts = inference.tile_starts(size, tile, overlap=overlap)
    assert starts[0] == 0 and starts[-1] == size - tile
    # Rounding to whole voxels may take one from the overlap.
    assert all(b - a <= tile * (1 - overlap) + 1 for a, b in itertools.pairwise(starts))


def test_a_layout_for_a_network_that_gives_less_than_it_takes():
    layout = inference.tile_layout((30, 9, 16), (20, 16, 12), (11, 10, 12), overlap=0.0)
    assert layout.canvas_shape == (30, 10, 16)
    assert layout.image_start == (0, 0, 0)
    assert layout.margin == (4, 3, 0)
    assert layout.starts == ((0, 10, 19), (0,), (0, 4))
    assert layout.count == len(list(layout.tiles())) == 6


def test_a_small_image_lies_in_the_middle():
    layout = inference.tile_layout((5, 8, 3), (9, 8, 8), (9, 8, 8), overlap=0.5)
    assert (layout.canvas_shape, layout.image_start) == ((9, 8, 8), (2, 0, 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: inference.tile_starts(10, 5, overlap=1.0), "overlap must be from 0 to less than 1, got 1.0"),
        (lambda: inference.tile_starts(0, 5, overlap=0.5), "tiles of 5 voxels can't cover 0"),
        (lambda: inference.tile_layout((9, 9, 9), (4, 4, 4), (8, 4, 4), overlap=0.5), r"\(8, 4, 4\) voxels of \(4, 4"),
    ],
)
def test_what_makes_no_sense_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_gaussian_weights_are_those_of_a_blurred_impulse():
    from scipy import ndimage

    shape = (8, 11, 6)
    impulse = np.zeros(shape)
    impulse[4, 5, 3] = 1
    expected = ndimage.gaussian_filter(impulse, [n / 8 for n in shape], mode="constant")
    i, j, k = inference.blend_weights(shape, blending="gaussian")
    product = i[:, None, None] * j[:, None] * k
    np.testing.assert_allclose(product, expected / expected.max(), rtol=1e-5)
    assert product.min() > 0
    assert all((row == 1).all() for row in inference.blend_weights(shape, blending="uniform"))
    with pytest.raises(ValueError, match="blending must be one of gaussian, uniform, got 'mean'"):
        inference.blend_weights(shape, blending="mean")
