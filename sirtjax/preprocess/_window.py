from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sirtjax.errors import ConfigError
from sirtjax.preprocess._config import IntensityScale

FloatArray = NDArray[np.float32]
# Percentiles are read from at most about this many voxels, evenly spread: beyond, they move by less than a grey value.
SAMPLE = 2_000_000
# Of the brightest percentile: above it is tissue, below it air and its noise.
FOREGROUND_SHARE = 0.1


def scale_intensity(image: NDArray[Any], scale: IntensityScale) -> FloatArray:
    """Intensities mapped from a window, or from percentiles of the image, to the network's range; (i, j, k) float32.

    Values outside are clipped. An image without contrast becomes the lower end throughout.
    """
    low, high = intensity_window(image, scale)
    below, above = scale.output
    values = np.asarray(image, np.float32).copy()
    if high <= low:
        values[...] = below
        return values
    np.clip(values, low, high, out=values)
    values -= np.float32(low)
    values *= np.float32((above - below) / (high - low))
    values += np.float32(below)
    return values


def intensity_window(image: NDArray[Any], scale: IntensityScale) -> tuple[float, float]:
    """The intensities of an image that become the ends of the network's range.

    Raises:
      ConfigError: the scale has no rule.
    """
    if scale.window is not None:
        return scale.window
    if scale.percentiles is not None:
        return percentile_window(image, scale.percentiles)
    if scale.foreground is None:
        raise ConfigError(f"the scale of {scale.modality} has no rule; give `window`, `percentiles` or `foreground`")
    _, bright = percentile_window(image, (0, 99))
    values = np.asarray(image).reshape(-1)
    inside = values[values > FOREGROUND_SHARE * bright]
    if bright <= 0 or not inside.size:
        return 0.0, 0.0
    _, top = percentile_window(inside, (0, scale.foreground.percentile))
    return 0.0, scale.foreground.headroom * top


def percentile_window(image: NDArray[Any], percentiles: tuple[float, float]) -> tuple[float, float]:
    """The intensities below which these percentages of the voxels lie, from every n-th voxel of large images."""
    values = np.asarray(image).reshape(-1)
    sample = values[:: max(1, values.size // SAMPLE)]
    low, high = np.percentile(sample, percentiles)
    return float(low), float(high)
