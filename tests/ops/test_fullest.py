"""Masks of the fullest voxels keep the volume of a structure, where a threshold of one half loses some."""

import numpy as np
import pytest

from sirtjax import ops


def ball_fractions(radius_mm, spacing_mm, offset_mm):
    """Fractions of voxels inside a ball, by 8 x 8 x 8 points in each."""
    count = int(np.ceil(radius_mm / spacing_mm)) + 2
    fine = (np.arange(2 * count * 8) + 0.5) / 8 * spacing_mm - count * spacing_mm
    squares = [(fine - one) ** 2 for one in offset_mm]
    inside = squares[0][:, None, None] + squares[1][None, :, None] + squares[2][None, None, :] <= radius_mm**2
    return inside.reshape(2 * count, 8, 2 * count, 8, 2 * count, 8).mean(axis=(1, 3, 5)).astype(np.float32)


@pytest.mark.parametrize("radius_mm", [4.0, 6.0, 9.75])
@pytest.mark.parametrize("offset_mm", [(0.3, 1.1, -0.7), (2.2, -1.9, 0.4)])
def test_volume_and_place_are_kept(radius_mm, offset_mm):
    fractions = ball_fractions(radius_mm, 4.8, offset_mm)
    chosen = ops.fullest_voxels(fractions)
    assert abs(float(chosen.sum()) - float(fractions.sum(dtype=np.float64))) <= 0.5
    areas = fractions.sum(axis=(0, 1), dtype=np.float64)
    np.testing.assert_array_less(np.abs(chosen.sum(axis=(0, 1)) - areas), 1 + 1e-6)
    for k in np.flatnonzero(chosen.any(axis=(0, 1))):
        assert fractions[..., k][chosen[..., k]].min() >= fractions[..., k][~chosen[..., k]].max()
    centre_mm = (np.argwhere(chosen).mean(axis=0) + 0.5 - fractions.shape[0] / 2) * 4.8
    assert (
        np.linalg.norm(centre_mm - offset_mm) < (0.2 if radius_mm > 5 else 0.5) * 4.8
    )  # the smallest has two or three voxels


def test_a_threshold_of_one_half_would_lose_volume():
    fractions = ball_fractions(6.0, 4.8, (2.2, -1.9, 0.4))
    assert (fractions >= 0.5).sum() < 0.9 * fractions.sum()
    assert abs(ops.fullest_voxels(fractions).sum() - fractions.sum()) <= 0.5


@pytest.mark.parametrize(
    ("shares", "taken"),
    [
        ([1, 0.9, 0.6, 0.4, 0.1], 3),
        ([0.3, 0.3, 0.2, 0.1, 0], 1),  # the first of equal ones
        ([1, 0.4, 0.4, 0.4, 0], 2),
        ([0.2, 0.1, 0, 0, 0], 0),
    ],
)
def test_voxels_partly_inside(shares, taken):
    row = np.array(shares, np.float32)
    for axis in (0, 1):
        found = ops.fullest_voxels(np.moveaxis(row[:, None, None], 0, axis)).ravel()
        assert found.sum() == taken and found[:taken].all()
    # Along k, what is left of a slice counts in the next one.
    assert ops.fullest_voxels(row[None, None, :]).sum() == round(float(row.sum()) + 1e-6)


def test_equal_voxels_are_counted():
    plane = np.zeros((4, 4, 4), np.float32)
    plane[1], plane[2] = 1.0, 0.5  # half a voxel thicker on one side
    assert ops.fullest_voxels(plane).sum() == 24


def test_nothing_is_selected_below_half_a_voxel():
    assert not ops.fullest_voxels(np.full((1, 1, 1), 0.4, np.float32)).any()
    assert not ops.fullest_voxels(np.zeros((3, 3, 3), np.float32)).any()
