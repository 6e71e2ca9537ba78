"""The section on intervals in report.html: tables, budgets, bands and activities."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from sirtjax.reports._certainty import MOST_NAMED, basis_text, correction_text, refusal_text
from sirtjax.reports._figures import figure_svg, short
from sirtjax.reports._interval_activities import activity_figure
from sirtjax.reports._interval_bands import band_figures, bands_of
from sirtjax.reports._interval_budget import budget_figures
from sirtjax.reports._interval_tables import CERTAINTY, LEVELS, interval_tables

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sirtjax.workflows import Result

TITLE = "Intervals of doses and activities"
ACTIVITY_CAPTION = (
    "Black line: activity of the report. Bars: interval of each bound and of the activity itself; the marks are their "
    "middles (> lower bound, < upper bound). Diamond: activity that the same rule would prescribe if the true doses "
    "were known, or the true value of a stated activity. If the line crosses the bar of a bound, the target or "
    "limit is not certain. A lower bound is certain if its bar is left of the line, an upper bound if its bar is right "
    "of it. Each bound is for one territory, with no activity in the others. If several territories share a bound, the "
    "words at its right are about the dose of all injections together."
)
BAND_CAPTION = (
    "Dose-volume histograms. Black: corrected for the resolution of the image; band: interval of the dose at each "
    "volume. Dashed: without correction, the dose that the prescription uses."
)
BAND_END = "A band ends at the volume from which its doses rise instead of fall: they are then no result."


def band_caption(result: Result) -> str:
    """Returns the caption of the histograms, with the lesions that have none.

    Args:
      result: plan or verification.
    """
    shown = {voi.name for voi, _ in bands_of(result)}
    text = BAND_CAPTION
    if any(one.volume_fraction is not None and one.voi in shown for one in result.objectives):
        text += " Cross: dose and volume of a target or limit."
    missing = [short(voi.name) for voi in result.vois if voi.kind == "lesion" and voi.name not in shown]
    named = ", ".join(missing[:MOST_NAMED]) + (
        f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
    )
    return f"{text} {BAND_END}" + (f" Without interval, and not shown: {named}." if missing else "")


def budget_caption(result: Result) -> str:
    """Returns the caption of the bar charts, with the method and its error."""
    found = result.uncertainty
    text = (
        "Where the uncertainty comes from: fraction of the variance that each source explains without the others. "
        "Improve the source at the top first."
    )
    if found is None or found.method != "samples":
        return text
    if found.budget_samples is None:
        return f"{text} The fractions are computed by derivatives."
    return (
        f"{text} Hatched: small sources, sources within the error of the budget, and sources in combination. By "
        "simulation: a fraction below twice the error that the budget shows has no bar."
    )


def interval_figures(result: Result) -> list[tuple[str, str, Figure]]:
    """Returns heading, caption and picture of each figure of the section, in order.

    Only the first of several pictures of a kind has a heading and a caption.

    Args:
      result: plan or verification.
    """
    figures = []
    activities = activity_figure(result)
    kinds = (
        ("Does the activity keep its bounds?", ACTIVITY_CAPTION, [] if activities is None else [activities]),
        ("Largest sources", budget_caption(result), budget_figures(result)),
        ("Histograms", band_caption(result), band_figures(result)),
    )
    for title, caption, found in kinds:
        figures += [(title if n == 0 else "", caption if n == 0 else "", one) for n, one in enumerate(found)]
    return figures


def interval_sentences(result: Result) -> tuple[str, ...]:
    """Returns the text below the heading: the basis of the intervals, or why there are none.

    Args:
      result: plan or verification.
    """
    found = result.uncertainty
    if found is None:
        return ()
    if found.status != "intervals":
        return (refusal_text(found),)
    spacing = "" if found.spacing_mm is None else f", voxels of {max(found.spacing_mm):.3g} mm"
    computed = [row.interval for row in found.rows if row.interval is not None]
    alone = found.method == "samples" and all(one.linear_standard_deviation is None for one in computed)
    omitted = ("Neither the fraction of each source nor the linear propagation was computed.",) if alone else ()
    return (
        correction_text(result, found),
        basis_text(found, plan=result.kind == "plan"),
        *omitted,
        f"Resolution {found.fwhm_mm:g} mm (FWHM){spacing}, seed {found.seed}.",
    )


def interval_section_html(result: Result) -> str:
    """Returns the section; empty if intervals are off.

    Args:
      result: plan or verification.
    """
    if result.uncertainty is None:
        return ""
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    source = resources.files("sirtjax.reports").joinpath("templates/intervals.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(source).render(
        title=TITLE,
        sentences=interval_sentences(result),
        tables=interval_tables(result),
        figures=[(title, caption, figure_svg(figure)) for title, caption, figure in interval_figures(result)],
        levels=LEVELS,
        certainty=CERTAINTY,
    )
