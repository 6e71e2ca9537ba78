"""Linear maps of an activity image with negative voxels, by functions that accept none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float32


def signed_map(
    linear: Callable[[Float32[np.ndarray, "i j k"]], Float32[np.ndarray, "..."]], values: Float32[np.ndarray, "i j k"]
) -> Float32[np.ndarray, "..."]:
    """Returns the result of a linear map for an image that a subtraction made negative in places.

    The map is applied to the positive and the negative part. An image without negative voxels is mapped once.

    Args:
      linear: map of a non-negative image.
      values: image.

    Examples:
      >>> import numpy as np
      >>> from sirtjax.workflows._signed import signed_map
      >>> image = np.array([[[1.0, -2.0]]], np.float32)
      >>> signed_map(lambda part: part * np.float32(3.0), image).tolist()
      [[[3.0, -6.0]]]
    """
    if values.min() >= 0:
        return linear(values)
    zero = np.float32(0)
    return np.asarray(linear(np.maximum(values, zero)) - linear(np.maximum(-values, zero)), np.float32)
