"""The page: whole, by itself, and true to the result."""

import base64
import dataclasses
import html
import re
from html.parser import HTMLParser

import pytest

from sirtjax.reports import report_html
from sirtjax.reports._format import amount, significant
from sirtjax.workflows import TreatmentRecord

LOADS = {"src", "href", "data", "poster", "action", "srcset", "background", "cite", "xlink:href"}
EMPTY = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """What a page loads, and whether its elements close."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.open, self.tags, self.text = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attributes if name in LOADS]
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attributes if name in LOADS]

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def page(result, maps):
    return report_html(result, maps)


def test_it_is_one_file_that_loads_nothing(page):
    parsed = Page(page)
    assert parsed.open == []
    outside = [value for value in parsed.loads if not value.startswith(("data:image/png;base64,", "#"))]
    assert outside == []
    assert "script" not in parsed.tags and "link" not in parsed.tags and "iframe" not in parsed.tags
    assert "default-src 'none'" in page
    assert not re.search(r"url\((?!#)|@import", page)


def test_the_pictures_are_pictures(page, result):
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    lesions = [voi for voi in result.vois if voi.kind == "lesion"]
    assert len(pictures) == 1 + len(lesions) + 1  # and the slice of the summary
    assert all(base64.b64decode(picture).startswith(b"\x89PNG") for picture in pictures)
    assert page.count("<svg") == 2


def test_names_are_escaped(page):
    assert "<b>lobe</b>" not in page and "right &lt;b&gt;lobe&lt;/b&gt;" in page
    assert "<i>source</i>" not in page and "a &lt;i&gt;source&lt;/i&gt;" in page
    assert "../seg &amp; &#34;2&#34;" in page


def test_every_voi_check_constant_and_uid_is_there(page, result):
    text = html.unescape(page)
    for voi in result.vois:
        assert voi.name in text
    for check in result.checks:
        assert check.code in page and html.escape(check.message)[:40] in page and check.source in text
    for fact in result.methods:
        assert fact.name in text and fact.value in text and fact.source in text
    for note in result.notes:
        assert note in text
    assert "1.2.840.113.7" in page and "ab" * 8 in page and "cd" * 32 in page
    for bound in result.injections[0].bounds:
        assert html.escape(bound.name) in page
    assert "not a medical device" in page


@pytest.mark.slow
def test_errors_come_first_among_the_checks(page):
    assert page.index("SJ302") < page.index("SJ305") < page.index("SJ603")


@pytest.mark.slow
def test_no_paths_and_no_name_unless_asked(result, maps):
    page = report_html(result, maps)
    assert not re.search(r"(/tmp/|/home/|/Users/|[A-Z]:\\)", page)
    assert "TEST-01" in page
    named = report_html(result, maps, identity="Jane <Doe>")
    assert "Jane &lt;Doe&gt;" in named and "Jane <Doe>" not in named


def test_what_is_not_there_is_a_dash(result, without_ct):
    nothing = dataclasses.replace(
        result,
        checks=(),
        notes=(),
        lung_dose_gy=float("nan"),
        vois=tuple(voi for voi in result.vois if voi.kind != "lesion"),
        injections=(dataclasses.replace(result.injections[0], lower_mbq=None, upper_mbq=None, bounds=()),),
    )
    page = report_html(nothing, without_ct)
    assert "every check passed" in page
    for word in ("nan", "NaN", "None", "inf "):
        assert word not in re.sub(r"data:image[^\"]+|<svg.*?</svg>", "", page, flags=re.S)
    assert "Absorbed dose, through the centre of the liver" in page


@pytest.mark.parametrize("sides", [{"lower_mbq": 300.0, "upper_mbq": None}, {"lower_mbq": None, "upper_mbq": 900.0}])
def test_half_open_intervals(result, maps, sides):
    page = report_html(
        dataclasses.replace(result, injections=(dataclasses.replace(result.injections[0], **sides),)), maps
    )
    assert ("at least 300 MBq" in page) == (sides["lower_mbq"] is not None)
    assert ("at most 900 MBq" in page) == (sides["upper_mbq"] is not None)


def test_an_empty_interval_says_what_is_missing(result, maps):
    injection = dataclasses.replace(result.injections[0], lower_mbq=1200.0, upper_mbq=900.0, feasible=False)
    page = report_html(dataclasses.replace(result, injections=(injection,)), maps)
    assert "targets need 1200 MBq, limits allow 900 MBq" in page


def test_a_verification_shows_the_plan_beside_it(result, maps):
    planned = {voi.name: dataclasses.asdict(voi) | {"mean_gy": 77.7} for voi in result.vois[:4]}
    injections = (dataclasses.replace(result.injections[0], lower_mbq=None, upper_mbq=None, bounds=()),)
    delivered = dataclasses.replace(result, kind="verification", planned=planned, injections=injections)
    page = report_html(delivered, maps)
    assert "planned mean (Gy)" in page and page.count("<td>77.7</td>") == 4 + 2  # two rows of the summary
    assert "treatment verification" in page and "dashed planned" in page
    assert "Activity between the bounds" not in page


def test_each_picture_is_announced(result, maps):
    steps = []
    report_html(result, maps, on_step=steps.append)
    assert steps == ["image of the liver", "image of the lesion 1", 'image of the ../seg & "2"']


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (1234.5, "1234"), (12.345, "12.3"), (0.012345, "0.0123"), (-3.14159, "-3.14"), (None, "–"),
     (float("nan"), "–"), (float("inf"), "–"), ((500.0, 4500.0), "500 to 4500"), (999.96, "1000"),
     (1e-7, "0.000000100")],
)  # fmt: skip
def test_three_significant_digits(value, text):
    assert significant(value) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0.24, "1", "24.0 %"), (1.0, "1", "100 %"), (31.0, "Gy", "31.0 Gy"), (None, "Gy", "–"), (5.0, "", "5.00"),
     ((500.0, 4500.0), "mL", "500 to 4500 mL")],
)  # fmt: skip
def test_amounts(value, unit, text):
    assert amount(value, unit) == text


@pytest.mark.slow
def test_the_pictures_are_explained(result, maps, without_ct):
    page = report_html(result, maps)
    levels = re.findall(r"</i>([\d.]+) Gy</span>", page[page.index("<h2>Images") :])
    assert levels and [float(level) for level in levels] == sorted(float(level) for level in levels)
    assert "Activity image over the CT, through" in page
    assert "Activity image, through" in report_html(result, without_ct)


@pytest.mark.slow
def test_lungs_have_no_share_of_the_liver_activity(result, maps):
    lungs = dataclasses.replace(result.vois[0], name="lungs", kind="lungs", uptake_fraction=0.0)
    page = report_html(dataclasses.replace(result, vois=(*result.vois, lungs)), maps)
    row = next(line for line in page[page.index("<h2>Doses") :].splitlines() if "<td>lungs</td>" in line)
    assert re.findall(r"<td>(.*?)</td>", row)[2] == "–"


@pytest.mark.slow
def test_a_plan_of_drafts_is_stamped(result, maps, page):
    assert "DRAFT" not in page
    reason = "liver: segmented automatically by <a model>, not verified"
    stamped = report_html(dataclasses.replace(result, unreviewed_masks=(reason,)), maps)
    assert "<title>DRAFT SIRT" in stamped and "<h1>DRAFT: SIRT" in stamped
    assert html.escape(reason) in stamped


def test_the_summary_counts_checks_in_words(result, maps):
    check = result.checks[0]
    kinds = [dataclasses.replace(check, severity=severity) for severity in ("error", "warning", "warning")]
    page = report_html(dataclasses.replace(result, checks=tuple(kinds)), maps, pictures=[])
    assert "1 error, 2 warnings, 0 notes." in page


def test_the_page_starts_with_the_summary_to_sign(result, maps):
    lesions = tuple(dataclasses.replace(result.vois[3], name=f"lesion {n}", volume_ml=90.0 - n) for n in range(30))
    weights = maps.occupancy | {voi.name: maps.occupancy["lesion 1"] for voi in lesions}
    many = dataclasses.replace(result, vois=(*result.vois[:2], *lesions), checks=result.checks * 9)
    page = report_html(many, dataclasses.replace(maps, occupancy=weights), pictures=[])
    first = page[page.index('<section class="first">') : page.index("<h2>Activities")]
    assert first.count("<td>lesion ") == 10 and "20 more lesions" in first
    serious = sum(check.severity != "info" for check in many.checks)
    assert first.count('class="tag ') == 5 and f"{serious - 5} more problems" in first
    assert "Prescribing physician" in first and "Medical physicist" in first and "ALBI" in first
    for target in re.findall(r'href="#(\w+)"', first):
        assert f'id="{target}"' in page
    assert "break-after: page" in page and "size: A4" in page
    letter = dataclasses.replace(result, record=TreatmentRecord(paper="Letter", prescriber="A <b>"))
    other = report_html(letter, maps, pictures=[])
    assert "size: letter" in other and "A &lt;b&gt;" in other and "A <b>" not in other
    assert "<h2>Treatment record" in other and "____" in other
