"""Steps 2 and 3: the liver, the lesions and the lungs, from files or from a segmentation function."""

from __future__ import annotations

import numpy as np

from sirtjax import formats, io
from sirtjax.errors import ConfigError, GeometryError, InputError
from sirtjax.volume import LabelMap
from sirtjax.workflows._case import Case, Frame, MaskTable, TerritoriesTable
from sirtjax.workflows._case_images import CaseImages
from sirtjax.workflows._voi import AutomaticMask, SegmentLesions, SegmentOrgan, Voi


def liver_voi(case: Case, images: CaseImages, *, segment: SegmentOrgan | None = None) -> Voi:
    """Returns the whole liver including lesions: the union of the masks, or the result of `segment`.

    Raises:
      ConfigError: there is neither a mask nor a segmentation function.
      InputError: the segmentation finds no liver, or can't use the image.
    """
    table = case.masks.liver
    if table is not None:
        return Voi("liver", joined_mask("liver", table, images), table.image, str(table.path.name))
    if segment is None:
        raise ConfigError("no liver mask: add [masks.liver] to the case")
    frame: Frame = "activity" if images.ct is not None else "diagnostic"
    image = images.ct if images.ct is not None else images.diagnostic
    if image is None:
        raise ConfigError("no CT or MR on which to segment the liver: add [images.ct] or [masks.liver]")
    return _automatic("liver", _segmented("liver", segment, image), frame)


def lesion_vois(
    case: Case, images: CaseImages, liver: Voi | None, *, segment: SegmentLesions | None = None
) -> tuple[Voi, ...]:
    """Returns the lesions, one VOI each: the masks, or the result of `segment`.

    They are searched on the diagnostic image, which shows them best, otherwise on the CT of the activity image.

    Raises:
      ConfigError: there are neither masks nor a segmentation function, or it finds no lesion.
      InputError: the segmentation can't use the image.
    """
    table = case.masks.lesions
    if table is not None:
        masks = _masks(table, images)
        return tuple(Voi(name, labels, table.image, str(table.path.name)) for name, labels in masks.items())
    if case.masks.no_lesions:
        return ()
    image = images.diagnostic if images.diagnostic is not None else images.ct
    if segment is None:
        raise ConfigError(
            "no lesion masks: add [masks.lesions], or set masks.segment_lesions = true for unreviewed masks of the "
            "model 'lesions', or masks.no_lesions = true"
        )
    if image is None:
        raise ConfigError("no CT or MR on which to segment lesions: add [images.ct] or [masks.lesions]")
    frame: Frame = "diagnostic" if images.diagnostic is not None else "activity"
    within = liver.labels if liver is not None and liver.frame == frame else None
    try:
        found = segment(image, within)
    except InputError as error:
        raise type(error)(f"lesions: {error}; or add [masks.lesions] to the case") from error
    if not found:
        raise ConfigError(
            "no lesion was found: add [masks.lesions] to the case, or masks.no_lesions = true if there is none"
        )
    return tuple(_automatic(name, one, frame) for name, one in found.items())


def lung_voi(case: Case, images: CaseImages, *, segment: SegmentOrgan | None = None) -> Voi | None:
    """Returns both lungs as one VOI.

    Without a mask it is the result of `segment` on the CT if the shunt requires it, otherwise None.

    Raises:
      InputError: the segmentation finds no lungs, or can't use the CT.
    """
    table = case.masks.lungs
    if table is None:
        if segment is None or images.ct is None or case.lung_shunt.method != "spect":
            return None
        return _automatic("lungs", _segmented("lungs", segment, images.ct), "activity")
    return Voi("lungs", joined_mask("lungs", table, images), table.image, str(table.path.name))


def joined_mask(name: str, table: MaskTable, images: CaseImages) -> LabelMap:
    """Returns all masks of a table as one, with this name.

    Raises:
      GeometryError: the masks are on different grids.
    """
    masks = list(_masks(table, images).values())
    first = masks[0]
    joined = np.zeros(first.geometry.shape, bool)
    for labels in masks:
        if not labels.geometry.matches(first.geometry):
            raise GeometryError(f"{table.path}: the masks of the {name} are on different grids; choose one by `names`")
        joined |= np.asarray(labels.array) > 0
    return LabelMap.from_mask(joined, first.geometry, name=name)


def _segmented(name: str, segment: SegmentOrgan, image: io.Image) -> LabelMap | AutomaticMask:
    try:
        return segment(image)
    except InputError as error:
        message = f"the case has no [masks.{name}], and automatic segmentation fails: {error}"
        raise type(error)(message) from error


def _automatic(name: str, found: LabelMap | AutomaticMask, frame: Frame) -> Voi:
    made = found if isinstance(found, AutomaticMask) else AutomaticMask(found, "a custom function")
    labels = _renamed(made.labels, name)
    return Voi(
        name,
        labels,
        frame,
        f"segmented automatically by {made.method}",
        made.method,
        made.quality_flags,
        estimated_dsc=made.estimated_dsc,
    )


def _masks(table: MaskTable, images: CaseImages) -> dict[str, LabelMap]:
    return {name: _renamed(labels, name) for name, labels in chosen_masks(table, images).items()}


def chosen_masks(table: MaskTable | TerritoriesTable, images: CaseImages) -> dict[str, LabelMap]:
    """Returns the masks of a table of the case.

    Raises:
      ConfigError: there is no path; or `labels` names some of the masks, and `names` doesn't say whether the others
        are wanted: the organs of a whole-body label map, the liver beside its lesions.
    """
    if table.path is None:
        raise ConfigError("the table has no path of masks")
    masks = formats.read_masks(
        table.path, reference=frame_image(images, table.image), names=table.labels, only=table.names
    )
    if table.labels is not None and table.names is None and len(masks) > len(table.labels):
        named = ", ".join(f'"{name}"' for name in table.labels.values())
        others = ", ".join(f"{name!r}" for name in masks if name not in table.labels.values())
        raise ConfigError(
            f"{table.path}: `labels` names {len(table.labels)} of {len(masks)} masks, not {others}; "
            f"name all of them, or choose with names = [{named}]"
        )
    return masks


def frame_image(images: CaseImages, frame: Frame) -> io.Image:
    """Returns the image on which VOIs of this frame were contoured.

    It is the diagnostic image or the CT of the activity image.
    """
    if frame == "activity":
        return images.ct if images.ct is not None else images.activity
    if images.diagnostic is None:
        raise ConfigError("a mask is on the diagnostic image, but there is no [images.diagnostic]")
    return images.diagnostic


def _renamed(labels: LabelMap, name: str) -> LabelMap:
    return LabelMap.from_mask(np.asarray(labels.array) > 0, labels.geometry, name=name)
