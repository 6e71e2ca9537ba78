import math

import numpy as np
import pytest
import SimpleITK as sitk

from sirtjax.errors import GeometryError
from sirtjax.formats import read_image
from sirtjax.io import read_nifti_array
from sirtjax.metrics import evaluate_segmentation
from sirtjax.volume import Geometry

SPACING_MM = (1.0, 2.0, 4.0)


def grid(shape, spacing_mm=SPACING_MM):
    return Geometry.from_affine(shape, np.diag([*spacing_mm, 1.0]))


def slab(shape, start, stop):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = True
    return mask


def test_overlap_and_volumes_by_hand():
    shape = (10, 8, 6)
    predicted, reference = slab(shape, (2, 2, 2), (8, 6, 4)), slab(shape, (4, 2, 2), (9, 6, 4))
    found = evaluate_segmentation(predicted, reference, grid(shape), tolerance_mm=1.0)
    # 48 and 40 voxels of 0.008 mL, 32 common.
    assert found.dsc == pytest.approx(64 / 88)
    assert found.volume_ratio == pytest.approx(1.2)
    assert found.false_negative_rate == pytest.approx(8 / 40)
    assert found.false_positive_rate == pytest.approx(16 / 48)
    assert (found.predicted_ml, found.reference_ml) == pytest.approx((0.384, 0.32))
    assert found.empty == ""


@pytest.mark.parametrize("axis", range(3))
def test_distances_of_shifted_blocks_by_hand(axis):
    """Two blocks, one moved along an axis: the faces across it are that far apart, the others on each other."""
    shape, size = (60, 34, 20), np.array([40, 20, 10])
    start = np.array([6, 5, 4])
    step = np.zeros(3, int)
    step[axis] = (4, 2, 1)[axis]  # 4 mm each
    reference, predicted = slab(shape, start, start + size), slab(shape, start + step, start + step + size)
    edges_mm = size * SPACING_MM  # 40 mm each
    found = evaluate_segmentation(predicted, reference, grid(shape), tolerance_mm=2.0)
    assert found.hd_mm == pytest.approx(4.0, abs=0.4)
    area = edges_mm[0] ** 2
    # Of each block: two faces; one lies 4 mm outside of the other, one 4 mm inside of it. Of the others, what sticks
    # out by up to 4 mm, 2 mm on average, is nearer than 2 mm for its first half.
    stick = 4 * 40.0 * 4
    mean = (2 * area * 4 + stick * 2) / (6 * area)
    assert found.msd_mm == pytest.approx(mean, rel=0.08)
    assert found.mda_mm == pytest.approx(found.msd_mm, rel=1e-3)  # both ways are alike
    far = (2 * area + stick / 2) / (6 * area)
    assert found.surface_dsc == pytest.approx(1 - far, abs=0.03)
    assert found.hd95_mm == pytest.approx(4.0, abs=0.4)
    near = evaluate_segmentation(predicted, reference, grid(shape), tolerance_mm=4.5)
    assert near.surface_dsc == 1.0


def test_the_two_ways_of_a_mean_distance():
    """A small block inside a large one: each surface counts the same in MDA, the larger more in MSD."""
    shape = (40, 24, 14)
    large, small = slab(shape, (4, 2, 2), (36, 18, 10)), slab(shape, (16, 8, 5), (24, 12, 7))
    found = evaluate_segmentation(small, large, grid(shape), tolerance_mm=1.0)
    # From the inner block outwards each face of 8 mm is 12 mm from the outer one.
    assert found.mda_mm < found.msd_mm
    assert 12 * 0.9 < found.mda_mm < found.msd_mm < found.hd_mm
    corner = math.sqrt(3) * 12
    assert found.hd_mm == pytest.approx(corner, rel=0.08)


def test_equal_masks_agree_and_swapping_swaps_the_rates():
    shape = (14, 12, 9)
    rng = np.random.default_rng(0)
    one, two = slab(shape, (2, 2, 2), (11, 9, 7)) & (rng.random(shape) > 0.1), slab(shape, (3, 2, 2), (12, 9, 6))
    same = evaluate_segmentation(one, one, grid(shape), tolerance_mm=0.5)
    assert (same.dsc, same.volume_ratio, same.surface_dsc) == (1, 1, 1)
    assert same.msd_mm == pytest.approx(0, abs=1e-9) and same.hd_mm < 0.3
    there, back = (evaluate_segmentation(a, b, grid(shape), tolerance_mm=1.0) for a, b in ((one, two), (two, one)))
    assert there.false_negative_rate == back.false_positive_rate
    assert there.dsc == back.dsc and there.msd_mm == pytest.approx(back.msd_mm)
    assert there.surface_dsc == pytest.approx(back.surface_dsc) and there.mda_mm == pytest.approx(back.mda_mm)


def test_an_oblique_grid_measures_the_same():
    shape = (20, 16, 12)
    one, two = slab(shape, (3, 3, 3), (14, 12, 9)), slab(shape, (4, 3, 2), (15, 13, 9))
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = turn * SPACING_MM
    affine[:3, 3] = (10, -20, 30)
    straight = evaluate_segmentation(one, two, grid(shape), tolerance_mm=2.0)
    oblique = evaluate_segmentation(one, two, Geometry.from_affine(shape, affine), tolerance_mm=2.0)
    for name in ("dsc", "msd_mm", "mda_mm", "hd_mm", "hd95_mm", "surface_dsc", "reference_ml"):
        assert getattr(oblique, name) == pytest.approx(getattr(straight, name), rel=1e-6)


def test_what_is_empty_is_said():
    shape = (6, 6, 6)
    nothing, some = np.zeros(shape, bool), slab(shape, (1, 1, 1), (4, 4, 4))
    missed = evaluate_segmentation(nothing, some, grid(shape), tolerance_mm=1.0)
    assert missed.empty == "prediction" and missed.dsc == 0 and missed.surface_dsc == 0
    assert missed.false_negative_rate == 1 and math.isnan(missed.false_positive_rate) and math.isnan(missed.hd95_mm)
    false = evaluate_segmentation(some, nothing, grid(shape), tolerance_mm=1.0)
    assert false.empty == "reference" and false.dsc == 0 and math.isnan(false.volume_ratio)
    both = evaluate_segmentation(nothing, nothing, grid(shape), tolerance_mm=1.0)
    assert both.empty == "both" and math.isnan(both.dsc) and math.isnan(both.surface_dsc)


def test_masks_off_their_grid_are_refused():
    shape = (6, 6, 6)
    with pytest.raises(GeometryError, match=r"the predicted mask has shape \(5, 6, 6\), its grid \(6, 6, 6\)"):
        evaluate_segmentation(np.zeros((5, 6, 6), bool), np.zeros(shape, bool), grid(shape), tolerance_mm=1.0)


def blobs(seed, spacing_mm=SPACING_MM):
    rng = np.random.default_rng(seed)
    shape = tuple(round(size / step) for size, step in zip((40, 60, 64), spacing_mm, strict=True))
    points = np.stack(np.indices(shape), axis=-1) * np.asarray(spacing_mm)
    centre = np.array([20.0, 30.0, 32.0]) + rng.uniform(-2, 2, 3)
    radii = np.array([14.0, 18.0, 20.0]) + rng.uniform(-2, 2, 3)
    return (((points - centre) / radii) ** 2).sum(axis=-1) < 1


def itk(mask, spacing_mm=SPACING_MM):
    image = sitk.GetImageFromArray(mask.astype("u1").transpose(2, 1, 0))
    image.SetSpacing(spacing_mm)
    return image


def test_against_simpleitk():
    one, two = blobs(1), blobs(2)
    found = evaluate_segmentation(one, two, grid(one.shape), tolerance_mm=2.0)
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(itk(two), itk(one))  # source: the reference
    assert found.dsc == pytest.approx(overlap.GetDiceCoefficient(), abs=1e-9)
    assert found.false_negative_rate == pytest.approx(
        1 - overlap.GetMeanOverlap() * (one.sum() + two.sum()) / 2 / two.sum()
    )
    distances = sitk.HausdorffDistanceImageFilter()
    distances.Execute(itk(one), itk(two))
    # Between voxel centres there, between surfaces here: up to a voxel's size apart.
    assert found.hd_mm == pytest.approx(distances.GetHausdorffDistance(), abs=3.0)


def test_mean_distances_against_simpleitk():
    """On fine and equal voxels; counting those of a contour still weighs what lies askew less than its area does."""
    spacing = (0.8, 0.8, 0.8)
    one, two = blobs(1, spacing), blobs(2, spacing)
    found = evaluate_segmentation(one, two, grid(one.shape, spacing), tolerance_mm=2.0)
    images = [itk(mask, spacing) for mask in (one, two)]
    maps = [sitk.Abs(sitk.SignedMaurerDistanceMap(x, squaredDistance=False, useImageSpacing=True)) for x in images]
    contours = [sitk.GetArrayFromImage(sitk.LabelContour(x, fullyConnected=False)) > 0 for x in images]
    sides = [sitk.GetArrayFromImage(far)[contour] for far, contour in zip(maps[::-1], contours, strict=True)]
    assert found.msd_mm == pytest.approx(np.concatenate(sides).mean(), abs=0.3)
    assert found.mda_mm == pytest.approx(np.mean([side.mean() for side in sides]), abs=0.3)


@pytest.mark.slow
def test_the_sample_submission_of_chaos(shared_data):
    """The organisers published DSC 0.978, ASSD 0.734 mm and a largest distance of 14 mm for it."""
    folder = shared_data / "ct-liver-chaos03"
    if not (folder / "sample-submission").is_dir():
        pytest.skip("no sample submission")
    from PIL import Image as Picture

    truth, geometry = read_nifti_array(folder / "liver_label.nii.gz")
    pictures = sorted((folder / "sample-submission").glob("*.png"))
    # One picture a slice, the top slice first; rows run to the back, columns to the patient's left.
    stack = np.stack([np.asarray(Picture.open(path)) > 0 for path in pictures], axis=-1)
    image = read_image(folder / "dicom").volume
    submitted = _as_the_label(stack, image.geometry, geometry)
    found = evaluate_segmentation(submitted, truth > 0, geometry, tolerance_mm=2.0)
    assert found.dsc == pytest.approx(0.978, abs=0.001)
    assert found.msd_mm == pytest.approx(0.734, abs=0.1)
    assert found.hd_mm == pytest.approx(14.0, abs=1.5)


def _as_the_label(stack, ours, theirs):
    """Pictures (row, column, slice from the top) as an array on the label's grid."""
    from sirtjax.spatial import resample_labels
    from sirtjax.volume import LabelMap, reorient

    upright = reorient(LabelMap(np.zeros(ours.shape, np.uint8), ours, names=((1, "liver"),)), "LPS").geometry
    array = stack.transpose(1, 0, 2)[:, :, ::-1].astype(np.uint8)  # columns to the left, rows to the back, upwards
    return resample_labels(LabelMap(array, upright, names=((1, "liver"),)), theirs).array > 0
