"""Both dose methods in every kind of report: which one the limits use, the numbers, and why they differ."""

import csv
import dataclasses
import io
import json

import pytest

from sirtjax.reports import report_html, voi_csv
from sirtjax.reports._dicom_measurements import measurement_groups
from sirtjax.reports._figures import dvh_figure
from sirtjax.reports._method_tables import curve_styles, method_header, method_rows, method_sentences
from sirtjax.workflows import OtherDose, result_to_json


@pytest.fixture
def both(result):
    """The result with a dose by the kernel, which is four fifths of the local one in each VOI but the lungs."""
    vois = tuple(
        voi
        if voi.kind == "lungs"
        else dataclasses.replace(
            voi,
            other_dose=OtherDose(
                mean_gy=0.8 * voi.mean_gy,
                d_gy={key: 0.8 * value for key, value in voi.d_gy.items()},
                dvh_dose_gy=tuple(0.8 * dose for dose in voi.dvh_dose_gy),
                dvh_volume_percent=voi.dvh_volume_percent,
            ),
        )
        for voi in result.vois
    )
    return dataclasses.replace(result, vois=vois, other_dose_method="kernel", nuclide="Y-90")


def test_rows_have_both_methods_and_their_ratio(both):
    assert method_header(both) == [
        "VOI", "mean local (Gy)", "mean kernel (Gy)", "kernel / local", "D95 local (Gy)", "D95 kernel (Gy)",
        "D70 local (Gy)", "D70 kernel (Gy)", "D50 local (Gy)", "D50 kernel (Gy)",
    ]  # fmt: skip
    rows = method_rows(both)
    assert [row[0] for row in rows] == [voi.name for voi in both.vois if voi.kind != "lungs"]
    assert rows[3][1:] == pytest.approx([60.5, 48.4, 0.8, 30.0, 24.0, 50.0, 40.0, 60.0, 48.0])


def test_one_method_says_that_there_is_no_other(result):
    alone = dataclasses.replace(result, nuclide="Ho-166")
    assert method_header(alone) == [] and method_rows(alone) == []
    used, missing = method_sentences(alone)
    assert used == "Prescription, targets, limits and checks use the dose by local deposition."
    assert missing == "There is no dose by another method; the reason is in the methods."


def test_the_page_states_the_method_and_why_the_other_differs(both, maps):
    page = report_html(both, maps)
    assert "checks use the dose by local deposition" in page and "the kernel blurs it again" in page
    assert page.count("<td>48.4</td>") == 5 and "<th>D70 kernel (Gy)</th>" in page
    assert "histograms: solid local deposition, dashed convolution with a dose kernel." in page


def test_the_other_method_is_dashed_and_dotted_next_to_a_plan(both):
    curves = [voi for voi in both.vois if voi.dvh_dose_gy]
    styles = [line.get_linestyle() for line in dvh_figure(curves, {}).axes[0].lines]
    assert styles.count("-") == styles.count("--") == len(curves)
    planned = {curves[0].name: dataclasses.asdict(curves[0])}
    styles = [line.get_linestyle() for line in dvh_figure(curves, planned).axes[0].lines]
    assert (styles.count("--"), styles.count(":")) == (1, len(curves))
    assert curve_styles(dataclasses.replace(both, planned=planned)).endswith(
        "dotted delivered by convolution with a dose kernel"
    )


def test_the_table_of_a_spreadsheet_names_the_methods(both):
    rows = list(csv.DictReader(io.StringIO(voi_csv(both))))
    assert (rows[3]["dose_method"], rows[3]["other_dose_method"]) == ("local", "kernel")
    assert (rows[3]["other_mean_gy"], rows[3]["other_d70_gy"]) == ("48.4", "40")
    assert rows[-1]["dose_method"] == rows[-1]["other_mean_gy"] == ""


def test_doses_of_the_structured_report_state_their_method(both):
    groups = {one.name: one for one in measurement_groups(both, {voi.name: voi.name for voi in both.vois})}
    found = {(one.name, one.method): one.value for one in groups["lesion 1"].measurements}
    assert found["mean dose", "local"] == 60.5 and found["mean dose", "kernel"] == pytest.approx(48.4)
    assert found["D70", "kernel"] == pytest.approx(40.0) and found["compartment dose", None] == 61.0
    assert ("volume", None) in found and ("mean dose", None) not in found
    lungs = {one.name: one.method for one in groups["lungs"].measurements}
    assert lungs["mean dose"] is None


def test_results_have_both(both):
    table = json.loads(json.dumps(result_to_json(both)))
    assert (table["dose_method"], table["other_dose_method"]) == ("local", "kernel")
    assert table["vois"][3]["other_dose"]["mean_gy"] == pytest.approx(48.4) and table["vois"][-1]["other_dose"] is None
