from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from sirtjax.errors import ConfigError
from sirtjax.preprocess._config import IntensityScale, OrganWindow

Array = Any
FloatArray = NDArray[np.float32]
# Percentiles are read from at most about this many voxels, evenly spread: beyond, they move by less than a grey value.
SAMPLE = 2_000_000
# Of the brightest percentile: above it is tissue, below it air and its noise.
FOREGROUND_SHARE = 0.1
# Windows narrower than this are none.
LEAST_CONTRAST = 1e-6


def scale_intensity(image: NDArray[Any], scale: IntensityScale) -> FloatArray:
    """Intensities mapped from a window, or from percentiles of the image, to the network's range; (i, j, k) float32.

    Values outside are clipped. An image without contrast becomes the lower end throughout.
    """
    low, high = intensity_window(image, scale)
    values = np.asarray(image, np.float32)[..., None]
    return np.asarray(to_range(values, [low], [high], output=scale.output)[..., 0])


def to_range(image: Array, low: Array, high: Array, *, output: tuple[float, float]) -> Array:
    """Intensities clipped to a window of each channel and mapped to the network's range; NumPy's and JAX's arrays.

    Args:
      image: (..., channels) float32.
      low: the intensity of each channel that becomes the lower end of the range.
      high: the one that becomes its upper end; where it is no higher than `low`, all become the lower end.
      output: the range.
    """
    xp: Any = np if isinstance(image, np.ndarray) else jnp
    shape = (1,) * (image.ndim - 1) + (-1,)
    low, high = (xp.reshape(xp.asarray(end, xp.float32), shape) for end in (low, high))
    inside = xp.clip(image, low, high)
    # In place for NumPy, a whole image would be copied else.
    inside -= low
    inside *= (output[1] - output[0]) / xp.maximum(high - low, LEAST_CONTRAST)
    inside += output[0]
    return inside


def intensity_window(
    image: NDArray[Any], scale: IntensityScale, *, organ: NDArray[np.bool_] | None = None
) -> tuple[float, float]:
    """The intensities of an image that become the ends of the network's range.

    Args:
      image: (i, j, k) intensities.
      scale: the rule.
      organ: (i, j, k) where the organ is, for rules that look there.

    Raises:
      ConfigError: the scale has no rule, or looks inside of an organ that is not given.
    """
    if scale.window is not None:
        return scale.window
    if scale.percentiles is not None:
        return percentile_window(image, scale.percentiles)
    if scale.organ is not None:
        return _around_median(image, scale.organ, organ)
    if scale.foreground is None:
        raise ConfigError(
            f"the scale of {scale.modality} has no rule; give `window`, `percentiles`, `foreground` or `organ`"
        )
    _, bright = percentile_window(image, (0, 99))
    values = np.asarray(image).reshape(-1)
    inside = values[values > FOREGROUND_SHARE * bright]
    if bright <= 0 or not inside.size:
        return 0.0, 0.0
    _, top = percentile_window(inside, (0, scale.foreground.percentile))
    return 0.0, scale.foreground.headroom * top


def _around_median(image: NDArray[Any], how: OrganWindow, organ: NDArray[np.bool_] | None) -> tuple[float, float]:
    if organ is None or not organ.any():
        raise ConfigError("intensities are scaled around the organ's median; give a mask of the organ")
    middle = float(np.median(np.asarray(image)[organ]))
    reach = how.reach * abs(middle) if how.relative else how.reach
    return middle - reach, middle + reach


def percentile_window(image: NDArray[Any], percentiles: tuple[float, float]) -> tuple[float, float]:
    """The intensities below which these percentages of the voxels lie, from every n-th voxel of large images."""
    values = np.asarray(image).reshape(-1)
    sample = values[:: max(1, values.size // SAMPLE)]
    low, high = np.percentile(sample, percentiles)
    return float(low), float(high)
