"""The viable part of each lesion next to the whole lesion, for every kind of report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sirtjax.reports._before_after_tables import ReportTable
from sirtjax.reports._format import number, percent

if TYPE_CHECKING:
    from sirtjax.workflows import Result


def viable_sentences(result: Result) -> tuple[str, ...]:
    """Returns what a viable part is, and what it does not change."""
    other = "" if result.other_dose_method is None else f"; other dose method: {result.other_dose_method}"
    return (
        "A viable part is the enhancing part of one lesion without necrosis, as contoured. Lesions, T/N ratios, normal "
        "liver and the responses TCP and NTCP refer to whole lesions. The blurred image moves activity between the "
        f"viable and the necrotic part. Dose method: {result.dose_method}{other}.",
    )


def viable_tables(result: Result) -> tuple[ReportTable, ...]:
    """Returns one row per viable part: volume, fraction and doses, next to the doses of its lesion."""
    other = result.other_dose_method
    rows = []
    for voi in result.vois:
        if voi.kind != "viable tumour" or voi.lesion is None:
            continue
        lesion = result.voi(voi.lesion)
        row = [voi.name, number(voi.volume_ml, "mL"), percent(voi.lesion_fraction), number(voi.mean_gy, "Gy")]
        row += [number(lesion.mean_gy, "Gy"), number(voi.d_gy.get("70"), "Gy"), number(lesion.d_gy.get("70"), "Gy")]
        if other is not None:
            dose = voi.other_dose
            row += [number(None if dose is None else dose.mean_gy, "Gy")]
        rows.append(tuple(row))
    header = ("viable part", "volume (mL)", "of its lesion (%)", "mean (Gy)", "mean, lesion (Gy)", "D70 (Gy)")
    header = (*header, "D70, lesion (Gy)", *(() if other is None else (f"mean, {other} (Gy)",)))
    return (ReportTable(title="", header=header, rows=tuple(rows)),)
