"""One preparation for training and segmentation: grid, median, mask, scale."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from sirtjax import preprocess
from sirtjax.errors import ConfigError, ImageFormatError
from sirtjax.preprocess import FixedPreprocessing, IntensityScale, OrganMask, OrganWindow
from sirtjax.volume import Geometry, Volume

GRID = Geometry.from_axes((12, 10, 8), spacing_mm=(2.0, 3.0, 4.0), origin_mm=(-5, 7, 100))
CT = IntensityScale(modality="CT", window=(-200, 200))


def how(**changes):
    return FixedPreprocessing(spacing_mm=(2, 3, 4), intensities=(CT,), **changes)


def noise(seed=0, unit="HU"):
    return Volume(np.random.default_rng(seed).normal(0, 150, GRID.shape).astype("f4"), GRID, unit=unit)


def box_around(grid, margin_mm):
    """Within a distance along each axis of the voxels 4 to 6, 3 to 5, 2 to 4."""
    mask = np.zeros(grid.shape, bool)
    wide = [int(margin_mm // spacing) for spacing in grid.spacing_mm]
    mask[tuple(slice(a - w, a + 3 + w) for a, w in zip((4, 3, 2), wide, strict=True))] = True
    return mask


def test_on_its_own_grid_an_image_stays_as_it_is():
    volume = noise()
    case = preprocess.prepare_fixed([volume, noise(1)], how=how(), modality="CT")
    np.testing.assert_allclose(case.image[..., 0], volume.array, atol=1e-3)
    assert case.image.shape == (*GRID.shape, 2) and case.grid.spacing_mm == pytest.approx((2, 3, 4))
    assert (case.low, case.high) == ((-200, -200), (200, 200))
    np.testing.assert_allclose(case.scaled()[..., 0], np.clip(volume.array, -200, 200) / 400, atol=1e-5)


def test_the_median_of_27_voxels():
    volume = noise()
    case = preprocess.prepare_fixed([volume], how=how(median=True), modality="CT")
    wide = np.pad(np.asarray(volume.array), 1, mode="edge")
    views = np.lib.stride_tricks.sliding_window_view(wide, (3, 3, 3))
    np.testing.assert_allclose(case.image[..., 0], np.median(views, axis=(3, 4, 5)), atol=1e-3)


@pytest.mark.parametrize("shape", [(9, 8, 7), (1, 4, 5), (3, 1, 2)])
def test_the_median_is_scipys(shape):
    draw = np.random.default_rng(1)
    image = (draw.integers(-4, 5, shape) + draw.choice([0, 0.5], shape)).astype("f4")
    expected = ndimage.median_filter(image, size=3, mode="nearest")
    np.testing.assert_array_equal(preprocess.median_27(image), expected)


def test_beyond_the_mask_is_the_lower_end_and_it_is_cut_to_its_box():
    volume = noise()
    case = preprocess.prepare_fixed(
        [volume], how=how(mask=OrganMask(margin_mm=4.0)), modality="CT", around=_corner_less
    )
    assert case.box == (slice(2, 9), slice(2, 7), slice(1, 6))
    assert case.image.shape == (7, 5, 5, 1)
    np.testing.assert_allclose(case.image[1:, ..., 0], np.asarray(volume.array)[3:9, 2:7, 1:6], atol=1e-3)
    assert case.image[0, 0, 0, 0] == -200 and case.scaled()[0, 0, 0, 0] == -0.5


def _corner_less(grid, margin_mm):
    mask = box_around(grid, margin_mm)
    mask[2, 2, 1] = False
    return mask


def test_percentiles_are_those_of_the_whole_image_on_the_grid_after_the_median():
    scale = IntensityScale(modality="MR", percentiles=(5, 95), output=(0, 1))
    made = FixedPreprocessing(spacing_mm=(2, 3, 4), intensities=(scale,), median=True, mask=OrganMask(margin_mm=0))
    case = preprocess.prepare_fixed([noise(unit="1")], how=made, modality="MR", around=box_around)
    whole = preprocess.prepare_fixed([noise(unit="1")], how=how(median=True), modality="CT")
    np.testing.assert_allclose((*case.low, *case.high), np.percentile(whole.image, (5, 95)), rtol=1e-5)


def test_a_window_around_the_median_of_the_organ_itself():
    scale = IntensityScale(modality="CT", organ=OrganWindow(reach=80.0), output=(-1, 1))
    made = FixedPreprocessing(spacing_mm=(2, 3, 4), intensities=(scale,), mask=OrganMask(margin_mm=4.0))
    volume = noise()
    case = preprocess.prepare_fixed([volume], how=made, modality="CT", around=box_around)
    middle = np.median(np.asarray(volume.array)[4:7, 3:6, 2:5])
    assert (case.low[0], case.unseen[0], case.high[0]) == pytest.approx((middle - 80, middle, middle + 80), abs=1e-3)
    # Nothing stands out beyond the mask.
    seen = box_around(case.grid, 4.0)[case.box]
    corner = preprocess.prepare_fixed([volume], how=made, modality="CT", around=_corner_less).scaled()
    assert seen[0, 0, 0] and corner[0, 0, 0, 0] == pytest.approx(0.0, abs=1e-6) == scale.unseen
    with pytest.raises(ConfigError, match="around the organ's median; give a mask"):
        preprocess.prepare_fixed([volume], how=made.model_copy(update={"mask": None}), modality="CT")


def test_numpy_and_jax_scale_alike():
    image = noise().array[..., None].repeat(2, -1)
    low, high = (-100.0, 3.3), (200.0, 3.3)
    found = preprocess.to_range(image, low, high, output=(-1.0, 2.0))
    assert found.dtype == np.float32 and (found[..., 1] == -1).all()
    np.testing.assert_allclose(found[..., 0], (np.clip(image[..., 0], -100, 200) + 100) / 100 - 1, atol=1e-5)
    other = preprocess.to_range(jnp.asarray(image), jnp.asarray(low), jnp.asarray(high), output=(-1.0, 2.0))
    np.testing.assert_allclose(other, found, atol=1e-6)


def test_descriptions_from_before_there_were_masks_still_read():
    table = {"kind": "fixed", "spacing_mm": [2, 3, 4], "intensities": [{"modality": "CT", "window": [-200, 200]}]}
    assert FixedPreprocessing.model_validate(table) == how()
    masked = how(median=True, mask=OrganMask(margin_mm=6.0))
    assert FixedPreprocessing.model_validate(masked.model_dump(mode="json")) == masked
    assert masked.mask.organ == "liver"


def test_what_cannot_be_prepared_is_refused():
    with pytest.raises(ConfigError, match="there is an intensity scale for CT, none for MR"):
        preprocess.prepare_fixed([noise()], how=how(), modality="MR")
    masked = how(mask=OrganMask(margin_mm=6.0))
    with pytest.raises(ConfigError, match="the network requires a mask of the liver; provide it"):
        preprocess.prepare_fixed([noise()], how=masked, modality="CT")
    with pytest.raises(ImageFormatError, match="the mask of the liver is outside the image"):
        preprocess.prepare_fixed(
            [noise()], how=masked, modality="CT", around=lambda grid, margin_mm: np.zeros(grid.shape, bool)
        )
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        OrganMask(margin_mm=-1)
    with pytest.raises(ValueError, match="Input should be 'liver'"):
        OrganMask(organ="spleen", margin_mm=1)
