from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, UInt

from sirtjax.segmentation._quality_calibration import QualityEstimate
from sirtjax.volume import Volume


@dataclass(frozen=True, kw_only=True, eq=False)
class Restored:
    """The output of a model, on the image's grid, before its quality is assessed.

    Attributes:
      labels: (i, j, k) label values on the image's grid.
      probabilities: probability of each label by name; empty if there are none.
      uncertainty: entropy of the output in nats.
      spread: standard deviation among the networks of an ensemble.
      pieces_ml: volumes of the liver's components before post-processing, largest first.
      liver: (i, j, k) mask of the liver on the grid of `uncertainty`, to assess the entropy inside; None without a
        liver.
      quality: estimated agreement of the liver with the true one.
      timings_s: duration of each stage.
    """

    labels: UInt[np.ndarray, "i j k"]
    probabilities: Mapping[str, Volume] = field(default_factory=dict)
    uncertainty: Volume | None = None
    spread: Volume | None = None
    pieces_ml: tuple[float, ...] = ()
    liver: Bool[np.ndarray, "a b c"] | None = None
    quality: QualityEstimate | None = None
    timings_s: Mapping[str, float]
