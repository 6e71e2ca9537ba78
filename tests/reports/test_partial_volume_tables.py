"""Corrected doses in the page and in the table, with their limits."""

import dataclasses

import pytest

from sirtjax.reports import report_html
from sirtjax.reports._partial_volume_tables import (
    partial_volume_header,
    partial_volume_rows,
    partial_volume_sentences,
)
from sirtjax.workflows import CorrectedDose, PartialVolumeResult, PartialVolumeRow


@pytest.fixture
def corrected(result):
    rows = (
        PartialVolumeRow(
            name="small one",
            kind="lesion",
            recovery_coefficient=0.31,
            below_resolution=True,
            mean_gy=80.0,
            corrected={"gtm": CorrectedDose(211.0), "rbv": CorrectedDose(204.0, 190.0, 143.0, 131.0)},
        ),
        PartialVolumeRow(
            name="normal right",
            kind="normal territory",
            recovery_coefficient=0.9,
            below_resolution=False,
            mean_gy=40.0,
            corrected={"gtm": CorrectedDose(37.0), "rbv": CorrectedDose(36.0, 30.0, 35.0, 29.0)},
        ),
    )
    found = PartialVolumeResult(fwhm_mm=12.0, methods=("gtm", "rbv"), iterations=None, rows=rows)
    return dataclasses.replace(result, partial_volume=found)


def test_rows_follow_the_header(corrected):
    header, rows = partial_volume_header(corrected), partial_volume_rows(corrected)
    assert header == [
        "VOI", "recovery", "uncorrected (Gy)", "GTM (Gy)", "RBV (Gy)", "RBV D70 (Gy)", "RBV kernel (Gy)",
        "RBV kernel D70 (Gy)",
    ]  # fmt: skip
    assert rows[0] == ["small one*", 0.31, 80.0, 211.0, 204.0, 190.0, 143.0, 131.0]
    assert rows[1][0] == "normal right"


def test_the_page_states_that_limits_use_the_uncorrected_dose(corrected, maps, result):
    page = report_html(corrected, maps)
    assert "<h3>Partial-volume correction</h3>" in page and "resolution of 12 mm" in page
    assert "limits and checks use the uncorrected dose" in page and "noise decides the corrected dose" in page
    assert "Partial-volume correction" not in report_html(result, maps)
    assert partial_volume_header(result) == [] and partial_volume_sentences(result) == ()
