"""The numbers of a result as measurements of a DICOM structured report: doses, and targets and limits met or not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sirtjax import dicom

if TYPE_CHECKING:
    from sirtjax.workflows import ObjectiveResult, PlannedVoi, Result, VoiResult

# What a DICOM object calls the structures of a report.
_KINDS = {"lesions": "lesion", "viable tumour": "lesion"}
_QUANTITIES = (
    ("volume", "volume_ml", "mL", 1.0),
    ("mass", "mass_g", "g", 1.0),
    ("activity", "activity_mbq", "MBq", 1.0),
    ("uptake", "uptake_fraction", "%", 100.0),
    ("lesion fraction", "lesion_fraction", "%", 100.0),
    ("T/N ratio", "tn_ratio", "1", 1.0),
    ("compartment dose", "multi_compartment_mean_gy", "Gy", 1.0),
)
_DOSES = (
    ("mean dose", "mean_gy", "Gy", 1.0),
    ("minimum dose", "min_gy", "Gy", 1.0),
    ("maximum dose", "max_gy", "Gy", 1.0),
)
LUNGS = "lungs"


def measurement_groups(result: Result, names: Mapping[str, str]) -> list[dicom.MeasurementGroup]:
    """Returns one group per VOI, and one of the lungs if they have no mask but a limit.

    Doses state their dose method. Those of the method that limits do not use are additional measurements.
    A verification has the plan's doses next to the delivered ones, and for each target and limit whether the plan and
    the delivered dose meet it.

    Args:
      result: plan or verification.
      names: name of each VOI in the objects.
    """
    groups = [_group(result, row, names[row.name]) for row in result.vois]
    if LUNGS not in names and any(one.voi == LUNGS for one in result.objectives):
        groups.append(_lungs(result))
    return [*groups, *_extrahepatic(result)]


def _group(result: Result, row: VoiResult, name: str) -> dicom.MeasurementGroup:
    found = _numbers([(quantity, getattr(row, field), unit, by) for quantity, field, unit, by in _QUANTITIES])
    # The dose of the lungs is that of a compartment.
    method = None if row.kind == LUNGS else result.dose_method
    found += _numbers([(quantity, getattr(row, field), unit, by) for quantity, field, unit, by in _DOSES], method)
    found += _numbers([(f"D{at}", value, "Gy", 1.0) for at, value in row.d_gy.items()], method)
    found += _numbers([(f"V{at}", value, "%", 1.0) for at, value in row.v_percent.items()], method)
    if row.other_dose is not None:
        other = [("mean dose", row.other_dose.mean_gy, "Gy", 1.0)]
        other += [(f"D{at}", value, "Gy", 1.0) for at, value in row.other_dose.d_gy.items()]
        found += _numbers([*other], result.other_dose_method)
    if row.kind == "liver":
        found.append(dicom.Measurement(name="lung shunt", value=100 * result.lung_shunt_fraction, unit="%"))
    found += _planned(result.planned.get(row.name, {}))
    found += _before_after(result, row)
    found += _intervals(result, row)
    if row.kind == LUNGS:
        found += _measured_lungs(result)
    return dicom.MeasurementGroup(
        name=name,
        measurements=tuple(found),
        kind=_KINDS.get(row.kind, row.kind),
        evaluations=_evaluations(result, row.name),
    )


def _intervals(result: Result, row: VoiResult) -> list[dicom.Measurement]:
    """Corrected mean dose and D70 with interval and standard deviation; none without intervals."""
    found: list[dicom.Measurement] = []
    for one in () if result.uncertainty is None else result.uncertainty.rows:
        if one.voi != row.name or one.metric not in ("mean", "D70") or one.interval is None:
            continue
        metric = "mean dose" if one.metric == "mean" else "D70"
        found += _numbers(
            [
                (f"corrected {metric}", one.corrected, "Gy", 1.0),
                (f"lower {metric}", one.interval.lower, "Gy", 1.0),
                (f"upper {metric}", one.interval.upper, "Gy", 1.0),
                (f"deviation of {metric}", one.interval.standard_deviation, "Gy", 1.0),
            ]
        )
    return found


def _lungs(result: Result) -> dicom.MeasurementGroup:
    planned = None if result.comparison is None else result.comparison.lung_dose_gy
    return dicom.MeasurementGroup(
        name=LUNGS,
        measurements=tuple(
            _numbers([("mean dose", result.lung_dose_gy, "Gy", 1.0), ("planned mean dose", planned, "Gy", 1.0)])
        ),
        kind=LUNGS,
        evaluations=_evaluations(result, LUNGS),
    )


def _measured_lungs(result: Result) -> list[dicom.Measurement]:
    """The lungs of the image after treatment, without the margin along the liver if the case states one."""
    lungs = None if result.measured_activity is None else result.measured_activity.lungs
    if lungs is None:
        return []
    part = lungs.whole if lungs.outside_margin is None else lungs.outside_margin
    rows = [
        ("measured activity", part.activity_mbq, "MBq", 1.0),
        ("measured activity error", part.standard_error_mbq, "MBq", 1.0),
        ("measured lung shunt", part.fraction, "%", 100.0),
        ("measured mean dose", part.dose_gy, "Gy", 1.0),
    ]
    return _numbers(rows)


def _extrahepatic(result: Result) -> list[dicom.MeasurementGroup]:
    """One group per extrahepatic VOI whose name is that of an organ with a code; other names have none."""
    rows = () if result.measured_activity is None else result.measured_activity.extrahepatic
    groups = []
    for row in rows:
        kind = row.name.strip().casefold()
        if kind not in dicom.segment_kinds():
            continue
        numbers = [
            ("volume", row.volume_ml, "mL", 1.0),
            ("measured activity", row.activity_mbq, "MBq", 1.0),
            ("measured activity error", row.standard_error_mbq, "MBq", 1.0),
            ("measured mean dose", row.mean_gy, "Gy", 1.0),
            ("measured maximum dose", row.max_gy, "Gy", 1.0),
        ]
        groups.append(dicom.MeasurementGroup(name=kind, measurements=tuple(_numbers(numbers)), kind=kind))
    return groups


def _planned(row: PlannedVoi) -> list[dicom.Measurement]:
    """The doses of the plan's VOI table: the mean, D_x and V_x."""
    found = _numbers([("planned mean dose", row.get("mean_gy"), "Gy", 1.0)])
    found += _numbers([(f"planned D{at}", value, "Gy", 1.0) for at, value in row.get("d_gy", {}).items()])
    return found + _numbers([(f"planned V{at}", value, "%", 1.0) for at, value in row.get("v_percent", {}).items()])


def _before_after(result: Result, row: VoiResult) -> list[dicom.Measurement]:
    """Differences of a VOI; the liver also has the gamma pass rates, and all lesions together their agreement."""
    both = result.before_after
    if both is None:
        return []
    found: list[tuple[str, float | None, str, float]] = []
    for one in both.vois:
        if one.name == row.name:
            found += [
                ("planned T/N ratio", one.planned_tn_ratio, "1", 1.0),
                ("planned uptake", one.planned_uptake_fraction, "%", 100.0),
                ("dose difference", one.difference_gy, "Gy", 1.0),
                ("relative dose difference", one.difference_percent, "%", 1.0),
            ]
    if row.kind == "liver":
        found += [(f"{one.scope} gamma", one.passed_fraction, "%", 100.0) for one in both.gamma]
    if row.kind == "lesions":
        found += [
            ("bias of lesions", both.lesions.bias_gy, "Gy", 1.0),
            ("lower limit of agreement", both.lesions.lower_limit_gy, "Gy", 1.0),
            ("upper limit of agreement", both.lesions.upper_limit_gy, "Gy", 1.0),
            ("concordance of lesions", both.lesions.concordance, "1", 1.0),
        ]
    return _numbers(found)


def _numbers(
    rows: Sequence[tuple[str, float | None, str, float]], method: str | None = None
) -> list[dicom.Measurement]:
    """Those of the numbers (name, value, unit, factor) that are there and finite, with their dose method."""
    return [
        dicom.Measurement(name=name, value=float(value) * factor, unit=unit, method=method)
        for name, value, unit, factor in rows
        if value is not None and math.isfinite(value)
    ]


def _evaluations(result: Result, voi: str) -> tuple[dicom.Evaluation, ...]:
    moment = "predicted" if result.kind == "plan" else "delivered"
    found: dict[str, dicom.Evaluation] = {}
    for one in result.objectives:
        if one.voi != voi:
            continue
        for met, when in ((one.met, moment), (one.planned_met, "planned")):
            if met is not None:
                text = f"{_asked(one)} ({when})"
                found[text] = dicom.Evaluation(objective=text, met=met)
    return tuple(found.values())


def _asked(one: ObjectiveResult) -> str:
    """An objective without the name of its VOI, which anonymised reports must not have."""
    sum_of = " with earlier" if one.cumulative else ""
    percent = 100 * (one.volume_fraction or 0.0)
    if one.kind == "V":
        return f"V{one.dose_gy:g}Gy {one.direction} {percent:g} %{sum_of}"
    what = "Mean dose" if one.kind == "mean" else f"D{percent:g}"
    return f"{what} {one.direction} {one.dose_gy:g} Gy{sum_of}"
