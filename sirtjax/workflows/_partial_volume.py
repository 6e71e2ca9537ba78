"""Doses after partial-volume correction, next to those of the uncorrected image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64
from numpy.typing import NDArray

from sirtjax import dosimetry, partial_volume
from sirtjax.errors import ConfigError
from sirtjax.ops import weighted_sum
from sirtjax.workflows._activity_alignment import activity_alignment
from sirtjax.workflows._case import Case
from sirtjax.workflows._deposit import ActivityAndDose
from sirtjax.workflows._lesion_overlap import smallest_first, voi_regions
from sirtjax.workflows._partial_volume_record import CorrectedDose, PartialVolumeResult, PartialVolumeRow
from sirtjax.workflows._partial_volume_regions import (
    Regions,
    block_means,
    coarsening,
    deconvolved,
    program,
    region_means,
    transfer_matrix,
    width_on_grid_mm,
)
from sirtjax.workflows._products import AllStepResults
from sirtjax.workflows._results import VoiResult
from sirtjax.workflows._setting import DosimetryContext

Array = NDArray[np.float32]

# The background of a lesion is measured where this fraction of the counts comes from the tissue itself.
DEEP_INSIDE = 0.97


def partial_volume_result(
    case: Case,
    products: AllStepResults,
    setting: DosimetryContext,
    deposit: ActivityAndDose,
    vois: Sequence[VoiResult],
) -> PartialVolumeResult | None:
    """Returns corrected doses and the proposed alignment; None if the case asks for neither.

    Regions are the lesions, the normal tissue of each territory, the other liver, the lungs and everything else. A
    relative calibration divides the injected activity by the corrected counts of the territory, an absolute one
    corrects the activity of each VOI.

    Args:
      case: the case.
      products: results of the steps, with the activity image.
      setting: constants, territories and VOIs of the case.
      deposit: activity and dose without correction.
      vois: rows of the VOIs without correction.
    """
    methods, fwhm_mm = case.partial_volume.methods, case.images.activity.resolution_fwhm_mm
    align = case.partial_volume.propose_shift
    if fwhm_mm is None or not (methods or align):  # a case with a method states the resolution
        return None
    fine = activity_regions(setting)
    grid = setting.mapped.geometry
    spacing = np.asarray(grid.spacing_mm)
    copied = setting.mapped.sampling.copied is not None
    width_mm = width_on_grid_mm(fwhm_mm, products.images.activity.volume.geometry, grid, copied=copied)
    factors = coarsening(grid.shape, spacing, fwhm_mm)
    coarse_mm = (spacing * factors).astype(np.float32)
    counts = np.asarray(setting.mapped.activity.array, np.float32)
    coarse = Regions(fine.names, np.stack([block_means(weight, factors) for weight in fine.weights]))
    coarse_counts = block_means(counts, factors)
    alignment = None
    if align:
        applied = case.images.activity.shift_mm
        alignment = activity_alignment(coarse_counts, coarse.weights, coarse_mm, width_mm, grid, applied_mm=applied)
    if not methods:
        return PartialVolumeResult(fwhm_mm=fwhm_mm, methods=(), iterations=None, rows=(), alignment=alignment)
    matrix = transfer_matrix(coarse.weights, coarse_mm, width_mm)
    measured = region_means(coarse.weights, coarse_counts)
    corrected: dict[str, NDArray[np.float64]] = {}
    recovered = np.linalg.solve(matrix, measured)
    if "gtm" in methods:
        corrected["gtm"] = recovered
    coefficients = _coefficients(case, vois, fine, matrix)
    if "recovery" in methods:
        corrected["recovery"] = _by_recovery(
            setting, coarse, coarse_counts, measured, recovered, matrix, coefficients, coarse_mm, width_mm
        )
    iterations = None
    if "richardson-lucy" in methods:
        image, iterations = deconvolved(coarse_counts, coarse_mm, width_mm)
        corrected["richardson-lucy"] = region_means(coarse.weights, image)
    voxelwise = None
    if "rbv" in methods:
        voxelwise = _Voxelwise.of(setting, deposit, fine, counts, recovered, width_mm, relative=_relative(case))
    uncorrected = {row.name: row for row in vois}
    gy = {
        method: [
            _mean_gy(setting, deposit, fine, index, means, measured, relative=_relative(case))
            for index in range(len(fine.names))
        ]
        for method, means in corrected.items()
    }
    rows = []
    weights = {voi.name: voi.weight for voi in setting.vois}
    for name, members in voi_regions(setting.vois, fine).items():
        voi = uncorrected.get(name)
        if voi is None or not members:  # less than a voxel has no region
            continue
        index = max(members, key=lambda one: members[one])
        doses = {
            method: CorrectedDose(float(sum(fraction * values[one] for one, fraction in members.items())))
            for method, values in gy.items()
        }
        # A recovery coefficient is that of one lesion in normal tissue.
        coefficient = math.nan if len(members) > 1 else float(coefficients[index])
        if math.isnan(coefficient):
            doses["recovery"] = CorrectedDose(math.nan)
        if voxelwise is not None:
            # Of another lesion's region only what is in this one.
            inside = None if len(members) == 1 and name == fine.names[index] else weights[name]
            doses["rbv"] = voxelwise.dose(list(members), name, inside)
        radius_mm = (750.0 * voi.volume_ml / math.pi) ** (1 / 3)
        rows.append(
            PartialVolumeRow(
                name=name,
                kind="lesion" if voi.kind == "lesion" else "normal territory",
                recovery_coefficient=coefficient,
                below_resolution=radius_mm < fwhm_mm / 2,
                mean_gy=voi.mean_gy,
                corrected={method: doses[method] for method in methods},
            )
        )
    curve = case.partial_volume.recovery_curve
    return PartialVolumeResult(
        fwhm_mm=fwhm_mm,
        methods=methods,
        iterations=iterations,
        rows=tuple(rows),
        alignment=alignment,
        recovery_source=None if curve is None else curve.source,
    )


def _coefficients(
    case: Case, vois: Sequence[VoiResult], regions: Regions, matrix: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Recovery coefficient of each region: of its blurred mask, or for lesions from the measured curve of the case."""
    found = np.diag(matrix).copy()
    curve = case.partial_volume.recovery_curve
    if curve is None:
        return found
    volume_ml = {voi.name: voi.volume_ml for voi in vois if voi.kind == "lesion"}
    for index, name in enumerate(regions.names):
        if name in volume_ml:
            measured = partial_volume.recovery_from_curve(
                volume_ml[name], np.asarray(curve.volume_ml), np.asarray(curve.recovery)
            )
            found[index] = float(measured)
    return found


def _relative(case: Case) -> bool:
    return case.calibration.method == "relative"


def activity_regions(setting: DosimetryContext) -> Regions:
    """Returns lesions, normal tissue of each territory, other liver, lungs and the rest, without overlap.

    A voxel of several lesions belongs to the smallest of them.
    """
    occupancy = setting.mapped.occupancy
    lesions = [(voi.name, voi.weight) for voi in smallest_first(setting.vois)]
    normal = [(f"normal {name}", weight) for name, weight in setting.territories.items()]
    others = [("", occupancy["liver"])] + ([("", occupancy["lungs"])] if "lungs" in occupancy else [])
    room = np.ones(setting.mapped.geometry.shape, np.float32)
    names, weights = [], []
    for name, weight in (*lesions, *normal, *others):
        part = np.minimum(weight, room)
        room = room - part
        if float(part.sum(dtype=np.float64)) > 1.0:
            names.append(name)
            weights.append(part)
    return Regions(tuple(names), np.stack([*weights, np.maximum(room, 0.0)]))


def _by_recovery(
    setting: DosimetryContext,
    regions: Regions,
    counts: Array,
    measured: NDArray[np.float64],
    recovered: NDArray[np.float64],
    matrix: NDArray[np.float64],
    coefficients: NDArray[np.float64],
    spacing_mm: Array,
    fwhm_mm: Array,
) -> NDArray[np.float64]:
    """Means of the lesions by their recovery coefficients, those of other tissue by the transfer matrix."""
    lesions = [voi for voi in setting.vois if voi.kind == "lesion"]
    count = sum(name in {voi.name for voi in lesions} for name in regions.names)
    means, outside = recovered.copy(), measured.copy()
    for index in range(count, len(measured)):
        spread = np.asarray(program("blur")(regions.weights[index], spacing_mm, fwhm_mm))
        weight = regions.weights[index] * (spread > DEEP_INSIDE)
        if weight.sum() > 1.0:
            outside[index] = weighted_sum(weight, counts) / float(weight.sum(dtype=np.float64))
    for index in range(count):
        if math.isnan(coefficients[index]):  # outside the measured curve: the other VOIs need a value of this one
            continue
        # The tissue around the lesion: the regions that spill into it, by how much they do.
        around = matrix[index].copy()
        around[:count] = 0.0
        background = float(around @ outside) / max(float(around.sum()), 1e-6)
        means[index] = float(
            partial_volume.recovery_corrected_means(measured[index], coefficients[index], background=background)
        )
    return means


def _mean_gy(
    setting: DosimetryContext,
    deposit: ActivityAndDose,
    regions: Regions,
    index: int,
    means: NDArray[np.float64],
    measured: NDArray[np.float64],
    *,
    relative: bool,
) -> float:
    """Mean dose of a region by local deposition, if each region has its corrected mean."""
    gy_per_mbq_per_ml = setting.constant_gy_g_per_mbq / setting.protocol.liver_density.value
    weight = regions.weights[index]
    if not relative:
        voxel_ml = setting.mapped.geometry.voxel_volume_ml
        mbq_per_ml = weighted_sum(deposit.activity_mbq, weight) / (float(weight.sum(dtype=np.float64)) * voxel_ml)
        return gy_per_mbq_per_ml * mbq_per_ml * float(means[index] / measured[index])
    total = 0.0
    for inside, mbq in _injected(setting, deposit):
        volumes_ml = _volumes_ml(setting, regions, inside)
        total += mbq / float(volumes_ml @ np.maximum(means, 0.0)) * volumes_ml[index]
    fraction_ml = float(weight.sum(dtype=np.float64)) * setting.mapped.geometry.voxel_volume_ml
    return gy_per_mbq_per_ml * float(means[index]) * total / fraction_ml


def _injected(setting: DosimetryContext, deposit: ActivityAndDose) -> list[tuple[Array, float]]:
    """The fraction of each voxel in each injected territory, and the territory's activity."""
    treated = list(setting.treated().values())
    together = np.maximum(np.sum(treated, axis=0, dtype=np.float32), np.float32(1e-6))
    return [(weight, weighted_sum(deposit.activity_mbq, weight / together)) for weight in treated]


def _volumes_ml(setting: DosimetryContext, regions: Regions, inside: Array) -> NDArray[np.float64]:
    voxel_ml = setting.mapped.geometry.voxel_volume_ml
    # Everything outside the liver has no activity in a relative calibration: regions without a name have none either.
    return np.array(
        [
            float(np.minimum(weight, inside).sum(dtype=np.float64)) * voxel_ml if name else 0.0
            for name, weight in zip((*regions.names, ""), regions.weights, strict=True)
        ]
    )


@dataclass(frozen=True, eq=False)
class RecoveredDose:
    """The dose map after the region-based voxel-wise correction.

    Attributes:
      regions: regions of the correction; a voxel belongs to the region with the largest part of it.
      labels: (i, j, k) index of the region of each voxel.
      other_liver: indices of the regions that are liver outside the territories.
      means: (n,) corrected mean of the activity image in each region.
      dose_gy: (i, j, k) dose, by local deposition if that is the method of the limits, otherwise by the kernel.
    """

    regions: Regions
    labels: Int64[np.ndarray, "i j k"]
    other_liver: tuple[int, ...]
    means: Float64[np.ndarray, " n"]
    dose_gy: Float32[np.ndarray, "i j k"]


def recovered_dose(
    case: Case, products: AllStepResults, setting: DosimetryContext, deposit: ActivityAndDose
) -> RecoveredDose:
    """Returns the dose map whose means and D70 the rows of the correction "rbv" have.

    Args:
      case: the case, which states the resolution of the image.
      products: results of the steps, with the activity image.
      setting: constants, territories and VOIs of the case.
      deposit: activity and dose without correction.

    Raises:
      ConfigError: the case does not state the resolution.
    """
    fwhm_mm = case.images.activity.resolution_fwhm_mm
    if fwhm_mm is None:
        raise ConfigError("images.activity.resolution_fwhm_mm is not stated; measure it (sirtjax resolution)")
    fine = activity_regions(setting)
    grid = setting.mapped.geometry
    spacing = np.asarray(grid.spacing_mm)
    copied = setting.mapped.sampling.copied is not None
    width_mm = width_on_grid_mm(fwhm_mm, products.images.activity.volume.geometry, grid, copied=copied)
    factors = coarsening(grid.shape, spacing, fwhm_mm)
    counts = np.asarray(setting.mapped.activity.array, np.float32)
    coarse = np.stack([block_means(weight, factors) for weight in fine.weights])
    matrix = transfer_matrix(coarse, (spacing * factors).astype(np.float32), width_mm)
    means = np.linalg.solve(matrix, region_means(coarse, block_means(counts, factors)))
    found = _Voxelwise.of(setting, deposit, fine, counts, means, width_mm, relative=_relative(case))
    dose_gy = found.local_gy if setting.method == "local" or found.kernel_gy is None else found.kernel_gy
    other_liver = tuple(
        index
        for index, (name, weight) in enumerate(zip(fine.names, fine.weights, strict=False))
        if not name and weighted_sum(weight, setting.liver) > 0.5 * float(weight.sum(dtype=np.float64))
    )
    return RecoveredDose(fine, np.asarray(found.labels, np.int64), other_liver, means, dose_gy)


@dataclass(frozen=True, eq=False)
class _Voxelwise:
    """The region-based voxel-wise correction on the dose grid.

    Attributes:
      labels: index of the region of each voxel.
      local_gy: dose by local deposition.
      kernel_gy: dose by the kernel; None if the nuclide has none.
      voxel_ml: volume of a voxel.
    """

    labels: NDArray[np.intp]
    local_gy: Array
    kernel_gy: Array | None
    voxel_ml: float

    @classmethod
    def of(
        cls,
        setting: DosimetryContext,
        deposit: ActivityAndDose,
        regions: Regions,
        counts: Array,
        means: NDArray[np.float64],
        fwhm_mm: Array,
        *,
        relative: bool,
    ) -> _Voxelwise:
        geometry = setting.mapped.geometry
        labels = np.argmax(regions.weights, axis=0)
        synthetic = np.maximum(means, 0.0).astype(np.float32)[labels]
        spacing_mm = np.asarray(geometry.spacing_mm, np.float32)
        blurred = np.asarray(program("blur")(synthetic, spacing_mm, fwhm_mm))
        ratio = np.divide(synthetic, blurred, out=np.zeros_like(synthetic), where=blurred > 0)
        voxel_ml = geometry.voxel_volume_ml
        if relative:
            activity = np.zeros_like(counts)
            for inside, mbq in _injected(setting, deposit):
                share = np.maximum(counts, 0.0) * ratio * inside
                activity += share * np.float32(mbq / float(share.sum(dtype=np.float64)))
        else:
            activity = deposit.activity_mbq * ratio
        gy_per_mbq = setting.constant_gy_g_per_mbq / setting.protocol.liver_density.value / voxel_ml
        by_kernel = "kernel" in (setting.method, setting.other_method)
        return cls(
            labels=labels,
            local_gy=(activity * np.float32(gy_per_mbq)).astype(np.float32),
            kernel_gy=setting.dose_gy(activity, "kernel", relative=relative) if by_kernel else None,
            voxel_ml=voxel_ml,
        )

    def dose(self, members: Sequence[int], name: str, inside: Array | None) -> CorrectedDose:
        weight = np.isin(self.labels, members).astype(np.float32)
        if inside is not None:
            weight = weight * (inside >= 0.5)
        if not weight.any():
            return CorrectedDose(math.nan, math.nan)
        local = dosimetry.dvh_from_arrays(self.local_gy, weight, self.voxel_ml, name=name, signed=True)
        kernel = None
        if self.kernel_gy is not None:
            kernel = dosimetry.dvh_from_arrays(self.kernel_gy, weight, self.voxel_ml, name=name, signed=True)
        return CorrectedDose(
            mean_gy=local.mean_gy,
            d70_gy=local.dose_at_percent_gy(70),
            kernel_mean_gy=None if kernel is None else kernel.mean_gy,
            kernel_d70_gy=None if kernel is None else kernel.dose_at_percent_gy(70),
        )
