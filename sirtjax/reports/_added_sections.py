"""Sections of sentences and tables that several kinds of report share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sirtjax.reports._before_after_tables import ReportTable
from sirtjax.reports._contour_tables import TITLE as CONTOURS
from sirtjax.reports._contour_tables import contour_sentences, contour_tables
from sirtjax.reports._measured_tables import TITLE, measured_sentences, measured_tables
from sirtjax.reports._optimal_section import (
    OPTIMAL_TITLE,
    optimal_caption,
    optimal_figure,
    optimal_sentences,
    optimal_tables,
)
from sirtjax.reports._order_tables import order_sentences, order_tables
from sirtjax.reports._probability_curve import has_curve
from sirtjax.reports._uptake_tables import uptake_sentences, uptake_tables
from sirtjax.reports._viable_tables import viable_sentences, viable_tables

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sirtjax.workflows import Result


@dataclass(frozen=True, kw_only=True)
class ReportSection:
    """One section of a report.

    Attributes:
      title: heading.
      sentences: text below the heading, one paragraph each.
      tables: tables below the text.
      figure: function that draws a figure between text and tables; None without one.
      caption: caption of the figure.
    """

    title: str
    sentences: tuple[str, ...]
    tables: tuple[ReportTable, ...]
    figure: Callable[[], Figure] | None = None
    caption: str = ""


def added_sections(result: Result) -> tuple[ReportSection, ...]:
    """Returns the sections that the result has in addition to those of every report, in order."""
    found = []
    best = result.optimal
    if best is not None:
        found.append(
            ReportSection(
                title=OPTIMAL_TITLE,
                sentences=optimal_sentences(best),
                tables=optimal_tables(best),
                figure=partial(optimal_figure, best) if best.front_value or has_curve(best) else None,
                caption=optimal_caption(best),
            )
        )
    if any(voi.kind == "viable tumour" for voi in result.vois):
        found.append(
            ReportSection(title="Viable tumour", sentences=viable_sentences(result), tables=viable_tables(result))
        )
    if result.where_to_check is not None:
        where = result.where_to_check
        found.append(
            ReportSection(
                title=CONTOURS, sentences=contour_sentences(where, result.uncertainty), tables=contour_tables(where)
            )
        )
    if result.order is not None:
        found.append(
            ReportSection(
                title="Vials to order", sentences=order_sentences(result.order), tables=order_tables(result.order)
            )
        )
    if result.measured_activity is not None:
        shown = result.measured_activity
        found.append(ReportSection(title=TITLE, sentences=measured_sentences(shown), tables=measured_tables(shown)))
    if result.uptake_sites is not None:
        sites = result.uptake_sites
        found.append(
            ReportSection(
                title="Uptake outside the liver", sentences=uptake_sentences(sites), tables=uptake_tables(sites)
            )
        )
    return tuple(found)
