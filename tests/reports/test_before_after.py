"""Planned and delivered dose in the page, the PDF, the structured report, the figures and the folder."""

import dataclasses
import io as streams

import numpy as np
import pdfplumber
import pytest

from sirtjax import io
from sirtjax.reports import report_html, report_pdf, write_results
from sirtjax.reports._before_after_figures import agreement_figure, difference_figure
from sirtjax.reports._before_after_tables import before_after_sentences, before_after_tables, rounded
from sirtjax.reports._dicom_measurements import measurement_groups
from sirtjax.reports._figures import dvh_figure
from sirtjax.spatial import identity
from sirtjax.volume import Volume
from sirtjax.workflows import (
    Alignment,
    BeforeAfter,
    GammaResult,
    LesionAgreement,
    PlanRegistrationSummary,
    VoiComparison,
)


def row(name, kind, planned, delivered, **more):
    difference = delivered - planned
    return VoiComparison(
        name=name,
        kind=kind,
        planned_gy=planned,
        delivered_gy=delivered,
        difference_gy=difference,
        difference_percent=100 * difference / planned,
        planned_d70_gy=0.8 * planned,
        delivered_d70_gy=0.8 * delivered,
        planned_v_percent={"70": 31.5},
        delivered_v_percent={"70": 45.25},
        **more,
    )


REGISTRATION = PlanRegistrationSummary(
    method="deformable", preset="cnn", settings=(), guides=("liver",), status="success", cause="the images agree",
    accepted=False, quality={"start": {"dsc liver": 0.81}, "final": {"dsc liver": 0.957}}, folding_fraction=0.0,
    dice=0.957, centroid_mm=1.23, dice_unregistered=0.81, centroid_unregistered_mm=12.3, liver_contoured=True, notes=(),
)  # fmt: skip
LESIONS = LesionAgreement(
    count=3, note="", bias_gy=-12.5, bias_interval_gy=(-40.0, 15.0), lower_limit_gy=-60.0, upper_limit_gy=35.0,
    lower_interval_gy=(-90.0, -30.0), upper_interval_gy=(5.0, 65.0), pearson=0.91, spearman=0.5, concordance=0.876,
)  # fmt: skip


def gamma(scope, passed):
    return GammaResult(
        scope=scope, dose_percent=5.0, distance_mm=5.0, threshold_percent=10.0, region="liver", normalisation_gy=420.0,
        passed_fraction=passed, voxels=4321, stride=2,
    )  # fmt: skip


@pytest.fixture
def both(result, vois):
    """A verification with a registered plan: one lesion misses its target only after treatment."""
    lesion, other = "lesion 1", vois[4].name
    rows = (
        row("liver", "liver", 40.0, 44.0, warped_planned_gy=41.0, dice=0.957, centroid_mm=1.2),
        row(lesion, "lesion", 210.0, 190.5, planned_met=True, delivered_met=False, planned_tn_ratio=3.25,
            delivered_tn_ratio=2.75, planned_uptake_fraction=0.123, delivered_uptake_fraction=0.111, dice=0.789),
        row(other, "lesion", 230.0, 231.0),
        row("third", "lesion", 310.0, 300.0),
        row("lungs", "lungs", 8.0, 9.0),
    )  # fmt: skip
    comparison = BeforeAfter(
        vois=rows, lesions=LESIONS, registration=REGISTRATION, gamma=(gamma("local", 0.849), gamma("global", 0.97))
    )
    return dataclasses.replace(result, kind="verification", before_after=comparison)


@pytest.fixture
def registered(maps):
    """The delivered dose is 20 Gy above the planned one in the right half of the image."""
    planned = np.array(maps.dose_gy.array)
    planned[:13] -= 20.0
    return dataclasses.replace(
        maps,
        planned_dose_gy=Volume(planned, maps.geometry, unit="Gy"),
        plan_alignment=Alignment(transform=identity()),
    )


def test_a_plan_has_no_such_tables(result):
    assert (before_after_tables(result), before_after_sentences(result)) == ((), ())


def test_the_tables_contain_the_numbers(both):
    doses, volumes, positions, gammas, quality, agreement = before_after_tables(both)
    assert doses.rows[1] == (
        "lesion 1", "210", "190", "-19.5", "-9.29", "168", "152", "3.25", "2.75", "12.3", "11.1", "met", "not met",
    )  # fmt: skip
    assert doses.missed == {(1, 12)}
    assert volumes.rows[0] == ("liver", "31.5", "45.2")
    assert positions.rows == (("liver", "41.0", "44.0", "0.96", "1.2"),)
    assert gammas.rows[0][-2:] == ("4321 (1 of 8)", "84.9")
    assert gammas.rows[1][0] == "global normalisation"
    assert quality.rows == (("DSC, liver", "0.810", "0.957"),)
    assert agreement.rows[0] == ("bias: delivered minus planned (Gy)", "-12.5", "-40.0 to +15.0")
    assert agreement.rows[-1][:2] == ("concordance (Lin)", "0.876")
    (sentence,) = before_after_sentences(both)
    assert "Status: success" in sentence
    assert (
        "contoured liver after treatment: DSC 0.96, centroids 1.2 mm apart (without registration 0.81, 12.3" in sentence
    )


def test_without_a_registration_the_report_says_so(both):
    few = LesionAgreement(count=1, note="one lesion has a planned and a delivered dose; at least three are needed")
    plain = dataclasses.replace(both.before_after, registration=None, gamma=(), lesions=few)
    result = dataclasses.replace(both, before_after=plain)
    first, second = before_after_sentences(result)
    assert first.startswith("The plan is not registered to the images after treatment")
    assert (
        second
        == "Agreement over the lesions: one lesion has a planned and a delivered dose; at least three are needed."
    )
    assert len(before_after_tables(result)) == 2


@pytest.mark.parametrize(
    ("value", "sign", "text"),
    [
        (1e-9, True, "0"),
        (-0.0123, True, "-0.012"),
        (12.345, True, "+12.3"),
        (1234.5, False, "1234"),
        (None, False, "–"),
        (float("nan"), True, "–"),
    ],
)
def test_numbers_have_their_digits(value, sign, text):
    assert rounded(value, sign=sign) == text


@pytest.mark.slow
def test_the_page_has_the_section(both, registered):
    page = report_html(both, registered, plan_page=True)
    section = page.partition("<h2>Before and after treatment</h2>")[2].partition("</section>")[0]
    for text in ("84.9", "5 %, 5 mm", "-9.29", "concordance (Lin)", 'href="plan-registration.html"', "<svg"):
        assert text in section, text
    assert '<span class="tag error">not met</span>' in section
    assert "delivered minus warped planned dose" in page
    assert "../seg &amp; &#34;2&#34;" in section
    assert "Before and after treatment" not in report_html(dataclasses.replace(both, before_after=None), registered)


@pytest.mark.slow
def test_the_document_has_the_section(both, registered):
    document = pdfplumber.open(streams.BytesIO(report_pdf(both, registered)))
    text = " ".join(" ".join((page.extract_text() or "").split()) for page in document.pages)
    for found in ("Before and after treatment", "84.9", "97.0", "-12.5", "not met", "delivered minus warped planned"):
        assert found in text, found


def test_the_structured_report_has_the_numbers(both):
    names = {voi.name: voi.name for voi in both.vois}
    groups = {one.name: {m.name: m.value for m in one.measurements} for one in measurement_groups(both, names)}
    assert groups["liver"]["local gamma"] == pytest.approx(84.9)
    assert groups["liver"]["global gamma"] == pytest.approx(97.0)
    assert groups["lesion 1"]["dose difference"] == -19.5
    assert groups["lesion 1"]["planned T/N ratio"] == 3.25
    assert groups["lesion 1"]["planned uptake"] == pytest.approx(12.3)
    together = dataclasses.replace(both.vois[3], name="lesions", kind="lesions")
    groups = measurement_groups(dataclasses.replace(both, vois=(together,)), {"lesions": "lesions"})
    values = {one.name: one.value for one in groups[0].measurements}
    assert (values["bias of lesions"], values["lower limit of agreement"]) == (-12.5, -60.0)
    assert values["concordance of lesions"] == 0.876


def test_the_difference_map_is_delivered_minus_planned(registered):
    figure = difference_figure(registered, "lesion 1", lesions=("lesion 1",))
    axial = figure.axes[0].images[-1]
    low, high = axial.get_clim()
    assert (low, high) == (-high, pytest.approx(20.0))
    values = np.asarray(axial.get_array())
    assert set(np.unique(values.round(3))) == {0.0, 20.0}
    # LPS: the patient's right, lower x, is on the left of the picture.
    assert values[values.shape[0] // 2, 2] == pytest.approx(20.0)
    assert values[values.shape[0] // 2, -2] == 0.0


def test_a_difference_needs_a_planned_dose(maps):
    with pytest.raises(ValueError, match="no planned dose; register the plan"):
        difference_figure(maps, "liver", lesions=())


def test_the_agreement_shows_each_lesion_and_the_limits(both):
    left, right = agreement_figure(both.before_after).axes
    assert left.collections[0].get_offsets().tolist() == [[210.0, 190.5], [230.0, 231.0], [310.0, 300.0]]
    assert right.collections[0].get_offsets().tolist()[0] == [pytest.approx(200.25), pytest.approx(-19.5)]
    levels = {line.get_ydata()[0] for line in right.lines}
    assert {-12.5, -60.0, 35.0, 0.0} <= levels
    few = dataclasses.replace(both.before_after, lesions=LesionAgreement(count=2, note="too few"))
    with pytest.raises(ValueError, match="at least three lesions"):
        agreement_figure(few)


@pytest.mark.parametrize("factor", [0.4, 2.5])
def test_neither_histogram_is_truncated(vois, factor):
    planned = {
        "lesion 1": {
            "dvh_dose_gy": [factor * dose for dose in vois[3].dvh_dose_gy],
            "dvh_volume_percent": list(vois[3].dvh_volume_percent),
        }
    }
    (axes,) = dvh_figure([vois[3]], planned).axes
    longest = max(float(np.max(line.get_xdata())) for line in axes.lines)
    assert longest == pytest.approx(120 * max(factor, 1.0))
    assert axes.get_xlim()[1] >= longest


@pytest.mark.slow
def test_the_folder_has_the_warped_dose_the_difference_and_the_transform(both, registered, tmp_path):
    write_results(tmp_path, both, registered, pdf=False, plan_page="<p>page</p>")
    difference = io.read_nifti(tmp_path / "dose-difference.nii.gz").volume
    assert difference.array[5, 11, 10] == pytest.approx(20.0)
    assert difference.array[20, 11, 10] == 0.0
    assert io.read_nifti(tmp_path / "planned-dose.nii.gz").volume.geometry.matches(registered.geometry)
    assert (tmp_path / "plan-transform.h5").is_file()
    assert (tmp_path / "plan-registration.html").read_text() == "<p>page</p>"
