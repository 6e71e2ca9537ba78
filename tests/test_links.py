"""Links between pages of the documentation: the file exists, and the page has the heading."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *DOCS.glob("tutorials/*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
LINK = re.compile(r"\]\(([^)\s]*)\)")
# Words in `code` keep their letters, links keep their text.
MARKUP = re.compile(r"\[([^\]]*)\]\([^)]*\)|[`*]")


def anchors(path):
    """Anchors of the headings of a page, as the site names them."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    found = set(re.findall(r'id="([^"]+)"', text))
    for heading in re.findall(r"^#+ +(.*)$", text, flags=re.MULTILINE):
        plain = MARKUP.sub(lambda match: match[1] or "", heading).strip()
        found.add(re.sub(r"[^\w\- ]", "", plain).strip().lower().replace(" ", "-"))
    return found


def broken(path):
    """Links of a page to a file that does not exist or a heading that the file does not have."""
    offences = []
    for target in LINK.findall(path.read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        page = path if not name else path.parent / name
        if (not page.exists() and not (page.suffix == ".md" and page.with_suffix(".py").exists())) or (
            anchor and page.suffix == ".md" and page.exists() and anchor not in anchors(page)
        ):
            offences.append(target)
    return offences


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    assert broken(path) == []


def test_a_wrong_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One, [two]\n[a](#one-two) [b](#three) [c](none.md) [d](page.md#one-two) [e](page.md#two)\n")
    assert broken(page) == ["#three", "none.md", "page.md#two"]
