"""Corrected doses in the page and in the table, with their limits."""

import dataclasses

import numpy as np
import pytest

from sirtjax.reports import report_html
from sirtjax.reports._partial_volume_tables import (
    partial_volume_header,
    partial_volume_rows,
    partial_volume_sentences,
)
from sirtjax.reports._shift_figure import shift_figure
from sirtjax.workflows import ActivityAlignment, CorrectedDose, PartialVolumeResult, PartialVolumeRow


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


def test_a_proposed_shift_is_shown_and_not_applied(result, maps):
    proposed = ActivityAlignment(
        shift_mm=(4.0, -1.0, 6.0),
        standard_error_mm=(0.5, 0.6, 0.7),
        determined=True,
        residual_ratio=0.4,
        applied_mm=(1.0, 0.98, 0.0),
    )
    found = PartialVolumeResult(fwhm_mm=12.0, methods=(), iterations=None, rows=(), alignment=proposed)
    page = report_html(dataclasses.replace(result, partial_volume=found), maps)
    assert "4.0 ± 0.5, -1.0 ± 0.6, 6.0 ± 0.7" in page and "<h3>Alignment of the activity image</h3>" in page
    assert "dashed after the proposed translation" in page
    assert "not applied" in page and "images.activity.shift_mm = [5.0, 0.0, 6.0]" in page
    for change, text in (
        ({"determined": False}, "do not use it"),
        ({"shift_mm": (0.5, 0.5, -0.5)}, "the masks fit the activity image"),
    ):
        one = dataclasses.replace(found, alignment=dataclasses.replace(proposed, **change))
        (_, sentence) = partial_volume_sentences(dataclasses.replace(result, partial_volume=one))
        assert text in sentence


def test_the_dashed_contour_is_moved_against_the_image(maps):
    figure = shift_figure(maps, (9.0, 0.0, 0.0), focus="liver", lesions=[])
    axial = figure.axes[0]
    solid, dashed = (np.concatenate([p.vertices for p in one.get_paths()]).mean(axis=0) for one in axial.collections)
    step = (maps.geometry.direction.T @ np.array([9.0, 0.0, 0.0]))[0] / maps.geometry.spacing_mm[0]
    assert dashed[0] - solid[0] == pytest.approx(-step, abs=0.6) and dashed[1] == pytest.approx(solid[1], abs=0.6)


def test_the_page_states_that_limits_use_the_uncorrected_dose(corrected, maps, result):
    page = report_html(corrected, maps)
    assert "<h3>Partial-volume correction</h3>" in page and "resolution of 12 mm" in page
    assert "limits and checks use the uncorrected dose" in page and "noise decides the corrected dose" in page
    assert "Partial-volume correction" not in report_html(result, maps)
    assert partial_volume_header(result) == [] and partial_volume_sentences(result) == ()
