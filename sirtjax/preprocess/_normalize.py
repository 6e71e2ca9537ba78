from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from sirtjax.errors import ModelError
from sirtjax.preprocess._config import ChannelNormalisation

FloatArray = NDArray[np.float32]
# Prevents division by zero in images without contrast; nnU-Net's value for float32.
EPSILON = 1e-8


def normalise_channel(
    image: Float[np.ndarray, "i j k"], how: ChannelNormalisation, *, inside: Bool[np.ndarray, "i j k"] | None = None
) -> Float[np.ndarray, "i j k"]:
    """Normalises a channel as nnU-Net v2 does, in float32, bitwise identical for the same layout.

    Args:
      image: the cropped channel, in the network's axes.
      how: the scheme and the statistics of the training images.
      inside: filled non-zero region, for a z-score of its voxels; the others stay unchanged.

    Raises:
      ModelError: the scheme counts voxels of a region that is not given.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import preprocess
      >>> how = preprocess.ChannelNormalisation(
      ...     scheme="CTNormalization", mean=100.0, std=50.0, percentile_00_5=0.0, percentile_99_5=200.0
      ... )
      >>> image = np.array([-1000.0, 100.0, 150.0, 900.0], np.float32).reshape(4, 1, 1)
      >>> preprocess.normalise_channel(image, how).ravel().tolist()  # clipped to 0 and 200 HU first
      [-2.0, 0.0, 1.0, 2.0]
    """
    # Means are taken of the view that is given: a copy of another layout would be summed in another order.
    mean, std = (image.mean(), image.std()) if how.scheme == "ZScoreNormalization" and not how.mask else (0.0, 1.0)
    values: Any = np.array(image, np.float32, order="K")
    if how.scheme == "CTNormalization":
        np.clip(values, how.percentile_00_5, how.percentile_99_5, out=values)
        values -= how.mean
        values /= max(how.std, EPSILON)
    elif how.scheme == "ZScoreNormalization" and how.mask:
        if inside is None:
            raise ModelError("a z-score inside the non-zero region needs that region; give it as inside")
        values[inside] = (values[inside] - values[inside].mean()) / max(values[inside].std(), EPSILON)
    elif how.scheme == "ZScoreNormalization":
        values -= mean
        values /= max(std, EPSILON)
    elif how.scheme == "RescaleTo01Normalization":
        values -= values.min()
        values /= np.clip(values.max(), a_min=EPSILON, a_max=None)
    return values  # type: ignore[no-any-return]
