"""Uptake outside the liver in a plan: its sites, the estimated dose, and what a person has reviewed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from sirtjax import ops, spatial
from sirtjax.dosimetry import Check, make_check
from sirtjax.errors import ConfigError, ImageFormatError
from sirtjax.io import Image
from sirtjax.volume import Geometry, LabelMap
from sirtjax.workflows._case import Case, MaskTable
from sirtjax.workflows._case_images import CaseImages
from sirtjax.workflows._case_uptake_sites import OrganMasksTable, ReviewedSiteTable, UptakeSitesTable
from sirtjax.workflows._products import AllStepResults, Hooks
from sirtjax.workflows._results import InjectionResult
from sirtjax.workflows._setting import DosimetryContext
from sirtjax.workflows._uptake_record import PhysiologicalUptake, UptakeSite, UptakeSites
from sirtjax.workflows._uptake_search import UptakeRegion, find_uptake
from sirtjax.workflows._vois import chosen_masks

Mask = NDArray[np.bool_]


def search_margin_mm(case: Case) -> float | None:
    """Returns the distance from the liver that is not searched, by default the resolution of the image.

    Returns:
      Distance in mm; None if the case has no [uptake_sites].

    Raises:
      ConfigError: the case states neither the margin nor the resolution.
    """
    table = case.uptake_sites
    if table is None:
        return None
    margin_mm = table.margin_mm or case.images.activity.resolution_fwhm_mm
    if margin_mm is None:
        raise ConfigError(
            "uptake_sites: the distance from the liver that is not searched is unknown; set uptake_sites.margin_mm, or "
            "images.activity.resolution_fwhm_mm"
        )
    return margin_mm


def check_organs(case: Case, images: CaseImages, hooks: Hooks) -> None:
    """Checks the organ masks of [uptake_sites], before the dose is computed.

    Raises:
      ConfigError: a mask is missing, a name of `physiological` is not among the masks, or organs are to be segmented
        and nothing can.
    """
    table = case.uptake_sites
    if table is None or table.organs is None:
        return
    if table.organs.image == "diagnostic" and case.registration is None:
        raise ConfigError("uptake_sites.organs is on the diagnostic image; add a [registration] to the activity image")
    if not table.organs.automatic:
        _contoured(table, table.organs, images)
        return
    if _image_of(table.organs, images) is None:
        wanted = "images.ct" if table.organs.image == "activity" else "images.diagnostic"
        raise ConfigError(f"uptake_sites.organs.automatic segments {wanted}, which the case does not have; add it")
    if hooks.segment_organs is None:
        raise ConfigError("uptake_sites.organs.automatic: no program segments organs here; give masks as organs.path")


def uptake_sites(
    case: Case,
    products: AllStepResults,
    setting: DosimetryContext,
    injections: Sequence[InjectionResult],
    hooks: Hooks,
) -> tuple[UptakeSites | None, tuple[Check, ...]]:
    """Returns the uptake outside the liver with checks; None if the case has no [uptake_sites].

    Args:
      case: the case.
      products: images and masks of the case.
      setting: the mapped case, for the counts of the injected territories.
      injections: prescribed activities, for the estimated doses.
      hooks: automatic segmentation of organs.

    Raises:
      ConfigError: an organ mask is missing, or a name of `physiological` is not among the masks.
    """
    table, margin_mm = case.uptake_sites, search_margin_mm(case)
    if table is None or margin_mm is None:
        return None, ()
    activity = products.images.activity.volume
    grid, counts = activity.geometry, np.asarray(activity.array, np.float32)
    liver = _voi_mask(products, products.liver.labels, products.liver.name, products.liver.frame, grid)
    organs, segmented = _organ_masks(table, products, grid, hooks)
    excluded = np.zeros(grid.shape, bool)
    if products.lungs is not None:
        excluded |= _voi_mask(products, products.lungs.labels, products.lungs.name, products.lungs.frame, grid)
    for name in table.physiological:
        excluded |= ops.distance_mm(organs[name], grid.spacing_mm) <= margin_mm
    regions = find_uptake(
        counts,
        grid,
        liver=liver,
        excluded=excluded,
        organs=organs,
        threshold_fraction=table.threshold_fraction,
        margin_mm=margin_mm,
        min_ml=table.min_ml,
    )
    density = setting.protocol.liver_density.value
    in_liver_mbq = _mbq_per_liver_counts(setting, injections)
    dose_constant = setting.constant_gy_g_per_mbq
    rows, checks, used = [], [], set()
    for region in regions:
        note = _review(region, grid, table.reviewed)
        used.add(note)
        activity_mbq = in_liver_mbq * region.liver_counts_ratio
        mean_gy = dose_constant * activity_mbq / (region.volume_ml * density)
        rows.append(
            UptakeSite(
                site=region.site,
                organ=region.organ,
                organ_fraction=region.organ_fraction,
                volume_ml=region.volume_ml,
                counts_fraction=region.counts_fraction,
                liver_counts_ratio=region.liver_counts_ratio,
                mean_ratio=region.mean_ratio,
                max_ratio=region.max_ratio,
                centroid_mm=region.centroid_mm,
                liver_distance_mm=region.liver_distance_mm,
                activity_mbq=activity_mbq,
                mean_gy=mean_gy,
                reviewed="" if note is None else note.reason,
                reviewer=None if note is None else note.reviewer,
            )
        )
        where = f"{region.site} ({region.volume_ml:.1f} mL)"
        if note is None:
            checks.append(make_check("SJ572", where=where, value=mean_gy))
        else:
            checks.append(make_check("SJ573", where=f"{where}: {note.reason}", value=mean_gy))
    for note in table.reviewed:
        if note not in used:
            point = ", ".join(f"{mm:g}" for mm in note.point_mm)
            checks.append(make_check("SJ574", where=f"[{point}] mm ({note.reason})"))
    if products.lungs is None:
        checks.append(make_check("SJ575"))
    if segmented is not None:
        checks.append(make_check("SJ576", where=segmented))
    found = UptakeSites(
        threshold_fraction=table.threshold_fraction,
        margin_mm=margin_mm,
        min_ml=table.min_ml,
        lungs_excluded=products.lungs is not None,
        organs=tuple(organs),
        physiological=tuple(
            PhysiologicalUptake(
                organ=name,
                counts_fraction=float(counts[organs[name]].sum(dtype=np.float64) / counts.sum(dtype=np.float64)),
                mean_ratio=float(counts[organs[name]].mean() / counts[liver].mean()),
            )
            for name in table.physiological
        ),
        density_g_per_ml=density,
        sites=tuple(rows),
    )
    return found, tuple(checks)


def _mbq_per_liver_counts(setting: DosimetryContext, injections: Sequence[InjectionResult]) -> float:
    """The activity that all counts of the liver stand for, by the injection with the most activity per count.

    It is not known which catheter position feeds a site, so the estimate is the highest.
    """
    counts = np.asarray(setting.mapped.activity.array, np.float64)
    in_liver = float((counts * setting.liver).sum())
    ratios = [
        one.activity_mbq * (1.0 - one.lung_shunt_fraction) * in_liver / float((counts * region).sum())
        for one, region in zip(injections, setting.treated().values(), strict=True)
    ]
    return max(ratios, default=0.0)


def _voi_mask(
    products: AllStepResults, labels: LabelMap, name: str, frame: str, grid: Geometry
) -> Bool[np.ndarray, "i j k"]:
    """The voxels of the activity image that are inside a mask by at least half."""
    pull = products.registration.transform if frame == "diagnostic" else None
    return np.asarray(spatial.occupancy(labels, name, grid, transform=pull)) >= 0.5


def _contoured(table: UptakeSitesTable, organs: OrganMasksTable, images: CaseImages) -> dict[str, LabelMap]:
    """The organs of a file, each a map of its own."""
    masks = chosen_masks(MaskTable(**organs.model_dump(exclude={"automatic"})), images)
    unknown = [name for name in table.physiological if name not in masks]
    if unknown:
        raise ConfigError(
            f"uptake_sites.physiological: no mask is named {', '.join(unknown)}; available: {', '.join(masks)}"
        )
    return {
        name: LabelMap.from_mask(np.asarray(labels.array) > 0, labels.geometry, name=name)
        for name, labels in masks.items()
    }


def _image_of(organs: OrganMasksTable, images: CaseImages) -> Image | None:
    """The image that organs are segmented on."""
    return images.ct if organs.image == "activity" else images.diagnostic


def _organ_masks(
    table: UptakeSitesTable, products: AllStepResults, grid: Geometry, hooks: Hooks
) -> tuple[dict[str, Mask], str | None]:
    """The voxels of each organ, and a sentence about their segmentation; None for contours.

    The name of an automatic organ says so, wherever it is shown.
    """
    found: dict[str, Mask] = {}
    organs, by = table.organs, None
    if organs is None:
        return found, by
    if organs.automatic:
        image = _image_of(organs, products.images)
        if image is None or hooks.segment_organs is None:
            raise ConfigError("uptake_sites.organs.automatic: nothing to segment; see `check_organs`")
        by = "the automatic segmentation found no organ outside the liver: sites are named by their position"
        try:
            segmented = hooks.segment_organs(image)
        except ImageFormatError as error:
            # The names are missing, the sites and their doses are not.
            return found, f"the organs could not be segmented ({error}): sites are named by their position"
        for name, one in segmented.items():
            found[f"{name} (automatic)"] = _voi_mask(products, one.labels, name, organs.image, grid)
            by = f"sites of uptake are named after organs that {one.method} segmented, not verified"
        return found, by
    for name, whole in _contoured(table, organs, products.images).items():
        found[name] = _voi_mask(products, whole, name, organs.image, grid)
        if name in table.physiological and not found[name].any():
            raise ConfigError(f"uptake_sites.organs: {name!r} is outside the activity image; check its frame")
    return found, by


def _review(region: UptakeRegion, grid: Geometry, reviewed: Sequence[ReviewedSiteTable]) -> ReviewedSiteTable | None:
    """The review whose point is in the region or in a voxel next to it."""
    places = np.asarray(grid.to_world(np.argwhere(region.mask).astype(float)), float)
    reach_mm = float(max(grid.spacing_mm))
    for note in reviewed:
        if float(np.linalg.norm(places - np.asarray(note.point_mm), axis=1).min()) <= reach_mm:
            return note
    return None
