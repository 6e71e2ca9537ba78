"""Intervals in page, PDF and CSV: the numbers of the record, read back by other programs, and records to refuse."""

import csv
import dataclasses
import io
import math
import re
from html.parser import HTMLParser

import numpy as np
import pdfplumber
import pytest
from interval_record import SMALL, VOLUMES, interval, pictured, refused, row, with_intervals

from sirtjax.reports import report_html, report_pdf
from sirtjax.reports._certainty import certainty_lines, largest_source, widest_row
from sirtjax.reports._interval_activities import activity_figure, activity_rows
from sirtjax.reports._interval_bands import bands_of
from sirtjax.reports._interval_budget import budget_parts, budgets_of
from sirtjax.reports._interval_csv import intervals_csv
from sirtjax.reports._interval_section import band_caption
from sirtjax.reports._interval_text import interval_text, range_text, shown_interval
from sirtjax.reports._interval_verdicts import band_points, probability_above, verdicts_of

Z = 1.6448536269514722


class Tables(HTMLParser):
    """The cells of every table of a page, by an independent parser."""

    def __init__(self, page):
        super().__init__()
        self.tables, self.cell = [], None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.cell = ""

    def handle_data(self, text):
        if self.cell is not None:
            self.cell += text

    def handle_endtag(self, tag):
        if tag in ("td", "th") and self.cell is not None:
            self.tables[-1][-1].append(self.cell.strip())
            self.cell = None

    def having(self, *titles):
        """The rows of the first table with these column titles, by column."""
        found = next(table for table in self.tables if table and set(titles) <= set(table[0]))
        return [dict(zip(found[0], cells, strict=True)) for cells in found[1:]]


@pytest.fixture
def planned(result, maps):
    made = with_intervals(result)
    return made, pictured(maps, made)


@pytest.fixture
def page(planned):
    return report_html(*planned, pictures=[])


def changed(result, **fields):
    return dataclasses.replace(result, uncertainty=dataclasses.replace(result.uncertainty, **fields))


def replaced(result, voi, metric, **fields):
    """The result with another interval of one metric."""
    rows = [
        dataclasses.replace(one, interval=dataclasses.replace(one.interval, **fields))
        if (one.voi, one.metric) == (voi, metric)
        else one
        for one in result.uncertainty.rows
    ]
    return changed(result, rows=tuple(rows))


def test_the_tables_of_vois_have_the_intervals_of_the_record(planned, page):
    found = planned[0].uncertainty
    title = "D70, best estimate (5 to 95 %) (Gy)"
    for table in (Tables(page).having("volume (mL)", "objectives", title), Tables(page).having("uptake (%)", title)):
        cells = {one["VOI"]: one for one in table}
        for name in ("lesion 1", "lesion 2", "lesion 3"):
            for metric in ("mean", "D70"):
                known = found.row(name, metric).interval
                text = f"{known.median:.0f} ({known.lower:.0f} to {known.upper:.0f})"
                assert cells[name][f"{metric}, best estimate (5 to 95 %) (Gy)"] == text
        assert cells["lesion 4"][title] == "no interval"
        assert cells["normal liver"]["mean, best estimate (5 to 95 %) (Gy)"] == "34.9 (30.1 to 40.5)"
        assert cells["lungs"][title] == "–"
    assert page.count(SMALL) >= 2


def test_the_digits_of_an_interval_are_those_of_its_upper_end():
    assert interval_text(interval(101.0, 0.06), "Gy") == "101 (92 to 111)"
    assert interval_text(interval(0.04, 0.3), "Gy") == "< 0.1 (< 0.1 to 0.1)"
    assert interval_text(interval(1234.4, 0.1), "MBq") == "1234 (1047 to 1455)"
    # An end next to the limit is on its side of the limit.
    assert range_text(150.0, 205.02, "Gy", limit=205.0) == "150.00 to 205.02"
    assert range_text(150.0, 205.6, "Gy", limit=205.0) == "150 to 206"


@pytest.mark.parametrize("target", [120.0, 170.0, 212.0, 240.0])
def test_a_probability_is_that_of_samples(target):
    known = interval(212.0, 0.16)
    samples = np.exp(np.random.default_rng(0).normal(math.log(212.0), 0.16, 200_000))
    found = probability_above(target, (known.lower, known.median, known.upper), 0.9)
    assert found == pytest.approx(float((samples > target).mean()), abs=0.005)
    # Each side has its own width.
    assert probability_above(150.0, (100.0, 200.0, 210.0), 0.9) == pytest.approx(0.7526, abs=2e-3)
    assert probability_above(10.0, (0.0, 0.0, 20.0), 0.9) is None


def test_targets_and_limits_are_certain_only_outside_their_interval(planned, page):
    result = planned[0]
    found = {one.objective.voi: one.certainty for one in verdicts_of(result)}
    assert found == {
        "lesion 1": "met", "lesion 2": "open", "lesion 3": "open", "lesion 4": "no interval", "normal liver": "met",
        "lungs": "met",
    }  # fmt: skip
    cells = {one["dose"]: one for one in Tables(page).having("certainty")}
    assert cells["lesion 2, D70"]["certainty"] == "not certain"
    assert cells["lesion 2, D70"]["5 to 95 %"] == "163 to 276 Gy"
    assert cells["lesion 2, D70"]["likely to be met"] == "about 60 %"
    assert cells["lesion 2, D70"]["without correction"] == "not met"
    assert cells["lungs, mean"]["certainty"] == "certainly met"
    worse = replaced(result, "lungs", "mean", lower=31.0, median=40.0, upper=50.0)
    assert next(one for one in verdicts_of(worse) if one.objective.voi == "lungs").certainty == "not met"
    assert certainty_lines(worse)[0].label == "certainly not met"
    assert "without correction met" in certainty_lines(worse)[0].text


def test_earlier_treatments_are_added_to_both_ends(planned):
    result = planned[0]
    earlier = [
        dataclasses.replace(one, cumulative=True, value_gy=one.value_gy + 20.0, dose_gy=55.0)
        if one.voi == "normal liver"
        else one
        for one in result.objectives
    ]
    found = next(
        one
        for one in verdicts_of(dataclasses.replace(result, objectives=tuple(earlier)))
        if one.objective.voi == "normal liver"
    )
    known = result.uncertainty.row("normal liver", "mean").interval
    assert (found.lower_gy, found.upper_gy) == pytest.approx((known.lower + 20.0, known.upper + 20.0))
    assert found.certainty == "open"


def test_the_summary_has_at_most_seven_lines_and_names_the_largest_source(planned, page):
    lines = {one.label: one.text for one in certainty_lines(planned[0])}
    assert len(lines) <= 7 and "How certain is this plan?" in page
    assert lines["not certain"].startswith("lesion 3, D70 125 to 324 Gy (target 205 Gy, about 45 % likely to be met)")
    assert "mean of normal liver (limit 75 Gy)" in lines["certainly met"]
    assert lines["no interval"] == f"lesion 4 ({SMALL})."
    assert "lesion 3, D70: 125 to 324 Gy. Largest source: position of the image, 58 %" in lines["main source"]
    # A first-order fraction of 0.58 leaves sqrt(0.42) of the width.
    assert "35 % narrower" in lines["main source"]
    assert (
        "4 of 8 errors that the intervals contain have an assumed size" in lines["basis"]
        and "the simulated ones are shown" in lines["basis"]
    )
    assert "at least 95 % likely" in lines["basis"] and "3 effects are not included" in lines["basis"]
    assert "Prescribed activities and all other doses are not." in lines["correction"]
    # What is certain comes before the doses.
    assert page.index("How certain is this plan?") < page.index('<figure><img alt="Axial slice')
    assert widest_row(planned[0].uncertainty).voi == "lesion 3"
    # The D70 of normal liver, at the border of the treated part, is no result to improve.
    wide = replaced(planned[0], "normal liver", "D70", lower=1.0, upper=200.0)
    assert widest_row(wide.uncertainty).voi == "lesion 3"
    assert largest_source(interval(1.0, 0.1, budget={"a": -0.1, "b": math.nan})) == ("a", 0.0)
    many = certainty_lines(with_intervals(planned[0], lesions=12))
    assert len(many) <= 7 and "D70 of lesion 1, lesion 5, lesion 7 and 2 more" in many[1].text


def test_the_main_source_is_that_of_the_result_that_is_not_certain(planned):
    """Lesion 3 has the widest interval, but reaches its target for certain; only the normal liver is open."""
    result = planned[0]
    for name in ("lesion 2", "lesion 3"):
        result = replaced(result, name, "D70", lower=1e3, median=1e4, upper=1e5)
    bands = [
        dataclasses.replace(
            band, lower_gy=[1e3] * 3, middle_gy=[1e4] * 3, upper_gy=[1e5] * 3, volume_percent=[0, 50, 100]
        )
        if band.voi in ("lesion 2", "lesion 3")
        else band
        for band in result.uncertainty.histograms
    ]
    result = changed(result, histograms=tuple(bands))
    certain = {one.label: one.text for one in certainty_lines(result)}
    assert certain["widest interval"].startswith("lesion ") and "main source" not in certain
    open_liver = replaced(
        result, "normal liver", "mean", lower=60.0, median=70.0, upper=80.0, budget={"residual": 0.75}
    )
    lines = {one.label: one.text for one in certainty_lines(open_liver)}
    assert lines["main source"] == (
        "normal liver, mean: 60.0 to 80.0 Gy. Largest source: residual activity, 75 % of the variance. If this "
        "source were known exactly, the interval would be about 50 % narrower."
    )


def test_the_largest_effect_of_the_correction_is_named(planned):
    row_of = planned[0].uncertainty.row("lesion 2", "mean")
    inside = replaced(planned[0], "lesion 2", "mean", lower=0.9 * row_of.value, median=row_of.value, upper=9e3)
    beyond = replaced(planned[0], "lesion 2", "mean", lower=3 * row_of.value, median=5 * row_of.value, upper=9e3)
    texts = [{row.label: row.text for row in certainty_lines(one)}["correction"] for one in (inside, beyond)]
    before, after = row_of.value, 5 * row_of.value
    named = [f"The correction changes lesion 2 most: a mean of {before:.0f} Gy becomes {after:.0f} Gy."]
    assert named[0] in texts[1] and named[0] not in texts[0] and "changes lesion 2" not in texts[0]


def test_linear_and_simulated_are_next_to_each_other_where_they_differ(planned, page):
    rows = Tables(page).having("linear (wrong here)")
    known = planned[0].uncertainty.row("lesion 3", "D70").interval
    assert [one["VOI"] for one in rows] == ["lesion 3"]
    assert float(rows[0]["linear (wrong here)"]) == pytest.approx(known.linear_standard_deviation, rel=0.01)
    assert float(rows[0]["simulated (correct)"].split()[0]) == pytest.approx(known.standard_deviation, rel=0.01)


def test_sources_have_size_evidence_and_origin(page):
    rows = {one["source"]: one for one in Tables(page).having("source", "evidence", "origin")}
    place = rows["position of the image"]
    assert place["standard deviation"] == "2 / 2 / 5 mm (left-right, front-back, head-feet)"
    assert place["origin"] == "fit to the image, <i>plus</i> motion" and "<i>plus" not in page
    assert rows["activity calibration"]["standard deviation"] == "7.8 %"
    assert rows["activity calibration"]["origin"].endswith("(preset y90-published)")
    assert rows["contours"] | {"evidence": "assumed"} == rows["contours"]
    assert rows["dose kernel"]["standard deviation"] == "0: not included"
    assert "Rotation and deformation between image and contours are not included." in page
    assert "no uncertainty of lung mass." in page


def test_a_budget_is_sorted_and_complete(planned):
    parts = budget_parts(interval(1.0, 0.1))
    single = [part.fraction for part in parts if part.single]
    assert single == sorted(single, reverse=True) and parts[0].label == "position of the image"
    assert parts[-1].label == "not attributed" and not parts[-1].single
    assert sum(part.fraction for part in parts) == pytest.approx(1.0)
    # Fractions below 0, or above 1 together, show the error of the budget: only what exceeds it twice has a bar.
    noisy = {"calibration": 0.635, "counts": -0.27, "contours": 0.18}
    assert [part.label for part in budget_parts(interval(1.0, 0.1, budget=noisy))] == [
        "activity calibration",
        "not attributed",
    ]
    shifted = {"calibration": 0.64, "lung_shunt": 0.47} | dict.fromkeys(("counts", "contours", "density"), 0.107)
    assert [part.label for part in budget_parts(interval(1.0, 0.1, budget=shifted))][:2] == [
        "activity calibration",
        "lung shunt",
    ]
    unclear = replaced(planned[0], "lesion 3", "D70", budget={"contours": 0.18, "counts": -0.17})
    assert "No source stands out" in " ".join(line.text for line in certainty_lines(unclear))
    assert budget_parts(interval(1.0, 0.1, budget={"contours": math.nan})) == ()
    titles = [budget.title for budget in budgets_of(planned[0])]
    assert titles[:3] == ["lesion 1, D70", "lesion 2, D70", "lesion 3, D70"] and "lungs, mean" in titles


def test_bounds_are_certain_only_beside_the_activity(planned):
    lines = {one.label: one for one in activity_rows(planned[0], "right", 1500.0)}
    assert lines["D70%(lesion 1) >= 205 Gy"].verdict == "certainly met"
    assert lines["D70%(lesion 2) >= 205 Gy"].verdict == "not certain"
    assert lines["D70%(lesion 4) >= 205 Gy"].verdict.startswith("no interval")
    assert lines["mean(normal liver) <= 75 Gy"].verdict == "certainly met"
    more = {one.label: one for one in activity_rows(planned[0], "right", 9000.0)}
    assert more["mean(normal liver) <= 75 Gy"].verdict == "certainly not met"
    assert activity_rows(planned[0], "left", 1500.0) == ()


def test_a_bound_that_territories_share_is_judged_by_the_dose_of_all_injections(planned):
    """The interval of the normal liver contains its limit: each territory alone would be far below."""
    result = replaced(planned[0], "normal liver", "mean", lower=60.0, median=70.0, upper=80.0)
    shared = next(one for one in result.uncertainty.bounds if one.name == "mean(normal liver) <= 75 Gy")
    both = changed(result, bounds=(*result.uncertainty.bounds, dataclasses.replace(shared, territory="left")))
    for name, activity in (("right", 100.0), ("left", 100.0)):
        lines = {one.label: one for one in activity_rows(both, name, activity)}
        assert lines["mean(normal liver) <= 75 Gy"].verdict == "not certain"
    alone = {one.label: one for one in activity_rows(result, "right", 100.0)}
    assert alone["mean(normal liver) <= 75 Gy"].verdict == "certainly met"


@pytest.mark.parametrize(
    "wrong",
    [
        {"lower": 300.0, "upper": 150.0},
        {"lower": 111.5, "median": 97.5},
        {"upper": math.nan},
        {"lower": -4.5},
        {"upper": math.inf},
    ],
)
def test_an_interval_that_contradicts_itself_is_not_printed(planned, wrong):
    result, maps = planned
    broken = replaced(result, "lesion 1", "mean", **wrong)
    text = report_html(broken, maps, pictures=[])
    cells = {one["VOI"]: one for one in Tables(text).having("uptake (%)")}
    assert cells["lesion 1"]["mean, best estimate (5 to 95 %) (Gy)"] == "no interval"
    assert "its record contradicts itself" in text
    assert not re.search(r">[^<]*\b(nan|inf)\b", text, re.IGNORECASE)


def test_a_band_that_contradicts_itself_is_not_drawn(planned):
    result = planned[0]
    first, *others = result.uncertainty.histograms
    crossed = dataclasses.replace(first, lower_gy=first.upper_gy, upper_gy=first.lower_gy)
    short = dataclasses.replace(first, lower_gy=first.lower_gy[:-1])
    for wrong in (crossed, short):
        broken = changed(result, histograms=(wrong, *others))
        assert "lesion 1" not in [voi.name for voi, _ in bands_of(broken)]
        assert next(one for one in verdicts_of(broken) if one.objective.voi == "lesion 1").certainty == "no interval"
        assert band_caption(broken).endswith("Without interval, and not shown: lesion 1, lesion 4.")
    assert band_caption(result).endswith("Without interval, and not shown: lesion 4.")
    assert "Cross: dose and volume" in band_caption(result)
    means = tuple(one for one in result.objectives if one.volume_fraction is None)
    assert "Cross" not in band_caption(dataclasses.replace(result, objectives=means))
    # From the first dose on that rises with the volume, the band is none: at 90 % of the volume, 50 kGy.
    rising = dataclasses.replace(
        first,
        upper_gy=tuple(5e4 if volume >= 90.0 else dose for volume, dose in zip(VOLUMES, first.upper_gy, strict=True)),
    )
    assert max(point[0] for point in band_points(rising)) == 88.0
    # A point without a number is omitted.
    gap = dataclasses.replace(first, upper_gy=(math.nan, *first.upper_gy[1:]))
    kept = changed(result, histograms=(gap, *others))
    assert next(one for one in verdicts_of(kept) if one.objective.voi == "lesion 1").certainty == "met"


@pytest.mark.slow
def test_the_summary_does_not_call_an_open_target_met(planned):
    result = planned[0]
    # Without correction, lesions 1 and 2 meet 180 Gy and lesion 3 does not. The interval of lesion 2 begins below.
    lower = [
        dataclasses.replace(one, dose_gy=180.0, met=one.value_gy >= 180.0) if one.direction == "at least" else one
        for one in result.objectives
    ]
    changed = dataclasses.replace(result, objectives=tuple(lower))
    rows = {
        one["VOI"]: one for one in Tables(report_html(changed, planned[1], pictures=[])).having("VOI", "objectives")
    }
    assert rows["lesion 1"]["objectives"] == "certainly met" and rows["lesion 2"]["objectives"] == "not certain"
    assert (
        rows["lesion 3"]["objectives"] == "not met uncorrected"
        and rows["normal liver"]["objectives"] == "certainly met"
    )
    assert {"mean, uncorrected (Gy)", "D70, uncorrected (Gy)"} <= set(rows["lesion 1"])
    # A dose whose whole interval is on the wrong side is not met, whatever the dose without correction says.
    worse = [dataclasses.replace(one, dose_gy=5.0, met=True) if one.voi == "lungs" else one for one in lower]
    found = report_html(dataclasses.replace(result, objectives=tuple(worse)), planned[1], pictures=[])
    lungs = next(one for one in Tables(found).having("VOI", "objectives") if one["VOI"] == "lungs")
    assert lungs["objectives"] == "certainly not met"


def test_the_summary_names_the_dose_without_interval(planned):
    """A lesion with a cold core keeps the interval of its mean dose."""
    result = planned[0]
    rows = [
        dataclasses.replace(one, interval=None, status="no interval", reason="a cold core")
        if (one.voi, one.metric) == ("lesion 2", "D70")
        else one
        for one in result.uncertainty.rows
    ]
    changed = dataclasses.replace(result, uncertainty=dataclasses.replace(result.uncertainty, rows=tuple(rows)))
    text = next(one.text for one in certainty_lines(changed) if one.label == "no interval")
    assert "D70 of lesion 2 (a cold core)" in text and "lesion 4" in text and "D70 of lesion 4" not in text


def test_without_intervals_nothing_is_printed(result, maps, planned):
    text = report_html(result, maps, pictures=[])
    for word in ("How certain", "Intervals of doses", "5 to 95 %", "no interval"):
        assert word not in text
    assert certainty_lines(result) == ()


def test_refused_intervals_are_their_message(planned):
    result, maps = refused(planned[0]), planned[1]
    text = report_html(result, maps, pictures=[])
    assert text.count("Intervals were not computed: the activity image has no resolution.") == 2
    assert "best estimate" not in text and "Sources of uncertainty" not in text
    with pdfplumber.open(io.BytesIO(report_pdf(result, maps, pictures=[]))) as pdf:
        printed = " ".join(each.extract_text() for each in pdf.pages)
    assert printed.count("Intervals were not computed") == 2


@pytest.mark.parametrize(
    ("lesions", "name"), [(4, "lesion "), (12, "segment IVa/b, next to the middle hepatic vein, ")]
)
@pytest.mark.slow
def test_the_pdf_has_the_same_content_and_its_summary_is_one_page(result, maps, lesions, name):
    made = with_intervals(result, lesions=lesions, name=name)
    with pdfplumber.open(io.BytesIO(report_pdf(made, pictured(maps, made), pictures=[]))) as pdf:
        first, *others = (re.sub(r"\s+", "", "".join(char["text"] for char in page.chars)) for page in pdf.pages)
        words = {word["text"].lower() for page in pdf.pages for word in page.extract_words()}
    for text in ("Howcertainisthisplan?", "notcertain", "certainlymet", "meanofnormalliver(limit75Gy)"):
        assert text in first
    assert "Prescribingphysician" in first and "MedicalPhysicist".lower() in first.lower()
    rest = "".join(others)
    for text in ("312(260to374)", "positionoftheimage", "linear(wronghere)", "4275to6556", "Largestsources"):
        assert text in rest
    assert not words & {"nan", "inf", "none"}


def test_a_verification_asks_for_its_doses(verification, maps):
    made = with_intervals(dataclasses.replace(verification, before_after=None), lesions=3)
    text = report_html(made, pictured(maps, made), pictures=[])
    assert "How certain are these doses?" in text and "delivered activity" in text
    assert "planned mean (Gy)" in text and "312 (260 to 374)" in text


def test_the_table_for_programs_has_every_digit(planned):
    found = planned[0].uncertainty
    rows = list(csv.DictReader(io.StringIO(intervals_csv(found))))
    assert len(rows) == len(found.rows) + len(found.bounds) + len(found.activities)
    one = next(cells for cells in rows if (cells["name"], cells["metric"]) == ("lesion 3", "D70"))
    known = found.row("lesion 3", "D70").interval
    assert float(one["lower"]) == pytest.approx(known.lower, rel=1e-5)
    assert float(one["budget_registration"]) == pytest.approx(0.58) and one["differs"] == "yes"
    small = next(cells for cells in rows if cells["name"] == "lesion 4")
    assert small["status"] == "no interval" and small["lower"] == "" and small["reason"] == SMALL
    bound = next(cells for cells in rows if cells["side"] == "upper" and "normal" in cells["metric"])
    assert bound["unit"] == "MBq" and float(bound["value"]) == pytest.approx(1500 * 75 / 36.2, rel=1e-5)
    assert "nan" not in intervals_csv(replaced(planned[0], "lesion 1", "mean", upper=math.nan).uncertainty)


def test_a_row_with_neither_interval_nor_reason_says_so():
    assert shown_interval(row("a", "lesion", "mean", 1.0, None)) == (None, "no reason stated")
    claimed = dataclasses.replace(row("a", "lesion", "mean", 1.0, None), status="interval")
    assert shown_interval(claimed) == (None, "its record contradicts itself")


def test_an_injection_that_the_optimum_omits_has_no_picture(planned):
    """Its axis would have no width."""
    result = planned[0]
    (right,) = result.injections
    omitted = dataclasses.replace(right, territory="left", activity_mbq=0.0)
    found = dataclasses.replace(
        result.uncertainty,
        bounds=(
            *result.uncertainty.bounds,
            *(
                dataclasses.replace(one, territory="left")
                for one in result.uncertainty.bounds
                if one.territory == "right"
            ),
        ),
    )
    figure = activity_figure(dataclasses.replace(result, injections=(right, omitted), uncertainty=found))
    assert [axes.get_title(loc="left") for axes in figure.axes] == [f"right: {right.activity_mbq:.0f} MBq"]
