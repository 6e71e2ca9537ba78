"""Every publication that a report cites in short has its full reference, in the page and in the PDF."""

import dataclasses
import html
import io
import re
import tomllib
from importlib import resources

import pdfplumber
import pytest

from sirtjax.dosimetry import CHECKS
from sirtjax.reports import report_html, report_pdf
from sirtjax.reports._record_tables import record_parts
from sirtjax.reports._reference_list import REFERENCES
from sirtjax.reports._references import reference_rows, references_in
from sirtjax.workflows import MethodEntry
from sirtjax.workflows._methods import CALIBRATIONS, LOCAL_SOURCE

# A citation: a name before "et al." or before a year. Found without the list.
CITED = re.compile(r"([A-Z][a-z]\w+)(?: et al\.| (?:19|20)\d\d\b)|(van Roekel|thesis|DOSISPHERE|Taranis)")
# Words before a year that are no authors.
NO_AUTHOR = {"guideline", "procedure", "Publication", "Research"}


def sources_of(value):
    if isinstance(value, dict):
        for key, one in value.items():
            if isinstance(one, str) and key in ("source", "origin"):
                yield one
            else:
                yield from sources_of(one)
    elif isinstance(value, list):
        for one in value:
            yield from sources_of(one)


def bundled():
    """Sources of all checks, protocols and uncertainty presets of the package."""
    yield from (rule.source for rule in CHECKS)
    yield LOCAL_SOURCE
    yield from (source for _, source in CALIBRATIONS.values())
    for folder in ("protocols", "uncertainty"):
        for path in resources.files("sirtjax.configs").joinpath(folder).iterdir():
            if path.name.endswith(".toml"):
                yield from sources_of(tomllib.loads(path.read_text(encoding="utf-8")))


def test_every_bundled_source_has_its_full_reference():
    sources = sorted(set(bundled()))
    assert len(sources) > 40
    for source in sources:
        found = dict(references_in([source]))
        full = " ".join(found.values())
        for name, other in CITED.findall(source):
            assert found, source
            if name and name not in NO_AUTHOR:
                assert name in full or name in " ".join(found), (source, name)
            if other:
                assert other.split()[-1] in full, (source, other)
        for doi in re.findall(r"doi:(10\.[^\s,;:)]+)", source):
            assert doi.rstrip(".") in full and not any(short.startswith("doi:") for short in found), source


@pytest.mark.parametrize("one", REFERENCES, ids=[one.short for one in REFERENCES])
def test_a_reference_is_whole(one):
    """Authors or body, a title of several words, and a place with year or an address."""
    assert one.doi or one.pattern
    assert one.full.endswith(f"doi:{one.doi}") if one.doi else re.search(r"https://|\d{4}", one.full)
    assert len(one.full.split()) >= 10 and one.cited_in(one.full if one.doi else one.short)


def test_only_cited_publications_are_listed_once_and_in_order():
    texts = ["EANM guideline 2022, doi:10.1007/s00259-021-05600-z, Table 2", "van Roekel, thesis Utrecht, p. 41"]
    rows = references_in([*texts, *texts, "no source", "the case"])
    assert [short for short, _ in rows] == ["EANM guideline 2022 (Weber)", "van Roekel, thesis Utrecht"]
    assert references_in(["set by this software", "the protocol"]) == ()


def test_an_unknown_doi_is_an_address():
    (row,) = references_in(["own protocol, doi:10.1234/abc.5(x)7, p. 3."])
    assert row == ("doi:10.1234/abc.5(x)7", "https://doi.org/10.1234/abc.5(x)7")


@pytest.fixture
def cited(result):
    methods = (*result.methods, MethodEntry("lungs", "30 Gy", "van Roekel, thesis Utrecht, p. 41"))
    return dataclasses.replace(result, methods=methods)


def test_page_and_pdf_have_the_same_references(cited, maps):
    rows = reference_rows(cited)
    printed = [cell for part in record_parts(cited) for row in part.rows for cell in row]
    assert {"van Roekel, thesis Utrecht", "ICRP 107", "Johnson 2015 (ALBI)"} <= {short for short, _ in rows}
    assert any("Johnson" in cell for cell in printed)
    page = html.unescape(report_html(cited, maps, pictures=[]))
    pdf = report_pdf(cited, maps, pictures=[], summary_picture=None)
    with pdfplumber.open(io.BytesIO(pdf)) as opened:
        words = "".join(re.sub(r"\s", "", (page.extract_text() or "")) for page in opened.pages[-2:])
    for short, full in rows:
        assert f"<td>{short}</td>" in page and full in page
        assert re.sub(r"\s", "", short.split()[0]) in words and re.sub(r"\s", "", full.split(".")[0]) in words
