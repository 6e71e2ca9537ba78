from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64

from sirtjax.volume import LabelMap, Volume

Fusion = Literal["majority", "weighted", "staple"]


@dataclass(frozen=True, kw_only=True)
class Atlas:
    """An image whose liver is known.

    Attributes:
      name: name of the atlas, for messages and results.
      image: the image.
      liver: the liver drawn on it, tumours included; every label of the map counts.
    """

    name: str
    image: Volume
    liver: LabelMap


@dataclass(frozen=True, kw_only=True)
class AtlasOutcome:
    """The result of one atlas.

    Attributes:
      name: name of the atlas.
      used: whether its liver was fused.
      status: status of the registration, such as "SUCCESS" or "POOR_AGREEMENT"; "OWN_IMAGE" if the atlas is the
        patient, "REFUSED" if the registration raised an error, "OUTSIDE" if the warped liver is outside the patient's
        image, "LOW_SIMILARITY" if the images differ at its surface, "OUTLIER" if its position differs from the others.
      cause: reason why the atlas was excluded; empty if it was used.
      similarity: mean squared local correlation of the images at the surface of the warped liver, 0 to 1; None if
        it was excluded earlier.
      weight: fraction of the total weight in the voxels where any atlas has the liver; None with STAPLE or if excluded.
      sensitivity: sensitivity found by STAPLE; None for other methods.
      specificity: specificity found by STAPLE; None for other methods.
      dsc: Dice similarity of the warped liver with the result; None if excluded.
      seconds: time to read, register and warp the atlas.
    """

    name: str
    used: bool
    status: str
    cause: str = ""
    similarity: float | None = None
    weight: float | None = None
    sensitivity: float | None = None
    specificity: float | None = None
    dsc: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class AtlasSegmentation:
    """A liver segmented by atlases, and their agreement.

    Attributes:
      liver: liver mask on the grid of the patient's image.
      probability: probability of the liver on the working grid of the fusion, cropped to the votes. By majority it is
        the fraction of each voxel that more than half of the atlases occupy.
      threshold: probability above which a voxel is liver, 0.5.
      fusion: the method.
      atlases: one result per atlas, in the order of the input.
      agreement_dsc: (n, n) Dice similarity of the livers of the atlases used with each other.
      seconds: total time.
      notes: warnings, one sentence each.
    """

    liver: LabelMap
    probability: Volume
    threshold: float
    fusion: Fusion
    atlases: tuple[AtlasOutcome, ...]
    agreement_dsc: Float64[np.ndarray, "atlases atlases"]
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def volume_ml(self) -> float:
        """Volume of the liver found."""
        return self.liver.volume_ml("liver")
