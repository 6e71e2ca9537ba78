"""What a package index and a citation show of the package."""

import re
import runpy
import tomllib
from pathlib import Path

import pytest

import sirtjax

ROOT = Path(__file__).parents[1]
README = "Text ![picture](docs/a.png) and [page](docs/a.md#part), [web](https://example.org), [here](#top).\n"


@pytest.fixture(scope="module")
def readme_for_index():
    return runpy.run_path(str(ROOT / "setup.py"))["readme_for_index"]


def test_the_citation_names_this_version():
    stated = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), flags=re.M)
    assert stated[1] == sirtjax.__version__


def test_a_readme_without_a_source_address_loses_relative_links_and_images(readme_for_index):
    shown = readme_for_index(README, source_url=None)
    assert shown == "Text  and page, [web](https://example.org), [here](#top).\n"


def test_a_readme_with_a_source_address_gets_absolute_links(readme_for_index):
    shown = readme_for_index(README, source_url="https://example.org/x/")
    assert "![picture](https://example.org/x/raw/main/docs/a.png)" in shown
    assert "[page](https://example.org/x/blob/main/docs/a.md#part)" in shown
    assert shown.endswith("[web](https://example.org), [here](#top).\n")


def test_no_link_of_the_readme_is_relative_on_an_index(readme_for_index):
    shown = readme_for_index((ROOT / "README.md").read_text(encoding="utf-8"), source_url=None)
    assert not re.findall(r"\]\((?!https?:|#|mailto:)", shown)
    assert len(shown) > 2000


CHANGELOG = "# Changelog\n\n## Unreleased\n\n## 0.2.0 - 2026-12-01\n\n- b\n\n## 0.1.0 - 2026-11-01\n\n- a\n"


@pytest.fixture(scope="module")
def release():
    return runpy.run_path(str(ROOT / "packaging" / "release.py"))


def test_release_notes_are_the_section_of_the_version(release):
    found = release["sections"](CHANGELOG)
    assert found == {"Unreleased": (None, ""), "0.2.0": ("2026-12-01", "- b"), "0.1.0": ("2026-11-01", "- a")}


def test_a_tag_needs_one_version_and_a_dated_section(release):
    problems = release["problems"]
    assert problems("0.2.0", citation="version: 0.2.0\n", changelog=CHANGELOG) == []
    assert "states version 0.1.0" in problems("0.2.0", citation="version: 0.1.0\n", changelog=CHANGELOG)[0]
    assert "no section '## 0.3.0" in problems("0.3.0", citation="version: 0.3.0\n", changelog=CHANGELOG)[0]


def test_the_changelog_has_an_unreleased_section(release):
    assert "Unreleased" in release["sections"]((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))


def test_the_conda_recipe_requires_what_the_wheel_requires():
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    recipe = (ROOT / "packaging" / "conda" / "recipe.yaml").read_text(encoding="utf-8")
    stated = recipe.split("  run:\n")[1].split("  run_constraints:")[0]
    names = {"matplotlib": "matplotlib-base", "isal": "python-isal"}
    expected = []
    for requirement in wheel:
        name, bounds = re.fullmatch(r"([\w.-]+)(.+)", requirement).groups()
        expected.append(f"{names.get(name, name.lower())} {bounds}")
    assert re.findall(r"- (.+)", stated)[1:] == expected
