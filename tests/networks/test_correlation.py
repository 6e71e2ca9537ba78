"""The correlation layer: the shift of a texture, a brute-force comparison, and guides that only one image has."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import ValidationError
from scipy import ndimage

from sirtjax import networks, ops

SHAPE, SPACING_MM, BLOCK = (24, 20, 16), (5.0, 4.0, 6.0), 2
BLOCK_MM = BLOCK * np.array(SPACING_MM)


def texture(seed=0, shape=SHAPE):
    return ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 1.2).astype(np.float32)


def run(reference, warped, **options):
    config = networks.CorrelationConfig(**options)
    sides = (jnp.asarray(reference), jnp.asarray(warped))
    return jax.tree.map(np.asarray, networks.matched_blocks(*sides, SPACING_MM, block=BLOCK, config=config))


@pytest.mark.parametrize("steps", [(1, 0, 0), (0, -2, 0), (0, 0, 1), (1, -1, 0)])
@pytest.mark.slow
def test_the_shift_of_a_texture_is_found(steps):
    """The reference shows at x what the other shows at x + shift, with another contrast."""
    large = texture(shape=(48, 40, 32))
    cut = [slice(10, 10 + n) for n in SHAPE]
    moved = [slice(10 - BLOCK * step, 10 - BLOCK * step + n) for step, n in zip(steps, SHAPE, strict=True)]
    found = run(large[tuple(cut)][..., None], 3.0 - 2.0 * large[tuple(moved)][..., None], sharpness=2000.0)
    inner = (slice(4, -4), slice(4, -4), slice(3, -3))
    np.testing.assert_allclose(
        found.displacement_mm[inner], np.broadcast_to(np.array(steps) * BLOCK_MM, (4, 2, 2, 3)), atol=1.5
    )


def test_the_weights_are_those_of_a_search_by_hand():
    one, two = texture(1), texture(2)
    found = run(one[..., None], two[..., None], reach=1, sharpness=50.0, difference_passes=0, displacement_passes=0)
    features = [
        np.asarray(ops.mind_ssc(jnp.asarray(x))).reshape(12, 2, 10, 2, 8, 2, 12).mean(axis=(1, 3, 5))
        for x in (one, two)
    ]
    held = np.pad(features[1], [(1, 1)] * 3 + [(0, 0)], mode="edge")
    weights = np.zeros((12, 10, 8, 3, 3, 3))
    least = np.full((12, 10, 8), np.inf)
    for a, b, c in np.ndindex(3, 3, 3):
        missing = ((features[0] - held[a : a + 12, b : b + 10, c : c + 8]) ** 2).mean(axis=-1)
        weights[..., a, b, c], least = np.exp(-50.0 * missing), np.minimum(least, missing)
    weights /= weights.sum(axis=(3, 4, 5), keepdims=True)
    along = [weights.sum(axis=(4, 5)), weights.sum(axis=(3, 5)), weights.sum(axis=(3, 4))]
    shift = np.stack([part[..., 2] - part[..., 0] for part in along], axis=-1)
    np.testing.assert_allclose(found.displacement_mm, shift * BLOCK_MM, atol=1e-3)
    known = np.concatenate([*along, shift, 50.0 * least[..., None]], axis=-1)
    assert found.channels.shape[-1] == networks.CorrelationConfig(reach=1).channels
    np.testing.assert_allclose(found.channels, known, atol=1e-4)


def ball(shift_mm):
    x = np.moveaxis(np.indices(SHAPE), 0, -1) * np.array(SPACING_MM)
    return (np.linalg.norm(x - np.array([60.0, 40.0, 48.0]) - shift_mm, axis=-1) < 28.0).astype(np.float32)


@pytest.mark.slow
def test_guides_count_only_if_both_images_have_one():
    """The images show nothing: only the livers can tell the shift."""
    flat = np.zeros(SHAPE, np.float32)
    with_liver, moved, without = (
        np.stack([flat, liver], axis=-1) for liver in (ball(0.0), ball(np.array([10.0, 0, 0])), flat)
    )
    liver = ball(0.0).reshape(12, 2, 10, 2, 8, 2).mean(axis=(1, 3, 5)) > 0.5
    along_x = run(with_liver, moved, sharpness=400.0, guide=4.0).displacement_mm[liver].mean(axis=0)
    assert 3.0 < along_x[0] <= 10.0 and np.abs(along_x[1:]).max() < 1.0
    for sides in ((with_liver, without), (without, with_liver)):
        alone = run(*sides, sharpness=400.0, guide=4.0)
        nothing = run(flat[..., None], flat[..., None], sharpness=400.0)
        np.testing.assert_array_equal(alone.displacement_mm, nothing.displacement_mm)
        np.testing.assert_array_equal(alone.channels, nothing.channels)  # the smallest difference among them


@pytest.mark.slow
def test_a_cascade_with_a_correlation_begins_with_half_of_its_displacement():
    unet = {
        "architecture": "plain-conv-unet", "channels": 16 + 19, "classes": 4, "features": [4, 6],
        "deep_supervision": False, "normalisation": "none",
    }  # fmt: skip
    config = networks.CascadeConfig.model_validate({"network": unet, "cascades": 1, "correlation": {}})
    sides = [texture(seed)[..., None] for seed in (3, 4)]
    own = networks.cascade_of(networks.initialise_cascades(config, seed=0), 0)
    start = networks.first_displacement(config, sides[0])
    found = networks.next_output(config, own, *sides, SPACING_MM, start).displacement_mm
    np.testing.assert_allclose(found, 0.5 * run(*sides).displacement_mm, atol=1e-3)
    assert np.abs(found).max() > 0.5
    with pytest.raises(ValidationError, match="must have 35 channels and 4 classes"):
        networks.CascadeConfig.model_validate({"network": {**unet, "classes": 3}, "correlation": {}})
