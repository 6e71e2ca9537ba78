"""`import sirtjax as sj`: light, complete, and known to type checkers."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import sirtjax as sj

STUB = Path(sj.__file__).with_name("__init__.pyi")


def in_new_process(imports, expression):
    code = f"import {imports}, json; print(json.dumps({expression}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_the_import_loads_no_heavy_package():
    before, after = (set(in_new_process(f"sys{more}", "sorted(sys.modules)")) for more in ("", ", sirtjax"))
    heavy = {"jax", "numpy", "scipy", "pydicom", "SimpleITK", "matplotlib", "pydantic"}
    assert "sirtjax" in after and heavy.isdisjoint(after - before)


def test_every_listed_name_resolves():
    for name in dir(sj):
        assert getattr(sj, name) is not None, name
    assert set(sj.__all__) <= set(dir(sj))


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(sj, "regster")


def test_pkgutil_finds_the_folders_next_to_the_package():
    found = in_new_process("pkgutil, sirtjax", "[m.name for m in pkgutil.iter_modules(sirtjax.__path__)]")
    assert {"cli", "train", "configs", "volume", "tasks"} <= set(found)
    assert set(found) == set(sj._subpackages())


def test_the_stub_names_what_the_module_offers():
    names = {alias.asname or alias.name for node in ast.parse(STUB.read_text(encoding="utf-8")).body
             if isinstance(node, ast.ImportFrom) for alias in node.names}  # fmt: skip
    assert names == set(dir(sj)) - {"__version__"}


def test_subpackages_are_attributes():
    assert in_new_process("sirtjax as sj", "sj.errors.InputError.__module__") == "sirtjax.errors"
