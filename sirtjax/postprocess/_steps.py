from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Bool
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from sirtjax.config import Table
from sirtjax.postprocess._erode_select_dilate import erode_select_dilate
from sirtjax.postprocess._parts import fill_holes, keep_largest, remove_small

Mask = NDArray[np.bool_]


class LargestComponent(Table):
    """Keep the largest part: thesis, chapter 4.

    Attributes:
      kind: type of the step, "largest-component".
      labels: names of the labels of a model to which it applies; None for all. Kidneys and lungs have two parts.
        `postprocess`, which knows no names, applies it to every mask.
    """

    kind: Literal["largest-component"] = "largest-component"
    labels: Annotated[tuple[str, ...], Field(min_length=1)] | None = None

    def applies_to(self, labels: Sequence[str]) -> bool:
        """Returns whether it applies to a mask made of these labels."""
        return self.labels is None or not set(self.labels).isdisjoint(labels)


class ErodeSelectDilate(Table):
    """Cut at thin bridges, keep the largest part: thesis, chapter 3, which gives no radius."""

    kind: Literal["erode-select-dilate"] = "erode-select-dilate"
    radius_mm: float = Field(ge=0)


class FillHoles(Table):
    """Fill what the mask encloses: Y-90 paper."""

    kind: Literal["fill-holes"] = "fill-holes"


class RemoveSmall(Table):
    """Remove parts smaller than a volume: Y-90 paper, which gives no volume."""

    kind: Literal["remove-small"] = "remove-small"
    min_volume_ml: float = Field(ge=0)


PostprocessStep = Annotated[LargestComponent | ErodeSelectDilate | FillHoles | RemoveSmall, Field(discriminator="kind")]


def postprocess(
    mask: ArrayLike,
    spacing_mm: Sequence[float],
    *,
    steps: Sequence[PostprocessStep],
    voxel_volume_ml: float | None = None,
) -> Bool[np.ndarray, "i j k"]:
    """Applies each step to the mask in sequence. On the host.

    Args:
      mask: (i, j, k) booleans.
      spacing_mm: voxel size along i, j, k.
      steps: post-processing steps, first to last; without steps the mask stays unchanged.
      voxel_volume_ml: volume of a voxel, needed on a sheared grid. Default: product of `spacing_mm`.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import postprocess
      >>> mask = np.zeros((7, 5, 5), bool)
      >>> mask[:5], mask[2, 2, 2], mask[6, 0, 0] = True, False, True  # a hole, and a second component
      >>> steps = (postprocess.LargestComponent(), postprocess.FillHoles())
      >>> int(postprocess.postprocess(mask, (1.0, 1.0, 1.0), steps=steps).sum())  # 5^3
      125
    """
    done = np.asarray(mask, bool)
    for step in steps:
        done = _apply(done, spacing_mm, step, voxel_volume_ml)
    return done


def _apply(mask: Mask, spacing_mm: Sequence[float], step: PostprocessStep, voxel_volume_ml: float | None) -> Mask:
    match step:
        case LargestComponent():
            return keep_largest(mask)
        case ErodeSelectDilate(radius_mm=radius_mm):
            return erode_select_dilate(mask, spacing_mm, radius_mm=radius_mm)
        case FillHoles():
            return fill_holes(mask)
        case RemoveSmall(min_volume_ml=min_volume_ml):
            return remove_small(mask, spacing_mm, min_volume_ml=min_volume_ml, voxel_volume_ml=voxel_volume_ml)
