"""The effect of a dose map on each VOI: the rows of the report's table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sirtjax import dosimetry, pipeline
from sirtjax.ops import weighted_sum
from sirtjax.workflows._biology import Biology, biology_row
from sirtjax.workflows._deposit import ActivityAndDose
from sirtjax.workflows._derived import PlacedVoi, normal_parts
from sirtjax.workflows._resampled_case import ResampledCase
from sirtjax.workflows._results import OtherDose, VoiResult

Array = NDArray[np.float32]

DOSE_PERCENTS = (98, 95, 70, 50, 2)
CURVE_POINTS = 200


def evaluate_vois(
    vois: Sequence[PlacedVoi],
    mapped: ResampledCase,
    deposit: ActivityAndDose,
    *,
    density_g_per_ml: float,
    constant_gy_g_per_mbq: float,
    v_levels_gy: Sequence[float],
    biology: Biology | None,
    half_life_h: float,
) -> tuple[VoiResult, ...]:
    """Returns one row per VOI, from the voxel dose and by the multi-compartment method.

    Args:
      vois: VOIs on the working grid.
      mapped: case on the working grid, with the volumes of the masks as drawn.
      deposit: activity and dose of all injections.
      density_g_per_ml: density of liver and lesions, for the compartment method.
      constant_gy_g_per_mbq: constant K of the local deposition.
      v_levels_gy: doses x of V_x.
      biology: parameter sets of the case, or None.
      half_life_h: physical half-life of the nuclide.
    """
    voxel_ml = mapped.geometry.voxel_volume_ml
    full_mbq = deposit.activity_mbq
    if deposit.holder is not None:
        full_mbq = np.asarray(pipeline.per_full_voxel(deposit.activity_mbq, deposit.holder))
    in_liver = weighted_sum(full_mbq, vois[0].weight)
    concentration = {
        voi.name: weighted_sum(full_mbq, voi.weight) / _inside_ml(voi.weight, voxel_ml)
        for voi in vois
        if voi.kind == "normal territory"
    }
    by_name = {voi.name: voi for voi in vois}
    rows = []
    for voi in vois:
        if voi.kind == "lungs":
            rows.append(_lung_row(voi, mapped, deposit))
            continue
        activity_mbq = weighted_sum(full_mbq, voi.weight)
        dvh = dosimetry.dvh_from_arrays(deposit.dose_gy, voi.weight, voxel_ml, name=voi.name, signed=True)
        mass_g = dvh.volume_ml * density_g_per_ml
        dose_axis, volume_axis = curve_points(dvh)
        other = None
        if deposit.other_dose_gy is not None:
            other = _other_dose(
                dosimetry.dvh_from_arrays(deposit.other_dose_gy, voi.weight, voxel_ml, name=voi.name, signed=True)
            )
        rows.append(
            VoiResult(
                name=voi.name,
                kind=voi.kind,
                territory=voi.territories[0] if len(voi.territories) == 1 else None,
                volume_ml=dvh.volume_ml,
                mask_ml=mapped.mask_ml.get(voi.name),
                mass_g=mass_g,
                activity_mbq=activity_mbq,
                uptake_fraction=activity_mbq / in_liver if in_liver > 0 else 0.0,
                tn_ratio=_tn_ratio(voi, vois, activity_mbq / dvh.volume_ml, concentration),
                multi_compartment_mean_gy=constant_gy_g_per_mbq * activity_mbq / mass_g,
                mean_gy=dvh.mean_gy,
                min_gy=dvh.minimum_gy,
                max_gy=dvh.maximum_gy,
                d_gy=_points(dvh),
                v_percent={f"{x:g}": float(dvh.percent_at_dose(x)) for x in v_levels_gy},
                biology=biology_row(voi, deposit.dose_gy, biology, half_life_h=half_life_h),
                dvh_dose_gy=dose_axis,
                dvh_volume_percent=volume_axis,
                other_dose=other,
                lesion=voi.lesion,
                lesion_fraction=None
                if voi.lesion is None
                else dvh.volume_ml / _inside_ml(by_name[voi.lesion].weight, voxel_ml),
            )
        )
    return tuple(rows)


def _points(dvh: dosimetry.Dvh) -> dict[str, float]:
    return {str(x): dvh.dose_at_percent_gy(x) for x in DOSE_PERCENTS}


def _other_dose(dvh: dosimetry.Dvh) -> OtherDose:
    dose_axis, volume_axis = curve_points(dvh)
    return OtherDose(dvh.mean_gy, _points(dvh), dose_axis, volume_axis)


def _lung_row(voi: PlacedVoi, mapped: ResampledCase, deposit: ActivityAndDose) -> VoiResult:
    """The lungs by their mass and the shunted activity; the voxel dose of the map is not theirs."""
    return VoiResult(
        name=voi.name,
        kind=voi.kind,
        territory=None,
        volume_ml=0.0 if mapped.lungs is None else mapped.lungs.volume_ml,
        mask_ml=mapped.mask_ml.get(voi.name),
        mass_g=deposit.lung_mass_g,
        activity_mbq=deposit.lung_activity_mbq,
        uptake_fraction=0.0,
        tn_ratio=None,
        multi_compartment_mean_gy=deposit.lung_shunt_gy,
        mean_gy=deposit.lung_dose_gy,
        min_gy=None,
        max_gy=None,
    )


def _inside_ml(weight: Array, voxel_ml: float) -> float:
    return float(weight.sum(dtype=np.float64)) * voxel_ml


def _tn_ratio(
    voi: PlacedVoi, vois: Sequence[PlacedVoi], concentration: float, normal: Mapping[str, float]
) -> float | None:
    if voi.kind not in ("lesion", "lesions"):
        return None
    parts = normal_parts(voi, vois)
    if not all(name in normal for name in parts):  # lesions fill a territory
        return None
    beside = sum(part * normal[name] for name, part in parts.items())
    return concentration / beside if beside > 0 else None


def curve_points(dvh: dosimetry.Dvh) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns the cumulative DVH at evenly spaced doses, short enough for a file and a plot."""
    # After the subtraction of a background, a small VOI without activity can lie below zero.
    highest_gy = dvh.maximum_gy * 1.001 if dvh.maximum_gy > 0 else 1.0
    dose = np.linspace(0.0, highest_gy, CURVE_POINTS)
    percent = np.asarray(dvh.percent_at_dose(dose))
    return tuple(round(float(x), 4) for x in dose), tuple(round(float(x), 4) for x in percent)
