"""The PDF: what the page holds is there, nothing lies on anything else, and the bytes are a document."""

import base64
import dataclasses
import re
import zlib

import pytest

from sirtjax.reports import _html, _report_pdf, report_pdf
from sirtjax.reports._figures import figure_png
from sirtjax.reports._html import significant
from sirtjax.reports._pdf_blocks import (
    BOTTOM,
    MARGIN,
    PAGE_HEIGHT,
    PAGE_WIDTH,
    Heading,
    Paragraph,
    Picture,
    Table,
    broken,
    text_width,
)
from sirtjax.reports._pdf_pages import pages_of, pdf_of
from sirtjax.reports._report_pdf import report_blocks
from sirtjax.workflows import RegistrationSummary, VolumeChange

LONG = "segment VII, next to the " + "very " * 30 + "long name of a lesion"


@pytest.fixture
def blank(monkeypatch):
    """Blank pictures: drawing them is most of the time."""
    from matplotlib.figure import Figure

    def png(figure, *, dpi=20):
        return figure_png(Figure(figsize=figure.get_size_inches()), dpi=5)

    for module in (_html, _report_pdf):
        monkeypatch.setattr(module, "figure_png", png)


def laid(result, maps, **options):
    pictures = _html.pictures_of(result, maps, lambda step: None)
    return pages_of(report_blocks(result, options.get("identity"), pictures))


def words(pages):
    """All that is printed, in order, without the line breaks within cells and paragraphs."""
    return re.sub(r"\s+", "", "".join(item.text for page in pages for item in page))


def holds(pages, text):
    return re.sub(r"\s+", "", text) in words(pages)


def boxes(page):
    """Left, top, right and bottom of every text and picture of a page."""
    for item in page:
        if item.kind == "text":
            width = text_width(item.text, item.size, item.bold)
            left = item.x - width if item.align == "r" else item.x
            yield left, item.y - 0.75 * item.size, left + width, item.y + 0.2 * item.size, item.text
        elif item.kind == "picture":
            yield item.x, item.y, item.x + item.width, item.y + item.height, "picture"


def assert_tidy(pages):
    for page in pages:
        found = [box for box in boxes(page) if box[4].strip()]
        for n, (left, top, right, bottom, what) in enumerate(found):
            assert left > MARGIN - 1 and right < PAGE_WIDTH - MARGIN + 1, what
            assert top > 20 and bottom < PAGE_HEIGHT - BOTTOM + 2, what
            for l2, t2, r2, b2, other in found[n + 1 :]:
                assert right < l2 + 0.3 or r2 < left + 0.3 or bottom < t2 + 0.3 or b2 < top + 0.3, (what, other)


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
        for text in (voi.name, significant(voi.volume_ml), significant(voi.mean_gy)):
            assert holds(pages, text)
    for check in result.checks:
        assert check.code in words(pages)
        # Its words, which a narrow column may part among the lines of its neighbours.
        assert all(holds(pages, word) for word in check.message.split())
    for fact in result.methods:
        assert holds(pages, fact.name) and holds(pages, fact.value) and holds(pages, fact.source)
    for bound in result.injections[0].bounds:
        assert all(holds(pages, word) for word in bound.name.split())
    for text in ("interval 300 to 900 MBq", "V100", "cd" * 32, "1.2.840.113.7", "ab" * 8, *result.notes, "Resin, ICC"):
        assert holds(pages, text), text
    for text in (
        "preset cnn with weight 2",
        "masks of liver",
        "DSC",
        "0.953",
        "+2.5",
        "a note on it",
        "Folded: 0.100 %",
    ):
        assert holds(pages, text), text
    assert words(pages).index("SJ302") < words(pages).index("SJ305") < words(pages).index("SJ603")
    pictures = [item for page in pages for item in page if item.kind == "picture"]
    assert len(pictures) == 1 + 1 + 3  # the interval, the histograms, the liver and two lesions


def test_nothing_lies_on_anything_else(blank, registered, maps):
    pages = laid(registered, maps)
    assert len(pages) >= 3
    assert_tidy(pages)


@pytest.mark.slow
def test_names_are_names_whatever_they_look_like(blank, result, maps):
    """Neither markup nor formulas; a letter that the font lacks is a question mark."""
    renamed = dataclasses.replace(result.vois[3], name="$x_1^2$ ⟨b⟩ \\frac {肝}")
    vois = (*result.vois[:3], renamed, *result.vois[4:])
    other = dataclasses.replace(maps, occupancy=maps.occupancy | {renamed.name: maps.occupancy["lesion 1"]})
    pages = laid(dataclasses.replace(result, vois=vois), other)
    assert holds(pages, "right <b>lobe</b>") and holds(pages, "$x_1^2$ ⟨b⟩ \\frac {?}") and "肝" not in words(pages)
    assert report_pdf(dataclasses.replace(result, vois=vois), other).startswith(b"%PDF-")


def test_pictures_and_headings_go_to_the_next_page_whole():
    from matplotlib.figure import Figure

    uri = figure_png(Figure(figsize=(4, 2)), dpi=5)
    picture = Picture(png=base64.b64decode(uri.partition(",")[2]), caption="caption")
    pages = pages_of([picture, Heading(text="Title"), *[picture] * 6])
    assert_tidy(pages)
    assert [sum(item.kind == "picture" for item in page) for page in pages] == [2, 2, 2, 1]
    last = pages_of([*[Paragraph(text="a")] * 50, Heading(text="Title"), Paragraph(text="b")])
    assert [[item.text for item in page if item.kind == "text"] for page in last] == [["a"] * 50, ["Title", "b"]]


def test_many_long_rows_go_on_over_the_pages(blank, result, maps):
    levels = {str(level): 50.0 for level in range(20, 220, 20)}
    vois = [
        dataclasses.replace(result.vois[0], name=f"{n} {LONG}", v_percent=levels, dvh_dose_gy=()) for n in range(40)
    ]
    whole = dataclasses.replace(result, vois=(*result.vois[:3], *vois))
    blocks = report_blocks(whole, None, [])
    table = next(b for b in blocks if isinstance(b, Table) and b.header[0] == "VOI")
    pages = pages_of([Heading(text="Doses"), table])
    assert len(pages) > 2
    assert_tidy(pages)
    for page in pages:
        assert [item.text for item in page if item.text == "VOI"] == ["VOI"]  # the header again
    assert all(holds(pages, f"{n} segment VII") for n in range(40))


def test_a_verification_shows_the_plan_beside_it(blank, result, maps):
    planned = {voi.name: dataclasses.asdict(voi) | {"mean_gy": 77.7} for voi in result.vois[:4]}
    injections = (dataclasses.replace(result.injections[0], lower_mbq=None, upper_mbq=None, bounds=()),)
    pages = laid(dataclasses.replace(result, kind="verification", planned=planned, injections=injections), maps)
    # Each row of the table, and the normal liver of the summary.
    assert words(pages).count("77.7") == 5
    assert holds(pages, "SIRT treatment verification") and holds(pages, "solid delivered, dashed planned")
    assert not holds(pages, "Activity between the bounds") and not holds(pages, "Bounds")
    assert_tidy(pages)


def test_drafts_are_stamped(blank, result, maps):
    drafts = ("the mask of lesion 1 is a draft",)
    pages = laid(dataclasses.replace(result, unreviewed_masks=drafts), maps)
    assert holds(pages, "DRAFT: SIRT treatment plan") and holds(pages, drafts[0])
    assert not holds(laid(result, maps), "DRAFT")


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


@pytest.mark.slow
def test_the_name_only_where_asked_for(blank, result, maps):
    assert holds(laid(result, maps), "Patient TEST-01")
    named = laid(result, maps, identity="Jane <Doe>")
    assert holds(named, "Patient Jane <Doe>") and not holds(named, "TEST-01")


def streams(pdf):
    return [
        zlib.decompress(found)
        for found in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.S)
        if found[:1] == b"x"
    ]


@pytest.mark.slow
def test_the_document_is_whole_and_the_same_each_time(result, maps):
    steps = []
    pdf = report_pdf(result, maps, on_step=steps.append)
    pages = len(re.findall(rb"/Type\s*/Page\b", pdf))
    assert pdf.startswith(b"%PDF-") and pdf.rstrip().endswith(b"%%EOF")
    assert pages >= 3
    assert len(re.findall(rb"/MediaBox\s*\[\s*0\s+0\s+595\.\d+\s+841\.\d+\s*\]", pdf)) == pages
    assert sum(b" Tj" in stream or b" TJ" in stream for stream in streams(pdf)) >= pages
    assert b"/FontFile2" in pdf and b"/CreationDate" not in pdf
    assert steps == ["image of the liver", "image of the lesion 1", 'image of the ../seg & "2"']


@pytest.mark.slow
def test_the_same_result_is_the_same_document(blank, result, maps):
    pdf = report_pdf(result, maps)
    assert report_pdf(result, maps) == pdf
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == len(laid(result, maps))


def test_a_stamp_is_on_every_page():
    plain = pdf_of([Paragraph(text="a")] * 200, title="t", footer="f")
    stamped = pdf_of([Paragraph(text="a")] * 200, title="t", footer="f", stamp="DRAFT")
    rotated = [sum(b" rg" in s and b"0.6427" in s for s in streams(pdf)) for pdf in (plain, stamped)]
    pages = len(re.findall(rb"/Type\s*/Page\b", plain))
    assert rotated == [0, pages] and pages > 1


def test_lines_are_no_longer_than_they_may_be():
    for text in (LONG, "x" * 300, "1.2.840." * 40, "", "two\nparagraphs"):
        lines = broken(text, 120.0, 8.0)
        assert all(text_width(line, 8.0) <= 120.02 for line in lines)
        assert re.sub(r"\s", "", "".join(lines)) == re.sub(r"\s", "", text)
    assert broken("two\nparagraphs", 500.0, 8.0) == ["two", "paragraphs"]
