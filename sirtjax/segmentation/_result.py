from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sirtjax.segmentation._quality_calibration import QualityEstimate
from sirtjax.volume import LabelMap, Volume


@dataclass(frozen=True, kw_only=True)
class Flag:
    """A reason to review a result before it is used.

    Attributes:
      code: stable code, such as "volume" or "truncated".
      message: finding and usual value, one sentence.
    """

    code: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Segmentation:
    """The segmentation of an image. It is automatic and unreviewed.

    Attributes:
      labels: labels on the image's grid.
      volumes_ml: volume of each label, by its name.
      method: name of the model, or the rule of the segmentation.
      probabilities: probability of each label on the network's grid, as the network returned it; empty without a
        network.
      uncertainty: entropy in nats of the network's output, on its grid; None without a network.
      spread: standard deviation among the networks of an ensemble, on their grid; None for a single one.
      quality: estimated agreement of the liver with the true one; None if the model has no calibration.
      flags: quality flags, which require a review.
      removed_as_noise: number of lesions that were removed because they do not exceed the noise of the liver.
      timings_s: duration of each stage.
    """

    labels: LabelMap
    volumes_ml: Mapping[str, float]
    method: str
    probabilities: Mapping[str, Volume] = field(default_factory=dict)
    uncertainty: Volume | None = None
    spread: Volume | None = None
    quality: QualityEstimate | None = None
    flags: tuple[Flag, ...] = ()
    removed_as_noise: int = 0
    timings_s: Mapping[str, float] = field(default_factory=dict)
