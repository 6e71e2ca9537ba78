"""The report of a plan or a verification as a PDF, for archives that take documents: what report.html holds."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sirtjax.reports._figures import (
    ISODOSE_COLOURS,
    LESION,
    LIVER,
    OTHER_LESION,
    TERRITORY,
    dvh_figure,
    figure_png,
    interval_figure,
)
from sirtjax.reports._html import (
    HEADLINE_KINDS,
    MAX_CURVES,
    SEVERITIES,
    amount,
    curves_of,
    isodose_levels,
    percent,
    pictures_of,
    signed_at,
    significant,
    v_levels,
)
from sirtjax.reports._pdf_blocks import SOFT, Block, Heading, Key, Paragraph, Picture, Table
from sirtjax.reports._pdf_pages import pdf_of
from sirtjax.reports._plan_tables import comparison_rows, objective_header, objective_rows
from sirtjax.reports._registration_page import quality_rows

if TYPE_CHECKING:
    from sirtjax.workflows import InjectionResult, RegistrationSummary, Result, ResultVolumes

SEVERITY_COLOURS = {"error": "#b42318", "warning": "#9a6700", "info": SOFT}
GOOD = "#1a7f37"
AGREEMENT_COLOURS = {"agrees": GOOD, "differs": SEVERITY_COLOURS["warning"], "unknown": SOFT}
GROUP_KINDS = ("liver", "normal liver", "lungs")
DISCLAIMER = (
    "Research software, not a medical device. A qualified medical physicist must review every number "
    "before clinical use."
)
# Of the graphs, which are pictures in the document.
GRAPH_DPI = 170


def report_pdf(
    result: Result,
    maps: ResultVolumes,
    *,
    identity: str | None = None,
    pictures: Sequence[dict[str, str]] | None = None,
    on_step: Callable[[str], None] = lambda step: None,
) -> bytes:
    """Returns the report of a plan or a verification as a PDF of A4 pages.

    Args:
      result: the numbers.
      maps: the images, on the working grid.
      identity: text to print instead of the pseudonym, if requested.
      pictures: of `pictures_of`, where they are drawn already.
      on_step: called with the name of each picture as it is begun.

    Returns:
      The document; the same result gives the same bytes.
    """
    draft = "DRAFT" if result.unreviewed_masks else None
    title = f"SIRT {_what(result)} · {identity or result.patient_id}"
    footer = f"{draft} · {title}. {DISCLAIMER}" if draft else f"{title}. {DISCLAIMER}"
    if pictures is None:
        pictures = pictures_of(result, maps, on_step)
    return pdf_of(report_blocks(result, identity, pictures), title=title, footer=footer, stamp=draft)


def report_blocks(result: Result, identity: str | None, pictures: Sequence[dict[str, str]]) -> list[Block]:
    """Returns the contents of the report, from top to bottom."""
    return [
        *_head(result, identity or result.patient_id),
        *_summary(result),
        *_checks(result),
        *_objectives(result),
        *_comparison(result),
        *_doses(result),
        *([] if result.registration is None else _registration(result.registration)),
        *_images(result, pictures),
        *_methods(result),
    ]


def _what(result: Result) -> str:
    return "treatment plan" if result.kind == "plan" else "treatment verification"


def _head(result: Result, patient: str) -> list[Block]:
    version = result.provenance["versions"]["sirtjax"]
    blocks: list[Block] = [
        Heading(text=f"{'DRAFT: ' if result.unreviewed_masks else ''}SIRT {_what(result)}", level=1),
        Paragraph(text=result.protocol_title),
        Paragraph(text=f"Patient {patient} · {result.provenance['created']} · sirtjax {version}", colour=SOFT),
    ]
    if result.unreviewed_masks:
        warning = "Not every mask is verified. Review, correct and sign each mask, then plan again."
        blocks.append(Paragraph(text=f"DRAFT: {warning}", colour=SEVERITY_COLOURS["error"], bold=True))
        blocks += [Paragraph(text=line, bullet=True) for line in result.unreviewed_masks]
    return blocks


def _summary(result: Result) -> list[Block]:
    planned = result.kind == "plan"
    said = "prescribed" if planned else "delivered"
    rows = [
        [
            f"{one.territory}: {said} at injection",
            f"{significant(one.activity_mbq)} MBq",
            _interval(one) if planned else _planned(one.planned_mbq, "MBq"),
        ]
        for one in result.injections
    ]
    rows += [
        [
            f"{voi.name}, mean dose",
            f"{significant(voi.mean_gy)} Gy",
            _next_to_plan(f"{significant(voi.volume_ml)} mL", result.planned.get(voi.name, {}).get("mean_gy")),
        ]
        for voi in result.vois
        if voi.kind in HEADLINE_KINDS
    ]
    shunt = f"lung shunt {significant(100 * result.lung_shunt_fraction)} %"
    planned_gy = None if result.comparison is None else result.comparison.lung_dose_gy
    rows.append(["lungs, mean dose", f"{significant(result.lung_dose_gy)} Gy", _next_to_plan(shunt, planned_gy)])
    blocks: list[Block] = [
        Heading(text="Summary"),
        Table(header=["", "", ""], rows=rows, align="lrl", strong=frozenset(range(len(result.injections))), size=9.0),
    ]
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
        blocks.append(Picture(png=_png(figure_png(interval_figure(result.injections), dpi=GRAPH_DPI)), caption=caption))
    header = ["territory", "activity (MBq)", "in vial (MBq)", "residual (%)", "lung shunt (%)"]
    rows = [
        [
            one.territory,
            significant(one.activity_mbq),
            significant(one.dispensed_mbq),
            percent(one.residual_fraction),
            significant(100 * one.lung_shunt_fraction),
            one.limiting_objective,
        ]
        for one in result.injections
    ]
    blocks.append(Table(header=[*header, "limiting objective" if planned else "note"], rows=rows, align="lrrrrl"))
    bounds = [
        [one.territory, bound.side, bound.name, significant(bound.activity_mbq), bound.source]
        for one in result.injections
        for bound in one.bounds
    ]
    if planned and bounds:
        header = ["territory", "bound", "objective", "activity (MBq)", "source of the number"]
        blocks += [Heading(text="Bounds", level=3), Table(header=header, rows=bounds, align="lllrl")]
    return blocks


def _planned(value: float | None, unit: str) -> str:
    return "" if value is None else f"planned {significant(value)} {unit}"


def _next_to_plan(text: str, planned_gy: float | None) -> str:
    return text if planned_gy is None else f"{text} · {_planned(planned_gy, 'Gy')}"


def _interval(one: InjectionResult) -> str:
    low, high = one.lower_mbq, one.upper_mbq
    if low is not None and high is not None:
        if one.feasible:
            return f"interval {significant(low)} to {significant(high)} MBq"
        return f"targets need {significant(low)} MBq, limits allow {significant(high)} MBq"
    if high is not None:
        return f"at most {significant(high)} MBq"
    return "" if low is None else f"at least {significant(low)} MBq"


def _checks(result: Result) -> list[Block]:
    blocks: list[Block] = [Heading(text="Checks")]
    checks = sorted(result.checks, key=lambda check: SEVERITIES.index(check.severity))
    if checks:
        rows = [
            [c.code, c.severity, c.message, amount(c.value, c.unit), amount(c.limit, c.unit), c.source] for c in checks
        ]
        inks = tuple(((n, 1), SEVERITY_COLOURS[c.severity]) for n, c in enumerate(checks))
        header = ["code", "severity", "finding", "value", "limit", "source"]
        blocks.append(Table(header=header, rows=rows, align="lllrrl", colours=inks))
    else:
        blocks.append(Paragraph(text="Every check passed.", colour=GOOD, bold=True))
    return blocks + [Paragraph(text=line, bullet=True) for line in result.notes]


def _objectives(result: Result) -> list[Block]:
    rows = objective_rows(result)
    if not rows:
        return []
    header = objective_header(result)
    inks = tuple(((n, row.verdict), SEVERITY_COLOURS.get(row.severity, GOOD)) for n, row in enumerate(rows))
    align = "l" + "r" * (len(header) - 2) + "l"
    table = Table(header=header, rows=[row.cells for row in rows], align=align, colours=inks)
    return [Heading(text="Targets and limits"), table]


def _comparison(result: Result) -> list[Block]:
    if result.comparison is None:
        return []
    rows = comparison_rows(result)
    inks = tuple(((n, 3), AGREEMENT_COLOURS[row.agreement]) for n, row in enumerate(rows))
    cells = [[row.name, row.planned, row.found, row.agreement] for row in rows]
    return [
        Heading(text="Comparison with the plan"),
        Paragraph(text=f"The plan of {result.comparison.created}. Differences are listed first."),
        Table(header=["property", "plan", "verification", "agreement"], rows=cells, align="llll", colours=inks),
    ]


def _doses(result: Result) -> list[Block]:
    levels = v_levels(result)
    points = ("98", "95", "70", "50", "2")
    header = ["VOI", "volume (mL)", "uptake (%)", "T/N", "mean (Gy)"]
    header += ["planned mean (Gy)"] if result.planned else []
    header += ["compartment (Gy)", *(f"D{x}" for x in points), *(f"V{x} (%)" for x in levels)]
    rows = []
    for voi in result.vois:
        uptake = "–" if voi.kind == "lungs" else significant(100 * voi.uptake_fraction)
        row = [voi.name, significant(voi.volume_ml), uptake, significant(voi.tn_ratio), significant(voi.mean_gy)]
        row += [significant(result.planned.get(voi.name, {}).get("mean_gy"))] if result.planned else []
        row += [significant(voi.multi_compartment_mean_gy), *(significant(voi.d_gy.get(x)) for x in points)]
        rows.append([*row, *(significant(voi.v_percent.get(x)) for x in levels)])
    groups = frozenset(n for n, voi in enumerate(result.vois) if voi.kind in GROUP_KINDS)
    legend = (
        "Dx in Gy: dose that x % of the volume receives at least. "
        "Vx: fraction of the volume that receives at least x Gy. "
        "Compartment: mean dose of the multi-compartment method (fractional uptake, no spill). Uptake: fraction of the "
        "activity in the liver."
    )
    blocks: list[Block] = [
        Heading(text="Doses per VOI"),
        Table(header=header, rows=rows, align="l" + "r" * (len(header) - 1), strong=groups),
        Paragraph(text=legend, size=7.5, colour=SOFT),
        *_biology(result),
    ]
    caption = "Cumulative dose-volume histograms" + (": solid delivered, dashed planned." if result.planned else ".")
    figure = dvh_figure(curves_of(result.vois)[:MAX_CURVES], result.planned)
    return [*blocks, Picture(png=_png(figure_png(figure, dpi=GRAPH_DPI)), caption=caption)]


def _biology(result: Result) -> list[Block]:
    rows = [(voi.name, voi.biology) for voi in result.vois if voi.biology]
    if not rows:
        return []
    keys = list(dict.fromkeys(key for _, row in rows for key in row))
    cells = [[name, *(significant(row.get(key)) for key in keys)] for name, row in rows]
    return [
        Heading(text="Radiobiology", level=3),
        Table(header=["VOI", *keys], rows=cells, align="l" + "r" * len(keys)),
    ]


def _registration(found: RegistrationSummary) -> list[Block]:
    text = f"The diagnostic image was registered to the activity image: {found.method}"
    text += f", preset {found.preset}" if found.preset else ""
    text += f" with {', '.join(found.settings)}" if found.settings else ""
    text += f"; both images have masks of {', '.join(found.guides)}" if found.guides else ""
    text += f". Status: {found.status} ({found.cause})." if found.status else "."
    blocks: list[Block] = [Heading(text="Registration"), Paragraph(text=text)]
    rows = quality_rows(found.quality)
    if rows:
        moments = [moment for moment in ("start", "affine", "final") if moment in found.quality]
        cells = [[row["what"], row["where"], *row["values"]] for row in rows]
        blocks.append(Table(header=["measure", "of", *moments], rows=cells, align="ll" + "r" * len(moments)))
    ratio = (
        f"In the liver the volume ratio (diagnostic to activity image) ranges from "
        f"{significant(found.liver_jacobian_minimum)} to {significant(found.liver_jacobian_maximum)}, "
        f"standard deviation of its logarithm {significant(found.liver_log_jacobian_std)}."
    )
    if found.folding_fraction is not None:
        ratio += f" Folded: {significant(100 * found.folding_fraction)} %."
    blocks.append(Paragraph(text=ratio))
    if found.volumes:
        header = ["VOI", "contoured (mL)", "on the activity image (mL)", "change (%)"]
        cells = [
            [row.name, significant(row.mask_ml), significant(row.warped_ml), f"{row.change_percent:+.1f}"]
            for row in found.volumes
        ]
        blocks.append(Table(header=header, rows=cells, align="lrrr"))
    return blocks + [Paragraph(text=line, bullet=True) for line in found.notes]


def _images(result: Result, pictures: Sequence[dict[str, str]]) -> list[Block]:
    outlines = (
        (LIVER, False, "liver"),
        (LESION, False, "lesion in focus"),
        (OTHER_LESION, False, "other lesions"),
        (TERRITORY, True, "territories"),
    )
    isodoses = zip(isodose_levels(result), ISODOSE_COLOURS, strict=False)
    blocks: list[Block] = [
        Heading(text="Images", below=280.0),  # the key, and a picture to read with it
        Key(entries=(*outlines, *((colour, False, f"{level:g} Gy") for level, colour in isodoses))),
        Paragraph(
            text="The patient's right is on the left; in sagittal slices, anterior is on the left.",
            size=7.5,
            colour=SOFT,
        ),
    ]
    return blocks + [Picture(png=_png(each["data"]), caption=each["caption"]) for each in pictures]


def _methods(result: Result) -> list[Block]:
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
    return [
        Heading(text="Methods"),
        Table(header=["", "", ""], rows=facts, align="lll"),
        *_masks(result),
        Heading(text="Inputs", level=3),
        Table(header=header, rows=inputs, align="llllll", size=6.5),
        Heading(text="Software", level=3),
        Paragraph(text=f"{software} on {given['device']}. Case SHA-256 {given['case_sha256']}."),
    ]


def _masks(result: Result) -> list[Block]:
    rows = [
        [
            mask.name,
            mask.origin,
            significant(mask.volume_ml),
            "–" if mask.version is None else str(mask.version),
            mask.state,
            (mask.reviewer or "–") + (f": {mask.comment}" if mask.comment else ""),
            signed_at(mask),
            (mask.sha256 or "")[:16],
        ]
        for mask in result.masks
    ]
    header = ["mask", "from", "volume (mL)", "version", "state", "signed by", "signed on (UTC)", "SHA-256"]
    heading = Heading(text="Masks", level=3)
    return [heading, Table(header=header, rows=rows, align="llrlllll", size=6.5)] if rows else []


def _png(data_uri: str) -> bytes:
    return base64.b64decode(data_uri.partition(",")[2])
