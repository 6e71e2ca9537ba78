"""Planned and delivered dose as tables and sentences, for every kind of report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sirtjax.reports._plan_tables import MET
from sirtjax.reports._registration_page import MOMENTS, quality_rows

if TYPE_CHECKING:
    from sirtjax.workflows import BeforeAfter, LesionAgreement, PlanRegistrationSummary, Result, VoiComparison

NONE = "–"


@dataclass(frozen=True, kw_only=True)
class ReportTable:
    """One table of a report.

    Attributes:
      title: heading; empty for a table that follows the text.
      header: column titles; the first column is text, the others are numbers.
      rows: cells as text.
      missed: rows and columns of the cells that state a missed target or limit.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    missed: frozenset[tuple[int, int]] = frozenset()


def before_after_tables(result: Result) -> tuple[ReportTable, ...]:
    """Returns the tables of planned and delivered dose; none for a plan or a verification without a plan."""
    both = result.before_after
    if both is None:
        return ()
    tables = [_doses(both), _volumes(both)]
    if both.registration is not None:
        tables += [_positions(both), _gamma(both), _quality(both.registration)]
    if both.lesions.bias_gy is not None:
        tables.append(_agreement(both.lesions))
    return tuple(table for table in tables if table.rows)


def before_after_sentences(result: Result) -> tuple[str, ...]:
    """Returns sentences on the registration of the plan, and on too few lesions for an agreement."""
    both = result.before_after
    if both is None:
        return ()
    found = [_registration(both.registration)]
    if both.lesions.note:
        found.append(f"Agreement over the lesions: {both.lesions.note}.")
    return tuple(found)


def rounded(value: float | None, *, digits: int = 3, sign: bool = False) -> str:
    """Returns a number with significant digits, optionally with its sign; a dash if there is none.

    Args:
      value: number.
      digits: significant digits.
      sign: whether positive numbers have a plus.
    """
    if value is None or not math.isfinite(value):
        return NONE
    # Rounding errors are shown as 0.
    if abs(value) < 1e-6:
        return "0"
    places = max(digits - 1 - math.floor(math.log10(abs(value))), 0)
    return f"{value:{'+' if sign else ''}.{min(places, 3)}f}"


def _doses(both: BeforeAfter) -> ReportTable:
    header = (
        "VOI", "planned (Gy)", "delivered (Gy)", "difference (Gy)", "difference (%)", "D70 planned", "D70 delivered",
        "T/N planned", "T/N delivered", "uptake planned (%)", "uptake delivered (%)", "objectives planned",
        "objectives delivered",
    )  # fmt: skip
    rows, missed = [], set()
    for number, one in enumerate(both.vois):
        uptake = [one.planned_uptake_fraction, one.delivered_uptake_fraction]
        met = [one.planned_met, one.delivered_met]
        rows.append(
            (
                one.name,
                rounded(one.planned_gy),
                rounded(one.delivered_gy),
                rounded(one.difference_gy, sign=True),
                rounded(one.difference_percent, sign=True),
                rounded(one.planned_d70_gy),
                rounded(one.delivered_d70_gy),
                rounded(one.planned_tn_ratio),
                rounded(one.delivered_tn_ratio),
                *(rounded(None if value is None else 100 * value) for value in uptake),
                *(NONE if value is None else MET[value] for value in met),
            )
        )
        missed |= {(number, len(header) - 2 + place) for place, value in enumerate(met) if value is False}
    return ReportTable(title="", header=header, rows=tuple(rows), missed=frozenset(missed))


def _volumes(both: BeforeAfter) -> ReportTable:
    """V_x at the doses of the protocol, planned and delivered in neighbouring columns."""
    levels = list(dict.fromkeys(level for one in both.vois for level in one.delivered_v_percent))
    header = ["VOI"]
    for level in levels:
        header += [f"V{level} planned (%)", f"V{level} delivered (%)"]

    def cells(one: VoiComparison) -> tuple[str, ...]:
        found = [one.name]
        for level in levels:
            found += [rounded(one.planned_v_percent.get(level)), rounded(one.delivered_v_percent.get(level))]
        return tuple(found)

    rows = tuple(cells(one) for one in both.vois if one.delivered_v_percent)
    return ReportTable(title="Volumes at the doses of the protocol", header=tuple(header), rows=rows)


def _positions(both: BeforeAfter) -> ReportTable:
    header = ("VOI", "warped planned mean (Gy)", "delivered mean (Gy)", "DSC of both masks", "centroids apart (mm)")
    rows = tuple(
        (
            one.name,
            rounded(one.warped_planned_gy),
            rounded(one.delivered_gy),
            NONE if one.dice is None else f"{one.dice:.2f}",
            NONE if one.centroid_mm is None else f"{one.centroid_mm:.1f}",
        )
        for one in both.vois
        if one.warped_planned_gy is not None
    )
    return ReportTable(title="Both doses in the masks after treatment", header=header, rows=rows)


def _gamma(both: BeforeAfter) -> ReportTable:
    header = ("gamma index", "criteria", "region", "voxels", "passed (%)")
    rows = tuple(
        (
            f"{one.scope} normalisation",
            f"{one.dose_percent:g} %, {one.distance_mm:g} mm",
            f"{one.region}, planned dose at least {one.threshold_percent:g} % of {rounded(one.normalisation_gy)} Gy",
            f"{one.voxels}" if one.stride == 1 else f"{one.voxels} (1 of {one.stride**3})",
            NONE if one.passed_fraction is None else f"{100 * one.passed_fraction:.1f}",
        )
        for one in both.gamma
    )
    return ReportTable(
        title="Gamma index of the delivered dose against the warped planned dose", header=header, rows=rows
    )


def _agreement(found: LesionAgreement) -> ReportTable:
    def within(interval: tuple[float, float] | None) -> str:
        if interval is None:
            return NONE
        return f"{rounded(interval[0], sign=True)} to {rounded(interval[1], sign=True)}"

    rows = (
        ("bias: delivered minus planned (Gy)", rounded(found.bias_gy, sign=True), within(found.bias_interval_gy)),
        ("lower limit of agreement (Gy)", rounded(found.lower_limit_gy, sign=True), within(found.lower_interval_gy)),
        ("upper limit of agreement (Gy)", rounded(found.upper_limit_gy, sign=True), within(found.upper_interval_gy)),
        ("correlation (Pearson)", rounded(found.pearson), ""),
        ("rank correlation (Spearman)", rounded(found.spearman), ""),
        ("concordance (Lin)", rounded(found.concordance), ""),
    )
    title = f"Agreement of the mean doses of {found.count} lesions"
    return ReportTable(title=title, header=("measure", "value", "95 % interval"), rows=rows)


def _quality(found: PlanRegistrationSummary) -> ReportTable:
    moments = [moment for moment in MOMENTS if moment in found.quality]
    rows = tuple((f"{row['what']}, {row['where']}".rstrip(", "), *row["values"]) for row in quality_rows(found.quality))
    return ReportTable(title="Registration of the plan", header=("measure", *moments), rows=rows)


def _registration(found: PlanRegistrationSummary | None) -> str:
    if found is None:
        return (
            "The plan is not registered to the images after treatment: doses are compared by VOI, each in its own "
            "mask ([plan_registration] in the case adds the map of the difference and the gamma index)."
        )
    text = f"The plan was registered to the images after treatment: {found.method}"
    text += f", preset {found.preset}" if found.preset else ""
    text += f". Status: {found.status} ({found.cause})" if found.status else ""
    liver = "contoured" if found.liver_contoured else "automatically segmented"
    text += (
        f". Warped planned liver and {liver} liver after treatment: DSC {found.dice:.2f}, centroids "
        f"{found.centroid_mm:.1f} mm apart (without registration {found.dice_unregistered:.2f}"
    )
    before_mm = found.centroid_unregistered_mm
    return text + (")." if before_mm is None else f", {before_mm:.1f} mm).")
