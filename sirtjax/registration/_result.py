from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from jaxtyping import Real

from sirtjax.registration._config import RegistrationConfig
from sirtjax.spatial import AffineTransform, Transform


class Status(Enum):
    """The final status of a registration: for any except SUCCESS, review the transform before use."""

    SUCCESS = (
        "the images agree far better than at deliberately wrong alignments, and so do the masks if any guided it",
        "review the report before using it",
    )
    AFFINE_REJECTED = (
        "the affine stage found no improvement over its start",
        "check that both images show the same part of the body, or provide a start or masks",
    )
    DEFORMATION_REJECTED = (
        "the non-rigid stage made the agreement worse, so the affine result is kept",
        "raise weights.regularisation, lower weights.image, or use the affine result",
    )
    FOLDED = (
        "the deformation folds tissue over itself",
        "raise weights.regularisation or weights.folding, or use deformable.model=velocity",
    )
    NOT_FINITE = (
        "more than half of the steps of a level were not finite, or the transform itself is not",
        "lower the step_mm of the levels, and check the images for constant or implausible values",
    )
    NO_OVERLAP = (
        "the images hardly overlap after registration",
        "check that both show the same part of the body, or provide a start",
    )
    CROPPED = (
        "one image shows less than 85 % of the body's cross-section that the other one shows",
        "use images that show the whole body's width, or register by masks",
    )
    IMPLAUSIBLE = (
        "the affine map or the livers' volumes differ by more than two scans of one patient can",
        "check that both liver masks show the same whole organ, and the voxel sizes of both images",
    )
    UNCONFIRMED = (
        "the images agree hardly better than at deliberately wrong alignments, or better if one of them is mirrored",
        "check that both images show the same part of the body in the same orientation, or provide a start or masks",
    )
    MASK_IN_DOUBT = (
        "the images agree clearly better if they are registered without the masks",
        "correct the mask or landmarks that the notes name, or use the preset image",
    )
    MASK_UNCERTAIN = (
        "a liver mask that was segmented automatically guided the registration, and it has a warning",
        "correct the liver that the notes name and register with the corrected mask, or use the preset image",
    )
    POOR_AGREEMENT = (
        "the guiding masks still disagree after registration",
        "check both masks for missing or extra parts and that their names mean the same organ",
    )

    @property
    def cause(self) -> str:
        """The cause of the status."""
        return self.value[0]

    @property
    def remedy(self) -> str:
        """The remedy."""
        return self.value[1]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One resolution of one stage of the optimisation.

    Attributes:
      name: name such as "affine 1" or "deformable 3".
      losses: (steps,) values under "total", "images", "masks", "landmarks" and, when deformable, "regularisation". The
        first is the weighted sum, the others are unweighted except "regularisation".
    """

    name: str
    losses: Mapping[str, Real[np.ndarray, " steps"]]


@dataclass(frozen=True, kw_only=True)
class RegistrationResult:
    """A registration and how far it can be trusted.

    Attributes:
      transform: pull, from the reference to the floating image (LPS mm).
      affine: affine part of the transform.
      status: SUCCESS, or the cause of the failure and its remedy.
      notes: observations, one sentence each.
      stages: the loss history.
      folding_fraction: fraction of the lattice's nodes inside the reference image where the deformation folds.
      quality: metrics after "start", "affine" and "final", as "dsc liver", "msd_mm liver", "mcd_mm lesion1",
        "rmsd_mm" and "similarity".
      fit: agreement of the images at the transform and at wrong alignments, as `fit_figures` returns it, and
        "mirror_gain" of `estimate_initial_transform` if no masks guided.
      config: the preset used.
      restart: rigid map at which images and masks agree, if the registration guided by masks failed from another start.
    """

    transform: Transform
    affine: AffineTransform
    status: Status
    notes: tuple[str, ...]
    stages: tuple[Stage, ...]
    folding_fraction: float
    quality: Mapping[str, Mapping[str, float]]
    config: RegistrationConfig = field(repr=False)
    fit: Mapping[str, float] = field(default_factory=dict)
    restart: AffineTransform | None = None
