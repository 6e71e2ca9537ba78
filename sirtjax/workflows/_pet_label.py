"""A PET of 90Y that was acquired under the label of another positron emitter."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from sirtjax.errors import ConfigError

# (0054,1102): reference of the scanner's decay correction.
DecayCorrection = Literal["NONE", "START", "ADMIN"]
_LN2 = math.log(2.0)


@dataclass(frozen=True, kw_only=True)
class PetLabel:
    """The nuclide selected at a PET scanner, and the corrections that the scanner made for it.

    Attributes:
      half_life_s: half-life of the label, (0018,1075).
      positron_fraction: positrons per decay of the label, (0018,1076).
      decay_correction: "NONE", "START" or "ADMIN", (0054,1102).
      in_frame_corrected: whether the decay during the frame was corrected to its start.
      reference_to_start_s: seconds from the reference time of the decay correction to the start of the frame;
        0 without a correction.
      frame_duration_s: duration of the frame, (0018,1242).
    """

    half_life_s: float
    positron_fraction: float
    decay_correction: DecayCorrection
    in_frame_corrected: bool
    reference_to_start_s: float
    frame_duration_s: float

    @property
    def decay_factor(self) -> float:
        """Factor by which the scanner multiplied the mean activity of the frame, (0054,1321)."""
        if self.decay_correction == "NONE":
            return 1.0
        factor = math.exp(_LN2 * self.reference_to_start_s / self.half_life_s)
        if self.in_frame_corrected:
            factor *= frame_decay_factor(self.frame_duration_s, half_life_s=self.half_life_s)
        return factor


def frame_decay_factor(duration_s: float, *, half_life_s: float) -> float:
    """Computes the activity at the start of a frame divided by its mean over the frame.

    Args:
      duration_s: duration of the frame.
      half_life_s: physical half-life.

    Raises:
      ConfigError: a value is not above 0.

    Examples:
      >>> from sirtjax import workflows
      >>> round(workflows.frame_decay_factor(1200.0, half_life_s=4062.6), 4)  # 20 min of 68Ga
      1.1059
    """
    if not (duration_s > 0 and half_life_s > 0):
        raise ConfigError(f"frame of {duration_s} s and half-life of {half_life_s} s: both must be above 0")
    decays = _LN2 * duration_s / half_life_s
    return decays / -math.expm1(-decays)


def relabelling_factor(label: PetLabel, *, half_life_s: float, positron_fraction: float) -> float:
    """Computes the factor from the Bq/mL of a mislabelled PET to those of the true nuclide.

    The scanner's decay correction for the label is undone, the positrons of the label are replaced by those of the
    nuclide, and the decay of the nuclide during the frame is corrected. The result refers to the start of the frame.

    Args:
      label: nuclide selected at the scanner.
      half_life_s: half-life of the true nuclide.
      positron_fraction: positrons per decay of the true nuclide.

    Raises:
      ConfigError: a value is not above 0.

    Examples:
      >>> from sirtjax import workflows
      >>> label = workflows.PetLabel(
      ...     half_life_s=6586.2, positron_fraction=0.967, decay_correction="NONE", in_frame_corrected=False,
      ...     reference_to_start_s=0.0, frame_duration_s=1200.0,
      ... )
      >>> round(workflows.relabelling_factor(label, half_life_s=230760.0, positron_fraction=31.86e-6))
      30406
    """
    if not (positron_fraction > 0 and label.positron_fraction > 0):
        raise ConfigError(f"positron fractions {label.positron_fraction} and {positron_fraction}: both must be above 0")
    in_frame = frame_decay_factor(label.frame_duration_s, half_life_s=half_life_s)
    return label.positron_fraction / positron_fraction / label.decay_factor * in_frame
