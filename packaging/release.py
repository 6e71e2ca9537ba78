"""Prints the release notes of a version from CHANGELOG.md, or tags the commit with them.

python packaging/release.py          # notes of sirtjax.__version__, or of "Unreleased" while it has no section
python packaging/release.py --tag    # an annotated tag vVERSION with these notes
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEADING = re.compile(r"^## (?P<name>\S+)(?: - (?P<date>\d{4}-\d{2}-\d{2}))?$", flags=re.M)


def sections(changelog: str) -> dict[str, tuple[str | None, str]]:
    """Returns the date and the text of each version in a changelog; "Unreleased" has no date."""
    found = list(HEADING.finditer(changelog))
    ends = [heading.start() for heading in found[1:]] + [len(changelog)]
    return {
        heading["name"]: (heading["date"], changelog[heading.end() : end].strip())
        for heading, end in zip(found, ends, strict=True)
    }


def stated_version(text: str, pattern: str) -> str:
    """Returns the version that a file states on the line that a pattern matches."""
    match = re.search(pattern, text, flags=re.M)
    if match is None:
        raise SystemExit(f"release: no line matches {pattern!r}")
    return match[1]


def problems(version: str, *, citation: str, changelog: str) -> list[str]:
    """Returns what prevents a tag: a citation of another version, or no dated section with text."""
    found = []
    cited = stated_version(citation, r"^version: (.+)$")
    if cited != version:
        found.append(f"CITATION.cff states version {cited}, sirtjax/__init__.py {version}; change one of them")
    date, text = sections(changelog).get(version, (None, ""))
    if date is None or not text:
        found.append(f"CHANGELOG.md has no section '## {version} - YYYY-MM-DD' with text; rename 'Unreleased' to it")
    return found


def main() -> None:
    """Prints the notes, or makes the tag."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tag", action="store_true", help="Make the annotated tag.")
    tag = parser.parse_args().tag
    version = stated_version((ROOT / "sirtjax/__init__.py").read_text(encoding="utf-8"), r'^__version__ = "(.+)"$')
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    if not tag:
        written = sections(changelog)
        print(written.get(version, written["Unreleased"])[1])
        return
    found = problems(version, citation=(ROOT / "CITATION.cff").read_text(encoding="utf-8"), changelog=changelog)
    if subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, check=True, capture_output=True).stdout:
        found.append("the working tree has changes; commit them first")
    if found:
        sys.exit("\n".join(f"release: {problem}" for problem in found))
    notes = f"sirtjax {version}\n\n{sections(changelog)[version][1]}\n"
    command = ["git", "tag", "--annotate", "--cleanup=whitespace", "--file=-", f"v{version}"]
    subprocess.run(command, cwd=ROOT, check=True, input=notes, text=True)
    print(f"v{version}")


if __name__ == "__main__":
    main()
