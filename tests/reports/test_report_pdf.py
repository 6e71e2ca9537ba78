"""The PDF, as an independent program reads it: its words, where they are, pictures, fonts and properties."""

import base64
import dataclasses
import io
import os
import re
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pdfplumber
import pytest
from reportlab.platypus import Table

from sirtjax.reports import _html, _pdf_content, report_pdf
from sirtjax.reports._figures import figure_png
from sirtjax.reports._format import number as printed_number
from sirtjax.reports._pdf_layout import (
    AREA_HEIGHT,
    BAND,
    BOTTOM,
    MARGIN,
    PAPERS,
    TOP,
    document,
    key,
    paragraph,
    picture,
    section,
    table,
)
from sirtjax.workflows import RegistrationSummary, VolumeChange

PAGE_WIDTH, PAGE_HEIGHT = PAPERS["A4"]
# Every page uses the area that A4 and US Letter have in common.
EDGE = (PAGE_HEIGHT - AREA_HEIGHT) / 2
HEAD, FOOT = EDGE + TOP, PAGE_HEIGHT - EDGE - BOTTOM
LONG = "segment VII, next to the " + "very " * 30 + "long name of a lesion"


@pytest.fixture
def blank(monkeypatch):
    """Blank pictures: drawing them is most of the time."""
    from matplotlib.figure import Figure

    def png(figure, *, dpi=20):
        return figure_png(Figure(figsize=figure.get_size_inches()), dpi=5)

    for module in (_html, _pdf_content):
        monkeypatch.setattr(module, "figure_png", png)


@dataclass(frozen=True)
class Page:
    """One page: its characters in the order of drawing, and its words, pictures and filled boxes."""

    size: tuple
    chars: list
    stamp: str
    words: list
    images: list
    bands: list

    @property
    def text(self):
        return "".join(char["text"] for char in self.chars if not char["text"].isspace())

    @property
    def body(self):
        return [word for word in self.words if HEAD - 2 < word["top"] < FOOT]


def turned(found):
    return found["object_type"] == "char" and found["matrix"][1] != 0


def read(pdf):
    pages = []
    with pdfplumber.open(io.BytesIO(pdf)) as opened:
        for page in opened.pages:
            upright = page.filter(lambda found: not turned(found))
            pages.append(
                Page(
                    size=(page.width, page.height),
                    chars=upright.chars,
                    stamp="".join(char["text"] for char in page.chars if turned(char)),
                    words=upright.extract_words(use_text_flow=True),
                    images=page.images,
                    bands=[rect for rect in page.rects if rect["fill"]],
                )
            )
    return pages


def laid(result, maps, **options):
    return read(report_pdf(result, maps, **options))


def printed(story, **options):
    return read(document(story, **({"title": "t", "footer": "f"} | options)))


def lines(count):
    return [part for _ in range(count) for part in paragraph("a")]


def words(pages):
    """All that is printed, in order, without the line breaks within cells and paragraphs."""
    return "".join(page.text for page in pages)


def holds(pages, text):
    return re.sub(r"\s+", "", text) in words(pages)


def assert_tidy(pages):
    for number, page in enumerate(pages, start=1):
        assert page.size == (pytest.approx(595.28, abs=0.01), pytest.approx(841.89, abs=0.01))
        boxes = [(w["x0"], w["top"], w["x1"], w["bottom"], w["text"]) for w in page.words]
        boxes += [(i["x0"], i["top"], i["x1"], i["bottom"], "picture") for i in page.images]
        left, top, right, bottom = np.array([box[:4] for box in boxes]).T
        assert left.min() > MARGIN - 1 and right.max() < PAGE_WIDTH - MARGIN + 1
        foot, head = top > FOOT + 2, bottom < HEAD - 2
        body = ~(foot | head)
        assert body.any()  # no page is empty
        assert top[body].min() > HEAD - 2 and bottom[body].max() < FOOT + 2
        # Half an inch of paper around everything, also on US Letter.
        assert top.min() > EDGE + 18 and bottom.max() < PAGE_HEIGHT - EDGE - 10
        apart = (right[:, None] < left + 0.3) | (bottom[:, None] < top + 0.3)
        over = ~(apart | apart.T) & ~np.eye(len(boxes), dtype=bool)
        assert not over.any(), [boxes[n][4] for n in np.argwhere(over)[0]]
        assert "".join(w["text"] for w in page.words[-4:]) == f"page{number}of{len(pages)}"
        assert all("DejaVuSans" in char["fontname"] for char in page.chars)


@pytest.fixture
def registered(result):
    summary = RegistrationSummary(
        method="registered", preset="cnn", settings=("weight 2",), guides=("liver",), status="success",
        cause="converged", accepted=True, quality={"start": {"dsc liver": 0.81}, "final": {"dsc liver": 0.953}},
        folding_fraction=0.001,
        liver_jacobian_minimum=0.7, liver_jacobian_maximum=1.4, liver_log_jacobian_std=0.08,
        volumes=(VolumeChange("liver", "liver", 1500.0, 1537.5, 2.5),), notes=("a note on it",),
    )  # fmt: skip
    return dataclasses.replace(result, registration=summary)


def test_what_the_page_holds_is_there(blank, registered, maps):
    result = registered
    pages = laid(result, maps)
    for voi in result.vois:
        for text in (voi.name, printed_number(voi.volume_ml, "mL"), printed_number(voi.mean_gy, "Gy")):
            assert holds(pages, text)
    for check in result.checks:
        assert holds(pages, f"{check.code} {check.severity} {check.message}")
    for fact in result.methods:
        assert holds(pages, fact.name) and holds(pages, fact.value) and holds(pages, fact.source)
    for bound in result.injections[0].bounds:
        assert holds(pages, bound.name) and holds(pages, bound.source)
    for text in ("allowed: 300 to 900 MBq", "V100", "cd" * 32, "1.2.840.113.7", "ab" * 8, *result.notes, "Resin, ICC"):
        assert holds(pages, text), text
    for text in (
        "preset cnn with weight 2",
        "masks of liver",
        "DSC",
        "0.953",
        "+2.5",
        "a note on it",
        "Folded: 0.1 %",
    ):
        assert holds(pages, text), text
    assert words(pages).index("SJ302") < words(pages).index("SJ305") < words(pages).index("SJ603")
    assert (
        sum(len(page.images) for page in pages) == 1 + 1 + 3 + 1
    )  # the interval, the histograms, the liver, two lesions, the summary


def test_nothing_lies_on_anything_else(blank, registered, maps):
    pages = laid(registered, maps)
    assert len(pages) >= 3
    assert_tidy(pages)


def test_verdicts_have_a_colour_and_groups_a_band(blank, verification, maps):
    pages = laid(verification, maps)
    met = [w["text"] for page in pages for w in page.words]
    assert "met" in met and "differs" in met
    inks = {}
    for page in pages:
        for found in re.finditer("notmet|differs|agrees|unknown|lesion1", page.text):
            char = [char for char in page.chars if not char["text"].isspace()][found.start()]
            inks.setdefault(found[0], set()).add((ink(char), "Bold" in char["fontname"]))
    assert inks["agrees"] == {("#1a7f37", True)} and inks["unknown"] == {("#57606a", True)}
    assert ("#9a6700", True) in inks["differs"] and {("#b42318", True), ("#9a6700", True)} <= inks["notmet"]
    doses = next(page for page in pages if "DosesperVOI" in page.text)
    rows = [w for w in doses.body if w["text"] in ("liver", "lungs") and w["x0"] < MARGIN + 5]
    bands = [band for band in doses.bands if ink(band) == BAND]
    assert len(bands) >= 3 and rows
    for word in rows:
        assert any(band["top"] <= word["top"] and word["bottom"] <= band["bottom"] for band in bands)


def ink(found):
    return "#" + "".join(f"{round(255 * part):02x}" for part in found["non_stroking_color"])


def test_names_are_names_whatever_they_look_like(blank, result, maps):
    """Neither markup nor formulas; a letter that the font lacks is a question mark."""
    renamed = dataclasses.replace(result.vois[3], name="$x_1^2$ ⟨b⟩ \\frac {肝} &amp; <br/> &#65;")
    vois = (*result.vois[:3], renamed, *result.vois[4:])
    other = dataclasses.replace(maps, occupancy=maps.occupancy | {renamed.name: maps.occupancy["lesion 1"]})
    pages = laid(dataclasses.replace(result, vois=vois), other)
    assert holds(pages, "right <b>lobe</b>") and holds(pages, "$x_1^2$ ⟨b⟩ \\frac {?} &amp; <br/> &#65;")
    assert "肝" not in words(pages)


def test_letters_of_names_units_and_formulas_are_printed():
    letters = "ÀÉÎÕÜßæøåçñ ČĎĚŁŃŐŘŚŤŮŹŻ ĞİŞ ΑΒΓΔαβγλμσΩ ЖИЙ ≥ ≤ – … · µ ² ³ × ° ± ≈ → •"
    for bold in (False, True):
        assert holds(printed(paragraph(letters, bold=bold)), letters)
    # Nothing that a page or the table of its letters cannot hold.
    odd = "a\tb\x00c\x7f𝔄d\u2028e肝\ud83df"
    assert holds(printed([*paragraph(odd), *table(["VOI"], [[odd]], "l")]), "a b?c??d e??f")


def test_pictures_and_headings_go_to_the_next_page_whole():
    from matplotlib.figure import Figure

    uri = figure_png(Figure(figsize=(4, 2)), dpi=5)
    data = base64.b64decode(uri.partition(",")[2])
    pages = printed(
        [*picture(data, "caption"), *section("Title", [part for _ in range(6) for part in picture(data, "caption")])]
    )
    assert_tidy(pages)
    assert [len(page.images) for page in pages] == [2, 2, 2, 1]
    assert [page.text.count("caption") for page in pages] == [2, 2, 2, 1]
    for image in (image for page in pages for image in page.images):
        width, height = image["x1"] - image["x0"], image["bottom"] - image["top"]
        assert width == pytest.approx(PAGE_WIDTH - 2 * MARGIN) and height == pytest.approx(width / 2)
    tall = base64.b64decode(figure_png(Figure(figsize=(2, 8)), dpi=20).partition(",")[2])
    (page,) = printed([*section("Title", picture(tall, "caption"))])
    (image,) = page.images
    assert (image["bottom"] - image["top"]) / (image["x1"] - image["x0"]) == pytest.approx(4)
    assert_tidy([page])


@pytest.mark.slow
@pytest.mark.parametrize("level", [2, 3])
def test_a_heading_is_never_the_last_on_its_page(level):
    rows = [[f"row {n}", "1"] for n in range(30)]
    for body in (paragraph("b"), table(["VOI", "mL"], rows, "lr"), table(["VOI", "mL"], rows[:6], "lr")):
        places = set()
        for count in range(36, 54):
            pages = printed([*lines(count), *section("Title", [*body], level=level)])
            assert_tidy(pages)
            (page,) = (page for page in pages if "Title" in page.text)
            below = page.body[[w["text"] for w in page.body].index("Title") + 1 :]
            # A table shows at least its header and two rows.
            assert len(below) >= (1 if body[0].__class__.__name__ == "Paragraph" else 8)
            places.add(pages.index(page))
        assert places == {0, 1}


def test_a_small_table_stays_on_one_page():
    rows = [[f"row {n}", "1"] for n in range(8)]
    for count in range(36, 54):
        pages = printed([*lines(count), *table(["VOI", "mL"], rows, "lr")])
        assert sum("row" in page.text for page in pages) == 1
        assert words(pages).count("VOI") == 1


@pytest.mark.slow
def test_many_long_rows_go_on_over_the_pages(blank, result, maps):
    levels = {str(level): 50.0 for level in range(20, 220, 20)}
    vois = [
        dataclasses.replace(result.vois[0], name=f"{n} {LONG}", v_percent=levels, dvh_dose_gy=()) for n in range(40)
    ]
    whole = dataclasses.replace(result, vois=(*result.vois[:3], *vois))
    doses = next(part for part in _pdf_content._doses(whole) if isinstance(part, Table))
    pages = printed(section("Doses", [doses]))
    assert len(pages) > 2
    assert_tidy(pages)
    for page in pages:
        assert [w["text"] for w in page.words].count("VOI") == 1  # the header again
    assert all(any(holds([page], f"{n} {LONG}") for page in pages) for n in range(40))  # no row is cut


@pytest.mark.parametrize("text", ["dose of " * 2500, "x" * 20_000, "a line\n" * 400])
@pytest.mark.parametrize("before", [0, 30, 49])
@pytest.mark.slow
def test_a_row_higher_than_a_page_continues_on_the_next_one(text, before):
    rows = [["first", "1", "short"], ["second", "2", text], ["third", "3", "short"]]
    pages = printed([*lines(before), *section("Title", table(["VOI", "mL", "note"], rows, "lrl"))])
    assert len(pages) > 2
    assert_tidy(pages)
    assert words(pages).count("VOImLnote") >= len(pages) - 1
    plain = words(pages).replace("VOImLnote", "")
    assert re.sub(r"fpage\d+of\d+", "", plain).endswith("second2" + re.sub(r"\s", "", text) + "third3short")


def test_columns_are_as_wide_as_their_content():
    rows = [["a", "12345.678", "b" * 300, "met"], ["1.2.840.113.7 " * 12, "1", LONG, "not reached"]]
    pages = printed(table(["VOI", "activity (MBq)", "name", "result"], rows, "lrll"))
    assert_tidy(pages)
    assert holds(pages, "b" * 300) and holds(pages, LONG)
    # Numbers and short texts are on one line next to long ones.
    found = {word["text"]: word for word in pages[0].words}
    assert "12345.678" in found and "1.2.840.113.7" in found
    assert found["not"]["top"] == found["reached"]["top"]
    numbers = [word["x1"] for word in pages[0].body if word["text"] in ("12345.678", "1")]
    assert len(numbers) == 2 and numbers[0] == pytest.approx(numbers[1])
    (page,) = printed(table(["VOI", "activity (MBq)", "name"], [["a", "1", "normal liver"]], "lrl"))
    assert len({word["top"] for word in page.body}) == 2  # the title of numbers too, where there is room
    wide = printed(table(["VOI"] * 30, [["12345.678"] * 30] * 3, "r" * 30))
    assert_tidy(wide)
    assert words(wide).count("12345.678") == 90


def test_a_verification_shows_the_plan_beside_it(blank, result, maps):
    planned = {voi.name: dataclasses.asdict(voi) | {"mean_gy": 77.7} for voi in result.vois[:4]}
    injections = (dataclasses.replace(result.injections[0], lower_mbq=None, upper_mbq=None, bounds=()),)
    pages = laid(dataclasses.replace(result, kind="verification", planned=planned, injections=injections), maps)
    # Each row of the table, the normal liver of the activities, and two rows of the summary.
    assert words(pages).count("77.7") == 7
    assert holds(pages, "SIRT treatment verification") and holds(pages, "solid delivered, dashed planned")
    assert not holds(pages, "Activity between the bounds") and not holds(pages, "Bounds")
    assert_tidy(pages)


def test_drafts_are_stamped(blank, result, maps):
    drafts = ("the mask of lesion 1 is a draft",)
    pages = laid(dataclasses.replace(result, unreviewed_masks=drafts), maps)
    assert holds(pages, "DRAFT: not every mask is verified") and holds(pages, drafts[0])
    assert [page.stamp for page in pages] == ["DRAFT"] * len(pages)
    assert all(holds([page], "DRAFT · SIRT treatment plan") for page in pages)
    assert_tidy(pages)
    final = laid(result, maps)
    assert not holds(final, "DRAFT") and [page.stamp for page in final] == [""] * len(final)


@pytest.mark.parametrize("sides", [{"lower_mbq": 300.0, "upper_mbq": None}, {"lower_mbq": None, "upper_mbq": 900.0}])
def test_half_open_and_empty_intervals(blank, result, maps, sides):
    pages = laid(dataclasses.replace(result, injections=(dataclasses.replace(result.injections[0], **sides),)), maps)
    assert holds(pages, "at least 300 MBq") == (sides["lower_mbq"] is not None)
    assert holds(pages, "at most 900 MBq") == (sides["upper_mbq"] is not None)
    closed = dataclasses.replace(result.injections[0], feasible=False, lower_mbq=900.0, upper_mbq=300.0)
    assert holds(
        laid(dataclasses.replace(result, injections=(closed,)), maps), "targets need 900 MBq, limits allow 300 MBq"
    )


def test_without_ct_checks_and_lesions(blank, result, without_ct):
    bare = dataclasses.replace(
        result, checks=(), notes=(), vois=tuple(v for v in result.vois if v.kind != "lesion"), lung_dose_gy=float("nan")
    )
    pages = laid(bare, without_ct)
    assert holds(pages, "Every check passed") and holds(pages, "Absorbed dose, through the centre of the liver")
    assert not re.search(r"nan|None|\binf\b", words(pages))


def test_the_name_only_where_asked_for(blank, result, maps):
    assert holds(laid(result, maps), "patient TEST-01")
    document = report_pdf(result, maps, identity="Jane <Doe>")
    named = read(document)
    assert holds(named, "patient Jane <Doe>") and not holds(named, "TEST-01") and b"TEST-01" not in document


@pytest.mark.slow
def test_the_document_is_whole_and_the_same_each_time(result, maps):
    steps = []
    pdf = report_pdf(result, maps, on_step=steps.append)
    assert pdf.startswith(b"%PDF-") and pdf.rstrip().endswith(b"%%EOF")
    pages = read(pdf)
    assert len(pages) >= 3
    assert_tidy(pages)
    assert pdf.count(b"/FontFile2") == 2 and pdf.count(b"/Type /Font\n") + pdf.count(b"/Type /Font ") == 2
    for date in (b"/CreationDate", b"/ModDate"):
        assert date not in pdf
    with pdfplumber.open(io.BytesIO(pdf)) as opened:
        assert opened.metadata == {"Title": "SIRT treatment plan · TEST-01", "Creator": "sirtjax"}
    assert steps == ["image of the liver", "image of the lesion 1", 'image of the ../seg & "2"']
    sizes = {image["srcsize"] for page in pages for image in page.images}
    assert min(width for width, _ in sizes) > 600  # pictures in full resolution


def test_the_same_result_is_the_same_document(blank, result, maps):
    pdf = report_pdf(result, maps)
    assert report_pdf(result, maps) == pdf


@pytest.mark.slow
def test_neither_program_nor_machine_change_the_bytes():
    code = (
        "import sys; from sirtjax.reports._pdf_layout import *; "
        "body = [*paragraph('a'), *key([('#ff0000', True, 'b')]), *table(['x', 'y'], [['1', 'é']] * 90, 'lr')]; "
        "sys.stdout.buffer.write(document(section('T', body), title='t', footer='f', stamp='DRAFT'))"
    )
    found = set()
    for seed, epoch in (("1", "1000000000"), ("2", "1700000000")):
        own = os.environ | {"PYTHONHASHSEED": seed, "SOURCE_DATE_EPOCH": epoch, "TZ": f"UTC+{seed}"}
        found.add(subprocess.run([sys.executable, "-c", code], env=own, check=True, capture_output=True).stdout)
    (pdf,) = found
    assert holds(read(pdf), "é") and os.path.expanduser("~").encode() not in pdf


@pytest.mark.slow
def test_reportlab_loads_only_when_a_pdf_is_written():
    code = "import sys, sirtjax, sirtjax.reports, sirtjax.cli.main; sys.exit('reportlab' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_a_stamp_is_on_every_page():
    plain = printed(lines(200))
    stamped = printed(lines(200), stamp="DRAFT")
    assert len(plain) == len(stamped) > 1
    assert [page.stamp for page in plain] == [""] * len(plain)
    assert [page.stamp for page in stamped] == ["DRAFT"] * len(plain)


def test_the_footer_is_whole_on_every_page():
    footer = "SIRT treatment plan · " + "a long name of a patient " * 12 + "every number before clinical use."
    pages = printed(lines(120), footer=footer)
    assert len(pages) == 3
    assert_tidy(pages)
    assert all(holds([page], footer) for page in pages)


def test_lines_are_no_longer_than_they_may_be():
    assert words(printed([*paragraph(""), *paragraph("", bullet=True)])).endswith("fpage1of1")
    for text in (LONG, "x" * 300, "1.2.840." * 40, "two\nparagraphs"):
        pages = printed([*paragraph(text), *paragraph(text, bullet=True)])
        assert_tidy(pages)
        plain = re.sub(r"\s", "", text)
        assert words(pages) == f"{plain}•{plain}fpage1of1"
    tops = [word["top"] for word in printed(paragraph("two\nparagraphs"))[0].body]
    assert len(set(tops)) == 2


def test_the_key_has_a_sample_of_each_line():
    (page,) = printed(key([("#2ee6a8", False, "liver"), ("#6ec6ff", True, "territories of <b>")]))
    assert page.text.startswith("━━liver╍╍territoriesof<b>")
    assert [ink(char) for char in page.chars if char["text"] in "━╍"] == ["#2ee6a8"] * 2 + ["#6ec6ff"] * 2
