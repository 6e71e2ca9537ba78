from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Integer, PRNGKeyArray

from sirtjax.synthesis._config import SynthesisConfig
from sirtjax.synthesis._fields import along, blur_matrix, random_field, slice_matrices

_LOW_DOSE_FRACTION = 1.0 / 6.0
_BLUR_VOXELS = (0.15, 0.75)
# Far apart, or shading would look like lesions.
_SHADING_GRAIN_MM = 200.0


def acquire(
    key: PRNGKeyArray,
    value: Float[jax.Array, "i j k"],
    rough: Float[jax.Array, "i j k"],
    noise: Float[jax.Array, "3 i j k"],
    kind: Integer[jax.Array, ""],
    config: SynthesisConfig,
) -> Float[jax.Array, "i j k"]:
    """Returns the simulated acquisition of a painted patient.

    Mottle, bias field, blur, thick slices, noise and streaks are added.

    Args:
      key: random key.
      value: (i, j, k) intensities, HU or signal.
      rough: (i, j, k) standard deviation of the mottle.
      noise: (3, i, j, k) smooth noise of variance 1 and of different grain, for the mottle.
      kind: kind of image: 0 CT-like, 1 T1-like, 2 random.
      config: preset.
    """
    shape = value.shape
    keys = jax.random.split(key, 12)
    level = jnp.where(kind == 0, 1000.0, jnp.mean(value))
    ct = kind == 0
    weight = jax.random.uniform(keys[0], (3,)) * jnp.array([1.0, 0.7, 0.5])
    image = value + config.mottle * rough * jnp.tensordot(weight, noise, axes=1)
    image = _shaded(keys[1], image, ct, config.spacing_mm)
    # Resolution within the slice, slices of any thickness, then what the interpolation back leaves of them.
    sigma = jax.random.uniform(keys[2], (2,), minval=_BLUR_VOXELS[0], maxval=_BLUR_VOXELS[1])
    low, high = (float(np.log(bound / config.spacing_mm)) for bound in config.slice_mm)
    thickness = jnp.maximum(jnp.exp(jax.random.uniform(keys[3], minval=low, maxval=high)), 1.0)
    offset = jax.random.uniform(keys[4], minval=-1.0, maxval=0.0)
    average, back = slice_matrices(shape[2], thickness, offset)
    image = along(image, blur_matrix(shape[0], sigma[0]), 0)
    image = along(image, blur_matrix(shape[1], sigma[0]), 1)
    image = along(image, back @ average, 2)
    size = jax.random.uniform(keys[5], minval=config.noise_hu[0], maxval=config.noise_hu[1])
    size = size * jnp.where(jax.random.uniform(keys[6]) < _LOW_DOSE_FRACTION, 3.0, 1.0)
    size = jnp.where(ct, size, 0.006 * size * level)
    grain = _noise(keys[7], shape, sigma[1], back)
    streaks = _streaks(keys[8], shape)
    streak_size = jnp.maximum(jax.random.uniform(keys[9], minval=-2.0, maxval=0.9), 0.0) * size
    image = image + size * grain + streak_size * streaks
    # Magnitude images have no negative signal.
    return jnp.where(ct, image, jnp.abs(image))


def _shaded(
    key: PRNGKeyArray, image: Float[jax.Array, "i j k"], ct: Bool[jax.Array, ""], spacing_mm: float
) -> Float[jax.Array, "i j k"]:
    field_key, size_key = jax.random.split(key)
    knots = tuple(max(round((n - 1) * spacing_mm / _SHADING_GRAIN_MM), 1) + 3 for n in image.shape)
    field = random_field(field_key, image.shape, knots, channels=1)[0]
    size = jax.random.uniform(size_key)
    # CT: beam hardening and scatter shift large regions by some HU. MR: the coils' sensitivity.
    return jnp.where(ct, image + 6.0 * size * field, image * jnp.exp(0.3 * size * field))


def _noise(
    key: PRNGKeyArray, shape: tuple[int, ...], sigma: Float[jax.Array, ""], back: Float[jax.Array, "k k"]
) -> Float[jax.Array, "i j k"]:
    white = jax.random.normal(key, shape)
    across = [blur_matrix(shape[axis], 1.2 * sigma) for axis in (0, 1)]
    grain = along(along(white, across[0], 0), across[1], 1)
    # Filtering lowers the variance by the rows' sums of squares, in the middle of the image known exactly.
    gain = [jnp.sum(matrix[matrix.shape[0] // 2] ** 2) for matrix in across]
    return along(grain / jnp.sqrt(gain[0] * gain[1]), back, 2)


def _streaks(key: PRNGKeyArray, shape: tuple[int, ...]) -> Float[jax.Array, "i j k"]:
    # Photon starvation: long across the patient, short along the other axes.
    return random_field(key, shape, (5, shape[1], shape[2]), channels=1)[0]
