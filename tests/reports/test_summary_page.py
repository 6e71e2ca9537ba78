"""The first page of the PDF, read back by an independent program: it is one page, whole, on A4 and on US Letter."""

import dataclasses
import io
import re

import numpy as np
import pdfplumber
import pytest

from sirtjax.reports import _html, _pdf_content, report_pdf
from sirtjax.reports._figures import figure_png
from sirtjax.reports._format import column, number, with_unit
from sirtjax.reports._summary import summary_of
from sirtjax.workflows import (
    LiverFunctionRecord,
    LungShuntRecord,
    MaskResult,
    ObjectiveResult,
    RegionCounts,
    TreatmentRecord,
    VialRecord,
)

PAPERS = {"A4": (595.28, 841.89), "Letter": (612.0, 792.0)}
# What both papers show if A4 is printed on US Letter without scaling, or the reverse: their common area, centred.
COMMON = (595.28, 792.0)
LONG = "segment IVa/b, next to the middle hepatic vein, recurrence after ablation 2019 " * 2


@pytest.fixture(autouse=True)
def blank(monkeypatch):
    """Blank pictures of the right shape: drawing them is most of the time."""
    from matplotlib.figure import Figure

    def png(figure, *, dpi=20):
        return figure_png(Figure(figsize=figure.get_size_inches()), dpi=10)

    for module in (_html, _pdf_content):
        monkeypatch.setattr(module, "figure_png", png)


def filled(**changes):
    vial = VialRecord(
        territory="right <b>lobe</b>", lot="LOT-77", calibrated_mbq=3000.0, calibration_time="2026-03-01T12:00",
        vial_mbq=1500.0, vial_time="2026-03-04T04:06", expected_mbq=1500.0, residual_mbq=60.65,
        residual_fraction=0.04, residual_method="dose calibrator", delivered_mbq=1439.35,
    )  # fmt: skip
    liver = LiverFunctionRecord(
        date="2026-02-20", bilirubin_umol_per_l=14.0, bilirubin_as_stated="14 umol/L", albumin_g_per_l=38.0,
        albi=-2.47, albi_grade=2, child_pugh_class="A", child_pugh_points=5,
    )  # fmt: skip
    values = {"prescriber": "Dr. A. Prescriber", "physicist": "B. Physicist", "treatment_date": "2026-03-04"}
    return TreatmentRecord(**(values | {"liver_function": liver, "vials": (vial,)} | changes))


def grown(result, maps, *, lesions, name="lesion ", checks=None, territories=1):
    """The result with this many lesions of falling volume, checks and territories."""
    template = result.vois[3]
    vois = [dataclasses.replace(template, name=f"{name}{n}", volume_ml=90.0 - n) for n in range(lesions)]
    injections = tuple(
        dataclasses.replace(result.injections[0], territory=f"{name}territory {n}", limiting_objective=f"{name} {n}")
        for n in range(territories)
    )
    weights = maps.occupancy | {voi.name: maps.occupancy["lesion 1"] for voi in vois}
    changed = dataclasses.replace(
        result,
        vois=(*result.vois[:2], *vois, result.vois[-1]),
        injections=injections,
        checks=result.checks * (checks or 1),
        data_versions={"protocol": "own, schema 3, SHA-256 abc", "nuclide record": "y90-icrp107"},
    )
    return changed, dataclasses.replace(maps, occupancy={**weights, "lungs": maps.occupancy["lungs"]})


def flow(page):
    """The letters in the order of drawing, cell by cell."""
    return "".join(char["text"] for char in page.chars)


def read(pdf):
    with pdfplumber.open(io.BytesIO(pdf)) as opened:
        return [(page.width, page.height, page.extract_words(), page.images, flow(page)) for page in opened.pages]


def plain(text):
    return re.sub(r"\s+", "", text)


@pytest.mark.parametrize("paper", list(PAPERS))
@pytest.mark.parametrize(
    ("lesions", "name", "checks", "territories"),
    [(0, "lesion ", 1, 1), (1, "lesion ", 1, 1), (30, "lesion ", 1, 2), (30, LONG, 12, 4), (3, LONG, 30, 9)],
)
@pytest.mark.slow
def test_the_summary_is_one_whole_page_in_the_area_of_both_papers(
    result, maps, paper, lesions, name, checks, territories
):
    changed, images = grown(result, maps, lesions=lesions, name=name, checks=checks, territories=territories)
    changed = dataclasses.replace(changed, record=filled(paper=paper))
    pages = read(report_pdf(changed, images, identity=f"{LONG} name" if lesions == 3 else None))
    width, height = PAPERS[paper]
    edge_x, edge_y = (width - COMMON[0]) / 2, (height - COMMON[1]) / 2
    for found_width, found_height, words, pictures, _ in pages:
        assert (found_width, found_height) == (pytest.approx(width, abs=0.1), pytest.approx(height, abs=0.1))
        boxes = np.array([(one["x0"], one["top"], one["x1"], one["bottom"]) for one in [*words, *pictures]])
        # A quarter of an inch of the common area is free, which printers need.
        assert boxes[:, 0].min() > edge_x + 18 and boxes[:, 2].max() < width - edge_x - 18
        assert boxes[:, 1].min() > edge_y + 18 and boxes[:, 3].max() < height - edge_y - 18
        overlapping(words)
    first, second = plain(pages[0][4]), plain(pages[1][4])
    for text in ("Prescribing physician", "Medical physicist", "signature", "normal liver", "lungs", "Checks:"):
        assert plain(text) in first, text
    assert "Prescribingphysiciandate" not in second and "Activities" in second
    # Every lesion has a row, or is counted with the page that lists it.
    shown = sum(voi.kind == "lesion" and plain(number(voi.volume_ml, "mL")) in first for voi in changed.vois)
    hidden = re.search(r"(\d+)morelesions?onpage(\d+)", first)
    assert shown + (int(hidden[1]) if hidden else 0) == lesions
    if hidden:
        assert plain("Doses per VOI") in plain(pages[int(hidden[2]) - 1][4])
    rows = len(re.findall(r"850300900", first))
    others = re.search(r"(\d+)moreterritor(?:y|ies)onpage(\d+)", first)
    assert rows + (int(others[1]) if others else 0) == territories
    if others:
        assert "Activities" in plain(pages[int(others[2]) - 1][4])
    serious = sum(check.severity != "info" for check in changed.checks)
    listed = len(re.findall(r"SJ\d{3}(?:error|warning)", first))
    more = re.search(r"(\d+)moreproblems?onpage(\d+)", first)
    assert listed + (int(more[1]) if more else 0) == serious
    if more:
        assert "Checks" in plain(pages[int(more[2]) - 1][4])


def overlapping(words):
    boxes = np.array([(w["x0"], w["top"], w["x1"], w["bottom"]) for w in words])
    left, top, right, bottom = boxes.T
    apart = (right[:, None] < left + 0.3) | (bottom[:, None] < top + 0.6)
    over = ~(apart | apart.T) & ~np.eye(len(boxes), dtype=bool)
    assert not over.any(), [words[n]["text"] for n in np.argwhere(over)[0]]


@pytest.mark.slow
def test_both_papers_have_the_same_pages(result, maps):
    found = {}
    for paper in PAPERS:
        changed = dataclasses.replace(result, record=filled(paper=paper))
        found[paper] = [page[4] for page in read(report_pdf(changed, maps))]
    assert found["A4"] == found["Letter"]


@pytest.mark.slow
def test_every_page_states_its_origin(result, maps):
    changed, images = grown(result, maps, lesions=30)
    pages = read(report_pdf(changed, images))
    assert len(pages) > 3
    for n, (*_, text) in enumerate(pages, start=1):
        for said in (
            "TEST-01", f"page {n} of {len(pages)}", "sirtjax 0.1.0", "protocol own, schema 3, SHA-256 abc",
            "nuclide record y90-icrp107", "computed 2026-03-02 10:30 UTC", "not a medical device",
        ):  # fmt: skip
            assert plain(said) in plain(text), (n, said)


@pytest.mark.slow
def test_the_record_is_printed_and_what_is_missing_is_a_line(result, maps):
    shunt = LungShuntRecord(
        0.0812, "planar", "geometric mean", ("a.nii", "b.nii"),
        (RegionCounts("lungs", 47203.0, 43821.0, 50846.0), RegionCounts("liver", 534328.0, 576314.0, 495400.0)),
    )  # fmt: skip
    full = dataclasses.replace(result, record=filled(imaging_dates={"activity": "2026-02-25"}), lung_shunt=shunt)
    text = plain("".join(page[4] for page in read(report_pdf(full, maps))))
    for said in (
        "Dr. A. Prescriber", "B. Physicist", "LOT-77", "2026-03-01 12:00", "-2.47, grade 2", "A (5 points)",
        "14 umol/L", "38.0 g/L", "47203 (anterior 43821, posterior 50846)", "a.nii, b.nii", "2026-02-25",
        "dose calibrator", "1439", "JCO.2014.57.9151",
    ):  # fmt: skip
        assert plain(said) in text, said
    empty = plain("".join(page[4] for page in read(report_pdf(result, maps))))
    assert empty.count("____") > text.count("____") and "None" not in empty and "ALBI" in empty


def mask(name, state, reviewer):
    return MaskResult(
        name=name, role="liver", frame="activity", origin="a.nii", volume_ml=10.0, file="a.nii", sha256="ab", version=1,
        state=state, reviewer=reviewer, signed_at="2026-03-02T10:30:00+00:00", comment="",
    )  # fmt: skip


def test_limits_are_not_said_to_be_kept_if_one_is_exceeded(result):
    second = dataclasses.replace(result.injections[0], territory="left")
    limit = ObjectiveResult(
        name="mean(normal liver) <= 75 Gy", voi="normal liver", role="whole_normal", direction="at most", kind="mean",
        purpose="bound", dose_gy=75.0, volume_fraction=None, cumulative=False, value_gy=60.0, value_fraction=None,
        met=True, source="written for tests",
    )  # fmt: skip
    several = dataclasses.replace(result, injections=(*result.injections, second), objectives=(limit,))
    assert "keep the limits" in summary_of(several, "P1").activity_note
    exceeded = dataclasses.replace(several, objectives=(dataclasses.replace(limit, met=False),))
    assert summary_of(exceeded, "P1").activity_note.endswith("Alone: if no other territory is treated.")


def test_the_status_follows_the_signatures(result):
    signed = tuple(mask(f"m{n}", "verified", "Dr. R") for n in range(3))
    cases = {
        "ok": dataclasses.replace(result, masks=signed),
        "warning": dataclasses.replace(result, masks=(*signed, mask("m4", "given", None))),
        "error": dataclasses.replace(result, masks=signed, unreviewed_masks=("the liver is a draft",)),
    }
    for level, one in cases.items():
        assert summary_of(one, "P").level == level
    assert "all 3 masks are signed by Dr. R" in summary_of(cases["ok"], "P").status
    assert "3 of 4 masks are signed" in summary_of(cases["warning"], "P").status


def test_lesions_that_miss_their_target_come_first(verification, maps):
    small = dataclasses.replace(verification.vois[3], name="small", volume_ml=500.0)
    changed = dataclasses.replace(verification, vois=(*verification.vois, small))
    names = [row[0] for row in summary_of(changed, "P").lesion_rows]
    # Lesion 1 misses a target; the other two have none and are ordered by volume.
    assert names == ["lesion 1", "small", '../seg & "2"']


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (1234.5, "MBq", "1234"), (99.96, "MBq", "100"), (99.94, "MBq", "99.9"), (9.996, "MBq", "10.0"),
        (1.234, "MBq", "1.23"), (0.0, "MBq", "0"), (0.004, "MBq", "< 0.01"),
        (246.5, "Gy", "246"), (99.95, "Gy", "100"), (90.0, "Gy", "90.0"), (0.04, "Gy", "< 0.1"), (0.06, "Gy", "0.1"),
        (-0.02, "Gy", "> -0.1"), (-12.34, "Gy", "-12.3"), (float("nan"), "Gy", "–"), (float("inf"), "Gy", "–"),
        (None, "Gy", "–"), (8.123, "%", "8.1"), (100.0, "%", "100"), (12.3456, "mL", "12.3"), (0.31, "mL", "0.31"),
        (2.999, "ratio", "3.00"), (12.34, "ratio", "12.3"), (0.0123456, "1/Gy", "0.0123"),
    ],
)  # fmt: skip
def test_digits(value, unit, expected):
    assert number(value, unit) == expected
    assert with_unit(value, unit) == (expected if expected == "–" else f"{expected} {unit}")


def test_a_printed_number_is_within_half_a_digit():
    rng = np.random.default_rng(0)
    for unit, steps in (("Gy", (0.1, 1)), ("MBq", (0.01, 0.1, 1)), ("mL", (0.01, 0.1, 1)), ("%", (0.1, 1))):
        for value in 10 ** rng.uniform(-1.2, 4, 400):
            text = number(float(value), unit)
            if not text.startswith("<"):
                digits = len(text.partition(".")[2])
                assert any(10.0**-digits == pytest.approx(step) for step in steps)
                assert abs(float(text) - value) <= 0.5 * 10.0**-digits * (1 + 1e-9)
                assert digits <= 2 and (digits == 0 or float(text) < 100)


def test_columns_take_the_unit_of_their_title():
    assert column("D95 kernel (Gy)", 0.00715) == "< 0.1" and column("V70 (%)", 67.44) == "67.4"
    assert column("T/N", 2.9) == "2.90" and column("VOI", "liver") == "liver" and column("D70", 61.55) == "61.5"


def test_names_of_staff_are_in_no_property_of_the_file(result, maps):
    pdf = report_pdf(dataclasses.replace(result, record=filled()), maps)
    with pdfplumber.open(io.BytesIO(pdf)) as opened:
        assert opened.metadata == {"Title": "SIRT treatment plan · TEST-01", "Creator": "sirtjax"}
    assert "Prescriber" not in _html.page_footer(result)
