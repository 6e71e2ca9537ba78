"""The table of doses on the first page: few numbers, large enough to read, unreliable ones marked."""

import dataclasses
import io
import re

import pdfplumber
import pytest
from interval_record import pictured, with_intervals

from sirtjax.dosimetry import make_check
from sirtjax.reports import report_html, report_pdf
from sirtjax.reports._summary import summary_of

# Points; text below about 6 points is not readable at arm's length.
LEAST_POINTS = 7.0


def of_means(result):
    """The result with intervals, and only the targets and limits on mean doses."""
    made = with_intervals(result)
    return dataclasses.replace(made, objectives=tuple(one for one in made.objectives if one.kind == "mean"))


def test_d70_has_columns_only_if_a_target_or_limit_needs_it(result):
    without = summary_of(result, "P")
    assert "D70 (Gy)" in without.dose_header and "D70" in without.dose_note
    both, means = summary_of(with_intervals(result), "P"), summary_of(of_means(result), "P")
    assert "D70, uncorrected (Gy)" in both.dose_header and "D70" in both.dose_note
    assert not any("D70" in title for title in means.dose_header) and "D70" not in means.dose_note
    for summary in (without, both, means):
        for row in (*summary.group_rows, *summary.lesion_rows):
            assert len(row) == len(summary.dose_header)


@pytest.mark.parametrize("change", [with_intervals, of_means], ids=["D70 and mean", "mean"])
def test_the_doses_of_the_first_page_are_large_enough_to_read(result, maps, change):
    made = change(result)
    pdf = report_pdf(made, pictured(maps, made), pictures=[])
    with pdfplumber.open(io.BytesIO(pdf)) as opened:
        page = opened.pages[0]
        found = [line for line in page.extract_text_lines() if re.match(r"(normal liver|lesion \d) ", line["text"])]
        sizes = [char["size"] for line in found for char in line["chars"]]
    assert len(found) >= 3 and min(sizes) >= (LEAST_POINTS if change is of_means else 6.0)


def test_the_mean_of_a_lesion_below_the_resolution_is_marked(result, maps):
    small = dataclasses.replace(result, checks=(*result.checks, make_check("SJ105", where="lesion 1", value=9.0)))
    marked = {row[0]: row[2] for row in summary_of(small, "P").lesion_rows}
    assert marked["lesion 1"] == "60.5*" and "*" not in marked['../seg & "2"']
    assert "*: without correction too low" in summary_of(small, "P").dose_note
    assert "*" not in summary_of(result, "P").dose_note
    assert "<td>60.5*</td>" in report_html(small, maps, pictures=[])
