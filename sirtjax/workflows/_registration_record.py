"""The registration of the diagnostic image in a result, as records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class VolumeChange:
    """The change that the transform makes to the volume of one VOI drawn on the diagnostic image.

    Attributes:
      mask_ml: volume of the drawn mask.
      warped_ml: volume after warping to the activity image.
      change_percent: change in percent of the drawn volume; positive for an increase.
    """

    name: str
    kind: Literal["liver", "lesion", "viable tumour", "territory", "lungs"]
    mask_ml: float
    warped_ml: float
    change_percent: float


@dataclass(frozen=True)
class RegistrationSummary:
    """The registration of the diagnostic image to the activity image, and its reliability.

    Attributes:
      method, preset, settings, guides, status, cause, accepted, quality, folding_fraction, notes: same as in
        `AlignmentRecord`.
      liver_jacobian_minimum, liver_jacobian_maximum: extreme values in the liver of the local volume on the diagnostic
        image per volume on the activity image.
      liver_log_jacobian_std: standard deviation of the natural logarithm of this ratio; null if all of the liver folds.
      volumes: volume changes of the VOIs drawn on the diagnostic image.
    """

    method: str
    preset: str | None
    settings: tuple[str, ...]
    guides: tuple[str, ...]
    status: str | None
    cause: str | None
    accepted: bool
    quality: dict[str, dict[str, float]]
    folding_fraction: float | None
    liver_jacobian_minimum: float
    liver_jacobian_maximum: float
    liver_log_jacobian_std: float
    volumes: tuple[VolumeChange, ...]
    notes: tuple[str, ...]
