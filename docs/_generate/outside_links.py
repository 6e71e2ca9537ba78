"""Links of the repository's Markdown to files outside docs/: the site carries a copy of each such file."""

import os
import re
from pathlib import Path, PurePosixPath

LINK = re.compile(r"(?<=\]\()([^)\s#:]+)(#[^)\s]*)?(?=\))")
# Pages made from files at the root of the repository: path in the repository -> path in the site.
ADOPTED = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}


def _site_path(repository_path: str) -> str:
    """Returns where a file of the repository is in the site."""
    if repository_path in ADOPTED:
        return ADOPTED[repository_path]
    if repository_path.startswith("docs/"):
        return repository_path.removeprefix("docs/")
    return f"files/{repository_path}"


def relinked(markdown: str, *, source: str, page: str, root: Path) -> tuple[str, set[str]]:
    """Rewrites relative links for the site.

    Args:
      markdown: text of a file of the repository.
      source: its path in the repository.
      page: path of its page in the site.
      root: folder of the repository.

    Returns:
      The text, and the repository paths of linked files outside docs/ that the site must carry. A link to a folder
      becomes plain code, because a site has no page for it.
    """
    needed: set[str] = set()

    def replace(match: re.Match[str]) -> str:
        target, anchor = match.group(1), match.group(2) or ""
        path = os.path.normpath(PurePosixPath(source).parent / target)
        if path.startswith("..") or not (root / path).is_file():
            return match.group(0)
        site = _site_path(path)
        if site.startswith("files/"):
            needed.add(path)
        return os.path.relpath(site, PurePosixPath(page).parent) + anchor

    def unlink_folder(match: re.Match[str]) -> str:
        path = os.path.normpath(PurePosixPath(source).parent / match.group(2))
        return f"`{path}/`" if (root / path).is_dir() else match.group(0)

    markdown = re.sub(r"\[([^\]]*)\]\(([^)\s#:]+)\)", unlink_folder, markdown)
    return LINK.sub(replace, markdown), needed
