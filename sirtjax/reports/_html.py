"""The report: one self-contained HTML page that prints well."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from importlib import resources
from typing import TYPE_CHECKING

from sirtjax.reports._added_sections import added_sections
from sirtjax.reports._before_after_figures import agreement_figure, difference_figure
from sirtjax.reports._before_after_tables import before_after_sentences, before_after_tables
from sirtjax.reports._contour_figures import contour_pictures
from sirtjax.reports._figures import dvh_figure, figure_png, figure_svg, fusion_figure, interval_figure
from sirtjax.reports._format import amount, column, number, percent, significant, with_unit
from sirtjax.reports._interval_section import interval_section_html
from sirtjax.reports._interval_tables import has_intervals, interval_cell, interval_titles, reason_notes
from sirtjax.reports._isodose_lines import ISODOSE_COLOURS
from sirtjax.reports._lung_reassignment_tables import (
    LUNG_REASSIGNMENT_HEADER,
    lung_reassignment_rows,
    lung_reassignment_sentences,
)
from sirtjax.reports._method_tables import curve_styles, method_header, method_rows, method_sentences
from sirtjax.reports._outcome_section import CAPTION, OUTCOME_HEADER, outcome_figure, outcome_rows, outcome_sentences
from sirtjax.reports._partial_volume_tables import (
    partial_volume_header,
    partial_volume_rows,
    partial_volume_sentences,
)
from sirtjax.reports._plan_tables import comparison_rows, objective_header, objective_rows
from sirtjax.reports._record_tables import record_parts
from sirtjax.reports._references import REFERENCES_HEADER, REFERENCES_TITLE, reference_rows
from sirtjax.reports._registration_page import quality_rows
from sirtjax.reports._remnant_section import REMNANT_HEADER, remnant_rows, remnant_sentences
from sirtjax.reports._shift_figure import shift_figure
from sirtjax.reports._summary import important_lesion
from sirtjax.reports._summary_figure import summary_figure
from sirtjax.reports._summary_html import summary_html
from sirtjax.reports._volume_change_tables import VOLUME_HEADER, volume_rows, volume_sentence

if TYPE_CHECKING:
    from sirtjax.workflows import MaskResult, Result, ResultVolumes, VoiResult

SEVERITIES = ("error", "warning", "info")
HEADLINE_KINDS = ("lesions", "normal liver")
CURVE_KINDS = ("lesion", "viable tumour", "normal liver", "normal territory")
MAX_CURVES = 16
# Filters of the template for numbers of each unit.
FILTERS = {"gy": "Gy", "mbq": "MBq", "ml": "mL", "pct": "%", "ratio": "ratio"}
# Columns of the table of doses, in addition to those of V_x and of a plan.
DOSE_COLUMNS = 11
MAX_LEVELS = 5
ROUND_LEVELS_GY = (150.0, 200.0, 300.0, 400.0, 600.0, 800.0)


def report_html(
    result: Result,
    maps: ResultVolumes,
    *,
    identity: str | None = None,
    registration_page: bool = False,
    plan_page: bool = False,
    pictures: Sequence[dict[str, str]] | None = None,
    summary_picture: str | None = None,
    on_step: Callable[[str], None] = lambda step: None,
) -> str:
    """Returns the report of a plan or a verification as one HTML page without outside resources.

    Args:
      result: plan or verification.
      maps: images on the working grid.
      identity: text to print instead of the pseudonym, if requested.
      registration_page: whether registration.html is next to the page, which then links to it.
      plan_page: whether plan-registration.html is next to the page, which then links to it.
      pictures: result of `pictures_of`, if it already exists.
      summary_picture: result of `summary_picture_of`, if it already exists.
      on_step: called with the name of each picture when it starts.

    Returns:
      The page.
    """
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["sig"] = significant
    for name, unit in FILTERS.items():
        environment.filters[name] = partial(number, unit=unit)
    environment.filters["column"] = lambda value, title: column(title, value)
    environment.filters["amount"] = amount
    environment.filters["percent"] = percent
    environment.filters["signed"] = signed_at
    source = resources.files("sirtjax.reports").joinpath("templates/report.html.jinja").read_text(encoding="utf-8")
    biology = [(voi.name, voi.biology) for voi in result.vois if voi.biology]
    curves = curves_of(result.vois)
    first = summary_picture_of(result, maps) if summary_picture is None else summary_picture
    return environment.from_string(source).render(
        title="treatment plan" if result.kind == "plan" else "treatment verification",
        result=result,
        identity=identity,
        first_html=summary_html(result, identity or result.patient_id, first, isodose_levels(result)),
        record_parts=record_parts(result),
        footer=page_footer(result),
        registration_page=registration_page,
        plan_page=plan_page,
        registration_rows=[] if result.registration is None else quality_rows(result.registration.quality),
        references_title=REFERENCES_TITLE,
        references_header=REFERENCES_HEADER,
        reference_rows=reference_rows(result),
        volume_header=VOLUME_HEADER,
        volume_rows=() if result.registration is None else volume_rows(result.registration.volumes),
        volume_sentence="" if result.registration is None else volume_sentence(result.registration.volumes),
        headline=[voi for voi in result.vois if voi.kind in HEADLINE_KINDS],
        checks=sorted(result.checks, key=lambda check: SEVERITIES.index(check.severity)),
        planned=result.planned,
        method_header=method_header(result),
        method_rows=method_rows(result),
        method_sentences=method_sentences(result),
        curve_styles=curve_styles(result),
        partial_volume_header=partial_volume_header(result),
        partial_volume_rows=partial_volume_rows(result),
        partial_volume_sentences=partial_volume_sentences(result),
        lung_header=LUNG_REASSIGNMENT_HEADER,
        lung_rows=lung_reassignment_rows(result),
        lung_sentences=lung_reassignment_sentences(result),
        objective_header=objective_header(result),
        objective_rows=objective_rows(result),
        comparison_rows=comparison_rows(result),
        added_sections=added_sections(result),
        figure_svg=figure_svg,
        both_tables=before_after_tables(result),
        both_sentences=before_after_sentences(result),
        agreement_svg=agreement_svg(result),
        v_levels=v_levels(result),
        dose_columns=DOSE_COLUMNS + len(v_levels(result)) + bool(result.planned) + 4 * has_intervals(result),
        interval_titles=interval_titles(result) if has_intervals(result) else (),
        interval_cell=partial(interval_cell, result),
        interval_notes=() if result.uncertainty is None else reason_notes(result.uncertainty),
        intervals_html=interval_section_html(result),
        biology_rows=biology,
        biology_keys=list(dict.fromkeys(key for _, row in biology for key in row)),
        remnant_header=REMNANT_HEADER,
        remnant_rows=remnant_rows(result),
        remnant_sentences=remnant_sentences(result),
        outcome_header=OUTCOME_HEADER,
        outcome_rows=outcome_rows(result),
        outcome_sentences=outcome_sentences(result),
        outcome_caption=CAPTION,
        outcome_svg="" if result.outcome is None else figure_svg(outcome_figure(result.outcome)),
        interval_svg=figure_svg(interval_figure(result.injections)),
        dvh_svg=figure_svg(dvh_figure(curves[:MAX_CURVES], result.planned)),
        pictures=pictures_of(result, maps, on_step) if pictures is None else pictures,
        isodoses=list(zip(isodose_levels(result), ISODOSE_COLOURS, strict=False)),
    )


def agreement_svg(result: Result) -> str:
    """Returns the figure of the agreement over the lesions as SVG; empty if there are too few."""
    both = result.before_after
    return "" if both is None or both.lesions.bias_gy is None else figure_svg(agreement_figure(both))


def signed_at(mask: MaskResult) -> str:
    """Returns date and minute of a signature in UTC, or a dash."""
    return "–" if mask.signed_at is None else mask.signed_at[:16].replace("T", " ")


def curves_of(vois: Sequence[VoiResult]) -> list[VoiResult]:
    """Returns the histograms to draw; if a territory is the whole liver, its normal tissue only once."""
    liver_ml = [voi.volume_ml for voi in vois if voi.kind == "liver"]
    whole = any(voi.kind == "territory" and [voi.volume_ml] == liver_ml for voi in vois)
    kinds = tuple(kind for kind in CURVE_KINDS if not (whole and kind == "normal territory"))
    return [voi for voi in vois if voi.kind in kinds and voi.dvh_dose_gy]


def v_levels(result: Result) -> list[str]:
    return list(dict.fromkeys(level for voi in result.vois for level in voi.v_percent))


def pictures_of(result: Result, maps: ResultVolumes, on_step: Callable[[str], None]) -> list[dict[str, str]]:
    """Draws the slices of a report, each with its caption, for HTML and PDF."""
    lesions = [voi for voi in result.vois if voi.kind == "lesion"]
    territories = [voi.name for voi in result.vois if voi.kind == "territory"]
    names = [voi.name for voi in lesions]
    levels = isodose_levels(result)

    viable = {voi.lesion: voi.name for voi in result.vois if voi.lesion is not None}

    def picture(focus: str, overlay: str, caption: str) -> dict[str, str]:
        on_step(f"image of the {focus}")
        part = viable.get(focus)
        figure = fusion_figure(
            maps,
            focus,
            overlay=overlay,
            isodoses_gy=levels,
            lesions=names,
            territories=territories,
            viable=part,
        )
        caption += "" if part is None else f"; dotted outline: {part}"
        return {"caption": caption, "data": figure_png(figure)}

    beneath = "" if maps.ct_hu is None else " over the CT"
    pictures = [picture("liver", "activity", f"Activity image{beneath}, through the centre of the liver")]
    proposed = None if result.partial_volume is None else result.partial_volume.alignment
    if proposed is not None:
        on_step("image of the alignment")
        focus = max(lesions, key=lambda voi: voi.volume_ml).name if lesions else "liver"
        caption = "Activity image and masks: solid as they are, dashed after the proposed translation of the image"
        figure = shift_figure(maps, proposed.shift_mm, focus=focus, lesions=names)
        pictures.append({"caption": caption, "data": figure_png(figure)})
    # The report also has corrected doses, which can be twice as high.
    uncorrected = " without correction" if has_intervals(result) or result.partial_volume is not None else ""
    for voi in lesions:
        text = f"{voi.name}: {with_unit(voi.volume_ml, 'mL')}, mean {with_unit(voi.mean_gy, 'Gy')}"
        pictures.append(picture(voi.name, "dose", text + uncorrected))
    pictures += contour_pictures(result, maps, on_step)
    if maps.planned_dose_gy is not None:
        pictures += _difference_pictures(maps, names, on_step)
    if not lesions:
        pictures.append(picture("liver", "dose", "Absorbed dose, through the centre of the liver"))
    return pictures


def page_footer(result: Result) -> str:
    """Returns the origin of a result, for every page: program, data and date of the computation."""
    version = result.provenance["versions"]["sirtjax"]
    data = " · ".join(f"{name} {value}" for name, value in result.data_versions.items())
    data = data or f"protocol {result.protocol}"
    return f"sirtjax {version} · {data} · computed {result.provenance['created'][:16].replace('T', ' ')} UTC"


def summary_picture_of(result: Result, maps: ResultVolumes) -> str:
    """Draws the slice of the summary, through its first lesion or the liver, as a data URI."""
    names = [voi.name for voi in result.vois if voi.kind == "lesion"]
    territories = [voi.name for voi in result.vois if voi.kind == "territory"]
    focus = important_lesion(result) or "liver"
    levels = isodose_levels(result)
    figure = summary_figure(maps, focus, isodoses_gy=levels, lesions=names, territories=territories)
    return figure_png(figure, dpi=200)


def _difference_pictures(
    maps: ResultVolumes, lesions: Sequence[str], on_step: Callable[[str], None]
) -> list[dict[str, str]]:
    """Slices of the dose difference through each lesion, or through the liver if there is none."""
    found = []
    for name in lesions or ("liver",):
        on_step(f"difference in the {name}")
        figure = difference_figure(maps, name, lesions=lesions)
        caption = f"{name}: delivered minus warped planned dose (red: more than planned, blue: less)"
        found.append({"caption": caption, "data": figure_png(figure)})
    return found


def isodose_levels(result: Result) -> list[float]:
    """Returns the doses of the protocol's V columns and round ones above them, up to the maximum dose."""
    reach = max((voi.max_gy or voi.mean_gy for voi in result.vois if voi.kind == "lesion"), default=math.inf)
    levels = sorted(float(level) for level in v_levels(result))
    levels += [level for level in ROUND_LEVELS_GY if level > 1.3 * max(levels, default=0.0)]
    return [level for level in levels if level <= reach][:MAX_LEVELS]
