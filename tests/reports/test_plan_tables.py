"""Targets, limits and the comparison with the plan in the page, the PDF and the structured report."""

import dataclasses
import io
import re

import pdfplumber
import pytest

from sirtjax.dicom import Evaluation, Measurement
from sirtjax.errors import InputError
from sirtjax.reports import report_html, report_pdf
from sirtjax.reports._dicom_measurements import measurement_groups
from sirtjax.reports._plan_tables import comparison_rows, dose_text, objective_rows


def rows_of(page, title):
    """Cells of the table under a heading, tags taken out."""
    section = page.split(f"<h2>{title}</h2>")[1].split("</section>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", section, re.S)
    return [
        [re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S)] for row in rows
    ]


def test_the_page_has_every_target_and_limit_with_both_doses(verification, maps):
    page = report_html(verification, maps)
    header, *rows = rows_of(page, "Targets and limits")
    assert header == ["target, limit or goal", "planned", "delivered", "result", "source of the number"]
    assert [row[:4] for row in rows] == [
        ["mean(lesion 1) &gt;= 205 Gy", "208.5 Gy", "111.2 Gy", "not met"],
        ["mean(normal liver) &lt;= 90 Gy", "82.5 Gy", "142.2 Gy", "not met"],
        ["V70Gy(lesion 1) &gt;= 80 %", "87.5 %", "62.5 %", "not met"],
        ["mean(lesion 1) &gt;= 250 Gy (recommended)", "–", "111.2 Gy", "not met"],
        ["mean(lungs) &lt;= 30 Gy", "2.5 Gy", "4.5 Gy", "met"],
    ]
    assert "a &lt;i&gt;table&lt;/i&gt; (only in the plan)" in page and "<i>table</i>" not in page
    assert "planned 612 MBq" in page and "planned 77.7 Gy" in page and "planned 2.5 Gy" in page


def test_the_page_lists_what_differs_from_the_plan_first(verification, maps):
    page = report_html(verification, maps)
    _, *rows = rows_of(page, "Comparison with the plan")
    assert [row[3] for row in rows] == ["differs", "unknown", "agrees"]
    assert rows[0][1] == "liver, &lt;u&gt;old&lt;/u&gt;"


def test_a_plan_has_targets_and_limits_and_no_comparison(verification, maps):
    plan = dataclasses.replace(verification, kind="plan", comparison=None, planned={})
    page = report_html(plan, maps)
    assert rows_of(page, "Targets and limits")[0][1:3] == ["predicted", "result"]
    assert "Comparison with the plan" not in page
    assert comparison_rows(plan) == ()


def test_the_colour_of_a_missed_objective_is_that_of_its_check(verification):
    assert [row.severity for row in objective_rows(verification)] == ["warning", "error", "warning", "info", ""]


def test_the_pdf_has_the_same_tables(verification, maps):
    with pdfplumber.open(io.BytesIO(report_pdf(verification, maps, pictures=[]))) as pdf:
        printed = re.sub(r"\s", "", "".join(char["text"] for page in pdf.pages for char in page.chars))

    def texts(rows):
        return re.sub(r"\s", "", "".join(cell for row in rows for cell in row))

    met = [row.cells for row in objective_rows(verification)]
    assert list(met[1][:4]) == ["mean(normal liver) <= 90 Gy", "82.5 Gy", "142.2 Gy", "not met"]
    assert texts([["target, limit or goal", "planned", "delivered", "result", "source of the number"], *met]) in printed
    compared = [[row.name, row.planned, row.found, row.agreement] for row in comparison_rows(verification)]
    assert [row[3] for row in compared] == ["differs", "unknown", "agrees"]
    assert texts([["property", "plan", "verification", "agreement"], *compared]) in printed


def test_the_structured_report_has_planned_doses_and_what_is_met(verification):
    names = {voi.name: voi.name for voi in verification.vois}
    groups = {group.name: group for group in measurement_groups(verification, names)}
    lesion = groups["lesion 1"]
    numbers = {one.name: one.value for one in lesion.measurements}
    assert (numbers["mean dose"], numbers["planned mean dose"]) == (60.5, 77.7)
    assert (numbers["D70"], numbers["planned D70"], numbers["planned V100"]) == (50.0, 50.0, 4.0)
    assert {one.objective: one.met for one in lesion.evaluations} == {
        "Mean dose at least 205 Gy (delivered)": False,
        "Mean dose at least 205 Gy (planned)": True,
        "V70Gy at least 80 % (delivered)": False,
        "V70Gy at least 80 % (planned)": True,
        "Mean dose at least 250 Gy (delivered)": False,
    }
    assert {one.objective for one in groups["normal liver"].evaluations} == {
        "Mean dose at most 90 Gy (delivered)",
        "Mean dose at most 90 Gy (planned)",
    }
    assert [one.met for one in groups["lungs"].evaluations] == [True, True]


def test_lungs_without_a_mask_have_their_limit_too(verification):
    result = dataclasses.replace(verification, vois=verification.vois[:-1])
    groups = measurement_groups(result, {voi.name: voi.name for voi in result.vois})
    assert [(one.name, one.value) for one in groups[-1].measurements] == [
        ("mean dose", 1.7),
        ("planned mean dose", 2.5),
    ]
    assert groups[-1].name == "lungs" and len(groups[-1].evaluations) == 2


def test_dose_texts():
    assert (dose_text(None, None), dose_text(float("nan"), None), dose_text(12.345, None)) == ("–", "–", "12.35 Gy")
    assert dose_text(12.0, 0.25) == "25 %"


def test_a_code_is_that_of_the_objective():
    same, other = (Evaluation(objective=f"Mean dose at least {gy} Gy", met=True).concept for gy in (205, 206))
    assert same == Evaluation(objective="Mean dose at least 205 Gy", met=False).concept
    assert same.value != other.value and len(same.value) <= 16
    with pytest.raises(InputError, match="has 65 letters; DICOM allows 1 to 64"):
        Evaluation(objective="x" * 65, met=True)
    assert len(Measurement(name="planned V1000.25", value=1.0, unit="%").concept.value) <= 16
