import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from sirtjax import inference

PATCH = (8, 12, 16)


def weights_of_nnunet():
    """A blurred impulse of height 10 in half precision; zeros take the smallest other value."""
    impulse = np.zeros(PATCH)
    impulse[4, 6, 8] = 1
    blurred = ndimage.gaussian_filter(impulse, [1, 1.5, 2], mode="constant", cval=0)
    half = (blurred / (blurred.max() / 10)).astype(np.float16)
    assert (half == 0).any()
    half[half == 0] = half[half > 0].min()
    return half.astype(np.float64)


def which_tile(tiles):
    # Each tile answers with its own first voxel: blending shows in what comes out.
    return jnp.broadcast_to(tiles[:, :1, :1, :1], tiles.shape)


def test_tiles_are_blended_as_nnunet_does():
    image = np.random.default_rng(0).normal(size=(13, 12, 25, 1)).astype(np.float32)
    found = inference.predict_tiles(which_tile, image, patch_shape=PATCH, blending="nnunet")
    weight = weights_of_nnunet()
    total, sums = np.zeros(image.shape[:3]), np.zeros(image.shape[:3])
    for i in (0, 2, 5):
        for k in (0, 4, 9):
            tile = (slice(i, i + 8), slice(0, 12), slice(k, k + 16))
            total[tile] += weight * image[i, 0, k, 0]
            sums[tile] += weight
    np.testing.assert_allclose(found[..., 0], total / sums, rtol=1e-5, atol=1e-6)
    gaussian = inference.predict_tiles(which_tile, image, patch_shape=PATCH, blending="gaussian")
    # the same far from the borders, but not where half precision ends
    assert np.abs(found - gaussian).max() > 1e-3


def test_an_unknown_blending_is_refused():
    image = np.zeros((8, 12, 17, 1), np.float32)
    with pytest.raises(ValueError, match="blending must be one of gaussian, uniform, nnunet, got 'mean'"):
        inference.predict_tiles(which_tile, image, patch_shape=PATCH, blending="mean")
