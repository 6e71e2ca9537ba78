"""Fusion of several raters' masks, against SimpleITK's filters and by hand."""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from sirtjax.errors import GeometryError, InputError
from sirtjax.segmentation import (
    local_similarity,
    majority_vote,
    pairwise_dsc,
    select_agreeing_raters,
    staple,
    weighted_vote,
)
from sirtjax.segmentation._fuse import majority_occupancy

SHAPE = (22, 17, 13)


def drawn(seed, count):
    """Masks of an ellipsoid by raters who err: shifted, and with noisy edges."""
    source = np.random.default_rng(seed)
    grid = np.stack(np.indices(SHAPE), axis=-1)
    masks = []
    for _ in range(count):
        centre = np.array([10.5, 8.0, 6.0]) + source.normal(0, 0.9, 3)
        radius = ((grid - centre) ** 2 / np.array([7.0, 5.0, 4.0]) ** 2).sum(-1)
        masks.append(radius + source.normal(0, 0.15, SHAPE) <= 1)
    return np.stack(masks)


def as_itk(masks):
    return [sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in masks]


@pytest.mark.parametrize("count", [1, 3, 4, 7])
def test_majority_is_that_of_simpleitk(count):
    masks = drawn(count, count)
    # A tie is undecided there, and none of the majority here.
    voted = sitk.GetArrayFromImage(sitk.LabelVoting(as_itk(masks), 9))
    share = majority_vote(masks.astype(np.float32))
    np.testing.assert_array_equal(share > 0.5, voted == 1)
    np.testing.assert_array_equal(share == 0.5, voted == 9)
    assert share.dtype == np.float32


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_the_majority_of_whole_votes_is_occupied(count):
    masks = drawn(count, count)
    found = majority_occupancy(masks.astype(np.float32))
    np.testing.assert_array_equal(found, (2 * masks.sum(axis=0) > count).astype(np.float32))
    assert found.dtype == np.float32


def test_the_majority_occupies_a_voxel_by_the_rater_that_decides():
    occupied = np.array([0.2, 0.9, 0.4, 0.7], np.float32).reshape(4, 1, 1, 1)
    for count, expected in ((1, 0.2), (2, 0.2), (3, 0.4), (4, 0.4)):
        assert majority_occupancy(occupied[:count]).item() == pytest.approx(expected)
    assert majority_occupancy(np.full((6, 2, 1, 1), 0.3, np.float32)).ravel() == pytest.approx([0.3, 0.3])
    with pytest.raises(InputError, match="from 0 to 1"):
        majority_occupancy(2 * occupied)


def test_majority_of_shares_lies_at_the_middle_edge():
    # Along i, three raters have their edge at 2, 4 and 5.25 voxels: the median of them counts.
    edge = np.clip(np.array([2.0, 4.0, 5.25])[:, None] - np.arange(8), 0, 1)
    share = majority_vote(np.broadcast_to(edge[:, :, None, None], (3, 8, 2, 3)))
    assert share.shape == (8, 2, 3)
    np.testing.assert_array_equal(np.flatnonzero(share[:, 1, 2] > 0.5), [0, 1, 2, 3])


def test_weighted_vote_by_hand():
    votes = np.zeros((3, 1, 2, 2), np.float32)
    votes[0, 0] = [[1, 1], [0, 0.5]]
    votes[1, 0] = [[1, 0], [0, 1.0]]
    votes[2, 0] = [[1, 0], [1, 0.0]]
    weights = np.array([3.0, 1.0, 1.0], np.float32)
    np.testing.assert_allclose(weighted_vote(votes, weights)[0], [[1, 0.6], [0.2, 0.5]], rtol=1e-6)
    local = np.broadcast_to(weights.reshape(3, 1, 1, 1), votes.shape).copy()
    local[:, 0, 0, 1] = [0.5, 2.0, 2.5]
    local[:, 0, 1, 1] = 0  # nobody's weight: all alike
    np.testing.assert_allclose(weighted_vote(votes, local)[0], [[1, 0.1], [0.2, 0.5]], rtol=1e-6)


def test_equal_weights_are_the_majority():
    votes = np.random.default_rng(0).random((4, *SHAPE)).astype(np.float32)
    np.testing.assert_allclose(weighted_vote(votes, np.full(4, 2.5, np.float32)), majority_vote(votes), atol=1e-6)


def test_order_of_raters_does_not_matter():
    votes = drawn(3, 5).astype(np.float32)
    weights = np.random.default_rng(1).random(5).astype(np.float32)
    turned = [3, 1, 4, 0, 2]
    np.testing.assert_allclose(weighted_vote(votes, weights), weighted_vote(votes[turned], weights[turned]), atol=1e-6)
    np.testing.assert_allclose(staple(votes).probability, staple(votes[turned]).probability, atol=1e-5)


def test_staple_is_that_of_simpleitk():
    masks = drawn(5, 5)
    votes = np.zeros((5, 30, 20, 15), np.float32)
    votes[:, 4:26, 2:19, 1:14] = masks
    found = staple(votes)
    box = ndimage.find_objects(votes.any(axis=0).astype(int))[0]
    cut = votes[(slice(None), *box)]
    known = sitk.STAPLEImageFilter()
    known.SetForegroundValue(1)
    probability = sitk.GetArrayFromImage(known.Execute(as_itk(cut)))
    np.testing.assert_allclose(found.probability[box], probability, atol=1e-4)
    np.testing.assert_allclose(found.sensitivity, known.GetSensitivity())
    np.testing.assert_allclose(found.specificity, known.GetSpecificity())
    outside = found.probability.copy()
    outside[box] = 0
    assert not outside.any()


def test_staple_agrees_with_its_form_for_many_labels():
    masks = drawn(8, 5)
    box = ndimage.find_objects(masks.any(axis=0).astype(int))[0]
    cut = masks[(slice(None), *box)]
    many = sitk.MultiLabelSTAPLEImageFilter()
    many.SetLabelForUndecidedPixels(9)
    labels = sitk.GetArrayFromImage(many.Execute(as_itk(cut)))
    found = staple(masks.astype(np.float32)).probability[box] > 0.5
    assert (found == (labels == 1)).mean() > 0.995


def test_staple_trusts_the_better_raters():
    # Rater 3 marks twice the label; with equal votes two bad raters would outvote one good one.
    truth = np.zeros(SHAPE, bool)
    truth[4:14, 4:12, 3:9] = True
    masks = np.stack([truth, truth, truth, np.ones(SHAPE, bool)]).astype(np.float32)
    found = staple(masks)
    np.testing.assert_array_equal(found.probability > 0.5, truth)
    assert found.specificity[3] < 0.05 < 0.99 < found.specificity[0]


def test_staple_of_partial_voxels_has_no_steps():
    ramp = np.clip(np.linspace(1.5, -0.5, 12), 0, 1)
    votes = np.broadcast_to(ramp[None, :, None, None], (3, 12, 4, 4)).astype(np.float32).copy()
    votes[1] = drawn(2, 1)[0][:12, :4, :4]
    probability = staple(votes).probability[:, 2, 2]
    assert ((probability > 1e-3) & (probability < 0.999)).any()


def test_dsc_between_raters_by_hand():
    votes = np.zeros((3, 1, 1, 6), np.float32)
    votes[0, 0, 0, :4] = 1
    votes[1, 0, 0, 2:6] = 0.75
    expected = [[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]]
    np.testing.assert_allclose(pairwise_dsc(votes), expected)


def test_local_similarity_is_the_squared_correlation():
    source = np.random.default_rng(3)
    a = source.normal(40, 10, SHAPE).astype(np.float32)
    b = (0.4 * a + source.normal(0, 5, SHAPE)).astype(np.float32)
    found = local_similarity(a, b, window=5)
    for i, j, k in ((10, 8, 6), (5, 3, 9), (2, 14, 2)):
        cube = np.s_[i - 2 : i + 3, j - 2 : j + 3, k - 2 : k + 3]
        assert found[i, j, k] == pytest.approx(np.corrcoef(a[cube].ravel(), b[cube].ravel())[0, 1] ** 2, abs=2e-3)
    np.testing.assert_allclose(local_similarity(a, 300 - 2 * a), 1, atol=2e-3)
    assert local_similarity(a, np.full_like(a, 7)).max() == 0


def test_refuses():
    votes = drawn(1, 2).astype(np.float32)
    with pytest.raises(InputError, match=r"at least 3 raters on a grid, \(n, i, j, k\), got \(2, 22, 17, 13\)"):
        staple(votes)
    with pytest.raises(InputError, match="no rater has the label"):
        staple(np.zeros((3, *SHAPE), np.float32))
    with pytest.raises(InputError, match=r"at least 1 raters on a grid.*got \(22, 17, 13\)"):
        majority_vote(votes[0])
    with pytest.raises(InputError, match="fractions from 0 to 1, got 0 to 3"):
        majority_vote(3 * votes)
    with pytest.raises(GeometryError, match=r"weights of shape \(3,\) for votes of \(2, 22, 17, 13\)"):
        weighted_vote(votes, np.ones(3, np.float32))
    with pytest.raises(InputError, match="not negative, got -1 to 1"):
        weighted_vote(votes, np.array([-1.0, 1.0], np.float32))
    with pytest.raises(GeometryError, match=r"shapes \(2, 2, 2\) and \(3, 2, 2\)"):
        local_similarity(np.zeros((2, 2, 2), np.float32), np.zeros((3, 2, 2), np.float32))


def test_the_raters_who_agree():
    def matrix(*rows):
        return np.array(rows, np.float64)

    one_astray = matrix([1, 0.3, 0.9, 0.9], [0.3, 1, 0.3, 0.3], [0.9, 0.3, 1, 0.9], [0.9, 0.3, 0.9, 1])
    assert select_agreeing_raters(one_astray, least_dsc=0.7) == (0, 2, 3)
    # With rater 1 there the others have 0.7 on average: judged again without it, they stay.
    assert select_agreeing_raters(one_astray, least_dsc=0.8) == (0, 2, 3)
    assert select_agreeing_raters(one_astray, least_dsc=0.0) == (0, 1, 2, 3)
    # Two who differ: nothing tells which one is wrong.
    assert select_agreeing_raters(one_astray[:2, :2], least_dsc=0.7) == (0, 1)
    assert select_agreeing_raters(np.ones((1, 1)), least_dsc=0.7) == (0,)
