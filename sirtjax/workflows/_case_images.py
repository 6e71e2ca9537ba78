"""The images of a case, as a record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from jaxtyping import Bool

from sirtjax import io
from sirtjax.ops import RegionNoise
from sirtjax.workflows._pet_label import PetLabel


@dataclass(frozen=True)
class MeasuredBackground:
    """The background of the activity image, measured in a VOI and subtracted everywhere.

    Attributes:
      noise: mean, standard deviation and standard error of the concentration (or counts per voxel) in the VOI.
      inside: (i, j, k) voxels of the activity image of which at least half are in the VOI.
      volume_ml: volume of the VOI as contoured.
      seen_fraction: fraction of it that the activity image shows.
    """

    noise: RegionNoise
    inside: Bool[np.ndarray, "i j k"]
    volume_ml: float
    seen_fraction: float


@dataclass(frozen=True)
class Relabelling:
    """The correction of a PET that was acquired under the label of another nuclide.

    Attributes:
      nuclide: nuclide of the label, such as "Ga-68".
      label: values that the scanner used.
      factor: factor by which the image was multiplied; 1 replaces the ratio of the positron fractions if a calibration
        factor contains it.
      acquisition_start: start of the acquisition, to which the corrected image refers.
      positrons_replaced: whether the factor contains the ratio of the positron fractions.
    """

    nuclide: str
    label: PetLabel
    factor: float
    acquisition_start: datetime
    positrons_replaced: bool


@dataclass(frozen=True)
class CaseImages:
    """The images of a case.

    Attributes:
      activity: the SPECT or PET the dose is computed from, in counts or Bq/mL, after all corrections.
      ct: the CT acquired with it, in its frame, or None.
      diagnostic: the CT or MR on which VOIs were drawn, or None.
      background: background that was subtracted from the activity image; None if the case names no VOI for it.
      relabelling: correction of a PET with the label of another nuclide; None if the case states none.
    """

    activity: io.Image
    ct: io.Image | None
    diagnostic: io.Image | None
    background: MeasuredBackground | None = None
    relabelling: Relabelling | None = None
