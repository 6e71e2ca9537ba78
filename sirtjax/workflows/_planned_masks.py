"""Masks of the plan for what a verification has no mask of: warped, and unreviewed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sirtjax import spatial
from sirtjax.volume import Geometry, LabelMap
from sirtjax.workflows._case import Case
from sirtjax.workflows._case_images import CaseImages
from sirtjax.workflows._planned_maps import PlannedMaps
from sirtjax.workflows._products import Hooks, StepResults, TerritoryMap
from sirtjax.workflows._voi import Voi
from sirtjax.workflows._vois import lung_voi

# Origin of a mask that was taken from the plan, as in results.json.
PLANNED_ORIGIN = "the plan's mask, warped"
# Warped masks are stored this much finer than those of the plan, so that their volumes survive.
FINER = 2
# Voxels of a plan that are smaller are not divided.
FINEST_MM = 1.0
MARGIN_MM = 10.0


def add_planned_masks(
    case: Case,
    images: CaseImages,
    products: StepResults,
    planned: PlannedMaps,
    transform: spatial.Transform,
    *,
    created: str,
    hooks: Hooks,
) -> StepResults:
    """Adds the liver, lesions and territories of the plan where the case has none of its own.

    Viable parts are added together with their lesions.

    Args:
      case: case of the verification.
      images: images of the case.
      products: completed steps of the verification; they are not replaced.
      planned: masks of the plan.
      transform: pull, from the activity frame of the verification to the frame of the plan.
      created: date and time of the plan, for the report.
      hooks: segmentation of the lungs.

    Returns:
      The steps with the warped masks; each is a draft until a person has reviewed it.
    """
    draft = f"warped from the plan of {created}, not reviewed"
    grid = _warped_grid(planned, images.activity.volume.geometry, transform)

    def warped(name: str) -> Voi:
        labels = _warp(planned.masks[name], name, grid, transform)
        return Voi(name, labels, "activity", PLANNED_ORIGIN, draft=draft)

    if case.masks.liver is None and products.liver is None:
        lungs = lung_voi(case, images, segment=hooks.segment_lungs)
        products = replace(products, liver=warped("liver"), lungs=lungs)
    own_lesions = case.masks.lesions is not None or case.masks.no_lesions or case.masks.segment_lesions
    if not own_lesions and products.lesions is None:
        products = replace(products, lesions=tuple(warped(name) for name in planned.lesions))
        if case.masks.viable is None and products.viable is None:
            viable = tuple(replace(warped(name), lesion=lesion) for name, lesion in planned.viable.items())
            products = replace(products, viable=viable)
    if case.territories is None and products.territories is None and planned.territories:
        joined = _joined(planned, planned.territories, grid, transform)
        products = replace(products, territories=TerritoryMap(joined, "activity", draft=draft))
    return products


def _joined(planned: PlannedMaps, names: Sequence[str], grid: Geometry, transform: spatial.Transform) -> LabelMap:
    values = np.zeros(grid.shape, np.uint8)
    for value, name in enumerate(names, start=1):
        mask = np.asarray(_warp(planned.masks[name], name, grid, transform).array) > 0
        values[mask & (values == 0)] = value
    return LabelMap(values, grid, names=tuple(enumerate(names, start=1)))


def _warp(mask: LabelMap, name: str, grid: Geometry, transform: spatial.Transform) -> LabelMap:
    inside = np.asarray(spatial.occupancy(mask, name, grid, transform=transform)) >= np.float32(0.5)
    return LabelMap.from_mask(inside, grid, name=name)


def _warped_grid(planned: PlannedMaps, activity: Geometry, transform: spatial.Transform) -> Geometry:
    """A grid around the warped liver, along the axes of the activity image, with voxels no larger than the plan's."""
    liver = np.asarray(spatial.occupancy(planned.masks["liver"], "liver", activity, transform=transform))
    voxels = np.argwhere(liver > 0)
    plan_mm = min(planned.dose_gy.geometry.spacing_mm)
    spacing_mm = np.full(3, max(plan_mm / FINER, min(plan_mm, FINEST_MM)))
    native_mm = np.asarray(activity.spacing_mm)
    low = voxels.min(axis=0) - MARGIN_MM / native_mm
    high = voxels.max(axis=0) + MARGIN_MM / native_mm
    shape = np.ceil((high - low) * native_mm / spacing_mm).astype(int) + 1
    axes = activity.direction
    return Geometry.from_axes(
        shape.tolist(), spacing_mm=spacing_mm.tolist(), origin_mm=activity.to_world(low).tolist(), direction=axes
    )
