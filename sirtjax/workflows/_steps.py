"""The seven steps of a case in any order: each product is made from those before it, unless it is there already."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar, get_args

import numpy as np

from sirtjax import io, spatial, territories
from sirtjax.errors import ConfigError, GeometryError
from sirtjax.volume import LabelMap
from sirtjax.workflows._alignment import Alignment, Register, align_diagnostic
from sirtjax.workflows._case import Case, Frame, TerritoriesTable
from sirtjax.workflows._images import CaseImages, select_images
from sirtjax.workflows._mapping import MappedCase, map_case
from sirtjax.workflows._notes import grouped, masks_of
from sirtjax.workflows._used_mask import UsedMask
from sirtjax.workflows._vois import (
    SegmentLesions,
    SegmentOrgan,
    Voi,
    chosen_masks,
    lesion_vois,
    liver_voi,
    lung_voi,
)

# The steps of thesis section 8.3; the seventh, the prescription, is `plan_case`.
Step = Literal["images", "liver", "lesions", "territories", "registration", "mapping"]
STEPS: tuple[Step, ...] = get_args(Step)


@dataclass(frozen=True)
class Hooks:
    """Functions that take the place of files: automatic segmentation, another registration, progress.

    Attributes:
      segment_liver: the liver on an image, where the case has no liver mask.
      segment_lesions: the lesions on an image, given the liver, where the case has no lesion masks.
      segment_lungs: both lungs on the CT, where the shunt is counted in the SPECT and the case has no lung mask.
      register: replaces the registration of the diagnostic image.
      on_step: called with the name of each step as it begins.
    """

    segment_liver: SegmentOrgan | None = None
    segment_lesions: SegmentLesions | None = None
    segment_lungs: SegmentOrgan | None = None
    register: Register | None = None
    on_step: Callable[[str], None] = lambda step: None


@dataclass(frozen=True)
class Divided:
    """The perfusion territories of the liver.

    Attributes:
      labels: the map, or None where the whole liver is one territory.
      frame: the frame it is in.
      overlap_ml, gap_ml: volume claimed twice, and liver claimed by none, as found in the masks.
      notes: sentences about masks that were resampled.
      draft, used: why nobody answers for them as they are, and their file where it is not the case's, as in `Voi`.
    """

    labels: LabelMap | None
    frame: Frame
    overlap_ml: float = 0.0
    gap_ml: float = 0.0
    notes: tuple[str, ...] = ()
    draft: str | None = None
    used: UsedMask | None = None


@dataclass(frozen=True)
class Products:
    """What the steps have made so far; None is not made yet."""

    images: CaseImages | None = None
    liver: Voi | None = None
    lesions: tuple[Voi, ...] | None = None
    lungs: Voi | None = None
    territories: Divided | None = None
    registration: Alignment | None = None
    mapping: MappedCase | None = None


def advance(case: Case, until: Step, *, products: Products | None = None, hooks: Hooks | None = None) -> Products:
    """Make one step's product, and what it needs that is not there yet.

    Args:
      case: the case.
      until: the step to make.
      products: made before, or read from files; they are used as they are.
      hooks: automatic segmentation, registration and progress.

    Returns:
      The products, with at least that of `until`.

    Raises:
      InputError: an input of a step cannot be used.
    """
    done = products or Products()
    hooks = hooks or Hooks()
    for step in _needed(until):
        if getattr(done, step) is None:
            hooks.on_step(step)
            done = _MAKERS[step](case, done, hooks)
    return done


NEEDS: dict[Step, tuple[Step, ...]] = {
    "images": (),
    "liver": ("images",),
    "lesions": ("images", "liver"),
    "territories": ("images", "liver"),
    "registration": ("images", "liver"),
    "mapping": ("images", "liver", "lesions", "territories", "registration"),
}


def _needed(step: Step) -> list[Step]:
    order: list[Step] = []
    for before in NEEDS[step]:
        order += [known for known in _needed(before) if known not in order]
    return [*order, step]


def _make_images(case: Case, done: Products, hooks: Hooks) -> Products:
    return replace(done, images=select_images(case))


def _make_liver(case: Case, done: Products, hooks: Hooks) -> Products:
    images = _made(done.images)
    liver = liver_voi(case, images, segment=hooks.segment_liver)
    return replace(done, liver=liver, lungs=lung_voi(case, images, segment=hooks.segment_lungs))


def _make_lesions(case: Case, done: Products, hooks: Hooks) -> Products:
    lesions = lesion_vois(case, _made(done.images), done.liver, segment=hooks.segment_lesions)
    reserved = {"liver", "lungs", "lesions", "normal liver"} & {voi.name for voi in lesions}
    if reserved:
        raise ConfigError(
            f"a lesion may not be named {', '.join(sorted(reserved))}; choose lesions by masks.lesions.names"
        )
    return replace(done, lesions=lesions)


def _make_territories(case: Case, done: Products, hooks: Hooks) -> Products:
    table = case.territories
    if table is None:
        return replace(done, territories=Divided(None, "activity"))
    liver = _made(done.liver)
    if table.path is not None:
        return _territories_from_masks(case, table.path, table, done, hooks)
    if table.on != liver.frame:
        raise GeometryError(
            f"the dividing lines are on the {table.on} image, the liver on the {liver.frame} image; draw them on one"
        )
    labels = territories.territories_from_lines(
        liver.labels,
        [io.read_lines(path) for path in table.lines],
        names=table.names or (),
        seeds_mm=table.seeds_mm,
        allow_crossing=table.allow_crossing,
        sources=[str(path) for path in table.lines],
    )
    return replace(done, territories=Divided(labels, table.on))


def _territories_from_masks(case: Case, path: Path, table: TerritoriesTable, done: Products, hooks: Hooks) -> Products:
    liver = _made(done.liver)
    masks = chosen_masks(table, _made(done.images))
    pull = None
    if table.on != liver.frame:
        done = advance(case, "registration", products=done, hooks=hooks)
        forward = _made(done.registration).transform
        pull = forward if table.on == "diagnostic" else spatial.invert(forward)
    grid = liver.labels.geometry
    on_liver = {
        name: np.asarray(spatial.resample_labels(mask, grid, transform=pull).array) > 0 for name, mask in masks.items()
    }
    apart = [(name, str(mask.geometry)) for name, mask in masks.items() if not mask.geometry.matches(grid)]
    notes = tuple(
        f"{masks_of(names)} on another grid ({own}) than the liver's; resampled"
        for own, names in grouped(apart).items()
    )
    if len(on_liver) == 1:
        ((name, mask),) = on_liver.items()
        inside = mask & (np.asarray(liver.labels.array) > 0)
        if not inside.any():
            raise GeometryError(f"{path}: territory {name!r} has no voxel in the liver; is it on the {table.on} image?")
        only = LabelMap.from_mask(inside, grid, name=name)
        return replace(done, territories=Divided(only, liver.frame, notes=notes))
    labels, shares = territories.territories_from_masks(liver.labels, on_liver, overlap=table.overlap, gap=table.gap)
    divided = Divided(labels, liver.frame, overlap_ml=shares.overlap_ml, gap_ml=shares.gap_ml, notes=notes)
    return replace(done, territories=divided)


def _make_registration(case: Case, done: Products, hooks: Hooks) -> Products:
    table = case.registration
    # Lesions guide where the other image has landmarks that may be the same.
    if table is not None and table.computed and (table.reference_masks.landmarks or table.floating_masks.landmarks):
        done = advance(case, "lesions", products=done, hooks=hooks)
    alignment = align_diagnostic(case, _made(done.images), done.liver, done.lesions or (), register=hooks.register)
    return replace(done, registration=alignment)


def _make_mapping(case: Case, done: Products, hooks: Hooks) -> Products:
    divided = _made(done.territories)
    vois = [_made(done.liver), *_made(done.lesions)] + ([done.lungs] if done.lungs is not None else [])
    mapped = map_case(
        _made(done.images),
        vois,
        divided.labels,
        divided.frame,
        _made(done.registration).transform,
        spacing_mm=case.dose.spacing_mm,
    )
    return replace(done, mapping=replace(mapped, notes=(*divided.notes, *mapped.notes)))


_Product = TypeVar("_Product")


def _made(product: _Product | None) -> _Product:
    """A product that the order of the steps has made already."""
    if product is None:
        raise ConfigError("a step was called before what it needs; use advance()")
    return product


def made_images(products: Products) -> CaseImages:
    """Returns the images of a case whose first step is made."""
    return _made(products.images)


_MAKERS: dict[Step, Callable[[Case, Products, Hooks], Products]] = {
    "images": _make_images,
    "liver": _make_liver,
    "lesions": _make_lesions,
    "territories": _make_territories,
    "registration": _make_registration,
    "mapping": _make_mapping,
}
