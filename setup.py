"""Install train/, cli/ and configs/ as sirtjax.<folder>, and adapt README.md to a package index."""

import re
import tomllib
from pathlib import Path

from setuptools import find_namespace_packages, setup

ROOT = Path(__file__).parent
MAPPED = ("train", "cli", "configs")
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|mailto:|#)([^)\s]+)\)")


def readme_for_index(markdown: str, *, source_url: str | None) -> str:
    """Returns README.md with links that work away from the repository.

    Relative links and images get absolute addresses if the project states where its files are ("Source" in
    [project.urls]). Without such an address, links become their text and images are removed.
    """

    def replace(match: re.Match[str]) -> str:
        image, text, target = match.groups()
        if source_url is None:
            return "" if image else text
        return f"{image}[{text}]({source_url.rstrip('/')}/{'raw' if image else 'blob'}/main/{target})"

    return re.sub(r"\n{3,}", "\n\n", LINK.sub(replace, markdown))


def main() -> None:
    """Runs setuptools."""
    # Namespace packages: folders of data files are packages too, which is how setuptools wants data to be declared.
    inside = find_namespace_packages(include=[pattern for folder in MAPPED for pattern in (folder, f"{folder}.*")])
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"].get("urls", {})
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    setup(
        package_dir={f"sirtjax.{folder}": folder for folder in MAPPED},
        packages=find_namespace_packages(include=["sirtjax", "sirtjax.*"]) + [f"sirtjax.{name}" for name in inside],
        long_description=readme_for_index(readme, source_url=urls.get("Source")),
        long_description_content_type="text/markdown",
    )


if __name__ == "__main__":
    main()
