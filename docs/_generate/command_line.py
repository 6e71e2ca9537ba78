"""Reference pages of the command line: one a command, from typer's own description of it."""

import re
from typing import Any

import typer

from sirtjax.cli.main import app


def _cell(text: str) -> str:
    """Returns prose for one cell of a table, with names in angle brackets kept as text."""
    return _line(text).replace("|", "\\|").replace("<", "&lt;")


def _line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _row(parameter: Any, context: Any) -> str | None:
    record = parameter.get_help_record(context)
    if record is None:
        kind = parameter.make_metavar(context)
        record = (kind, getattr(parameter, "help", None) or "")
        if parameter.param_type_name != "argument":
            return None
    names, text = record
    return f"| `{_line(names)}` | {_cell(text)} |"


def _table(title: str, rows: list[str]) -> list[str]:
    return ["", f"| {title} | description |", "|---|---|", *rows] if rows else []


def command_page(command: Any, path: str) -> str:
    """Returns the Markdown page of one command: usage, help, arguments and options."""
    context = command.make_context(path, [], resilient_parsing=True)
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [f"# {path}", "", (command.help or "").strip(), "", "```text", f"{path} {usage}", "```"]
    by_kind: dict[str, list[str]] = {"argument": [], "option": []}
    for parameter in command.get_params(context):
        row = _row(parameter, context)
        if row:
            by_kind[parameter.param_type_name].append(row)
    lines += _table("argument", by_kind["argument"]) + _table("option", by_kind["option"])
    children = getattr(command, "commands", {})
    if children:
        lines += ["", "| command | description |", "|---|---|"]
        for name, child in children.items():
            page = f"{path} {name}".replace(" ", "-") + ".md"
            lines.append(f"| [`{path} {name}`]({page}) | {_cell((child.help or '').strip().split(chr(10) * 2)[0])} |")
    return "\n".join(lines) + "\n"


def command_pages() -> dict[str, str]:
    """Returns the pages of all commands: path in the site -> Markdown."""
    pages: dict[str, str] = {}

    def add(command: Any, path: str) -> None:
        pages[f"reference/cli/{path.replace(' ', '-')}.md"] = command_page(command, path)
        for name, child in getattr(command, "commands", {}).items():
            add(child, f"{path} {name}")

    add(typer.main.get_command(app), "sirtjax")
    return pages
