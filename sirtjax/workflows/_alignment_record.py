"""The transform between the activity and the diagnostic image, and its origin, as records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sirtjax import spatial
from sirtjax.registration import RegistrationResult
from sirtjax.volume import Volume
from sirtjax.workflows._guides import RegistrationGuidance

# Interface of a custom registration: reference image, floating image and guidance in, the pull transform out,
# optionally with its status and metrics.
Register = Callable[[Volume, Volume, RegistrationGuidance], spatial.Transform | RegistrationResult]


@dataclass(frozen=True, kw_only=True)
class AlignmentRecord:
    """The method and the result of a registration, in words and numbers.

    Attributes:
      method: registration method of the case.
      preset: name of the preset; None if the images were not used, or for a custom function.
      settings: values of the preset that were changed.
      guides: names of the masks that both images have; the preset selects among them.
      status: final status, such as "success"; None if there is none.
      cause: meaning of the status.
      accepted: whether the status is not success but accepted by the case.
      quality: metrics after "start", "affine" and "final".
      folding_fraction: fraction of the deformed region that folds.
      notes: observations.
    """

    method: str
    preset: str | None = None
    settings: tuple[str, ...] = ()
    guides: tuple[str, ...] = ()
    status: str | None = None
    cause: str | None = None
    accepted: bool = False
    quality: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    folding_fraction: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Alignment:
    """The transform between the activity and the diagnostic frame, and its origin.

    Attributes:
      transform: pull, from the activity frame to the diagnostic frame.
      record: method and result of the registration; None if there is no diagnostic image.
      result: result of the registration, if it was run for this case.
      guides: masks and landmark points of the registration.
      page: report of an earlier registration, as HTML.
    """

    transform: spatial.Transform
    record: AlignmentRecord | None = None
    result: RegistrationResult | None = None
    guides: RegistrationGuidance | None = None
    page: str | None = None
