"""The activity after treatment in page, PDF and structured report: the numbers of the record, with their errors."""

import dataclasses
import io

import pdfplumber
import pytest

from sirtjax.reports import report_html, report_pdf
from sirtjax.reports._dicom_measurements import measurement_groups
from sirtjax.reports._measured_tables import measured_sentences, measured_tables, with_error
from sirtjax.workflows import (
    ActivityRow,
    BackgroundResult,
    LungMeasurement,
    MeasuredActivity,
    MeasuredLungs,
    RelabellingResult,
)

STOMACH = ActivityRow("stomach", "extrahepatic", 120.0, 14.2, 0.61, 0.0071, 5.9, 11.3)
FOUND = MeasuredActivity(
    calibration="absolute",
    background=BackgroundResult("Bq/mL", 5120.0, 900.0, 42.0, 1500, 460.0, 98.0, 1.0, 0.0137, "spleen <b>", 61.0),
    relabelling=RelabellingResult("Ga-68", 4062.6, 0.89, "START", True, 1.1802, 1500.0, "2026-03-03T06:34:00", 23678.0),
    lungs=MeasuredLungs(
        planned_fraction=0.05,
        planned_mbq=100.0,
        planned_dose_gy=5.0,
        seen_fraction=1.0,
        whole=LungMeasurement(None, 3900.0, 91.0, 2.4, 0.044, 0.0012, 4.5),
        outside_margin=LungMeasurement(20.0, 3100.0, 61.3, 2.2, 0.0301, 0.0011, 3.04),
    ),
    extrahepatic=(STOMACH,),
    balance=(
        ActivityRow("injected", "injected", None, 2000.0, None, 1.0),
        STOMACH,
        ActivityRow("missing", "missing", None, -12.0, None, -0.006),
    ),
    found_fraction=1.006,
)


@pytest.fixture
def measured(result, maps):
    return dataclasses.replace(result, kind="verification", measured_activity=FOUND), maps


def test_the_tables_have_the_numbers_of_the_record():
    lungs, organs, balance = measured_tables(FOUND)
    assert lungs.rows[0] == ("lung shunt of the case", "–", "100", "5.00", "5.00")
    assert lungs.rows[2][2:] == ("61.3 ± 2.2", "3.01 ± 0.11", "3.04")
    assert organs.rows == (("stomach", "120", "14.20 ± 0.61", "0.710", "5.90", "11.3"),)
    assert [row[0] for row in balance.rows] == ["injected", "stomach", "missing"]
    assert balance.rows[2][2] == "-12.0"
    text = " ".join(measured_sentences(FOUND))
    assert "1.37 % of the activity in the liver" in text and "Voxels below 0 stay below 0" in text
    assert "acquired as Ga-68" in text and "multiplied by 23678" in text


def test_numbers_have_the_places_of_their_error():
    assert with_error(61.34, 2.2) == "61.3 ± 2.2"
    assert with_error(1234.0, 37.0) == "1234 ± 37"
    assert with_error(0.0301, 0.0011, factor=100.0) == "3.01 ± 0.11"
    assert with_error(5.0, None) == with_error(5.0, 0.0) == "5.00"


def test_page_and_pdf_and_structured_report(measured):
    result, maps = measured
    page = report_html(result, maps, pictures=[])
    assert "Activity after treatment" in page and "61.3 ± 2.2" in page and "14.20 ± 0.61" in page
    assert "spleen &lt;b&gt;" in page and "spleen <b>" not in page
    with pdfplumber.open(io.BytesIO(report_pdf(result, maps, pictures=[]))) as pdf:
        text = "\n".join(each.extract_text() for each in pdf.pages)
    assert "Activity after treatment" in text and "61.3 ± 2.2" in text and "14.20 ± 0.61" in text
    groups = {
        group.name: {one.name: one.value for one in group.measurements}
        for group in measurement_groups(result, {row.name: row.name for row in result.vois})
    }
    assert groups["stomach"]["measured activity"] == 14.2
    assert groups["stomach"]["measured maximum dose"] == 11.3


def test_relative_calibration_states_that_there_is_no_balance():
    relative = dataclasses.replace(FOUND, calibration="relative", balance=(), background=None, found_fraction=None)
    text = " ".join(measured_sentences(relative))
    assert "there is no balance" in text and "No background was subtracted." in text
    assert [table.title for table in measured_tables(relative)] == ["Lungs", "Extrahepatic VOIs"]
