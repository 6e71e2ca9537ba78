"""report.html on paper: printed by Chromium to A4 and read again by poppler, page by page."""

import dataclasses
import re
import subprocess
from typing import NamedTuple
from xml.etree import ElementTree

import matplotlib.image
import numpy as np
import pytest
from interval_record import pictured, with_intervals
from matplotlib.figure import Figure
from scipy import ndimage

from sirtjax.reports import report_html
from sirtjax.reports._figures import figure_png
from sirtjax.reports._format import number as printed_number
from sirtjax.reports._format import percent
from sirtjax.workflows import MaskResult, VoiResult

pytestmark = pytest.mark.clinic

CHROMIUM = "/usr/bin/chromium"
A4_PT, MARGIN_PT = (595.3, 841.9), 14 / 25.4 * 72
# Half a point of rounding, and the side bearing of a letter.
ROUNDING_PT = 2.0
WORD = "{http://www.w3.org/1999/xhtml}word"
PAGE = "{http://www.w3.org/1999/xhtml}page"
LONG = "Segment-IVa/b_HCC_recurrence-after-ablation(2019)_planningCT" * 2


class Word(NamedTuple):
    text: str
    page: int
    x: tuple[float, float]
    y: tuple[float, float]


@pytest.fixture
def printed(tmp_path):
    """A function that prints a page: its words with their places in points, and its pages as pictures."""

    def print_page(text):
        (tmp_path / "report.html").write_text(text, encoding="utf-8")
        pdf = tmp_path / "report.pdf"
        browser = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser += [f"--user-data-dir={tmp_path / 'profile'}", "--no-pdf-header-footer", f"--print-to-pdf={pdf}"]
        subprocess.run([*browser, str(tmp_path / "report.html")], check=True, capture_output=True, timeout=180)
        subprocess.run(["pdftoppm", "-r", "72", "-png", pdf, tmp_path / "page"], check=True, timeout=180)
        boxes = subprocess.run(["pdftotext", "-bbox", pdf, "-"], check=True, capture_output=True, timeout=60)
        pages = ElementTree.fromstring(boxes.stdout).iter(PAGE)
        words = []
        for number, page in enumerate(pages):
            assert float(page.get("width")) == pytest.approx(A4_PT[0], abs=1)
            assert float(page.get("height")) == pytest.approx(A4_PT[1], abs=1)
            for word in page.iter(WORD):
                left, right, top, bottom = (float(word.get(key)) for key in ("xMin", "xMax", "yMin", "yMax"))
                words.append(Word(word.text, number, (left, right), (top, bottom)))
        return words, [matplotlib.image.imread(path) for path in sorted(tmp_path.glob("page-*.png"))]

    return print_page


def many(voi, count, name):
    """Lesions with numbers that tell their rows apart."""
    return tuple(
        dataclasses.replace(
            voi,
            name=f"{name}{n}",
            volume_ml=3.0 + n / 10,
            mean_gy=201.0 + n,
            multi_compartment_mean_gy=301.0 + n,
            d_gy={x: 400.0 + n + 100 * m for m, x in enumerate(("98", "95", "70", "50", "2"))},
            v_percent={"70": 99.9, "90": 80 - n / 4, "205": 31 + n / 4, "120": 0.123, "75": 12.3, "100": 45.6},
        )
        for n in range(count)
    )


@pytest.fixture(params=["many", "long", "verification"])
def case(request, result, maps):
    """A result and its maps: with forty lesions, with names of 120 letters, and beside a plan."""
    template = result.vois[3]
    count, name = {"many": (40, "lesion "), "long": (12, LONG)}.get(request.param, (3, "lesion "))
    lesions = many(template, count, name)
    vois = (result.vois[0], result.vois[1], *lesions, result.vois[-1])
    weights = {"lungs": maps.occupancy["lungs"], "normal liver": maps.occupancy["liver"]}
    weights |= {voi.name: maps.occupancy["lesion 1"] for voi in lesions} | {"liver": maps.occupancy["liver"]}
    territory = LONG if request.param == "long" else "right"
    masks = tuple(
        MaskResult(
            name=voi.name, role="lesion", frame="diagnostic", origin=f"{voi.name}.nii.gz", volume_ml=voi.volume_ml,
            file="review/x/0002.nii.gz", sha256="ab" * 32, version=2, state="verified", reviewer="Dr. Longname",
            signed_at="2026-03-02T10:30:00+00:00", comment="",
        )
        for voi in lesions
    )  # fmt: skip
    changed = dataclasses.replace(
        result,
        vois=vois,
        masks=masks,
        injections=(dataclasses.replace(result.injections[0], territory=territory),),
    )
    if request.param == "verification":
        planned = {voi.name: dataclasses.asdict(voi) for voi in vois}
        changed = dataclasses.replace(changed, kind="verification", planned=planned)
    return changed, dataclasses.replace(maps, occupancy=weights)


def numbers(voi: VoiResult, levels):
    uptake = [] if voi.kind == "lungs" else [percent(voi.uptake_fraction)]
    values = [printed_number(voi.volume_ml, "mL"), *uptake]
    values += [printed_number(dose, "Gy") for dose in (voi.mean_gy, voi.multi_compartment_mean_gy)]
    values += [printed_number(voi.d_gy.get(x), "Gy") for x in ("98", "95", "70", "50", "2")]
    return values + [printed_number(voi.v_percent.get(level), "%") for level in levels]


def test_every_column_and_every_row_is_whole(case, printed):
    result, maps = case
    levels = ["70", "100", "90", "205", "120", "75"]
    # The even grey around the liver in the picture would look like a bar.
    black = figure_png(Figure(figsize=(4, 3), facecolor="black"))
    words, pages = printed(report_html(result, maps, pictures=[], summary_picture=black))
    for word in words:
        assert word.x[0] > MARGIN_PT - ROUNDING_PT and word.x[1] < A4_PT[0] - MARGIN_PT + ROUNDING_PT, word
        # A row that a page cuts through has letters in the margin.
        assert word.y[0] > MARGIN_PT - ROUNDING_PT and word.y[1] < A4_PT[1] - MARGIN_PT + ROUNDING_PT, word
    headers = ["D98", "D95", "D70", "D50", "D2", *(f"V{level}" for level in levels)]
    with_rows = set()
    for voi in result.vois:
        values = numbers(voi, levels)
        rows = [row for row in lines_with(words, values[0]) if holds(row, values)]
        assert rows, f"{voi.name}: no line of a page holds {values}"
        with_rows.add(rows[0][0].page)
    for page in with_rows:
        shown = [word.text for word in words if word.page == page]
        assert not [name for name in headers if name not in shown], f"page {page + 1}"
    for picture in pages:
        assert no_scrollbar(picture)


def lines_with(words, text):
    """The words beside each word of this text, from left to right."""
    for anchor in words:
        if anchor.text == text:
            line = [w for w in words if w.page == anchor.page and abs(w.y[0] - anchor.y[0]) < 1.5]
            yield sorted(line, key=lambda word: word.x)


def holds(line, values):
    """Whether these texts stand in the line in this order."""
    texts = iter(word.text for word in line)
    return all(value in texts for value in values)


def no_scrollbar(picture):
    """Whether no bar of one grey, 4 to 17 points high and an inch wide, is on the page outside of a picture."""
    grey = np.round(255 * np.asarray(picture)[..., :3]).astype(int)
    even = (np.ptp(grey, axis=-1) < 6) & (grey[..., 0] > 90) & (grey[..., 0] < 215)
    same = even[:, :-1] & even[:, 1:] & (np.abs(np.diff(grey[..., 0], axis=1)) < 2)
    bars, pictures = (ndimage.binary_opening(same, np.ones((height, 72))) for height in (4, 18))
    # The even margin of a picture has parts that are as low as a bar. They touch its higher parts.
    labels, count = ndimage.label(bars)
    return set(np.unique(labels[pictures])) >= set(range(1, count + 1))


def test_the_judge_finds_what_scrolls(printed, result, maps):
    # The page as it was: what is wider than the paper scrolls, and is cut off.
    page = report_html(result, maps, pictures=[])
    broken = re.sub(r"\.wide \{ overflow: visible; \}", ".wide { overflow-x: scroll; width: 300px; }", page)
    assert broken != page
    words, pages = printed(broken)
    assert not all(no_scrollbar(picture) for picture in pages)
    liver = numbers(result.vois[0], ["70", "100"])
    assert not [row for row in lines_with(words, liver[0]) if holds(row, liver)]


def test_the_summary_with_intervals_is_signed_on_its_page(printed, result, maps):
    made = with_intervals(result)
    means = dataclasses.replace(made, objectives=tuple(one for one in made.objectives if one.kind == "mean"))
    words, _ = printed(report_html(means, pictured(maps, means)))
    assert {word.page for word in words if word.text == "signature"} == {0}
