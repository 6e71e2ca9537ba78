"""Tiles with plain functions whose whole-image result is known."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax import inference
from sirtjax.errors import InputError
from sirtjax.inference import _program


def image(*shape, channels=2, seed=0):
    return np.random.default_rng(seed).normal(size=(*shape, channels)).astype(np.float32)


def pointwise(tiles):
    """Two classes that depend on each voxel alone."""
    return jnp.stack([tiles[..., 0] * 2, jnp.sin(tiles[..., 1])], axis=-1)


def mean_of_27(tiles):
    """A valid 3x3x3 mean: the output is smaller by two voxels, the logits the mean and its negative."""
    n = tiles.shape[1:4]
    parts = [
        tiles[:, a : a + n[0] - 2, b : b + n[1] - 2, c : c + n[2] - 2, 0]
        for a in range(3)
        for b in range(3)
        for c in range(3)
    ]
    mean = sum(parts) / 27
    return jnp.stack([mean, -mean], axis=-1)


def place_along_i(tiles):
    """What a network must not be: the voxel's place in its tile."""
    return jnp.broadcast_to(jnp.arange(tiles.shape[1], dtype=jnp.float32)[:, None, None, None], tiles.shape)


@pytest.mark.parametrize("blending", ["gaussian", "uniform"])
@pytest.mark.parametrize(("shape", "batch"), [((23, 17, 14), 3), ((5, 17, 30), 1), ((9, 8, 7), 4)])
def test_a_pointwise_network_gives_the_same_in_tiles(blending, shape, batch):
    values = image(*shape)
    found = inference.predict_tiles(pointwise, values, patch_shape=(9, 8, 7), blending=blending, batch=batch)
    np.testing.assert_allclose(found, pointwise(values), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("overlap", [0.0, 0.5])
def test_valid_convolutions_in_tiles_are_the_whole_image(overlap):
    from scipy import ndimage

    values = image(25, 18, 9, channels=1)
    found = inference.predict_tiles(mean_of_27, values, patch_shape=(12, 10, 13), overlap=overlap, fill=-0.5)
    expected = ndimage.uniform_filter(values[..., 0], 3, mode="constant", cval=-0.5)
    np.testing.assert_allclose(found[..., 0], expected, atol=1e-6)
    np.testing.assert_allclose(found[..., 1], -expected, atol=1e-6)


def test_blending_by_hand():
    """Two tiles of four voxels over six: starts 0 and 2, so that voxels 2 and 3 are seen twice."""
    values = np.zeros((6, 4, 4, 1), np.float32)
    uniform = inference.predict_tiles(place_along_i, values, patch_shape=(4, 4, 4), blending="uniform")
    np.testing.assert_allclose(uniform[:, 1, 2, 0], [0, 1, (2 + 0) / 2, (3 + 1) / 2, 2, 3])
    gaussian = inference.predict_tiles(place_along_i, values, patch_shape=(4, 4, 4))
    # An impulse at voxel 2 of 4, standard deviation 0.5 voxels: e^-8, e^-2, 1, e^-2.
    w0, w1, w2, w3 = np.exp([-8, -2, 0, -2])
    expected = [0, 1, (2 * w2 + 0 * w0) / (w2 + w0), (3 * w3 + 1 * w1) / (w3 + w1), 2, 3]
    np.testing.assert_allclose(gaussian[:, 1, 2, 0], expected, rtol=1e-5)


def test_flips_are_turned_back_and_averaged():
    values = np.zeros((4, 3, 5, 1), np.float32)
    options = {"patch_shape": (4, 3, 5), "mirror_axes": (0, 2)}
    # Places 0 1 2 3 and their mirror image, twice each.
    np.testing.assert_allclose(inference.predict_tiles(place_along_i, values, **options), 1.5)
    other = image(11, 9, 12)
    found = inference.predict_tiles(pointwise, other, patch_shape=(6, 5, 7), mirror_axes=(2, 1, 0), batch=2)
    np.testing.assert_allclose(found, pointwise(other), rtol=1e-5, atol=1e-6)


def test_weights_are_arguments():
    def scaled(variables, tiles):
        return tiles * variables["a"] + variables["b"]

    values = image(7, 9, 8)
    for a in (2.0, -1.0):
        found = inference.predict_tiles(
            scaled, values, patch_shape=(6, 6, 6), variables={"a": np.float32(a), "b": np.float32(1)}
        )
        np.testing.assert_allclose(found, values * a + 1, rtol=1e-5, atol=1e-5)


def test_a_second_image_of_another_size_compiles_nothing(compilations):
    def network(variables, tiles):
        return jnp.tanh(tiles) * variables

    def run(shape, weight, **options):
        return inference.predict_tiles(
            network, image(*shape), patch_shape=(8, 7, 6), variables=np.float32(weight), batch=2, **options
        )

    run((20, 15, 9), 1.0)
    assert compilations  # the listener hears
    del compilations[:]
    second = run((31, 6, 22), 1.0)
    folded = run((31, 6, 22), 3.0, mirror_axes=(0, 1), overlap=0.2, blending="uniform")
    assert compilations == []
    np.testing.assert_allclose(folded, second * 3, rtol=1e-5, atol=1e-5)


def test_progress_counts_calls():
    seen = []
    inference.predict_tiles(
        pointwise,
        image(12, 6, 6),
        patch_shape=(6, 6, 6),
        batch=2,
        mirror_axes=(1,),
        progress=lambda *now: seen.append(now),
    )
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]  # three tiles in two batches, twice


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (np.zeros((4, 4, 4), np.float32), {}, r"\(i, j, k, channel\), got an array of shape \(4, 4, 4\)"),
        (image(4, 4, 4), {"patch_shape": (4, 4)}, r"three positive numbers of voxels, got \(4, 4\)"),
        (image(4, 4, 4), {"batch": 0}, "a batch of 0 tiles can't be shared by 1 devices"),
        (image(4, 4, 4), {"mirror_axes": (0, 3)}, r"some of 0, 1, 2, each once; got \(0, 3\)"),
        (image(4, 4, 4), {"mirror_axes": (1, 1)}, r"each once; got \(1, 1\)"),
    ],
)
def test_what_makes_no_sense_is_refused(values, options, message):
    with pytest.raises(ValueError, match=message):
        inference.predict_tiles(pointwise, values, **{"patch_shape": (4, 4, 4), **options})


def test_too_little_memory_is_told_before_the_work(monkeypatch):
    monkeypatch.setattr(_program, "available_bytes", lambda device: 2**10)
    with pytest.raises(InputError, match=r"the network needs 0\.0 GiB of memory on cpu, 0\.0 GiB are free; close"):
        inference.predict_tiles(pointwise, image(9, 8, 7), patch_shape=(9, 8, 7))


def test_free_memory_is_found_here():
    available = _program.available_bytes(jax.devices("cpu")[0])
    assert available is not None and 2**26 < available < 2**44


SHARED = """
import jax, numpy as np
from sirtjax import inference
network = lambda variables, tiles: tiles * variables
image = np.random.default_rng(0).normal(size=(21, 9, 13, 1)).astype(np.float32)
devices = jax.devices()
assert len(devices) == 4, devices
found = inference.predict_tiles(
    network, image, patch_shape=(6, 5, 7), variables=np.float32(2), batch=8, devices=devices
)
np.testing.assert_allclose(found, image * 2, rtol=1e-5, atol=1e-6)
try:
    inference.predict_tiles(network, image, patch_shape=(6, 5, 7), variables=np.float32(2), batch=2, devices=devices)
except ValueError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_batch_is_shared_by_devices():
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", SHARED], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "a batch of 2 tiles can't be shared by 4 devices evenly" in done.stdout
