"""Planned and delivered dose side by side, as records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class VoiComparison:
    """One VOI before and after treatment.

    Attributes:
      name, kind: name and type of the VOI.
      planned_gy, delivered_gy: mean doses, each in its own mask.
      difference_gy, difference_percent: delivered minus planned, also in percent of the planned dose.
      planned_d70_gy, delivered_d70_gy: dose that the hottest 70 % of the volume receives at least.
      planned_v_percent, delivered_v_percent: V_x at the doses of the protocol, by dose.
      planned_tn_ratio, delivered_tn_ratio: T/N ratios of lesions.
      planned_uptake_fraction, delivered_uptake_fraction: fractions of the activity in the liver.
      planned_met, delivered_met: whether every target and limit on the VOI is met; None if it has none.
      warped_planned_gy: mean of the warped planned dose in the mask of the verification; None if the plan is not
        registered.
      dice, centroid_mm: overlap of the warped planned mask with the mask of the verification, and the distance of their
        centroids; None without a registered plan, and for masks that are the plan's own.
    """

    name: str
    kind: str
    planned_gy: float | None
    delivered_gy: float
    difference_gy: float | None
    difference_percent: float | None
    planned_d70_gy: float | None
    delivered_d70_gy: float | None
    planned_v_percent: dict[str, float | None] = field(default_factory=dict)
    delivered_v_percent: dict[str, float] = field(default_factory=dict)
    planned_tn_ratio: float | None = None
    delivered_tn_ratio: float | None = None
    planned_uptake_fraction: float | None = None
    delivered_uptake_fraction: float | None = None
    planned_met: bool | None = None
    delivered_met: bool | None = None
    warped_planned_gy: float | None = None
    dice: float | None = None
    centroid_mm: float | None = None


@dataclass(frozen=True)
class GammaResult:
    """A gamma analysis of the delivered dose against the warped planned dose.

    Attributes:
      scope: normalisation of the dose difference, "local" or "global".
      dose_percent, distance_mm: criteria.
      threshold_percent: planned doses below this percentage of the normalisation dose are not evaluated.
      region: name of the evaluated region.
      normalisation_gy: highest planned dose in the region.
      passed_fraction: fraction of the evaluated voxels with an index of at most 1; None if none was evaluated.
      voxels: number of evaluated voxels.
      stride: distance in voxels between evaluated voxels along each axis; 1 for all.
    """

    scope: Literal["local", "global"]
    dose_percent: float
    distance_mm: float
    threshold_percent: float
    region: str
    normalisation_gy: float
    passed_fraction: float | None
    voxels: int
    stride: int


@dataclass(frozen=True)
class LesionAgreement:
    """Agreement of planned and delivered mean doses over the lesions.

    Attributes:
      count: number of lesions with both doses.
      note: sentence that states why there are no numbers; empty otherwise.
      bias_gy: mean of delivered minus planned.
      bias_interval_gy: 95 % confidence interval of the bias.
      lower_limit_gy, upper_limit_gy: Bland and Altman's limits of agreement.
      lower_interval_gy, upper_interval_gy: 95 % confidence intervals of the limits.
      pearson, spearman, concordance: correlation, rank correlation and Lin's concordance coefficient.
    """

    count: int
    note: str
    bias_gy: float | None = None
    bias_interval_gy: tuple[float, float] | None = None
    lower_limit_gy: float | None = None
    upper_limit_gy: float | None = None
    lower_interval_gy: tuple[float, float] | None = None
    upper_interval_gy: tuple[float, float] | None = None
    pearson: float | None = None
    spearman: float | None = None
    concordance: float | None = None


@dataclass(frozen=True)
class PlanRegistrationSummary:
    """The registration of the plan to the images after treatment.

    Attributes:
      method, preset, settings, guides, status, cause, accepted, quality, folding_fraction, notes: same as in
        `AlignmentRecord`.
      dice, centroid_mm: overlap of the warped planned liver with the liver after treatment, and the distance of their
        centroids.
      dice_unregistered, centroid_unregistered_mm: same values without the transform; the distance is None if the
        planned liver is then outside the image.
      liver_contoured: whether the liver after treatment is a mask of the case; otherwise it was segmented.
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
    dice: float
    centroid_mm: float
    dice_unregistered: float
    centroid_unregistered_mm: float | None
    liver_contoured: bool
    notes: tuple[str, ...]


@dataclass(frozen=True)
class BeforeAfter:
    """Planned and delivered dose of a verification.

    Attributes:
      vois: VOIs that the plan and the verification have.
      lesions: agreement over the lesions.
      registration: registration of the plan; None if doses are compared only by VOI.
      gamma: gamma analyses; empty without a registered plan.
    """

    vois: tuple[VoiComparison, ...]
    lesions: LesionAgreement
    registration: PlanRegistrationSummary | None = None
    gamma: tuple[GammaResult, ...] = ()
