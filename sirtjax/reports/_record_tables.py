"""The treatment record as tables, for the page and the PDF; a missing value is a line to fill in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sirtjax.dosimetry import ALBI_SOURCE, CHILD_PUGH_SOURCE
from sirtjax.reports._format import BLANK, number, percent, with_unit

if TYPE_CHECKING:
    from sirtjax.workflows import PlanarBlurRecord, Result

IMAGES = {
    "activity": "activity image",
    "ct": "CT of the activity image",
    "diagnostic": "diagnostic image",
    "planar": "planar views",
}


@dataclass(frozen=True)
class RecordPart:
    """One table of the treatment record.

    Attributes:
      title: heading of the table.
      header: column titles; empty texts for a list of names and values.
      rows: cells.
      align: "l" or "r" for each column.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    align: str


def record_parts(result: Result) -> tuple[RecordPart, ...]:
    """Returns the tables of the treatment record: vials, lung shunt, liver function, persons and dates."""
    return (_vials(result), *_lung_shunt(result), _liver_function(result), _persons(result))


def _vials(result: Result) -> RecordPart:
    header = (
        "territory", "lot", "calibrated (MBq)", "calibration time", "in vial (MBq)", "measured at", "expected (MBq)",
        "residual (MBq)", "residual (%)", "method", "delivered (MBq)",
    )  # fmt: skip
    rows: list[tuple[str, ...]] = [
        (
            vial.territory,
            vial.lot or BLANK,
            _mbq(vial.calibrated_mbq),
            _time(vial.calibration_time),
            _mbq(vial.vial_mbq),
            _time(vial.vial_time),
            number(vial.expected_mbq, "MBq"),
            _mbq(vial.residual_mbq),
            percent(vial.residual_fraction),
            vial.residual_method or BLANK,
            number(vial.delivered_mbq, "MBq"),
        )
        for vial in result.record.vials
    ]
    recorded = {vial.territory for vial in result.record.vials}
    for one in result.injections:
        if one.territory not in recorded:
            rows.append((one.territory, *(BLANK[:9] for _ in header[1:])))
    return RecordPart("Vials", header, tuple(rows), "llrlrlrrrlr")


def _lung_shunt(result: Result) -> tuple[RecordPart, ...]:
    shunt = result.lung_shunt
    if shunt is None:
        return ()
    images = ", ".join(shunt.images)
    rows = [("fraction", with_unit(100 * shunt.fraction, "%")), ("method", shunt.method), ("source", shunt.source)]
    rows += [("images", images)] if images else []
    for row in shunt.counts:
        views = "" if row.anterior is None else f" (anterior {row.anterior:.0f}, posterior {row.posterior:.0f})"
        if row.anterior_background or row.posterior_background:
            under = f"{row.anterior_background:.0f} and {row.posterior_background:.0f}"
            views = f"{views[:-1]}; background of {under} subtracted)"
        rows.append((f"counts, {row.region}", f"{row.counts:.0f}{views}"))
    if shunt.blur is not None:
        rows += _planar_blur(shunt.blur)
    return (RecordPart("Lung shunt", ("", ""), tuple(rows), "ll"),)


def _planar_blur(blur: PlanarBlurRecord) -> list[tuple[str, str]]:
    percents = [with_unit(100 * value, "%") for value in (blur.uncorrected, blur.corrected, blur.narrow, blur.wide)]
    off = f"{100 * blur.fwhm_uncertainty:.3g} %"
    use = "used by the plan" if blur.applied else "only for comparison"
    return [
        ("without blur", f"{percents[1]} instead of {percents[0]}, {use}"),
        ("resolution of the views", f"{blur.fwhm_mm:g} mm FWHM; {off} smaller: {percents[2]}, larger: {percents[3]}"),
        ("lung counts that are blur", with_unit(100 * blur.explained_fraction, "%")),
    ]


def _liver_function(result: Result) -> RecordPart:
    liver = result.record.liver_function
    stated = []
    if liver.stated_albi is not None:
        stated.append(f"{liver.stated_albi:.2f}")
    if liver.stated_albi_grade is not None:
        stated.append(f"grade {liver.stated_albi_grade}")
    albi = "" if liver.albi is None else f"{liver.albi:.2f}, grade {liver.albi_grade}"
    points = "" if liver.child_pugh_points is None else f", {liver.child_pugh_points} points"
    rows = [
        ("blood sample", liver.date or BLANK, ""),
        ("bilirubin", liver.bilirubin_as_stated or BLANK, _in_si(liver.bilirubin_umol_per_l)),
        ("albumin", BLANK if liver.albumin_g_per_l is None else f"{liver.albumin_g_per_l:.1f} g/L", ""),
        ("ALBI, computed", albi or BLANK, f"0.66 log10(bilirubin in umol/L) - 0.085 (albumin in g/L); {ALBI_SOURCE}"),
    ]
    rows += [("ALBI, stated", ", ".join(stated), "by the case")] if stated else []
    rows.append(("Child-Pugh", (liver.child_pugh_class or BLANK) + points, CHILD_PUGH_SOURCE))
    return RecordPart("Liver function", ("", "", ""), tuple(rows), "lll")


def _persons(result: Result) -> RecordPart:
    record = result.record
    rows = [
        ("prescribing physician", record.prescriber or BLANK),
        ("medical physicist", record.physicist or BLANK),
        ("treatment date", record.treatment_date or BLANK),
    ]
    roles = [role for role in IMAGES if role in record.imaging_dates or role in result.provenance["inputs"]]
    rows += [(f"day of the {IMAGES[role]}", record.imaging_dates.get(role) or BLANK) for role in roles]
    return RecordPart("Persons and dates", ("", ""), tuple(rows), "ll")


def _mbq(value: float | None) -> str:
    return BLANK[:9] if value is None else number(value, "MBq")


def _time(text: str | None) -> str:
    return BLANK if text is None else text.replace("T", " ")


def _in_si(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} umol/L"
