"""Random samples are scaled by the rule that scales real images."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax.preprocess import intensity_window, scale_intensity, to_range
from sirtjax.synthesis import load_preset, preprocessing_for, scale_sample

DEFAULT, LESIONS = load_preset("default"), load_preset("lesions")


def images(modality, shape):
    draw = np.random.default_rng(2)
    image = draw.normal(60, 300, shape) if modality == "CT" else draw.gamma(2.0, 200.0, shape)
    return np.where(draw.random(shape) < 0.3, -1000 if modality == "CT" else 3.0, image).astype("f4")


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_real_images_are_scaled_as_samples_are(modality):
    image = images(modality, (36, 33, 30))
    seen = np.ones(image.shape, bool)
    seen[:, :, 24:] = False
    scale = preprocessing_for(DEFAULT).scale_of(modality)
    scaled = jax.jit(partial(scale_sample, config=DEFAULT))
    found = np.asarray(scaled(image, seen, seen, ct=jnp.bool_(modality == "CT")))
    # Samples take percentiles from every third voxel along each axis.
    few = (slice(1, None, 3),) * 3
    low, high = intensity_window(image[few], scale, seen=seen[few])
    expected = to_range(image[..., None], [low], [high], output=scale.output)[..., 0]
    np.testing.assert_allclose(found, np.where(seen, expected, scale.unseen), atol=5e-6)
    assert (found[:, :, 24:] == -1).all() and np.ptp(found[:, :, :24]) > 1.5


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_real_livers_are_scaled_as_samples_are(modality):
    # Medians are taken from every second voxel.
    image = images(modality, (12, 11, 10)).repeat(2, 0).repeat(2, 1).repeat(2, 2)
    liver, seen = np.zeros((2, *image.shape), bool)
    liver[4:16, 6:18, 4:12] = True
    seen[2:18, 4:20, 2:14] = True
    scale = preprocessing_for(LESIONS).scale_of(modality)
    scaled = jax.jit(partial(scale_sample, config=LESIONS))
    found = np.asarray(scaled(image, seen, liver, ct=jnp.bool_(modality == "CT")))
    np.testing.assert_allclose(found, scale_intensity(image, scale, organ=liver, seen=seen), atol=5e-6)
    assert (found[~seen] == 0).all() and np.ptp(found[liver]) > 1.5


def test_a_window_and_a_percentile_by_hand():
    image = jnp.linspace(0.0, 1000.0, 9**3).reshape(9, 9, 9)
    seen = jnp.ones((9, 9, 9), bool).at[:, :, 6:].set(False)
    mr = np.asarray(scale_sample(image, seen, seen, DEFAULT, ct=jnp.bool_(False)))
    ct = np.asarray(scale_sample(image, seen, seen, DEFAULT, ct=jnp.bool_(True)))
    assert (mr[:, :, 6:] == -1).all()
    assert (ct[:, :, 6:] == -1).all()
    # Of every third voxel seen, those above a tenth of the 99th percentile are the foreground.
    some = np.asarray(image)[1::3, 1::3, 1:6:3]
    top = np.percentile(some[some > 0.1 * np.percentile(some, 99)], 98)
    np.testing.assert_allclose(mr[4, 4, 2], 2 * float(image[4, 4, 2]) / top - 1, atol=1e-5)
    np.testing.assert_allclose(ct[0, 0, 0], 2 * 200 / 500 - 1, atol=1e-6)
    assert ct[8, 8, 5] == 1.0


def test_gain_brightens_other_images_than_ct():
    image = jnp.asarray(images("MR", (12, 11, 10)))
    seen = jnp.ones(image.shape, bool)
    plain, bright = (
        np.asarray(scale_sample(image, seen, seen, DEFAULT, ct=jnp.bool_(False), gain=gain)) for gain in (1.0, 1.1)
    )
    unclipped = bright < 1.4
    np.testing.assert_allclose(bright[unclipped], (1.1 * (plain + 1) - 1)[unclipped], atol=1e-5)
    ct = [np.asarray(scale_sample(image, seen, seen, DEFAULT, ct=jnp.bool_(True), gain=gain)) for gain in (1.0, 1.1)]
    np.testing.assert_array_equal(*ct)


def test_shift_moves_the_middle_by_a_fraction_of_the_reach():
    image = jnp.asarray(np.random.default_rng(3).normal(100.0, 5.0, (8, 8, 8)).astype("f4"))
    seen = jnp.ones(image.shape, bool)
    plain, moved = (
        np.asarray(scale_sample(image, seen, seen, LESIONS, ct=jnp.bool_(True), shift=shift)) for shift in (0.0, 0.1)
    )
    assert np.abs(plain).max() < 0.9
    np.testing.assert_allclose(moved, plain - 0.1, atol=1e-5)
