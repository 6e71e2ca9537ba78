"""The conventions of signatures and docstrings, over every public function of every room."""

import ast
import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import sirtjax

# Names of quantities that mean nothing without their unit.
DIMENSIONAL = {
    "activity",
    "concentration",
    "density",
    "depth",
    "diameter",
    "distance",
    "dose",
    "duration",
    "energy",
    "fwhm",
    "half_life",
    "height",
    "length",
    "mass",
    "offset",
    "origin",
    "position",
    "radius",
    "spacing",
    "thickness",
    "time",
    "volume",
    "weight_of_patient",
    "width",
}
# A whole number counts voxels, and a record knows its own unit.
NUMERIC = re.compile(r"\b(float|Array|ArrayLike|NDArray|ndarray|Scalar|Float|Points)\b")
# From this many parameters on, the names alone don't tell what they are.
ARGS_FROM = 4


def public_rooms():
    """Every package of the installed library that exports something."""
    rooms = []
    for info in pkgutil.walk_packages(sirtjax.__path__, "sirtjax."):
        if info.ispkg and not info.name.startswith(("sirtjax.cli", "sirtjax.configs")):
            module = importlib.import_module(info.name)
            if getattr(module, "__all__", None):
                rooms.append(module)
    return rooms


def public_functions(module):
    """Qualified name -> function, for the exported functions and the public methods of exported classes."""
    found = {}
    for name in module.__all__:
        value = inspect.unwrap(getattr(module, name)) if callable(getattr(module, name)) else None
        if inspect.isfunction(value):
            found[f"{module.__name__}.{name}"] = value
        elif inspect.isclass(value) and value.__module__.startswith("sirtjax"):
            fields = getattr(value, "__dataclass_fields__", {})
            for attribute, member in vars(value).items():
                if attribute in fields:
                    continue  # a field whose default is a function
                if isinstance(member, staticmethod | classmethod):
                    member = member.__func__
                # A property is one noun; what pydantic or dataclasses generate has no source of its own.
                if inspect.isfunction(member) and not attribute.startswith("_") and _is_written(member):
                    found[f"{module.__name__}.{name}.{attribute}"] = member
    return found


def _is_written(function):
    try:
        return function.__code__.co_filename.endswith(".py") and bool(inspect.getsource(function))
    except (OSError, TypeError):
        return False


def offences(name, function):
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name not in ("self", "cls")]
    yield from (f"{name}: {problem}" for problem in signature_offences(function, parameters))
    yield from (f"{name}: {problem}" for problem in docstring_offences(function, parameters))


def signature_offences(function, parameters):
    for parameter in parameters:
        if parameter.annotation is parameter.empty:
            yield f"{parameter.name} has no annotation"
        if parameter.default is not parameter.empty and parameter.kind is not parameter.KEYWORD_ONLY:
            yield f"{parameter.name} has a default but is not keyword-only"
        if parameter.name == "rng":
            yield "a random key is called `key` and comes first, not rng"
        if parameter.name in DIMENSIONAL and NUMERIC.search(str(parameter.annotation)):
            yield f"{parameter.name} is a number without a unit suffix"
    if inspect.signature(function).return_annotation is inspect.Signature.empty:
        yield "no return annotation"


def docstring_offences(function, parameters):
    text = inspect.getdoc(function)
    if not text:
        yield "no docstring"
        return
    if not text.splitlines()[0].rstrip().endswith((".", ":", "?")):
        yield "the first line of the docstring is not a sentence"
    if len(parameters) >= ARGS_FROM and "Args:" not in text:
        yield f"{len(parameters)} parameters and no Args section"
    documented = _section(text, "Args:")
    if documented is not None:
        named = {word.lstrip("*") for line in documented for word in _names(line)}
        missing = {parameter.name for parameter in parameters} - named
        if missing:
            yield f"not in the Args section: {', '.join(sorted(missing))}"
    if raises_itself(function) and "Raises:" not in text:
        yield "it raises and has no Raises section"


def _section(text, title):
    lines = text.splitlines()
    if title not in lines:
        return None
    start = lines.index(title) + 1
    body = []
    for line in lines[start:]:
        if line and not line.startswith(" "):
            break
        body.append(line)
    return body


def _names(line):
    match = re.match(r"  (?! )([\w*, ]+):", line)
    return [word.strip() for word in match.group(1).split(",")] if match else []


def raises_itself(function):
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    return any(isinstance(node, ast.Raise) and node.exc is not None for node in ast.walk(tree))


def test_every_public_function_keeps_the_conventions():
    rooms = public_rooms()
    functions = {name: f for room in rooms for name, f in public_functions(room).items()}
    assert len(functions) > 10
    found = [offence for name, function in functions.items() for offence in offences(name, function)]
    assert not found, "\n".join(found)


def no_docstring(x: float) -> float:
    return x


def not_a_sentence(x: float) -> float:
    """Halve x"""
    return x / 2


def no_annotation(x) -> float:
    """Half of x."""
    return x / 2


def no_return_annotation(x: float):
    """Half of x."""
    return x / 2


def positional_default(x: float, y: float = 1.0) -> float:
    """Sum."""
    return x + y


def random_rng(rng: Any) -> float:
    """Draw."""
    return rng()


def bare_dose(dose: np.ndarray) -> float:
    """Mean."""
    return float(dose.mean())


def bare_spacing(x: float, *, spacing: Sequence[float]) -> float:
    """Scale."""
    return x * spacing[0]


def undocumented_raise(x: float) -> float:
    """Half of x."""
    if x < 0:
        raise ValueError("x")
    return x / 2


def many_parameters(a: float, b: float, c: float, d: float) -> float:
    """Sum."""
    return a + b + c + d


def one_argument_missing(a: float, b: float) -> float:
    """Sum.

    Args:
      a: the first
        b: which is not listed, only mentioned.
    """
    return a + b


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        (no_docstring, "no docstring"),
        (not_a_sentence, "first line of the docstring"),
        (no_annotation, "x has no annotation"),
        (no_return_annotation, "no return annotation"),
        (positional_default, "y has a default but is not keyword-only"),
        (random_rng, "called `key`"),
        (bare_dose, "dose is a number without a unit suffix"),
        (bare_spacing, "spacing is a number without a unit suffix"),
        (undocumented_raise, "no Raises section"),
        (many_parameters, "4 parameters and no Args section"),
        (one_argument_missing, "not in the Args section: b"),
    ],
)
def test_each_convention_can_fail(function, complaint):
    assert any(complaint in offence for offence in offences("f", function))


def well_made(dose_gy: np.ndarray, volume: "sirtjax.volume.Volume", *, a: float, b: float = 1.0) -> float:
    """Mean dose.

    Args:
      dose_gy: doses.
      volume: an image, which knows its own unit.
      a, b: weights.

    Raises:
      ValueError: a is negative.
    """
    if a < 0:
        raise ValueError("a")
    return float(dose_gy.mean()) * a * b


def test_a_well_made_function_is_left_in_peace():
    assert list(offences("f", well_made)) == []


def test_methods_and_functions_are_found():
    import sirtjax.volume

    names = public_functions(sirtjax.volume)
    assert "sirtjax.volume.LabelMap.from_mask" in names
    assert "sirtjax.volume.Geometry.to_voxel" in names
    assert not any(name.split(".")[-1].startswith("_") for name in names)
