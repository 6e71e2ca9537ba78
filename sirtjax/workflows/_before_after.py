"""Planned and delivered dose: by VOI, and voxel by voxel where the plan is registered."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float32

from sirtjax import metrics, spatial
from sirtjax.ops import weighted_sum
from sirtjax.volume import Volume
from sirtjax.workflows._before_after_record import (
    BeforeAfter,
    GammaResult,
    LesionAgreement,
    PlanRegistrationSummary,
    VoiComparison,
)
from sirtjax.workflows._plan_alignment import RegisteredPlan
from sirtjax.workflows._plan_record import TreatmentPlan
from sirtjax.workflows._planned_maps import PlannedMaps
from sirtjax.workflows._planned_masks import PLANNED_ORIGIN
from sirtjax.workflows._provenance_record import PlannedVoi
from sirtjax.workflows._results import ObjectiveResult, Result, ResultVolumes, VoiResult

Scope = Literal["local", "global"]
# The search ends just above 1, since only the pass rate is reported.
MAX_GAMMA = 1.1
# Voxels of a gamma analysis; larger regions are evaluated at every second (third, ...) voxel of each axis.
MOST_VOXELS = 65536
FEWEST_LESIONS = 3


def compare_doses(
    result: Result,
    maps: ResultVolumes,
    plan: TreatmentPlan,
    planned: PlannedMaps | None,
    registered: RegisteredPlan | None,
) -> tuple[BeforeAfter, Volume | None]:
    """Compares the delivered dose with the planned one.

    Args:
      result: verification with its VOIs and objectives.
      maps: images of the verification.
      plan: the plan.
      planned: dose and masks of the plan; None without a registered plan.
      registered: transform of the plan; None without a registered plan.

    Returns:
      The comparison, and the planned dose on the working grid of the verification; None without a registered plan.
    """
    moved: Volume | None = None
    masks: dict[str, Float32[np.ndarray, "i j k"]] = {}
    summary: PlanRegistrationSummary | None = None
    gamma: tuple[GammaResult, ...] = ()
    if planned is not None and registered is not None:
        transform = registered.alignment.transform
        moved = spatial.resample(planned.dose_gy, maps.geometry, order="linear", fill=0.0, transform=transform)
        own = {mask.name for mask in result.masks if mask.origin != PLANNED_ORIGIN}
        masks = {
            name: np.asarray(spatial.occupancy(planned.masks[name], name, maps.geometry, transform=transform))
            for name in planned.masks
            if name in maps.occupancy and (name in own or (name in planned.territories and "territories" in own))
        }
        summary = _summary(registered)
        inside = maps.occupancy["liver"] >= np.float32(0.5)
        gamma = tuple(
            gamma_result(np.asarray(moved.array), np.asarray(maps.dose_gy.array), maps, inside, scope)
            for scope in get_args(Scope)
        )
    rows = tuple(
        _row(voi, plan.vois[voi.name], result.objectives, moved, maps, masks.get(voi.name))
        for voi in result.vois
        if voi.name in plan.vois
    )
    if "lungs" not in {row.name for row in rows}:
        rows = (*rows, _lungs(result, plan))
    return BeforeAfter(vois=rows, lesions=lesion_agreement(rows), registration=summary, gamma=gamma), moved


def gamma_result(
    planned_gy: Float32[np.ndarray, "i j k"],
    delivered_gy: Float32[np.ndarray, "i j k"],
    maps: ResultVolumes,
    inside: Bool[np.ndarray, "i j k"],
    scope: Scope,
) -> GammaResult:
    """Computes the gamma pass rate in the liver, with the criteria 5 % and 5 mm.

    Args:
      planned_gy: (i, j, k) warped planned dose, the reference.
      delivered_gy: (i, j, k) delivered dose, which is searched.
      maps: working grid.
      inside: (i, j, k) evaluated region.
      scope: "local" or "global".
    """
    criteria = metrics.GammaCriteria(scope=scope)
    stride = max(1, math.ceil((float(inside.sum()) / MOST_VOXELS) ** (1 / 3)))
    chosen = np.zeros(inside.shape, bool)
    chosen[::stride, ::stride, ::stride] = inside[::stride, ::stride, ::stride]
    highest = float(planned_gy[inside].max()) if inside.any() else 0.0
    fraction: float | None = None
    voxels = 0
    if highest > 0 and chosen.any() and float(planned_gy[chosen].max()) > 0:
        found = metrics.gamma_index(
            planned_gy, delivered_gy, maps.geometry.spacing_mm, criteria=criteria, within=chosen, max_gamma=MAX_GAMMA
        )
        fraction, voxels, highest = found.passed_fraction, found.voxels, found.normalisation_gy
    return GammaResult(
        scope=scope,
        dose_percent=criteria.dose_percent,
        distance_mm=criteria.distance_mm,
        threshold_percent=criteria.threshold_percent,
        region="liver",
        normalisation_gy=highest,
        passed_fraction=fraction,
        voxels=voxels,
        stride=stride,
    )


def lesion_agreement(rows: Sequence[VoiComparison]) -> LesionAgreement:
    """Compares planned and delivered mean doses over the lesions, or states that they are too few."""
    pairs = [(row.planned_gy, row.delivered_gy) for row in rows if row.kind == "lesion" and row.planned_gy is not None]
    if len(pairs) < FEWEST_LESIONS:
        number = {0: "no lesion has", 1: "one lesion has", 2: "two lesions have"}[len(pairs)]
        note = f"{number} a planned and a delivered dose; correlation and limits of agreement need at least three"
        return LesionAgreement(count=len(pairs), note=note)
    found = metrics.agreement([one for one, _ in pairs], [two for _, two in pairs])
    return LesionAgreement(
        count=found.count,
        note="",
        bias_gy=found.bias,
        bias_interval_gy=found.bias_interval,
        lower_limit_gy=found.lower_limit,
        upper_limit_gy=found.upper_limit,
        lower_interval_gy=found.lower_interval,
        upper_interval_gy=found.upper_interval,
        pearson=found.pearson,
        spearman=found.spearman,
        concordance=found.concordance,
    )


def _row(
    voi: VoiResult,
    before: PlannedVoi,
    objectives: Sequence[ObjectiveResult],
    moved: Volume | None,
    maps: ResultVolumes,
    mask: Float32[np.ndarray, "i j k"] | None,
) -> VoiComparison:
    planned_gy = before.get("mean_gy")
    difference = None if planned_gy is None else voi.mean_gy - planned_gy
    # Recommendations do not count.
    mine = [one for one in objectives if one.voi == voi.name and one.purpose == "bound"]
    planned_met = [one.planned_met for one in mine if one.planned_met is not None]
    weight = maps.occupancy.get(voi.name)
    warped_gy: float | None = None
    if moved is not None and weight is not None and voi.kind != "lungs":
        warped_gy = weighted_sum(np.asarray(moved.array), weight) / float(weight.sum(dtype=np.float64))
    dice: float | None = None
    centroid_mm: float | None = None
    if mask is not None and weight is not None and (mask >= 0.5).any() and (weight >= 0.5).any():
        dice = metrics.dice(mask, weight)
        centroid_mm = metrics.centroid_distance_mm(mask, weight, maps.geometry.spacing_mm)
    return VoiComparison(
        name=voi.name,
        kind=voi.kind,
        planned_gy=planned_gy,
        delivered_gy=voi.mean_gy,
        difference_gy=difference,
        difference_percent=100 * difference / planned_gy if difference is not None and planned_gy else None,
        planned_d70_gy=_at(before.get("d_gy"), "70"),
        delivered_d70_gy=voi.d_gy.get("70"),
        planned_v_percent=dict(before.get("v_percent", {})),
        delivered_v_percent=dict(voi.v_percent),
        planned_tn_ratio=before.get("tn_ratio"),
        delivered_tn_ratio=voi.tn_ratio,
        planned_uptake_fraction=None if voi.kind == "lungs" else before.get("uptake_fraction"),
        delivered_uptake_fraction=None if voi.kind == "lungs" else voi.uptake_fraction,
        planned_met=all(planned_met) if planned_met else None,
        delivered_met=all(one.met for one in mine) if mine else None,
        warped_planned_gy=warped_gy,
        dice=dice,
        centroid_mm=centroid_mm,
    )


def _lungs(result: Result, plan: TreatmentPlan) -> VoiComparison:
    """The lungs of a verification without a lung mask: by their mass and the shunted activity."""
    mine = [one for one in result.objectives if one.voi == "lungs" and one.purpose == "bound"]
    planned_met = [one.planned_met for one in mine if one.planned_met is not None]
    before = plan.lung_dose_gy
    difference = None if before is None else result.lung_dose_gy - before
    return VoiComparison(
        name="lungs",
        kind="lungs",
        planned_gy=before,
        delivered_gy=result.lung_dose_gy,
        difference_gy=difference,
        difference_percent=100 * difference / before if difference is not None and before else None,
        planned_d70_gy=None,
        delivered_d70_gy=None,
        planned_met=all(planned_met) if planned_met else None,
        delivered_met=all(one.met for one in mine) if mine else None,
    )


def _at(doses: Mapping[str, float | None] | None, key: str) -> float | None:
    return None if doses is None else doses.get(key)


def _summary(registered: RegisteredPlan) -> PlanRegistrationSummary | None:
    record, position = registered.alignment.record, registered.position
    if record is None:
        return None
    return PlanRegistrationSummary(
        method=record.method,
        preset=record.preset,
        settings=record.settings,
        guides=record.guides,
        status=record.status,
        cause=record.cause,
        accepted=record.accepted,
        quality={moment: dict(figures) for moment, figures in record.quality.items()},
        folding_fraction=record.folding_fraction,
        dice=position.dice,
        centroid_mm=position.centroid_mm,
        dice_unregistered=position.dice_unregistered,
        centroid_unregistered_mm=position.centroid_unregistered_mm,
        liver_contoured=position.contoured,
        notes=record.notes,
    )
