"""A volume of interest of a case, and what an automatic segmentation returns for one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sirtjax import io
from sirtjax.volume import LabelMap
from sirtjax.workflows._case import Frame
from sirtjax.workflows._used_mask import UsedMask


@dataclass(frozen=True)
class AutomaticMask:
    """An automatic segmentation of an image.

    Attributes:
      labels: one label, or one for each lesion.
      method: the model or rule, for the report.
      quality_flags: quality flags, one sentence each.
      estimated_dsc: estimated Dice coefficient with the true organ, by the model's calibration; None if it has none.
    """

    labels: LabelMap
    method: str
    quality_flags: tuple[str, ...] = ()
    estimated_dsc: float | None = None


# Interface of an automatic segmentation: an image in, one map per VOI out.
SegmentOrgan = Callable[[io.Image], LabelMap | AutomaticMask]
# Organs outside the liver by name; empty if the model finds none.
SegmentOrgans = Callable[[io.Image], Mapping[str, AutomaticMask]]
# For lesions the liver is passed if it is in the frame of the image.
SegmentLesions = Callable[[io.Image, LabelMap | None], Mapping[str, LabelMap | AutomaticMask]]


@dataclass(frozen=True)
class Voi:
    """A volume of interest: one named mask on its own grid, in the frame of one image.

    Attributes:
      name: name of the VOI.
      labels: mask of the VOI.
      frame: image on which the mask was drawn, "activity" or "diagnostic".
      origin: file or method that the mask comes from.
      automatic: the method of an automatic segmentation; None if it was provided.
      quality_flags: quality flags of an automatic segmentation.
      estimated_dsc: estimated Dice coefficient of an automatic segmentation with the true organ; None if it was not
        estimated.
      draft: reason why the mask is unreviewed, such as a change since its signature; None if it is reviewed.
      used: file that the mask was read from if it is not the case's, with its signature.
      lesion: lesion that contains a viable part; None for every other VOI.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import workflows
      >>> from sirtjax.volume import Geometry, LabelMap
      >>> grid = Geometry.from_axes((10, 10, 10), spacing_mm=(10.0, 10.0, 10.0))
      >>> labels = LabelMap.from_mask(np.ones(grid.shape, bool), grid, name="liver")
      >>> round(workflows.Voi("liver", labels, "activity", "liver.nii.gz").volume_ml)
      1000
    """

    name: str
    labels: LabelMap
    frame: Frame
    origin: str
    automatic: str | None = None
    quality_flags: tuple[str, ...] = ()
    draft: str | None = None
    used: UsedMask | None = None
    estimated_dsc: float | None = None
    lesion: str | None = None

    @property
    def volume_ml(self) -> float:
        """Volume as drawn."""
        return self.labels.volume_ml(self.name)
