import numpy as np
import pytest

from sirtjax import ops
from sirtjax.ops import components, largest_component


def mask() -> np.ndarray:
    """One voxel, then three in a row, then two that touch the row by an edge only."""
    array = np.zeros((5, 4, 3), bool)
    array[0, 0, 0] = True
    array[2:5, 1, 1] = True
    array[4, 2, 2] = array[4, 3, 2] = True
    return array


@pytest.mark.parametrize(("connectivity", "sizes"), [(6, [3, 2, 1]), (18, [5, 1]), (26, [5, 1])])
def test_numbered_from_one_by_size(connectivity, sizes):
    labels = components(mask(), connectivity=connectivity)
    assert np.bincount(labels.ravel())[1:].tolist() == sizes
    assert labels.dtype == np.int32


def test_largest():
    np.testing.assert_array_equal(np.flatnonzero(largest_component(mask())), np.flatnonzero(components(mask()) == 1))
    assert largest_component(mask()).sum() == 3
    assert not largest_component(np.zeros((2, 2, 2), bool)).any()


def test_other_connectivity_is_refused():
    with pytest.raises(ValueError, match="connectivity must be 6, 18 or 26, got 8"):
        components(mask(), connectivity=8)


@pytest.mark.parametrize("shape", [(14, 11, 9), (1, 12, 10), (9, 8)])
def test_holes_are_those_that_scipy_finds(shape):
    from scipy import ndimage

    mask = np.random.default_rng(3).random(shape) < 0.6
    filled = ops.binary_fill_holes(mask)
    np.testing.assert_array_equal(filled, ndimage.binary_fill_holes(mask))
    assert filled.sum() > mask.sum() or min(shape) == 1


def test_holes_of_nothing_and_of_everything():
    assert not ops.binary_fill_holes(np.zeros((3, 4, 5), bool)).any()
    assert ops.binary_fill_holes(np.ones((3, 4, 5), bool)).all()
