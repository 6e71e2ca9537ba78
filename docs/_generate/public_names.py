"""Reference pages of the Python API: one a public module, with every name in its `__all__`."""

import importlib
import inspect
from pathlib import Path
from types import ModuleType

# Installed name -> folder of the checkout; `cli` has its own reference and `configs` holds data only.
ROOTS = {"sirtjax": "sirtjax", "sirtjax.train": "train"}


def public_modules(root: Path) -> list[str]:
    """Returns the dotted names of all modules without a private part in their path, sorted."""
    found = set()
    for name, folder in ROOTS.items():
        for path in (root / folder).rglob("*.py"):
            parts = path.relative_to(root / folder).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            inside = path.parent / "__init__.py"
            if inside.is_file() and not any(part.startswith("_") for part in parts):
                found.add(".".join((name, *parts)))
    return sorted(found)


def public_names(module: ModuleType) -> list[str]:
    """Returns the names in `__all__`, or the public functions and classes that the module defines."""
    if hasattr(module, "__all__"):
        return sorted(module.__all__)
    return sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__ == module.__name__
    )


def _first_line(value: object) -> str:
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return "constant or type"
    text = (inspect.getdoc(value) or "").strip()
    return text.splitlines()[0].replace("|", "\\|") if text else ""


def _defined_in(value: object) -> str:
    """Returns the public module of a function or class."""
    parts = value.__module__.split(".")
    private = [part.startswith("_") for part in parts]
    return ".".join(parts[: private.index(True)] if any(private) else parts)


def module_page(name: str) -> str:
    """Returns the Markdown page of a module: an overview and one mkdocstrings block per public name.

    The top level only points to the subpackages that define its names.
    """
    module = importlib.import_module(name)
    names = public_names(module)
    if name == "sirtjax":
        rows = [
            f"| [`sj.{each}`][{_defined_in(value)}.{each}] | {_first_line(value)} |"
            for each, value in ((each, getattr(module, each)) for each in names)
        ]
        return "\n".join(
            [
                "# sirtjax",
                "",
                inspect.getdoc(module).split("Examples:")[0],
                "| name | description |",
                "|---|---|",
                *rows,
                "",
            ]
        )
    lines = [f"# {name}", "", inspect.getdoc(module) or "", ""]
    if names:
        lines += ["| name | description |", "|---|---|"]
        lines += [f"| [`{each}`][{name}.{each}] | {_first_line(getattr(module, each))} |" for each in names]
    for each in names:
        lines += ["", f"::: {name}.{each}"]
    return "\n".join(lines) + "\n"


def api_pages(root: Path) -> dict[str, str]:
    """Returns the pages of all public modules that have public names: path in the site -> Markdown."""
    pages = {}
    for name in public_modules(root):
        if public_names(importlib.import_module(name)):
            pages[f"reference/api/{name}.md"] = module_page(name)
    return pages
