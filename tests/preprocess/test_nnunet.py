import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from sirtjax import preprocess
from sirtjax.errors import ModelError

REFERENCE = Path(__file__).parents[1] / "reference"
_spec = importlib.util.spec_from_file_location("nnunet_preprocess", REFERENCE / "nnunet_preprocess.py")
truth = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(truth)


@pytest.fixture(scope="module")
def frozen():
    with np.load(REFERENCE / "nnunet_preprocess.npz") as stored:
        return dict(stored)


def described(name):
    shape, spacing, transpose, new_spacing, scheme, mask, resampling = truth.CASES[name]
    by_torch = resampling.get("torch", False)
    order = 1 if by_torch else resampling.get("order", 3)
    how = preprocess.NnunetPreprocessing(
        transpose_forward=transpose,
        spacing_mm=new_spacing,
        channels=(preprocess.ChannelNormalisation(scheme=scheme, mask=mask, **truth.PROPERTIES),),
        image_resampling=preprocess.Resampling(order=order),
        logit_resampling=preprocess.Resampling(order=1),
    )
    return truth.image(1, shape), spacing, how


def prepared(name, **options):
    image, spacing, how = described(name)
    return preprocess.prepare_nnunet([image], spacing_mm=spacing, how=how, **options), how


@pytest.mark.parametrize("name", truth.CASES)
def test_images_are_prepared_as_nnunet_does(name, frozen):
    case, _ = prepared(name)
    expected = frozen[f"{name}_image"]
    assert case.image.shape == (*expected.shape, 1) and case.image.dtype == np.float32
    # PyTorch interpolates in float32; SciPy's own splines are frozen from another of its versions.
    tolerance = 2e-5 if name == "torch" else 1e-6
    np.testing.assert_allclose(case.image[..., 0], expected, atol=tolerance * np.abs(expected).max(), rtol=0)


@pytest.mark.parametrize("name", truth.CASES)
def test_labels_come_back_as_from_nnunet(name, frozen):
    case, how = prepared(name)
    logits = np.moveaxis(truth.random_logits(case.image.shape[:3]), 0, -1)
    labels = preprocess.restore_labels(logits, case, how)
    expected = frozen[f"{name}_labels"]
    assert labels.shape == expected.shape and labels.dtype == np.uint8
    assert (labels != expected).mean() <= 1e-4, (labels != expected).sum()


@pytest.mark.parametrize("name", ["even", "separate", "turned"])
def test_a_first_stage_becomes_channels(name, frozen):
    image, _, _ = described(name)
    case, _ = prepared(name, previous_labels=truth.previous_labels(image.shape), previous_values=(1, 2))
    expected = frozen[f"{name}_previous"]
    assert expected.min() == -1
    for channel, value in ((1, 1), (2, 2)):
        np.testing.assert_array_equal(case.image[..., channel], expected == value)


@pytest.mark.peers
@pytest.mark.parametrize("name", truth.CASES)
def test_it_is_nnunet_beside_it_up_to_the_last_bit(name):
    case, _ = prepared(name)
    data, _, _ = truth.run(name)
    if name == "torch":
        np.testing.assert_allclose(case.image[..., 0], data, atol=2e-5)
    else:
        np.testing.assert_array_max_ulp(case.image[..., 0], data, maxulp=1)
        assert (case.image[..., 0] == data).mean() > 0.99


def test_regions_are_written_in_their_order():
    case, how = prepared("as_is")
    logits = np.full((*case.image.shape[:3], 2), -1.0, np.float32)
    logits[:5, ..., 0] = 1
    logits[3:, ..., 1] = 1
    labels = preprocess.restore_labels(logits, case, how, regions=(4, 300))
    assert labels.dtype == np.uint16
    inside = labels.transpose(2, 1, 0)[
        tuple(slice(s, s + n) for s, n in zip(case.start, case.cropped_shape, strict=True))
    ]
    assert np.unique(inside[:3]).tolist() == [4] and np.unique(inside[3:]).tolist() == [300]


def test_maps_come_back_with_what_is_outside(frozen):
    case, how = prepared("separate")
    maps = np.ones((*case.image.shape[:3], 2), np.float32) * [0.25, 0.75]
    back = preprocess.restore_maps(maps.astype(np.float32), case, how, outside=(1.0, 0.0))
    assert back.shape == (*case.shape, 2)
    # the first rows and columns were cropped away
    assert back[0, 5, 4].tolist() == [1.0, 0.0] and back[9, 9, 4].tolist() == [0.25, 0.75]


def test_other_orders_come_back_by_splines():
    case, how = prepared("even")
    cubic = how.model_copy(update={"logit_resampling": preprocess.Resampling(order=3)})
    logits = np.moveaxis(truth.random_logits(case.image.shape[:3]), 0, -1)
    linear, other = (preprocess.restore_labels(logits, case, plan) for plan in (how, cubic))
    scores = [
        ndimage.zoom(
            logits[..., c].astype(float),
            [1 / (n / m) for n, m in zip(logits.shape, case.cropped_shape, strict=False)],
            order=3,
            mode="nearest",
            grid_mode=True,
        ).clip(logits[..., c].min(), logits[..., c].max())
        for c in range(3)
    ]
    inside = tuple(slice(s, s + n) for s, n in zip(case.start, case.cropped_shape, strict=True))
    np.testing.assert_array_equal(other.transpose(2, 1, 0)[inside], np.argmax(np.float32(scores), axis=0))
    assert (other != linear).any()


@pytest.mark.parametrize(
    ("spacing", "new", "separate", "axis"),
    [
        ((5, 1, 1), (1, 1, 1), None, 0),
        ((1, 3, 1), (1, 1, 1), None, None),  # three times is not yet more
        ((1, 1, 1), (1, 1, 4), None, 2),
        ((5, 5, 1), (1, 1, 4), None, None),  # two coarse axes: none is resampled by itself
        ((5, 5.0000001, 1), (1, 1, 1), None, None),  # the rounding of an affine
        ((5, 1, 1), (1, 1, 1), False, None),
        ((1.2, 1, 1), (1, 1, 1), True, 0),
    ],
)
def test_slices_are_separate_where_one_axis_is_coarse(spacing, new, separate, axis):
    assert preprocess.coarse_axis(spacing, new, separate=separate, threshold=3.0) == axis


def test_shapes_are_rounded_to_even():
    assert preprocess.resampled_shape((3, 5, 10), (0.5, 0.5, 1.0), (1.0, 1.0, 3.0)) == (2, 2, 3)


def test_linear_along_the_coarse_axis_by_hand():
    image = np.array([[[0.0, 3.0]], [[6.0, 9.0]]])  # two slices along the first axis
    how = preprocess.Resampling(order=1, order_z=1)
    grids = {"spacing_mm": (8.0, 1.0, 1.0), "new_spacing_mm": (4.0, 1.0, 0.5)}
    found = preprocess.resample_image(image, (4, 1, 4), how=how, **grids)
    rows = np.array([0.0, 0.75, 2.25, 3.0])
    np.testing.assert_allclose(found[:, 0], [rows, rows + 1.5, rows + 4.5, rows + 6], atol=1e-6)


@pytest.mark.parametrize(
    ("channels", "complaint"),
    [
        ([], r"the model takes 1 images \(channels\), got 0"),
        ([np.zeros((4, 5, 6))], "the image is zero everywhere"),
        ([np.ones((4, 5, 6)), np.ones((4, 5, 7))], "the model takes 1 images"),
        ([np.ones((1, 50, 60))], r"the image shrinks to \(60, 50, 0\) voxels"),
    ],
)
def test_what_cannot_be_prepared_is_one_line(channels, complaint):
    how = preprocess.NnunetPreprocessing(
        spacing_mm=(1.0, 1.0, 3.0), channels=(preprocess.ChannelNormalisation(scheme="NoNormalization"),)
    )
    with pytest.raises(ModelError, match=complaint):
        preprocess.prepare_nnunet(channels, spacing_mm=(1.0, 1.0, 1.0), how=how)


def test_channels_share_a_grid():
    one = preprocess.ChannelNormalisation(scheme="NoNormalization")
    how = preprocess.NnunetPreprocessing(spacing_mm=(1.0, 1.0, 1.0), channels=(one, one))
    with pytest.raises(ModelError, match=r"the channels must share one grid, got arrays of \(4, 5, 6\), \(4, 5, 7\)"):
        preprocess.prepare_nnunet([np.ones((4, 5, 6)), np.ones((4, 5, 7))], spacing_mm=(1.0, 1.0, 1.0), how=how)


def test_a_mask_is_needed_to_count_inside_it():
    how = preprocess.ChannelNormalisation(scheme="ZScoreNormalization", mask=True)
    with pytest.raises(ModelError, match="a z-score inside the non-zero region needs that region"):
        preprocess.normalise_channel(np.ones((2, 2, 2), np.float32), how)


def test_a_transposition_is_a_permutation():
    one = preprocess.ChannelNormalisation(scheme="NoNormalization")
    with pytest.raises(ValueError, match="must hold 0, 1, 2, each once"):
        preprocess.NnunetPreprocessing(spacing_mm=(1.0, 1.0, 1.0), channels=(one,), transpose_forward=(0, 0, 1))
