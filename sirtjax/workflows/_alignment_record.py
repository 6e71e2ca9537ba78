"""The transform between the activity and the diagnostic image, and how it was made, as records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sirtjax import spatial
from sirtjax.registration import RegistrationResult
from sirtjax.volume import Volume
from sirtjax.workflows._guides import Guides

# Where another registration plugs in: reference and floating image and what may guide in, the pull transform out,
# by itself or with its status and figures.
Register = Callable[[Volume, Volume, Guides], spatial.Transform | RegistrationResult]


@dataclass(frozen=True, kw_only=True)
class AlignmentRecord:
    """How a registration was made and how it ended, in words and numbers.

    Attributes:
      method: of the case.
      preset: what drove it; None where the images were not looked at, or by a function that doesn't say.
      settings: values of the preset that were changed.
      guides: names of the masks that both images have; which of them guide is the preset's choice.
      status: its end, such as "success"; None where there is none to tell.
      cause: what that means.
      accepted: whether it is no success and the case says to go on.
      quality: figures after "start", "affine" and "final".
      folding_fraction: share of the deformed region that folds.
      notes: what was noticed on the way.
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
    """The transform between the activity and the diagnostic frame, and where it comes from.

    Attributes:
      transform: pull, from the activity frame to the diagnostic frame.
      record: how it was made; None where there is no diagnostic image.
      result: the registration, where one was made now.
      guides: its masks and points.
      page: the report of a registration made earlier, as HTML.
    """

    transform: spatial.Transform
    record: AlignmentRecord | None = None
    result: RegistrationResult | None = None
    guides: Guides | None = None
    page: str | None = None
