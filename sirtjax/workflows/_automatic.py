"""The VOIs that a case gives no mask of, by `sirtjax.segmentation`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from sirtjax import io
from sirtjax.workflows._steps import Hooks
from sirtjax.workflows._vois import AutomaticMask

if TYPE_CHECKING:
    # Loaded with its networks once a mask is missing: a plan from given masks does without.
    from sirtjax.segmentation import Model, Segmentation

# How lungs are found: by no network.
BY_CT_NUMBERS = "CT numbers"


def automatic_hooks(*, model: str = "liver", on_step: Callable[[str], None] = lambda step: None) -> Hooks:
    """Hooks that segment the liver by a model and the lungs by their density, where the case has no mask of them.

    Nothing is loaded before it is needed. Lesions are not segmented: give their masks, or a hook of your own.

    Args:
      model: name or folder of the liver's model.
      on_step: called with the name of each step as it begins.
    """

    @cache
    def loaded() -> Model:
        from sirtjax import segmentation

        return segmentation.load_model(model)

    def liver(image: io.Image) -> AutomaticMask:
        from sirtjax import segmentation

        modality = "CT" if image.volume.unit == "HU" else "MR"  # a case's images are one of both
        found = segmentation.segment(image.volume, loaded(), structure="liver", modality=modality)
        return _mask(found, f"the model {found.method!r}")

    def lungs(image: io.Image) -> AutomaticMask:
        from sirtjax import segmentation

        return _mask(segmentation.segment_lungs(image.volume), BY_CT_NUMBERS)

    return Hooks(segment_liver=liver, segment_lungs=lungs, on_step=on_step)


def _mask(found: Segmentation, method: str) -> AutomaticMask:
    return AutomaticMask(found.labels, method, tuple(flag.message for flag in found.flags))
