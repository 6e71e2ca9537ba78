"""Isodose lines of dose maps that repeat the voxels of a coarser image."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from sirtjax.reports._isodose_lines import draw_isodoses, voxel_centres


def repeated(values, times, first):
    """Each value several times along both axes, without the first rows and columns."""
    return np.repeat(np.repeat(values, times[0], axis=0), times[1], axis=1)[first[0] :, first[1] :].astype(np.float32)


def lines_of(cut, level):
    """Rows and columns of the lines of one level."""
    axes = Figure().add_subplot()
    draw_isodoses(axes, cut, [level], labels=False)
    return np.concatenate([path.vertices[:, ::-1] for drawn in axes.collections for path in drawn.get_paths()])


@pytest.mark.parametrize(("times", "first"), [((1, 1), (0, 0)), ((4, 4), (0, 0)), ((4, 3), (1, 2)), ((2, 5), (1, 4))])
def test_lines_of_a_linear_dose_are_where_it_is_reached(times, first):
    # Places in units of the coarse voxels, so that the true line is known.
    rows, columns = np.meshgrid(np.arange(20.0), np.arange(24.0), indexing="ij")
    found = lines_of(repeated(3 * rows + 2 * columns, times, first), 50.0)
    row, column = ((found[:, axis] + first[axis] - (times[axis] - 1) / 2) / times[axis] for axis in (0, 1))
    np.testing.assert_allclose(3 * row + 2 * column, 50.0, atol=1e-3)


def test_the_edge_of_the_liver_does_not_hide_the_voxels():
    rng = np.random.default_rng(0)
    cut = repeated(rng.uniform(50.0, 100.0, (30, 30)), (4, 4), (0, 0))
    row, column = np.indices(cut.shape)
    cut[(row - 61.3) ** 2 + (column - 57.9) ** 2 > 49.7**2] = 0.0
    np.testing.assert_array_equal(voxel_centres(cut, axis=0), np.arange(30) * 4 + 1.5)
    np.testing.assert_array_equal(voxel_centres(cut, axis=1), np.arange(30) * 4 + 1.5)


@pytest.mark.parametrize("shape", [(40, 60), (9, 7), (2, 2)])
def test_a_dose_without_repeated_voxels_keeps_its_rows(shape):
    cut = np.random.default_rng(1).uniform(size=shape).astype(np.float32)
    np.testing.assert_array_equal(voxel_centres(cut, axis=0), np.arange(shape[0]))
    assert len(voxel_centres(np.zeros(shape, np.float32), axis=1)) == shape[1]
