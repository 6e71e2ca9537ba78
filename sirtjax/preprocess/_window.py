from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Real, Shaped
from numpy.typing import NDArray

from sirtjax.errors import ConfigError
from sirtjax.preprocess._config import IntensityScale, OrganWindow
from sirtjax.typing import Array, Scalar

FloatArray = NDArray[np.float32]
# Percentiles are read from at most about this many voxels, evenly spread: beyond, they move by less than a grey value.
SAMPLE = 2_000_000
# Of the brightest percentile: above it is tissue, below it air and its noise.
FOREGROUND_FRACTION = 0.1
# Windows narrower than this are none.
MIN_CONTRAST = 1e-6


def scale_intensity(
    image: Real[Array, "i j k"],
    scale: IntensityScale,
    *,
    organ: Real[Array, "i j k"] | Bool[Array, "i j k"] | None = None,
    seen: Shaped[Array, "i j k"] | None = None,
) -> Float[Array, "i j k"]:
    """Maps the intensities of an image from the window of a scale to the range that a network expects.

    Values outside the window are clipped. An image without contrast becomes the lower end throughout. NumPy arrays
    give a NumPy array. With JAX arrays the function is pure and can be traced.

    Args:
      image: (i, j, k) intensities.
      scale: the rule.
      organ: (i, j, k) mask of the organ, for rules that need it.
      seen: (i, j, k) field of view; voxels outside it are not counted and become `scale.unseen`.

    Returns:
      (i, j, k) float32.

    Raises:
      ConfigError: as `intensity_window`.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import preprocess
      >>> scale = preprocess.IntensityScale(modality="CT", window=(-100.0, 200.0), output=(0.0, 1.0))
      >>> image = np.array([-1000.0, -100.0, 50.0, 900.0], np.float32).reshape(4, 1, 1)
      >>> preprocess.scale_intensity(image, scale).round(3).ravel().tolist()
      [0.0, 0.0, 0.5, 1.0]
    """
    xp = _namespace(image)
    low, high = intensity_window(image, scale, organ=organ, seen=seen)
    values = xp.asarray(image, xp.float32)[..., None]
    scaled = to_range(values, xp.stack([low]), xp.stack([high]), output=scale.output)[..., 0]
    return scaled if seen is None else xp.where(seen, scaled, xp.float32(scale.unseen))


def to_range(
    image: Real[Array, "*points channels"],
    low: Real[Array, "#channels"] | Sequence[float],
    high: Real[Array, "#channels"] | Sequence[float],
    *,
    output: tuple[float, float],
) -> Float[Array, "*points channels"]:
    """Clips intensities to a window per channel and maps them to the network's range (NumPy or JAX).

    Args:
      image: (..., channels) float32 intensities.
      low: the intensity of each channel that becomes the lower end of the range.
      high: the one that becomes its upper end; if it does not exceed `low`, all become the lower end.
      output: the range.
    """
    xp = _namespace(image)
    shape = (1,) * (image.ndim - 1) + (-1,)
    lowest, highest = (xp.reshape(xp.asarray(end, xp.float32), shape) for end in (low, high))
    inside = xp.clip(image, lowest, highest)
    # In place for NumPy, a whole image would be copied else.
    inside -= lowest
    inside *= (output[1] - output[0]) / xp.maximum(highest - lowest, MIN_CONTRAST)
    inside += output[0]
    scaled: Array = inside
    return scaled


def intensity_window(
    image: Real[Array, "i j k"],
    scale: IntensityScale,
    *,
    organ: Shaped[Array, "i j k"] | None = None,
    seen: Shaped[Array, "i j k"] | None = None,
) -> tuple[Scalar, Scalar]:
    """Returns the two intensities of an image that become the ends of the network's range.

    This is the only definition of the rule: segmentation applies it to NumPy arrays, `sirtjax.synthesis` to traced
    JAX arrays. Of more than `SAMPLE` voxels NumPy counts an even selection, JAX all.

    Args:
      image: (i, j, k) intensities.
      scale: the rule.
      organ: (i, j, k) mask of the organ, for rules that need it.
      seen: (i, j, k) the voxels that count; None counts all.

    Returns:
      Lower and upper end: floats for NumPy, scalar arrays for JAX.

    Raises:
      ConfigError: the scale has no rule, or needs the organ and `organ` is missing or an empty NumPy mask.
    """
    if scale.window is not None:
        return scale.window
    if scale.percentiles is not None:
        low, high = _percentiles(image, seen, scale.percentiles)
        return low, high
    if scale.organ is not None:
        return _around_median(image, scale.organ, organ, seen)
    if scale.foreground is None:
        raise ConfigError(
            f"the scale of {scale.modality} has no rule; give `window`, `percentiles`, `foreground` or `organ`"
        )
    _, bright = _percentiles(image, seen, (0, 99))
    inside = image > FOREGROUND_FRACTION * bright
    _, top = _percentiles(image, inside if seen is None else inside & seen, (0, scale.foreground.percentile))
    top = _namespace(image).where(bright > 0, top, 0.0)
    return 0.0, scale.foreground.headroom * (float(top) if isinstance(image, np.ndarray) else top)


def _around_median(image: Array, how: OrganWindow, organ: Array | None, seen: Array | None) -> tuple[Scalar, Scalar]:
    on_host = isinstance(image, np.ndarray)
    counted = organ if organ is None or seen is None else organ & seen
    if counted is None or (on_host and not counted.any()):
        raise ConfigError("intensities are scaled around the organ's median; give a mask of the organ")
    middle: Scalar
    if on_host:
        middle = float(np.median(image[counted]))
    else:
        middle = jnp.nan_to_num(jnp.nanmedian(jnp.where(counted, image, jnp.nan)))
    reach = how.reach * _namespace(image).abs(middle) if how.relative else how.reach
    return middle - reach, middle + reach


def _percentiles(image: Array, inside: Array | None, percentiles: tuple[float, float]) -> tuple[Scalar, Scalar]:
    """Two percentiles of the voxels in a mask; 0 if it is empty."""
    if isinstance(image, np.ndarray):
        values = image if inside is None else image[inside]
        return percentile_window(values, percentiles) if values.size else (0.0, 0.0)
    masked = image if inside is None else jnp.where(inside, image, jnp.nan)
    low, high = jnp.nan_to_num(jnp.nanpercentile(masked, jnp.asarray(percentiles, jnp.float32)))
    return low, high


def _namespace(image: Array) -> ModuleType:
    return np if isinstance(image, np.ndarray) else jnp


def percentile_window(image: Real[np.ndarray, "..."], percentiles: tuple[float, float]) -> tuple[float, float]:
    """Returns intensity percentiles, from every n-th voxel of large images."""
    values = np.asarray(image).reshape(-1)
    sample = values[:: max(1, values.size // SAMPLE)]
    low, high = np.percentile(sample, percentiles)
    return float(low), float(high)
