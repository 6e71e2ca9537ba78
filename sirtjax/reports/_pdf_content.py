"""The content of a printed report, from top to bottom: what report.html contains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sirtjax.reports._added_sections_pdf import added_flowables
from sirtjax.reports._before_after_pdf import before_after_section
from sirtjax.reports._figures import LESION, LIVER, OTHER_LESION, TERRITORY, dvh_figure, figure_png, interval_figure
from sirtjax.reports._format import amount, column, number, percent, significant, with_unit
from sirtjax.reports._html import (
    HEADLINE_KINDS,
    MAX_CURVES,
    SEVERITIES,
    curves_of,
    isodose_levels,
    signed_at,
    v_levels,
)
from sirtjax.reports._interval_pdf import interval_section
from sirtjax.reports._interval_tables import has_intervals, interval_cell, interval_titles, reason_notes
from sirtjax.reports._isodose_lines import ISODOSE_COLOURS
from sirtjax.reports._lung_reassignment_pdf import lung_reassignment_section
from sirtjax.reports._method_tables import curve_styles, method_header, method_rows, method_sentences
from sirtjax.reports._opening_pdf import drafts_section, first_page, record_section
from sirtjax.reports._outcome_pdf import outcome_section, remnant_section
from sirtjax.reports._partial_volume_tables import (
    partial_volume_header,
    partial_volume_rows,
    partial_volume_sentences,
)
from sirtjax.reports._pdf_layout import SOFT, key, paragraph, picture, section, table
from sirtjax.reports._pdf_pictures import data_bytes, jpeg
from sirtjax.reports._plan_tables import comparison_rows, objective_header, objective_rows
from sirtjax.reports._references import REFERENCES_HEADER, REFERENCES_TITLE, reference_rows
from sirtjax.reports._registration_page import quality_rows
from sirtjax.reports._summary_pdf import ACTIVITIES, CHECKS, DOSES
from sirtjax.reports._volume_change_tables import VOLUME_HEADER, volume_rows, volume_sentence

if TYPE_CHECKING:
    from reportlab.platypus import Flowable

    from sirtjax.workflows import InjectionResult, RegistrationSummary, Result

SEVERITY_COLOURS = {"error": "#b42318", "warning": "#9a6700", "info": SOFT}
GOOD = "#1a7f37"
AGREEMENT_COLOURS = {"agrees": GOOD, "differs": SEVERITY_COLOURS["warning"], "unknown": SOFT}
GROUP_KINDS = ("liver", "normal liver", "lungs")
# Of the graphs, which are pictures in the document.
GRAPH_DPI = 170


def report_story(
    result: Result, patient: str, pictures: Sequence[dict[str, str]], picture: str | None = None
) -> list[Flowable]:
    """Returns the content of the report as flowables.

    Args:
      result: plan or verification.
      patient: printed name or pseudonym of the patient.
      pictures: slices, of `pictures_of`.
      picture: slice of the summary as a data URI; None to omit it.
    """
    return [
        *first_page(result, patient, picture),
        *drafts_section(result),
        *_summary(result),
        *record_section(result),
        *_checks(result),
        *_objectives(result),
        *outcome_section(result, dpi=GRAPH_DPI),
        *before_after_section(result, dpi=GRAPH_DPI),
        *_comparison(result),
        *_doses(result),
        *interval_section(result, dpi=GRAPH_DPI),
        *added_flowables(result, dpi=GRAPH_DPI),
        *([] if result.registration is None else _registration(result.registration)),
        *_images(result, pictures),
        *_methods(result),
        *_references(result),
    ]


def _list(lines: Sequence[str]) -> list[Flowable]:
    return [part for line in lines for part in paragraph(line, bullet=True)]


def _summary(result: Result) -> list[Flowable]:
    planned = result.kind == "plan"
    said = "prescribed" if planned else "delivered"
    rows = [
        [
            f"{one.territory}: {said} at injection",
            with_unit(one.activity_mbq, "MBq"),
            _interval(one) if planned else _planned(one.planned_mbq, "MBq"),
        ]
        for one in result.injections
    ]
    rows += [
        [
            f"{voi.name}, mean dose",
            with_unit(voi.mean_gy, "Gy"),
            _next_to_plan(with_unit(voi.volume_ml, "mL"), result.planned.get(voi.name, {}).get("mean_gy")),
        ]
        for voi in result.vois
        if voi.kind in HEADLINE_KINDS
    ]
    planned_gy = None if result.comparison is None else result.comparison.lung_dose_gy
    mass = f"lung mass {with_unit(result.lung_mass_g, 'g')}"
    rows.append(["lungs, mean dose", with_unit(result.lung_dose_gy, "Gy"), _next_to_plan(mass, planned_gy)])
    shunt = f"lung shunt {with_unit(100 * result.lung_shunt_fraction, '%')}"
    rows.append(["– of the shunted activity", with_unit(result.lung_shunt_dose_gy, "Gy"), shunt])
    spill_gy = result.lung_spill_dose_gy
    spill = ["–", "not included: no lung mask"] if spill_gy is None else [with_unit(spill_gy, "Gy"), ""]
    rows.append(["– of betas from the liver", *spill])
    body = table(["", "", ""], rows, "lrl", strong=range(len(result.injections)), size=9.0)
    if planned:
        caption = (
            "Activity between the bounds: bar from the lower to the upper bound (green where it is not empty), "
            "blue ticks lower bounds, brown ticks upper bounds, diamond the selected activity."
        )
        if len(result.injections) > 1:
            caption += (
                " Each bound is computed for one territory, with no activity in the others; the selected "
                "activities respect the limits that several territories share."
            )
        body += picture(data_bytes(figure_png(interval_figure(result.injections), dpi=GRAPH_DPI)), caption)
    header = ["territory", "activity (MBq)", "in vial (MBq)", "residual (%)", "lung shunt (%)"]
    rows = [
        [
            one.territory,
            number(one.activity_mbq, "MBq"),
            number(one.dispensed_mbq, "MBq"),
            percent(one.residual_fraction),
            number(100 * one.lung_shunt_fraction, "%"),
            one.limiting_objective,
        ]
        for one in result.injections
    ]
    body += table([*header, "limiting objective" if planned else "note"], rows, "lrrrrl")
    bounds = [
        [one.territory, bound.side, bound.name, number(bound.activity_mbq, "MBq"), bound.source]
        for one in result.injections
        for bound in one.bounds
    ]
    if planned and bounds:
        header = ["territory", "bound", "objective", "activity (MBq)", "source of the number"]
        body += section("Bounds", table(header, bounds, "lllrl"), level=3)
    return section("Activities", body, anchor=ACTIVITIES)


def _planned(value: float | None, unit: str) -> str:
    return "" if value is None else f"planned {with_unit(value, unit)}"


def _next_to_plan(text: str, planned_gy: float | None) -> str:
    return text if planned_gy is None else f"{text} · {_planned(planned_gy, 'Gy')}"


def _interval(one: InjectionResult) -> str:
    low, high = one.lower_mbq, one.upper_mbq
    if low is not None and high is not None:
        if one.feasible:
            return f"allowed: {number(low, 'MBq')} to {number(high, 'MBq')} MBq"
        return f"targets need {with_unit(low, 'MBq')}, limits allow {with_unit(high, 'MBq')}"
    if high is not None:
        return f"at most {with_unit(high, 'MBq')}"
    return "" if low is None else f"at least {with_unit(low, 'MBq')}"


def _checks(result: Result) -> list[Flowable]:
    checks = sorted(result.checks, key=lambda check: SEVERITIES.index(check.severity))
    rows = [[c.code, c.severity, c.message, amount(c.value, c.unit), amount(c.limit, c.unit), c.source] for c in checks]
    colours = {(n, 1): SEVERITY_COLOURS[c.severity] for n, c in enumerate(checks)}
    header = ["code", "severity", "finding", "value", "limit", "source"]
    passed = paragraph("Every check passed.", colour=GOOD, bold=True)
    body = table(header, rows, "lllrrl", colours=colours) if checks else passed
    return section("Checks", [*body, *_list(result.notes)], anchor=CHECKS)


def _objectives(result: Result) -> list[Flowable]:
    rows = objective_rows(result)
    if not rows:
        return []
    header = objective_header(result)
    colours = {(n, row.verdict): SEVERITY_COLOURS.get(row.severity, GOOD) for n, row in enumerate(rows)}
    # Doses to the right, the result and its source to the left.
    align = "l" + "r" * (len(header) - 3) + "ll"
    return section("Targets and limits", table(header, [row.cells for row in rows], align, colours=colours))


def _comparison(result: Result) -> list[Flowable]:
    if result.comparison is None:
        return []
    rows = comparison_rows(result)
    colours = {(n, 3): AGREEMENT_COLOURS[row.agreement] for n, row in enumerate(rows)}
    cells = [[row.name, row.planned, row.found, row.agreement] for row in rows]
    body = paragraph(f"The plan of {result.comparison.created}. Differences are listed first.")
    body += table(["property", "plan", "verification", "agreement"], cells, "llll", colours=colours)
    return section("Comparison with the plan", body)


def _doses(result: Result) -> list[Flowable]:
    levels = v_levels(result)
    points = ("98", "95", "70", "50", "2")
    titles = interval_titles(result) if has_intervals(result) else ()
    header = ["VOI", "volume (mL)", "uptake (%)", "T/N", "mean (Gy)", *titles[:1]]
    header += ["planned mean (Gy)"] if result.planned else []
    header += ["compartment (Gy)", *(f"D{x}" for x in points), *(f"V{x} (%)" for x in levels)]
    header[header.index("D70") + 1 : header.index("D70") + 1] = titles[1:]
    rows = []
    for voi in result.vois:
        uptake = "–" if voi.kind == "lungs" else number(100 * voi.uptake_fraction, "%")
        row = [voi.name, number(voi.volume_ml, "mL"), uptake, number(voi.tn_ratio, "ratio"), number(voi.mean_gy, "Gy")]
        row += [interval_cell(result, voi.name, "mean")] if titles else []
        row += [number(result.planned.get(voi.name, {}).get("mean_gy"), "Gy")] if result.planned else []
        row.append(number(voi.multi_compartment_mean_gy, "Gy"))
        for x in points:
            row.append(number(voi.d_gy.get(x), "Gy"))
            row += [interval_cell(result, voi.name, "D70")] if titles and x == "70" else []
        rows.append([*row, *(number(voi.v_percent.get(x), "%") for x in levels)])
    groups = [n for n, voi in enumerate(result.vois) if voi.kind in GROUP_KINDS]
    legend = (
        "Dx in Gy: dose that x % of the volume receives at least. "
        "Vx: fraction of the volume that receives at least x Gy. "
        "Compartment: mean dose of the multi-compartment method (fractional uptake, no spill). Uptake: fraction of the "
        "activity in the liver."
    )
    if titles and result.uncertainty is not None:
        legend = " ".join([legend, *reason_notes(result.uncertainty)])
    caption = f"Cumulative dose-volume histograms{curve_styles(result)}."
    figure = dvh_figure(curves_of(result.vois)[:MAX_CURVES], result.planned)
    body = [
        *table(header, rows, "l" + "r" * (len(header) - 1), strong=groups),
        *paragraph(legend, size=7.5, colour=SOFT),
        *remnant_section(result),
        *_methods_of_dose(result),
        *_partial_volume(result),
        *lung_reassignment_section(result),
        *_biology(result),
        *picture(data_bytes(figure_png(figure, dpi=GRAPH_DPI)), caption),
    ]
    return section("Doses per VOI", body, anchor=DOSES)


def _methods_of_dose(result: Result) -> list[Flowable]:
    body = paragraph(" ".join(method_sentences(result)))
    header = method_header(result)
    rows = [list(map(column, header, row)) for row in method_rows(result)]
    if rows:
        body += table(header, rows, "l" + "r" * (len(header) - 1))
    return section("Dose method", body, level=3)


def _partial_volume(result: Result) -> list[Flowable]:
    if result.partial_volume is None:
        return []
    body = paragraph(" ".join(partial_volume_sentences(result)))
    header = partial_volume_header(result)
    if not header:
        return section("Alignment of the activity image", body, level=3)
    rows = [list(map(column, header, row)) for row in partial_volume_rows(result)]
    return section("Partial-volume correction", [*body, *table(header, rows, "l" + "r" * (len(header) - 1))], level=3)


def _biology(result: Result) -> list[Flowable]:
    rows = [(voi.name, voi.biology) for voi in result.vois if voi.biology]
    if not rows:
        return []
    keys = list(dict.fromkeys(key for _, row in rows for key in row))
    cells = [[name, *(significant(row.get(key)) for key in keys)] for name, row in rows]
    return section("Radiobiology", table(["VOI", *keys], cells, "l" + "r" * len(keys)), level=3)


def _registration(found: RegistrationSummary) -> list[Flowable]:
    text = f"The diagnostic image was registered to the activity image: {found.method}"
    text += f", preset {found.preset}" if found.preset else ""
    text += f" with {', '.join(found.settings)}" if found.settings else ""
    text += f"; both images have masks of {', '.join(found.guides)}" if found.guides else ""
    text += f". Status: {found.status} ({found.cause})." if found.status else "."
    body = paragraph(text)
    measures = quality_rows(found.quality)
    if measures:
        moments = [moment for moment in ("start", "affine", "final") if moment in found.quality]
        cells = [[row["what"], row["where"], *row["values"]] for row in measures]
        body += table(["measure", "of", *moments], cells, "ll" + "r" * len(moments))
    ratio = (
        f"In the liver the volume ratio (diagnostic to activity image) ranges from "
        f"{significant(found.liver_jacobian_minimum)} to {significant(found.liver_jacobian_maximum)}, "
        f"standard deviation of its logarithm {significant(found.liver_log_jacobian_std)}."
    )
    if found.folding_fraction is not None:
        ratio += f" Folded: {with_unit(100 * found.folding_fraction, '%')}."
    body += paragraph(ratio)
    if found.volumes:
        rows = volume_rows(found.volumes)
        colours = {(n, c): SEVERITY_COLOURS["warning"] for n, row in enumerate(rows) if row.marked for c in (3, 4)}
        body += table(VOLUME_HEADER, [row.cells for row in rows], "lrrrl", colours=colours)
        told = volume_sentence(found.volumes)
        body += paragraph(told, colour=SEVERITY_COLOURS["warning"]) if told else []
    return section("Registration", [*body, *_list(found.notes)])


def _images(result: Result, pictures: Sequence[dict[str, str]]) -> list[Flowable]:
    outlines = (
        (LIVER, False, "liver"),
        (LESION, False, "lesion in focus"),
        (OTHER_LESION, False, "other lesions"),
        (TERRITORY, True, "territories"),
    )
    isodoses = zip(isodose_levels(result), ISODOSE_COLOURS, strict=False)
    sides = "The patient's right is on the left; in sagittal slices, anterior is on the left."
    body = [
        *key((*outlines, *((colour, False, f"{level:g} Gy") for level, colour in isodoses))),
        *paragraph(sides, size=7.5, colour=SOFT),
    ]
    for each in pictures:
        body += picture(jpeg(data_bytes(each["data"])), each["caption"])
    return section("Images", body)


def _methods(result: Result) -> list[Flowable]:
    given = result.provenance
    facts = [[fact.name, fact.value, fact.source] for fact in result.methods]
    inputs = [
        [
            role,
            source["file"],
            source.get("modality") or "",
            source.get("grid") or "",
            source.get("series_uid") or "",
            (source.get("sha256") or "")[:16],
        ]
        for role, source in given["inputs"].items()
    ]
    software = ", ".join(f"{name} {version}" for name, version in given["versions"].items())
    header = ["role", "file", "modality", "grid", "series UID", "SHA-256"]
    body = [
        *(table(["", "", ""], facts, "lll") if facts else []),
        *_masks(result),
        *section("Inputs", table(header, inputs, "llllll", size=6.5), level=3),
        *section(
            "Software",
            paragraph(f"{software} on {given['device']}. Case SHA-256 {given['case_sha256']}."),
            level=3,
        ),
    ]
    return section("Methods", body)


def _references(result: Result) -> list[Flowable]:
    rows = reference_rows(result)
    return section(REFERENCES_TITLE, table(REFERENCES_HEADER, rows, "ll")) if rows else []


def _masks(result: Result) -> list[Flowable]:
    rows = [
        [
            mask.name,
            mask.origin,
            number(mask.volume_ml, "mL"),
            "–" if mask.version is None else str(mask.version),
            mask.state,
            (mask.reviewer or "–") + (f": {mask.comment}" if mask.comment else ""),
            signed_at(mask),
            (mask.sha256 or "")[:16],
        ]
        for mask in result.masks
    ]
    header = ["mask", "from", "volume (mL)", "version", "state", "signed by", "signed on (UTC)", "SHA-256"]
    return section("Masks", table(header, rows, "llrlllll", size=6.5), level=3) if rows else []
