from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from sirtjax.phantom._random_config import InsideLiver, SynthesisConfig
from sirtjax.phantom._random_fields import along, blur_matrix, random_field, slice_matrices

# What a CT shows of air and of padding, HU; the lower end of the network's window lies above it.
CT_WINDOW_HU = (-200.0, 300.0)
# Of an MR image's foreground: the percentile that becomes 1. Zero signal becomes -1.
MR_PERCENTILE = 98.0
_FOREGROUND = 0.1  # of the brightest percentile
# Brighter voxels than that percentile go on to this, then are clipped.
MR_LIMIT = 1.5
_LOW_DOSE_SHARE = 1.0 / 6.0
_BLUR_VOXELS = (0.15, 0.75)
# Far apart, or shading would look like lesions.
_SHADING_GRAIN_MM = 200.0


def acquire(
    key: jax.Array, value: jax.Array, rough: jax.Array, noise: jax.Array, kind: jax.Array, config: SynthesisConfig
) -> jax.Array:
    """A painted patient as a scanner shows it: mottle, shading, blur, thick slices, noise and streaks.

    Args:
      key: where the randomness comes from.
      value: (i, j, k) intensities, HU or signal.
      rough: (i, j, k) standard deviation of the mottle.
      noise: (3, i, j, k) smooth noise of variance 1 and of different grain, for the mottle.
      kind: 0 CT-like, 1 T1-like, 2 random.
      config: the preset.
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
    size = size * jnp.where(jax.random.uniform(keys[6]) < _LOW_DOSE_SHARE, 3.0, 1.0)
    size = jnp.where(ct, size, 0.006 * size * level)
    grain = _noise(keys[7], shape, sigma[1], back)
    streaks = _streaks(keys[8], shape)
    streak_size = jnp.maximum(jax.random.uniform(keys[9], minval=-2.0, maxval=0.9), 0.0) * size
    image = image + size * grain + streak_size * streaks
    # Magnitude images have no negative signal.
    return jnp.where(ct, image, jnp.abs(image))


def normalised(image: jax.Array, seen: jax.Array, *, ct: jax.Array, gain: jax.Array | float = 1.0) -> jax.Array:
    """An image as the network sees it: CT by a fixed window, anything else by the brightness of its foreground.

    CT: `CT_WINDOW_HU` to -1 to 1, clipped. Other: 0 to -1 and `MR_PERCENTILE` of the foreground (voxels above a
    tenth of the 99th percentile) to 1, clipped at `MR_LIMIT`.

    Args:
      image: (i, j, k) intensities.
      seen: (i, j, k) whether a voxel lies in the field of view; what does not becomes -1.
      ct: whether the intensities are HU.
      gain: brightens what is not CT.
    """
    low, high = CT_WINDOW_HU
    window = jnp.clip(2.0 * (image - low) / (high - low) - 1.0, -1.0, 1.0)
    # Every third voxel along each axis gives the percentiles well enough, and sorting them is cheap.
    some = jnp.where(seen, image, jnp.nan)[1::3, 1::3, 1::3].ravel()
    bright = jnp.nanpercentile(some, 99.0)
    foreground = jnp.where(some > _FOREGROUND * bright, some, jnp.nan)
    top = jnp.nan_to_num(jnp.nanpercentile(foreground, MR_PERCENTILE), nan=1.0)
    scaled = jnp.clip(2.0 * gain * image / jnp.maximum(top, 1e-6) - 1.0, -1.0, MR_LIMIT)
    return jnp.where(seen, jnp.where(ct, window, scaled), -1.0)


def normalised_inside(
    image: jax.Array,
    seen: jax.Array,
    liver: jax.Array,
    *,
    ct: jax.Array,
    how: InsideLiver,
    shift: jax.Array | float = 0.0,
) -> jax.Array:
    """An image as a network of lesions sees it: the liver's median is 0, what lies its reach away -1 and 1, clipped.

    What is not seen is 0, too: then nothing stands out but what differs from the liver.

    Args:
      image: (i, j, k) intensities.
      seen: (i, j, k) what lies in the field of view and near the liver.
      liver: (i, j, k) where to take the median.
      ct: whether the intensities are HU.
      how: the reach.
      shift: of the median, as a share of the reach.
    """
    # Every second voxel along each axis is enough, and sorting them is cheap.
    some = jnp.where(seen & liver, image, jnp.nan)[::2, ::2, ::2].ravel()
    median = jnp.nan_to_num(jnp.nanmedian(some))
    reach = jnp.maximum(jnp.where(ct, how.reach_hu, how.reach_share * median), 1e-6)
    middle = median + shift * reach
    return jnp.where(seen, jnp.clip((image - middle) / reach, -1.0, 1.0), 0.0)


def _shaded(key: jax.Array, image: jax.Array, ct: jax.Array, spacing_mm: float) -> jax.Array:
    field_key, size_key = jax.random.split(key)
    knots = tuple(max(round((n - 1) * spacing_mm / _SHADING_GRAIN_MM), 1) + 3 for n in image.shape)
    field = random_field(field_key, image.shape, knots, channels=1)[0]
    size = jax.random.uniform(size_key)
    # CT: beam hardening and scatter shift large regions by some HU. MR: the coils' sensitivity.
    return jnp.where(ct, image + 6.0 * size * field, image * jnp.exp(0.3 * size * field))


def _noise(key: jax.Array, shape: tuple[int, ...], sigma: jax.Array, back: jax.Array) -> jax.Array:
    white = jax.random.normal(key, shape)
    across = [blur_matrix(shape[axis], 1.2 * sigma) for axis in (0, 1)]
    grain = along(along(white, across[0], 0), across[1], 1)
    # Filtering lowers the variance by the rows' sums of squares, in the middle of the image known exactly.
    gain = [jnp.sum(matrix[matrix.shape[0] // 2] ** 2) for matrix in across]
    return along(grain / jnp.sqrt(gain[0] * gain[1]), back, 2)


def _streaks(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    # Photon starvation: long across the patient, short along the other axes.
    return random_field(key, shape, (5, shape[1], shape[2]), channels=1)[0]
