"""Names that a benchmark imports from another one exist, so that each command in the documentation starts."""

import ast
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
FILES = sorted(FOLDER.glob("*.py"))


def defined(path):
    """The names at the top level of a module, also those of its imports and of compound statements there."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.alias(name=name, asname=other):
                names.add((other or name).split(".")[0])
            case ast.Name(id=name, ctx=ast.Store()):
                names.add(name)
    return names


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_names_from_other_benchmarks_exist(path):
    siblings = {one.stem: one for one in FILES}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module in siblings and node.level == 0:
            missing = {alias.name for alias in node.names} - defined(siblings[node.module])
            assert not missing, f"{path.name}: {node.module}.py does not define {', '.join(sorted(missing))}"
