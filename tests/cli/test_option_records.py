"""Option records: shared options stand once, and commands get them with their types."""

import ast
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, get_type_hints

import pytest
import typer
from typer.testing import CliRunner

from sirtjax.cli._case_options import CaseArguments
from sirtjax.cli._option_records import with_records
from sirtjax.workflows import CaseOptions


@dataclass(frozen=True, kw_only=True)
class Shared:
    source: Annotated[str, typer.Argument(help="Source.")]
    size: Annotated[int, typer.Option("--size", help="Size.")] = 3
    name: Annotated[list[str] | None, typer.Option("--name", help="Name.")] = None


@pytest.fixture
def call():
    seen = []

    @with_records
    def command(shared: Shared, force: Annotated[bool, typer.Option("--force", help="Force.")] = False) -> None:
        """Do it."""
        seen.append((shared, force))

    app = typer.Typer()
    app.command()(command)

    def run(*arguments):
        return CliRunner().invoke(app, list(arguments)), seen

    return run


def test_fields_are_options_and_arrive_as_a_record(call):
    done, seen = call("in.nii", "--size", "5", "--name", "a", "--name", "b", "--force")
    assert done.exit_code == 0
    assert seen == [(Shared(source="in.nii", size=5, name=["a", "b"]), True)]


def test_defaults_and_required_fields_are_those_of_the_record(call):
    done, seen = call("in.nii")
    assert done.exit_code == 0 and seen == [(Shared(source="in.nii"), False)]
    assert call()[0].exit_code == 2


def test_help_has_the_options_of_the_record_and_the_docstring_of_the_command(call):
    text = call("--help")[0].output
    assert all(word in text for word in ("Do it.", "--size", "--name", "--force", "Source."))


def test_every_case_option_reaches_the_library():
    values = {}
    for field, hint in get_type_hints(CaseArguments).items():
        values[field] = ["one", "two"] if "list" in str(hint) else f"value of {field}"
    made = CaseArguments(**values).case_options(
        strategy="upper", residual_fraction=0.01, plan=Path("p"), calibration="relative"
    )
    rest = {"strategy": "upper", "residual_fraction": 0.01, "plan": Path("p"), "calibration": "relative"}
    expected = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()} | rest
    assert {field.name: getattr(made, field.name) for field in fields(CaseOptions)} == expected


def test_options_that_commands_share_are_defined_once():
    """Each option of `plan` and `verify` that describes a case is written in one file only."""
    folder = Path(__file__).parents[2] / "cli"
    names = {f"--{field.name.replace('_', '-')}" for field in fields(CaseArguments)} - {
        "--liver", "--lesions", "--lungs", "--activity", "--lines", "--territories", "--registration", "--protocol",
    }  # fmt: skip
    found = dict.fromkeys(names, 0)
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and node.value in found:
                found[node.value] += 1
    assert {name for name, count in found.items() if count != 1} == set()
