"""Volumes that the registration changes by more than a tenth are marked, in the page and in the PDF."""

import dataclasses
import html
import io
import re

import pdfplumber
import pytest

from sirtjax.dosimetry import CHECKS
from sirtjax.reports import report_html, report_pdf
from sirtjax.reports._volume_change_tables import volume_limit_percent, volume_rows, volume_sentence
from sirtjax.workflows import RegistrationSummary, VolumeChange

MARK = "more than 10 %: review"
AMBER = "#9a6700"


def change(name, kind, percent):
    return VolumeChange(name, kind, 200.0, 200.0 * (1 + percent / 100), percent)


VOLUMES = (
    change("liver", "liver", 5.8),
    change("lesion 1", "lesion", 13.04),
    change("lesion 2", "lesion", 9.96),
    change("lesion 3", "lesion", 10.02),
    change("left", "territory", -13.3),
    change("lungs", "lungs", 22.0),
)
MARKED = ["lesion 1", "lesion 3", "left", "lungs"]


@pytest.fixture
def registered(result):
    summary = RegistrationSummary(
        method="registered", preset="cnn", settings=(), guides=("liver",), status="success", cause="converged",
        accepted=False, quality={}, folding_fraction=0.0, liver_jacobian_minimum=0.7, liver_jacobian_maximum=1.4,
        liver_log_jacobian_std=0.08, volumes=VOLUMES, notes=(),
    )  # fmt: skip
    return dataclasses.replace(result, registration=summary)


def test_the_limit_is_that_of_the_check():
    (rule,) = (one for one in CHECKS if one.code == "SJ109")
    assert volume_limit_percent() == pytest.approx(100 * rule.limit) == pytest.approx(10.0)


def test_every_change_above_the_limit_is_marked_and_looks_like_it():
    rows = volume_rows(VOLUMES)
    assert [row.cells[0] for row in rows if row.marked] == MARKED
    for row, one in zip(rows, VOLUMES, strict=True):
        assert row.marked == (abs(one.change_percent) > 10) == (abs(float(row.cells[3])) > 10)
        assert row.cells[4] == (MARK if row.marked else "")
        assert float(row.cells[3]) == pytest.approx(one.change_percent, abs=0.05)
    assert ", ".join(MARKED) in volume_sentence(VOLUMES) and volume_sentence(VOLUMES[:1]) == ""


def test_the_page_marks_them(registered, maps):
    page = report_html(registered, maps)
    table = page[page.index("on the activity image (mL)") :].partition("</table>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", table)
    marked = [html.unescape(re.match("<td>(.*?)</td>", row)[1]) for row in rows if f'tag warning">{MARK}' in row]
    assert marked == MARKED and len(rows) == len(VOLUMES)
    assert html.escape(volume_sentence(VOLUMES)) in page


def test_the_pdf_marks_them_in_colour(registered, maps):
    pdf = report_pdf(registered, maps, pictures=[], summary_picture=None)
    with pdfplumber.open(io.BytesIO(pdf)) as opened:
        page = next(page for page in opened.pages if "contoured (mL)" in (page.extract_text() or ""))
        lines = page.extract_text_lines()
        marked = [line for line in lines if line["text"].endswith(MARK)]
        assert [line["text"].partition(" 200 ")[0] for line in marked] == MARKED
        for line in marked:
            colour = {c["non_stroking_color"] for c in line["chars"][-len(MARK.replace(" ", "")) :]}
            assert {"#" + "".join(f"{round(255 * part):02x}" for part in one) for one in colour} == {AMBER}
