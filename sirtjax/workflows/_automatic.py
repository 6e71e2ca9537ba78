"""The VOIs that a case gives no mask of, by `sirtjax.segmentation`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from sirtjax import io, ops
from sirtjax.errors import ImageFormatError
from sirtjax.volume import LabelMap
from sirtjax.workflows._products import Hooks
from sirtjax.workflows._voi import AutomaticMask

if TYPE_CHECKING:
    # Loaded with its networks once a mask is missing: a plan from given masks does without.
    from sirtjax.segmentation import Model, Segmentation, Structure

# How lungs are found: by no network.
BY_CT_NUMBERS = "CT numbers"


def automatic_hooks(
    *,
    model: str = "liver",
    lesion_model: str = "lesions",
    segment_lesions: bool = False,
    on_step: Callable[[str], None] = lambda step: None,
) -> Hooks:
    """Returns hooks that segment missing masks: the liver and, optionally, lesions with models.

    Lungs are segmented by density, the organs of [uptake_sites.organs] by the liver model.

    Nothing is loaded before it is needed.

    Args:
      model: name or folder of the liver model.
      lesion_model: name or folder of the lesion model.
      segment_lesions: whether to segment lesions, as in `Case.masks.segment_lesions`.
      on_step: called with the name of each step when it starts.

    Raises:
      ImageFormatError: raised by the hook of lesions if it finds none in an image that cannot show them.
    """

    @cache
    def loaded(name: str) -> Model:
        from sirtjax import segmentation

        return segmentation.load_model(name)

    def found(image: io.Image, by: str, structure: Structure, liver: LabelMap | None = None) -> Segmentation:
        from sirtjax import segmentation

        modality = "CT" if image.volume.unit == "HU" else "MR"  # a case's images are one of both
        return segmentation.segment(image.volume, loaded(by), structure=structure, modality=modality, liver=liver)

    def liver(image: io.Image) -> AutomaticMask:
        return _mask(found(image, model, "liver"))

    def lesions(image: io.Image, within: LabelMap | None) -> Mapping[str, AutomaticMask]:
        quality_flags: tuple[str, ...] = ()
        if within is None:
            drafted = found(image, model, "liver")
            within = drafted.labels
            quality_flags = (
                f"lesions were segmented in a liver mask of the model {drafted.method!r} on their image",
                *(flag.message for flag in drafted.flags),
            )
        together = found(image, lesion_model, "lesions", within)
        quality_flags += tuple(flag.message for flag in together.flags)
        apart = _apart(together.labels)
        unseen = [flag.message for flag in together.flags if flag.code == "lesions_not_detectable"]
        if unseen and not apart:
            # A flag needs a mask in the plan; without any, an empty result would read as a liver without lesions.
            raise ImageFormatError(f"none was found, but {unseen[0]}")
        return {
            name: AutomaticMask(labels, f"the model {together.method!r}", quality_flags)
            for name, labels in apart.items()
        }

    def lungs(image: io.Image) -> AutomaticMask:
        from sirtjax import segmentation

        return _mask(segmentation.segment_lungs(image.volume), BY_CT_NUMBERS)

    def organs(image: io.Image) -> Mapping[str, AutomaticMask]:
        from sirtjax import segmentation

        modality = "CT" if image.volume.unit == "HU" else "MR"
        together = segmentation.segment_organs(image.volume, loaded(model), modality=modality)
        by, grid = f"the model {together.method!r}", together.labels.geometry
        return {
            name: AutomaticMask(LabelMap.from_mask(together.labels.mask(name), grid, name=name), by)
            for _, name in together.labels.names
            if name != "liver"
        }

    return Hooks(
        segment_liver=liver,
        segment_lesions=lesions if segment_lesions else None,
        segment_lungs=lungs,
        segment_organs=organs,
        on_step=on_step,
    )


def _mask(found: Segmentation, method: str | None = None) -> AutomaticMask:
    estimated = None if found.quality is None else found.quality.dsc
    # An estimate below the limit has a check of its own.
    low = found.quality is not None and found.quality.dsc < found.quality.limit
    quality_flags = tuple(flag.message for flag in found.flags if not (low and flag.code == "quality"))
    return AutomaticMask(found.labels, method or f"the model {found.method!r}", quality_flags, estimated)


def _apart(labels: LabelMap) -> dict[str, LabelMap]:
    """Returns each connected component of the lesions, the largest first: "Lesion 1", "Lesion 2"."""
    numbers = ops.components(np.asarray(labels.array) > 0, connectivity=26)
    sizes = np.bincount(numbers.ravel())[1:]
    names = {f"Lesion {place}": number + 1 for place, number in enumerate(np.argsort(-sizes, kind="stable"), start=1)}
    return {name: LabelMap.from_mask(numbers == number, labels.geometry, name=name) for name, number in names.items()}
