"""Surfaces of thin and small masks, against boxes and spheres in closed form."""

import numpy as np
import pytest

from sirtjax.metrics import extract_surface, surface_distances

SPACINGS_MM = [(2.0, 2.0, 2.0), (2.0, 1.5, 4.0)]


def box(size, shape=(27, 27, 29)):
    """A mask of a box of so many voxels, around the voxel in the middle or next to it."""
    mask = np.zeros(shape, bool)
    mask[tuple(slice((n - m) // 2, (n - m) // 2 + m) for n, m in zip(shape, size, strict=True))] = True
    return mask


def faces(size_mm, parts=60):
    """Points on the surface of a box around the origin, (n, 3), and the area of each, (n,)."""
    places, areas = [], []
    steps = (np.arange(parts) + 0.5) / parts - 0.5
    for axis in range(3):
        one, two = (n for n in range(3) if n != axis)
        for side in (-0.5, 0.5):
            place = np.empty((parts, parts, 3))
            place[..., axis] = side * size_mm[axis]
            place[..., one], place[..., two] = steps[:, None] * size_mm[one], steps * size_mm[two]
            places.append(place.reshape(-1, 3))
            areas.append(np.full(parts**2, size_mm[one] * size_mm[two] / parts**2))
    return np.concatenate(places), np.concatenate(areas)


def nested_msd_mm(inner_mm, outer_mm):
    """Mean surface distance of two boxes around one centre, the distances in closed form."""
    (a, areas_a), (b, areas_b) = faces(inner_mm), faces(outer_mm)
    there = (outer_mm / 2 - np.abs(a)).min(axis=1)
    back = np.linalg.norm(np.maximum(np.abs(b) - inner_mm / 2, 0), axis=1)
    return (there @ areas_a + back @ areas_b) / (areas_a.sum() + areas_b.sum())


def extent_mm(mask, spacing, *, where=None):
    """Extent of the vertices of a surface along each axis; of those with coordinates in a range along z."""
    corners = extract_surface(mask, np.diag([*spacing, 1.0])).corners_mm.reshape(-1, 3)
    if where is not None:
        corners = corners[(corners[:, 2] >= where[0]) & (corners[:, 2] <= where[1])]
    return np.ptp(corners, axis=0)


@pytest.mark.parametrize("spacing", SPACINGS_MM)
def test_a_single_voxel_and_a_needle_keep_their_width(spacing):
    np.testing.assert_allclose(extent_mm(box((1, 1, 1)), spacing), spacing, rtol=0.02)
    needle = box((1, 1, 21))
    np.testing.assert_allclose(extent_mm(needle, spacing), np.array(spacing) * (1, 1, 21), rtol=0.05)


def test_a_plate_keeps_its_thickness_away_from_its_edge():
    corners = extract_surface(box((19, 1, 21)), np.diag([2.0, 3.0, 2.0, 1.0])).corners_mm.reshape(-1, 3)
    middle = np.abs(corners - corners.mean(axis=0))
    inside = (middle[:, 0] < 10) & (middle[:, 2] < 12)
    np.testing.assert_allclose(2 * middle[inside, 1], 3.0, rtol=0.1)


@pytest.mark.parametrize("across", [1, 2])
def test_a_spur_on_a_ball_keeps_its_width_and_its_tip(across):
    mask = np.linalg.norm(np.moveaxis(np.indices((38, 38, 50)), 0, -1) - (18, 18, 18), axis=-1) <= 12
    mask[18 : 18 + across, 18 : 18 + across, 30:45] = True
    width = extent_mm(mask, (1.0, 1.0, 1.0), where=(34, 42))[:2]
    assert np.all(width >= across) and np.all(width <= across + 0.6)
    tip = extract_surface(mask, np.eye(4)).corners_mm[..., 2].max()
    assert tip == pytest.approx(44.5, abs=0.3)


@pytest.mark.parametrize("spacing", SPACINGS_MM)
@pytest.mark.parametrize(
    "size", [(1, 1, 1), (1, 1, 21), (2, 2, 2), (3, 3, 3), (6, 6, 6), (2, 2, 20), (1, 2, 3), (19, 19, 1), (1, 3, 12)]
)
def test_a_box_in_the_next_larger_one(size, spacing):
    inner, outer = np.array(size), np.array(size) + 2
    expected = nested_msd_mm(inner * spacing, outer * spacing)
    found = surface_distances(box(inner), box(outer), spacing)
    # Rounded corners add up to a tenth.
    assert found.msd_mm == pytest.approx(expected, rel=0.11)
    assert found.msd_mm > 0.99 * expected


@pytest.mark.parametrize(
    ("radius_mm", "spacing", "tolerance_mm"),
    [(3, (1.0, 1.0, 1.0), 0.05), (6, (3.0, 3.0, 3.0), 0.15), (10, (3.0, 3.0, 3.0), 0.1), (30, (3.0, 3.0, 3.0), 0.05),
     (30, (1.5, 2.0, 5.0), 0.03), (10, (0.8, 0.8, 3.0), 0.03)],
)  # fmt: skip
def test_spheres_are_neither_too_small_nor_too_large(radius_mm, spacing, tolerance_mm):
    rng = np.random.default_rng(4)
    errors = []
    for _ in range(6 if radius_mm < 30 else 1):
        centre = radius_mm + 12 + rng.uniform(-1, 1, 3) * spacing
        shape = np.ceil((2 * radius_mm + 24) / np.array(spacing)).astype(int)
        places = np.moveaxis(np.indices(shape), 0, -1) * spacing
        surface = extract_surface(np.linalg.norm(places - centre, axis=-1) <= radius_mm, np.diag([*spacing, 1.0]))
        outside = np.linalg.norm(surface.centres_mm - centre, axis=1) - radius_mm
        errors.append(outside @ surface.areas_mm2 / surface.areas_mm2.sum())
    assert np.mean(errors) == pytest.approx(0, abs=tolerance_mm)


def test_terraces_of_a_plane_stay_smoothed():
    i, j, k = np.indices((60, 60, 30))
    slope = np.array([1 / 5, 0.37 / 5])
    surface = extract_surface(k < 14.3 + slope[0] * i + slope[1] * j, np.eye(4))
    x, y, z = surface.centres_mm.T
    middle = (np.abs(x - 30) < 18) & (np.abs(y - 30) < 18) & (z > 5)
    # Voxel centres below the plane are inside, so that the surface is on average where the plane is.
    off = (z - 14.3 - slope[0] * x - slope[1] * y)[middle] / np.sqrt(1 + slope @ slope)
    assert off.mean() == pytest.approx(0, abs=0.02) and off.std() < 0.1
