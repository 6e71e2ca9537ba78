"""The results of the steps of a case, as records, and the hooks of the steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, get_args

from sirtjax.volume import LabelMap
from sirtjax.workflows._alignment_record import Alignment, Register
from sirtjax.workflows._case import Frame
from sirtjax.workflows._case_images import CaseImages
from sirtjax.workflows._resampled_case import ResampledCase
from sirtjax.workflows._used_mask import UsedMask
from sirtjax.workflows._voi import SegmentLesions, SegmentOrgan, SegmentOrgans, Voi

# The steps of thesis section 8.3; the seventh, the prescription, is `plan_case`.
Step = Literal["images", "liver", "lesions", "territories", "registration", "resampling"]
STEPS: tuple[Step, ...] = get_args(Step)


@dataclass(frozen=True)
class Hooks:
    """Functions that replace files: automatic segmentation, another registration, progress.

    Attributes:
      segment_liver: function that segments the liver of an image if the case has no liver mask.
      segment_lesions: function that segments the lesions of an image within the liver if the case has no lesion masks.
      segment_lungs: function that segments both lungs on the CT if the shunt is measured in the SPECT and the case has
        no lung mask.
      segment_organs: function that segments organs outside the liver if the case asks for it in [uptake_sites.organs].
      register: function that replaces the registration of the diagnostic image.
      on_step: called with the name of each step as it begins.
    """

    segment_liver: SegmentOrgan | None = None
    segment_lesions: SegmentLesions | None = None
    segment_lungs: SegmentOrgan | None = None
    segment_organs: SegmentOrgans | None = None
    register: Register | None = None
    on_step: Callable[[str], None] = lambda step: None


@dataclass(frozen=True)
class TerritoryMap:
    """The perfusion territories of the liver.

    Attributes:
      labels: the map, or None if the whole liver is one territory.
      frame: the frame it is in.
      overlap_ml, gap_ml: volume in several masks, and liver in none of them.
      notes: sentences about masks that were resampled.
      draft, used: why they are unreviewed, and their file if it is not the case's, as in `Voi`.
    """

    labels: LabelMap | None
    frame: Frame
    overlap_ml: float = 0.0
    gap_ml: float = 0.0
    notes: tuple[str, ...] = ()
    draft: str | None = None
    used: UsedMask | None = None


@dataclass(frozen=True, kw_only=True)
class StepResults:
    """The results of some of the steps, for a case that is resumed; None for a step that has not run.

    Attributes:
      images: the images of the case.
      liver: the liver.
      lesions: the lesions; empty if the case has none.
      viable: the viable parts of lesions; empty if the case has none.
      lungs: lungs, computed with the liver; None if the case does not need them.
      territories: the perfusion territories.
      registration: the transform to the diagnostic image.
      resampling: images and masks on the dose grid.
    """

    images: CaseImages | None = None
    liver: Voi | None = None
    lesions: tuple[Voi, ...] | None = None
    viable: tuple[Voi, ...] | None = None
    lungs: Voi | None = None
    territories: TerritoryMap | None = None
    registration: Alignment | None = None
    resampling: ResampledCase | None = None


@dataclass(frozen=True, kw_only=True)
class AllStepResults(StepResults):
    """The products of all six steps: what a plan or verification starts from.

    Attributes:
      images, liver, lesions, viable, lungs, territories, registration, resampling: same as in `StepResults`; only
        `lungs` may be None.
    """

    # `field()` removes the default that the base class has.
    images: CaseImages = field()
    liver: Voi = field()
    lesions: tuple[Voi, ...] = field()
    viable: tuple[Voi, ...] = ()
    territories: TerritoryMap = field()
    registration: Alignment = field()
    resampling: ResampledCase = field()
