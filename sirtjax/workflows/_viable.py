"""The viable parts of lesions: masks of the enhancing tissue, each assigned to the lesion that contains it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sirtjax import spatial
from sirtjax.errors import InputError
from sirtjax.volume import LabelMap, bounding_box, crop_geometry
from sirtjax.workflows._case import Case
from sirtjax.workflows._case_images import CaseImages
from sirtjax.workflows._notes import listed
from sirtjax.workflows._voi import Voi
from sirtjax.workflows._vois import chosen_masks

# A part with another name than its lesion must be inside it by the first fraction, one with its name by the second:
# the outlines of two images never agree to a voxel.
INSIDE_FRACTION, NAMED_FRACTION = 0.9, 0.5


def viable_vois(
    case: Case, images: CaseImages, lesions: Sequence[Voi], transform: spatial.Transform | None
) -> tuple[Voi, ...]:
    """Returns the viable part of each lesion that has one, named "viable " and the name of the lesion.

    Args:
      case: case with the masks.
      images: images of the case.
      lesions: lesions of the case.
      transform: pull transform from the activity frame to the diagnostic frame; None if they are the same.

    Raises:
      InputError: a mask is empty, is in no lesion or in several, or a lesion has several viable parts.
      ConfigError: the table has no path of masks, or `labels` names only some of them.
    """
    table = case.masks.viable
    if table is None:
        return ()
    found: dict[str, Voi] = {}
    for name, labels in chosen_masks(table, images).items():
        part = Voi(name, labels, table.image, str(table.path.name))
        lesion = _lesion_of(part, lesions, transform)
        if lesion in found:
            raise InputError(
                f"{table.path}: {name!r} and another mask are both the viable part of {lesion!r}; join them in one mask"
            )
        renamed = f"viable {lesion}"
        inside = LabelMap.from_mask(np.asarray(labels.array) > 0, labels.geometry, name=renamed)
        found[lesion] = replace(part, name=renamed, labels=inside, lesion=lesion)
    return tuple(found[voi.name] for voi in lesions if voi.name in found)


def _lesion_of(part: Voi, lesions: Sequence[Voi], transform: spatial.Transform | None) -> str:
    """Returns the lesion that contains a part, by its name or by its position."""
    mask = np.asarray(part.labels.array) > 0
    if not mask.any():
        raise InputError(f"masks.viable: the mask of {part.name!r} is empty; contour it or omit it from the case")
    inside = {voi.name: _fraction_inside(part, voi, transform) for voi in lesions}
    shares = listed([f"{100 * fraction:.0f} % in {name!r}" for name, fraction in inside.items()])
    plain = part.name.strip().casefold().removeprefix("viable ")
    named = [name for name in inside if name.strip().casefold() == plain]
    if named:
        if inside[named[0]] < NAMED_FRACTION or any(inside[name] > inside[named[0]] for name in inside):
            raise InputError(
                f"masks.viable: {part.name!r} has the name of a lesion, but it is {shares}; rename it, or check the "
                "masks and the registration"
            )
        return named[0]
    containing = [name for name, fraction in inside.items() if fraction >= INSIDE_FRACTION]
    if len(containing) != 1:
        where = "no lesion" if not containing else f"{len(containing)} lesions"
        raise InputError(
            f"masks.viable: {part.name!r} is inside {where} ({shares}); at least {100 * INSIDE_FRACTION:.0f} % of it "
            "must be in exactly one lesion, or it must have the name of its lesion"
        )
    return containing[0]


def _fraction_inside(part: Voi, lesion: Voi, transform: spatial.Transform | None) -> float:
    """Returns the fraction of the voxels of a part whose centre is in the lesion."""
    pull = None
    if part.frame != lesion.frame and transform is not None:
        pull = transform if lesion.frame == "diagnostic" else spatial.invert(transform)
    mask = np.asarray(part.labels.array) > 0
    start, stop = bounding_box(mask)
    grid = crop_geometry(part.labels.geometry, start, stop)
    there = np.asarray(spatial.resample_labels(lesion.labels, grid, transform=pull).array) > 0
    return float(there[mask[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]].mean())
