"""Checks the arrays of every call of the subpackages below against the shapes in the signatures.

Set SIRTJAX_CHECK_SHAPES=1 to install it. Only annotations of arrays are checked; mypy checks the other types.
"""

import collections
import contextlib
import functools
from typing import get_args

import jaxtyping
from beartype import BeartypeConf, beartype

_beartyped = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int may be given for a float
SUBPACKAGES = (
    "dicom",
    "dosimetry",
    "inference",
    "io",
    "losses",
    "metrics",
    "networks",
    "ops",
    "partial_volume",
    "phantom",
    "pipeline",
    "postprocess",
    "preprocess",
    "registration",
    "registration_networks",
    "reports",
    "review",
    "segmentation",
    "spatial",
    "studies",
    "synthesis",
    "tasks",
    "territories",
    "train",
    "volume",
    "workflows",
)


# Further calls of a function within one test are not checked: some functions are called 100,000 times.
MOST_CALLS = 50
_calls = collections.Counter()


def install():
    """Checks the subpackages that are imported from now on."""
    jaxtyping.jaxtyped = _of_arrays
    jaxtyping.install_import_hook([f"sirtjax.{name}" for name in SUBPACKAGES], "shape_checks.checked")


def enable(value):
    """Turns the checks on or off, and counts calls from zero."""
    _calls.clear()
    jaxtyping.config.update("jaxtyping_disable", not value)


@contextlib.contextmanager
def disabled():
    """Turns the checks off for a while."""
    before = jaxtyping.config.jaxtyping_disable
    enable(False)
    try:
        yield
    finally:
        enable(not before)


def checked(function):
    """Returns a function that checks its arrays."""
    function.__annotations__ = {name: hint for name, hint in function.__annotations__.items() if _has_array(hint)}
    return _beartyped(function)


_jaxtyped = jaxtyping.jaxtyped


def _of_arrays(*, typechecker):
    """Decorates functions with arrays in their signature as jaxtyping does, and returns everything else unchanged.

    Records are not checked: JAX rebuilds pytrees with placeholders and with batches. Functions within functions are
    not checked either: they would be decorated again in each call.
    """

    def decorate(target):
        if isinstance(target, type) or "<locals>" in target.__qualname__:
            return target
        hints = target.__annotations__.values()
        if target.__name__ == "__init__" or not any(_may_have_array(hint, target.__globals__) for hint in hints):
            return target
        with_checks = _jaxtyped(target, typechecker=typechecker)

        @functools.wraps(target)
        def call(*args, **kwargs):
            _calls[target] += 1
            return (with_checks if _calls[target] <= MOST_CALLS else target)(*args, **kwargs)

        return call

    return decorate


def _may_have_array(hint, names):
    """Also accepts hints in quotes; those with names that are imported for type checkers alone may be of arrays."""
    if isinstance(hint, str):
        try:
            hint = eval(hint, names)
        except NameError:
            return True
    return _has_array(hint)


def _has_array(hint):
    if isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    return any(_has_array(part) for part in get_args(hint))
