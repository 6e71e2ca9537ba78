import time

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree

from sirtjax.errors import InputError
from sirtjax.io import read_nifti_array
from sirtjax.metrics import (
    SurfaceMesh,
    dice,
    extract_surface,
    facet_distances,
    mean_surface_distance_mm,
    surface_distances,
)
from sirtjax.metrics._nearest import distance_to_surface_mm


def ball(shape, spacing, centre_mm, radius_mm):
    points = np.stack(np.indices(shape), axis=-1) * np.asarray(spacing)
    return np.linalg.norm(points - centre_mm, axis=-1) <= radius_mm


def exact_msd_mm(radius, apart):
    """Mean distance between two spheres: | |R n + d| - R | over the directions n."""
    cosine = (np.arange(20000) + 0.5) / 10000 - 1
    return np.abs(np.sqrt(radius**2 + apart**2 - 2 * radius * apart * cosine) - radius).mean()


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 3.0, 3.0), (0.8, 0.8, 3.0), (1.5, 2.0, 5.0)])
@pytest.mark.parametrize("apart_mm", [0.0, 2.0, 6.0])
def test_two_spheres_within_a_tenth_of_a_millimetre(spacing, apart_mm):
    rng = np.random.default_rng(3)
    direction = rng.normal(size=3)
    direction /= np.linalg.norm(direction)
    shape = tuple(np.ceil(84 / np.asarray(spacing)).astype(int))
    centre = np.full(3, 39.0) + rng.uniform(-1, 1, 3) * spacing
    a = ball(shape, spacing, centre, 30)
    b = ball(shape, spacing, centre + apart_mm * direction, 30)
    found = surface_distances(a, b, spacing)
    assert found.msd_mm == pytest.approx(exact_msd_mm(30, apart_mm), abs=0.1)
    assert found.hd95_mm <= found.hd_mm
    # The farthest point is known no better than to the slices.
    assert found.hd_mm == pytest.approx(apart_mm, abs=0.6 * max(spacing))
    if apart_mm == 0:
        assert (found.msd_mm, found.hd_mm, found.hd95_mm) == pytest.approx((0, 0, 0), abs=1e-6)


def test_symmetric_and_the_same_for_swapped_axes():
    rng = np.random.default_rng(5)
    a, b = (ndimage.gaussian_filter(rng.normal(size=(22, 18, 14)), 2) > 0.02 for _ in range(2))
    one, two = surface_distances(a, b, (1.0, 2.0, 3.0)), surface_distances(b, a, (1.0, 2.0, 3.0))
    assert one.msd_mm == pytest.approx(two.msd_mm) and one.hd_mm == two.hd_mm and one.hd95_mm == two.hd95_mm
    turned = surface_distances(a.transpose(2, 0, 1), b.transpose(2, 0, 1), (3.0, 1.0, 2.0))
    assert turned.msd_mm == pytest.approx(one.msd_mm, rel=2e-2)
    assert surface_distances(a, b, (10.0, 20.0, 30.0)).hd_mm == pytest.approx(10 * one.hd_mm)


def test_occupancy_places_a_plane_within_the_voxel():
    # A slab whose upper face lies at x mm: the last voxel is filled in part.
    def slab(face_mm):
        edges = np.arange(13) * 2.0 - 1
        filled = np.clip((face_mm - edges[:-1]) / 2, 0, 1) * (edges[:-1] >= 4)
        return np.broadcast_to(filled[:, None, None], (12, 40, 40))

    spacing, affine = (2.0, 2.0, 2.0), np.diag([2.0, 2, 2, 1])
    for face_mm in (15.0, 15.7, 16.0, 16.4):
        centres = extract_surface(slab(face_mm), affine).centres_mm
        # Linear interpolation of a partly filled voxel is off by at most 0.09 of its size.
        assert np.median(centres[centres[:, 0] > 10, 0]) == pytest.approx(face_mm, abs=0.18)
    found = surface_distances(slab(15.0), slab(16.0), spacing)
    assert found.hd95_mm == pytest.approx(1.0, abs=0.1)
    # The upper faces of 80 x 80 mm are apart; the lower ones and, but for a rim, those at the sides are not.
    assert found.msd_mm == pytest.approx(6400 / (2 * 6400 + 4 * 80 * 11.5), rel=0.15)


def test_cube_by_hand():
    a = np.zeros((40, 34, 34), bool)
    a[2:32, 2:32, 2:32] = True
    b = np.roll(a, 4, axis=0)
    found = surface_distances(a, b, (2.5, 1.0, 1.0))
    # The end faces lie 4 voxels of 2.5 mm apart; the side faces lie on each other but for those 10 mm.
    assert found.hd_mm == pytest.approx(10, abs=0.3)
    assert found.hd95_mm == pytest.approx(10, abs=0.3)
    # Of each block: one end face at 10 mm; the other inside its twin, nearest to the sides or at most 10 mm away;
    # the sides, which overhang by 10 mm, 5 mm on average there.
    inside = 10 * 10 * 10 + 4 * (15 * 10**2 - 2 / 3 * 10**3)
    area = 2 * 30 * 30 + 4 * 30 * 75
    assert found.msd_mm == pytest.approx((30 * 30 * 10 + inside + 4 * 30 * 10 * 5) / area, abs=0.02)
    assert extract_surface(a, np.diag([2.5, 1, 1, 1])).areas_mm2.sum() == pytest.approx(area, rel=0.04)


def test_hausdorff_against_simpleitk():
    import SimpleITK as sitk

    rng = np.random.default_rng(8)
    spacing = (1.0, 1.4, 2.0)
    a, b = (ndimage.gaussian_filter(rng.normal(size=(30, 26, 22)), 3) > 0.01 for _ in range(2))
    # Apart from the noise: a spur that decides the largest distance.
    b[:, 12, 11] = True
    images = []
    for mask in (a, b):
        image = sitk.GetImageFromArray(mask.transpose(2, 1, 0).astype(np.uint8))
        image.SetSpacing(spacing)
        images.append(image)
    measure = sitk.HausdorffDistanceImageFilter()
    measure.Execute(*images)
    # Theirs is between voxel centres, and of the voxels within, not of the surface.
    assert surface_distances(a, b, spacing).hd_mm == pytest.approx(measure.GetHausdorffDistance(), abs=2.0)


def test_nearest_facet_against_all_triangles():
    rng = np.random.default_rng(2)
    mask = ndimage.gaussian_filter(rng.normal(size=(16, 14, 12)), 2) > 0.02
    surface = extract_surface(mask, np.diag([1.0, 1.5, 4.0, 1.0]))
    points = rng.uniform(-5, 40, (40, 3))
    # Brute force: every facet as a fine net of points on its two triangles.
    a, b, c, d = np.moveaxis(surface.corners_mm, 1, 0)
    u, v = (x.ravel()[:, None, None] for x in np.meshgrid(np.linspace(0, 1, 9), np.linspace(0, 1, 9)))
    keep = (u + v <= 1)[:, 0, 0]
    u, v = u[keep], v[keep]
    cloud = np.concatenate([(a + u * (b - a) + v * (c - a)), (a + u * (c - a) + v * (d - a))]).reshape(-1, 3)
    expected, _ = cKDTree(cloud).query(points)
    found = distance_to_surface_mm(points, surface)
    assert (found <= expected + 1e-9).all()
    assert np.abs(found - expected).max() < 0.1


def test_point_to_a_single_facet():
    square = np.array([[[0, 0, 0], [2, 0, 0], [2, 2, 0], [0, 2, 0]]], float)
    points = np.array([[1, 1, 3.0], [3, 1, 0], [3, 3, 0], [-1, -1, 1], [0.5, 1.7, 0]])
    expected = [3, 1, np.sqrt(2), np.sqrt(3), 0]
    assert distance_to_surface_mm(points, SurfaceMesh(corners_mm=square)) == pytest.approx(expected, abs=1e-12)
    moved = SurfaceMesh(corners_mm=square + np.array([0, 0, 5.0]))
    found = facet_distances(SurfaceMesh(corners_mm=square), moved)
    assert (found.msd_mm, found.hd_mm, found.hd95_mm) == (5, 5, 5)


def test_an_organ_is_measured_in_about_a_second():
    shape, spacing = (160, 128, 128), (3.0, 3.0, 3.0)
    a, b = ball(shape, spacing, (200, 190, 190), 90), ball(shape, spacing, (204, 193, 188), 88)
    start = time.process_time()
    surface_distances(a, b, spacing)
    assert time.process_time() - start < 3


def test_a_mask_at_the_edge_and_a_single_voxel():
    full = np.ones((4, 5, 6), bool)
    assert surface_distances(full, full, (1, 2, 3)).hd_mm == pytest.approx(0, abs=1e-9)
    one, two = np.zeros((2, 7, 3, 3), bool)
    one[1, 1, 1] = two[5, 1, 1] = True
    found = surface_distances(one, two, (2.0, 1.0, 1.0))
    assert found.hd_mm == pytest.approx(8, abs=0.01)


def test_refuses():
    mask = np.ones((3, 3, 3), bool)
    with pytest.raises(InputError, match=r"no voxel reaches 0\.5"):
        surface_distances(mask, ~mask, (1, 1, 1))
    with pytest.raises(InputError, match="expected both on one grid"):
        surface_distances(mask, mask[:2], (1, 1, 1))
    with pytest.raises(InputError, match="three positive numbers"):
        surface_distances(mask, mask, (1, 0, 1))
    with pytest.raises(InputError, match="three dimensions"):
        extract_surface(mask[0], np.eye(4))


@pytest.mark.slow
def test_published_scores_of_a_challenge_submission(shared_data):
    """The organisers' own figures for the sample: DSC 0.978, ASSD 0.734 mm, MSSD 14 mm (between voxel centres)."""
    from PIL import Image

    folder = shared_data / "ct-liver-chaos03"
    array, geometry = read_nifti_array(folder / "liver_label.nii.gz")
    slices = [np.asarray(Image.open(path)) > 0 for path in sorted((folder / "sample-submission").glob("*.png"))]
    # Rows, columns, slices from the top: to columns, rows, slices upwards.
    submitted, truth = np.stack(slices, axis=-1).transpose(1, 0, 2)[:, :, ::-1], array > 0
    assert dice(submitted, truth) == pytest.approx(0.978, abs=5e-4)
    start = time.process_time()
    found = surface_distances(submitted, truth, geometry.spacing_mm)
    assert time.process_time() - start < 20
    assert found.msd_mm == pytest.approx(0.734, abs=0.03)
    assert found.hd_mm == pytest.approx(14, abs=0.2)


def test_the_mean_alone_is_that_of_all_figures():
    spacing = (0.9, 1.4, 2.5)
    masks = [ball((40, 30, 18), spacing, (18.0, 20.0, 22.0 + shift), 14.0) for shift in (0.0, 3.0)]
    one, two = (extract_surface(mask, np.diag([*spacing, 1.0])) for mask in masks)
    assert mean_surface_distance_mm(one, two) == surface_distances(*masks, spacing).msd_mm > 1.0
