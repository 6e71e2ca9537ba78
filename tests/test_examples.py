"""The examples in docstrings: each subpackage has some, and those outside `sirtjax/` run here."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import sirtjax

LEAST = 3
# `pytest --doctest-modules sirtjax` doesn't collect these two, which are mapped into the package from other folders.
MAPPED = ("train", "cli")


def subpackages():
    return sorted(info.name for info in pkgutil.iter_modules(sirtjax.__path__) if info.ispkg and info.name != "configs")


def documented(module):
    """(name, docstring) of the exported functions and classes of a module, and of the methods of those classes."""
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(inspect.unwrap(value)):
            yield name, inspect.getdoc(value) or ""
        for attribute, member in vars(value).items() if inspect.isclass(value) else ():
            if inspect.isfunction(member) and not attribute.startswith("_"):
                yield f"{name}.{attribute}", inspect.getdoc(member) or ""


def with_example(module):
    """The names whose docstring has an example that runs."""
    return [name for name, text in documented(module) if has_example(text)]


def has_example(text):
    """Whether a result in a docstring is compared when its examples run."""
    return any(
        one.want and not one.options.get(doctest.SKIP, False) for one in doctest.DocTestParser().get_examples(text)
    )


@pytest.mark.parametrize("name", [name for name in subpackages() if name != "cli"])
def test_each_subpackage_has_examples(name):
    module = importlib.import_module(f"sirtjax.{name}")
    found = with_example(module)
    assert len(found) >= LEAST, f"sirtjax.{name}: only {', '.join(found) or 'no function'} with an example"


def test_only_examples_that_run_count():
    assert has_example("Returns half.\n\n>>> 1 / 2\n0.5\n")
    assert not has_example("Returns half.\n\n>>> 1 / 2  # doctest: +SKIP\n0.5\n")
    assert not has_example("Returns half.\n\n>>> x = 1 / 2\n")
    assert not has_example("Returns half.")


def mapped_modules():
    for folder in MAPPED:
        package = importlib.import_module(f"sirtjax.{folder}")
        yield from (f"sirtjax.{folder}.{info.name}" for info in pkgutil.iter_modules(package.__path__))


def test_examples_of_the_mapped_folders():
    ran = 0
    for name in mapped_modules():
        failed, attempted = doctest.testmod(importlib.import_module(name))
        assert failed == 0, name
        ran += attempted
    assert ran > 10
