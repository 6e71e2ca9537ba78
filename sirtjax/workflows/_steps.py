"""The six steps of a case before its dose: each uses the results of the earlier ones, unless its own exists already."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sirtjax import io, spatial, territories
from sirtjax.errors import ConfigError, GeometryError
from sirtjax.volume import LabelMap
from sirtjax.workflows._alignment import align_diagnostic
from sirtjax.workflows._alignment_record import Alignment
from sirtjax.workflows._case import Case, TerritoriesTable
from sirtjax.workflows._case_images import CaseImages
from sirtjax.workflows._images import select_images
from sirtjax.workflows._notes import grouped, masks_of
from sirtjax.workflows._products import AllStepResults, Hooks, Step, StepResults, TerritoryMap
from sirtjax.workflows._resampled_case import ResampledCase
from sirtjax.workflows._resampling import resample_case
from sirtjax.workflows._viable import viable_vois
from sirtjax.workflows._voi import Voi
from sirtjax.workflows._vois import chosen_masks, lesion_vois, liver_voi, lung_voi


def run_until(
    case: Case, until: Step, *, products: StepResults | None = None, hooks: Hooks | None = None
) -> StepResults:
    """Makes one step's product, and those it needs that are not there yet.

    Args:
      case: the case.
      until: the step to make.
      products: earlier results, or results read from files; they are used unchanged.
      hooks: automatic segmentation, registration and progress.

    Returns:
      The products, with at least that of `until`.

    Raises:
      InputError: an input of a step cannot be used.
    """
    progress = _Progress(case, hooks or Hooks(), products or StepResults())
    _MAKERS[until](progress)
    return progress.products


def made_images(
    case: Case, *, products: StepResults | None = None, hooks: Hooks | None = None
) -> tuple[CaseImages, StepResults]:
    """Makes only the first step; arguments as in `run_until`.

    Returns:
      The images, and the products with them.
    """
    progress = _Progress(case, hooks or Hooks(), products or StepResults())
    images = _images(progress)
    return images, progress.products


def made_all(case: Case, *, products: StepResults | None = None, hooks: Hooks | None = None) -> AllStepResults:
    """Makes every step; arguments as in `run_until`.

    Returns:
      The products of all steps.
    """
    progress = _Progress(case, hooks or Hooks(), products or StepResults())
    resampling = _resampling(progress)
    return AllStepResults(
        images=_images(progress),
        liver=_liver(progress),
        lesions=_lesions(progress),
        viable=_viable(progress),
        lungs=progress.products.lungs,
        territories=_territories(progress),
        registration=_registration(progress),
        resampling=resampling,
    )


RESERVED_NAMES = ("liver", "lungs", "lesions", "normal liver")


@dataclass
class _Progress:
    """A case with its products so far; each function below returns one of them and makes it first if it is missing."""

    case: Case
    hooks: Hooks
    products: StepResults


def _images(progress: _Progress) -> CaseImages:
    images = progress.products.images
    if images is None:
        progress.hooks.on_step("images")
        images = select_images(progress.case)
        progress.products = replace(progress.products, images=images)
    return images


def _liver(progress: _Progress) -> Voi:
    images, liver = _images(progress), progress.products.liver
    if liver is None:
        progress.hooks.on_step("liver")
        liver = liver_voi(progress.case, images, segment=progress.hooks.segment_liver)
        lungs = lung_voi(progress.case, images, segment=progress.hooks.segment_lungs)
        progress.products = replace(progress.products, liver=liver, lungs=lungs)
    return liver


def _lesions(progress: _Progress) -> tuple[Voi, ...]:
    images, liver, lesions = _images(progress), _liver(progress), progress.products.lesions
    if lesions is None:
        progress.hooks.on_step("lesions")
        lesions = lesion_vois(progress.case, images, liver, segment=progress.hooks.segment_lesions)
        # Programs for contouring write "Liver" or "LIVER": taken as a lesion it would be a target of the whole liver.
        reserved = [voi.name for voi in lesions if voi.name.strip().casefold() in RESERVED_NAMES]
        if reserved:
            raise ConfigError(
                f"a lesion cannot be named {', '.join(sorted(reserved))}; select lesions with masks.lesions.names"
            )
        progress.products = replace(progress.products, lesions=lesions)
    return lesions


def _territories(progress: _Progress) -> TerritoryMap:
    liver, divided = _liver(progress), progress.products.territories
    if divided is None:
        progress.hooks.on_step("territories")
        divided = _divided(progress, liver)
        progress.products = replace(progress.products, territories=divided)
    return divided


def _divided(progress: _Progress, liver: Voi) -> TerritoryMap:
    table = progress.case.territories
    if table is None:
        return TerritoryMap(None, "activity")
    if table.path is not None:
        return _territories_from_masks(progress, table.path, table, liver)
    if table.image != liver.frame:
        raise GeometryError(
            f"the dividing lines are on the {table.image} image, the liver on the {liver.frame} image; draw them on one"
        )
    labels = territories.territories_from_lines(
        liver.labels,
        [io.read_lines(path) for path in table.dividing_lines],
        names=table.names or (),
        seeds_mm=table.seeds_mm,
        allow_crossing=table.allow_crossing,
        sources=[str(path) for path in table.dividing_lines],
    )
    return TerritoryMap(labels, table.image)


def _territories_from_masks(progress: _Progress, path: Path, table: TerritoriesTable, liver: Voi) -> TerritoryMap:
    masks = chosen_masks(table, _images(progress))
    pull = None
    if table.image != liver.frame:
        forward = _registration(progress).transform
        pull = forward if table.image == "diagnostic" else spatial.invert(forward)
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
            raise GeometryError(
                f"{path}: territory {name!r} has no voxel in the liver; check that it is on the {table.image} image"
            )
        only = LabelMap.from_mask(inside, grid, name=name)
        return TerritoryMap(only, liver.frame, notes=notes)
    labels, shares = territories.territories_from_masks(liver.labels, on_liver, overlap=table.overlap, gap=table.gap)
    return TerritoryMap(labels, liver.frame, overlap_ml=shares.overlap_ml, gap_ml=shares.gap_ml, notes=notes)


def _registration(progress: _Progress) -> Alignment:
    images, liver, alignment = _images(progress), _liver(progress), progress.products.registration
    if alignment is None:
        progress.hooks.on_step("registration")
        table = progress.case.registration
        # Lesions guide where the other image has landmarks that may be the same.
        if table is not None and table.computed and (table.reference_masks.landmarks or table.floating_masks.landmarks):
            _lesions(progress)
        lesions = progress.products.lesions or ()
        alignment = align_diagnostic(progress.case, images, liver, lesions, register=progress.hooks.register)
        progress.products = replace(progress.products, registration=alignment)
    return alignment


def _viable(progress: _Progress) -> tuple[Voi, ...]:
    images, lesions, viable = _images(progress), _lesions(progress), progress.products.viable
    if viable is None:
        # Their lesions may be on another image, so that they are assigned after the registration.
        transform = _registration(progress).transform if progress.case.masks.viable is not None else None
        viable = viable_vois(progress.case, images, lesions, transform)
        progress.products = replace(progress.products, viable=viable)
    return viable


def _resampling(progress: _Progress) -> ResampledCase:
    mapped = progress.products.resampling
    images, liver, lesions = _images(progress), _liver(progress), _lesions(progress)
    divided, alignment, viable = _territories(progress), _registration(progress), _viable(progress)
    if mapped is None or not mapped.occupancy.keys() >= {voi.name for voi in viable}:
        progress.hooks.on_step("resampling")
        lungs = progress.products.lungs
        mapped = resample_case(
            images,
            [liver, *lesions, *viable, *([] if lungs is None else [lungs])],
            divided.labels,
            divided.frame,
            alignment.transform,
            spacing_mm=progress.case.dose.spacing_mm,
        )
        mapped = replace(mapped, notes=(*divided.notes, *mapped.notes))
        progress.products = replace(progress.products, resampling=mapped)
    return mapped


_MAKERS: dict[Step, Callable[[_Progress], object]] = {
    "images": _images,
    "liver": _liver,
    "lesions": _lesions,
    "territories": _territories,
    "registration": _registration,
    "resampling": _resampling,
}
