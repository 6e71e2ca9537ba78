"""The table of commands and library functions in docs/architecture.md."""

import importlib
import re
from pathlib import Path

import typer
from rich.text import Text

from sirtjax.cli.main import app

ROOT = Path(__file__).parents[2]
COMMAND = re.compile(r"`([a-z]+(?: [a-z]+)?)`")
FUNCTION = re.compile(r"`(\w+)\.(\w+)`")


def table():
    """Command -> functions as (subpackage, name)."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    rows = text.partition("### Commands and the functions they call")[2].partition("\n#")[0]
    found = {}
    for row in re.findall(r"^\| (`.+?) \| (.+) \|$", rows, re.M):
        for command in COMMAND.findall(row[0]):
            found[command] = FUNCTION.findall(row[1])
    return found


def commands():
    """Names of all commands of the program."""
    group = typer.main.get_command(app)
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)
        yield from (name,) if inner is None else (f"{name} {one}" for one in inner)


def helps(command):
    """Help texts of a command, its parameters and its commands."""
    yield command.help or ""
    yield from (getattr(parameter, "help", None) or "" for parameter in command.params)
    for inner in getattr(command, "commands", {}).values():
        yield from helps(inner)


def test_no_help_is_taken_for_markup():
    """Rich removes "[default: 8]" as an unknown style. The texts of typer itself have none of it."""
    lost = [text for text in helps(typer.main.get_command(app)) if Text.from_markup(text).plain != text]
    assert lost == []


def test_every_command_is_in_the_table():
    assert set(table()) == set(commands())


def test_the_functions_are_public_and_used_by_a_command():
    sources = "\n".join(path.read_text() for path in (ROOT / "cli").glob("*.py"))
    for command, functions in table().items():
        assert functions, command
        for subpackage, name in functions:
            assert callable(getattr(importlib.import_module(f"sirtjax.{subpackage}"), name)), (command, name)
            assert re.search(rf"\b{name}\b", sources), f"{command}: no command calls {name}"
