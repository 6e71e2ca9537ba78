from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Bool, Float32
from numpy.typing import NDArray

from sirtjax.segmentation._fixed_model import Prepared
from sirtjax.segmentation._model import Model
from sirtjax.segmentation._quality_calibration import QualityEstimate, estimate_quality
from sirtjax.segmentation._quality_ensemble import tile_around
from sirtjax.segmentation._quality_evidence import mask_evidence
from sirtjax.segmentation._quality_shape import liver_shapes

FloatArray = NDArray[np.float32]
Mask = NDArray[np.bool_]


def mask_quality(
    model: Model,
    prepared: Prepared,
    probability: Float32[np.ndarray, "i j k"],
    mask: Bool[np.ndarray, "i j k"],
    *,
    parts: Sequence[str],
    devices: Sequence[jax.Device] | None = None,
) -> QualityEstimate | None:
    """Returns the expected agreement of a network's mask with the true organ.

    None without a calibration or a mask.

    The network is certain of some of its errors. Therefore three kinds of evidence count: its output when the
    same image is transformed, the shape of the mask, and the image at the mask's surface.

    Args:
      model: model of one network; `spec.quality` contains its calibration.
      prepared: image prepared as the network's input.
      probability: (i, j, k) probability of the organ, on the network's grid.
      mask: (i, j, k) mask after post-processing.
      parts: labels of the model that make up the organ.
      devices: devices of which the first runs the network.
    """
    spec = model.spec
    if spec.quality is None or not mask.any():
        return None
    box = prepared.box
    first = 1 if spec.activation == "softmax" else 0
    tile = tile_around(
        model,
        prepared.image,
        probability[box],
        mask[box],
        fill=prepared.fill,
        classes=[first + list(spec.labels).index(name) for name in parts],
        devices=devices,
    )
    return estimate_quality(spec.quality, mask_evidence(tile, prepared.grid.spacing_mm, liver_shapes()))
