"""The hook of mkdocs.yml: adds the generated pages to the site, and orders them in its navigation."""

import json
import logging
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import case_keys
import command_line
import outside_links
import public_names
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
log = logging.getLogger("mkdocs.hooks.generate")
# mkdocstrings reads sources from one folder that looks like the installed package.
PACKAGE = ROOT / "build" / "docs-package" / "sirtjax"


def _copy_package() -> None:
    """Puts the sources where mkdocstrings finds them under their installed names; it does not follow links."""
    shutil.rmtree(PACKAGE.parent, ignore_errors=True)
    for name, folder in public_names.ROOTS.items():
        for source in sorted((ROOT / folder).rglob("*.py*")):
            if source.suffix in (".py", ".pyi"):
                copy = PACKAGE.joinpath(*name.split(".")[1:]) / source.relative_to(ROOT / folder)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, copy)


def _nav(paths: Iterable[str]) -> list[dict[str, str]]:
    return [{Path(path).stem.replace("sirtjax-", "sirtjax ").replace("-", " "): path} for path in paths]


def on_startup(*, command: str, dirty: bool) -> None:
    """Copies the sources before any plugin starts: mkdocstrings drops a path that does not exist yet."""
    _copy_package()


def on_config(config: Any) -> Any:
    """Generates the reference and puts it in place of the navigation's empty groups."""
    api, commands = public_names.api_pages(ROOT), command_line.command_pages()
    config.extra["generated"] = {
        **api,
        **commands,
        "reference/case-keys.md": case_keys.case_page(),
        "reference/case.schema.json": json.dumps(case_keys.case_schema(), indent=2) + "\n",
    }
    for group in config.nav:
        for name, entries in group.items():
            if name == "Reference":
                entries += [{"Command line": _nav(commands)}, {"Python": _nav(api)}]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Adds the generated pages, the pages from the repository's root, and the files they link to."""
    generated: dict[str, str] = dict(config.extra.pop("generated"))
    needed: set[str] = set()
    for source, page in outside_links.ADOPTED.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        generated[page], linked = outside_links.relinked(text, source=source, page=page, root=ROOT)
        needed |= linked
    for file in files.documentation_pages():
        source = f"docs/{file.src_uri}"
        if file.src_uri.endswith(".md") and (ROOT / source).is_file():
            text = (ROOT / source).read_text(encoding="utf-8")
            needed |= outside_links.relinked(text, source=source, page=file.src_uri, root=ROOT)[1]
    for path, text in generated.items():
        files.append(File.generated(config, path, content=text))
    for path in sorted(needed):
        files.append(File.generated(config, f"files/{path}", abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Points links of docs/*.md at files outside docs/ to the site's copies."""
    source = f"docs/{page.file.src_uri}"
    if not (ROOT / source).is_file():
        return markdown
    return outside_links.relinked(markdown, source=source, page=page.file.src_uri, root=ROOT)[0]


def on_page_content(html: str, *, page: Any, config: Any, files: Files) -> str:
    """Points the Markdown links of tutorials to pages; mkdocs does so for Markdown pages only."""
    if not page.file.src_uri.endswith(".py"):
        return html

    def replace(match: re.Match[str]) -> str:
        target = os.path.normpath(PurePosixPath(page.file.src_uri).parent / match.group(1))
        file = files.get_file_from_path(target)
        if file is None:
            log.warning("%s links to %s, which is no page", page.file.src_uri, match.group(1))
            return match.group(0)
        return f'href="{file.url_relative_to(page.file)}{match.group(2) or ""}"'

    return re.sub(r'href="([^":#]+\.(?:md|py))(#[^"]*)?"', replace, html)
