"""The files of a segmentation and the options of its evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sirtjax.metrics import Connectivity


@dataclass(frozen=True, kw_only=True)
class BodySize:
    """The values that the body-surface-area method needs in addition to the liver volume."""

    height_m: float
    weight_kg: float
    tumour_ml: float


@dataclass(frozen=True, kw_only=True)
class SegmentationCase:
    """A segmentation and its reference.

    Attributes:
      case, model: name of the case and of the model; model is empty if there is only one.
      predicted, reference: mask files.
      predicted_names, reference_names: names of the values of NIfTI label maps, as in 1=liver,2=lesion.
      body: body size for the ratio of activities.
      table: table of cases that names the files; None without one.
    """

    case: str
    predicted: Path
    reference: Path
    model: str = ""
    predicted_names: str | None = None
    reference_names: str | None = None
    body: BodySize | None = None
    table: Path | None = None


@dataclass(frozen=True, kw_only=True)
class SegmentationRules:
    """The options of the evaluation; upper and lower case of names are equal.

    Attributes:
      labels: names of the masks; if empty, all of the reference, and of those that only the prediction has, lesions and
        the names in `SegmentationCase.reference_names`.
      lesions: names whose components are counted as lesions.
      liver: name of the mask whose volume enters the ratio of activities.
      tolerance_mm: tolerance of the surface DSC.
      connectivity, min_volume_ml: connectivity and smallest volume of lesions.
      keep_holes: do not add labels enclosed by the liver to the liver.
    """

    labels: tuple[str, ...]
    lesions: tuple[str, ...]
    liver: str
    tolerance_mm: float
    connectivity: Connectivity
    min_volume_ml: float
    keep_holes: bool
