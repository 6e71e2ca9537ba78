"""Checks the arrays of every call of the subpackages below against the shapes in the signatures.

Set SIRTJAX_CHECK_SHAPES=1 to install it. Only annotations of arrays are checked; mypy checks the other types.
"""

import contextlib
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


def install():
    """Checks the subpackages that are imported from now on."""
    jaxtyping.install_import_hook([f"sirtjax.{name}" for name in SUBPACKAGES], "shape_checks.checked")


def enable(value):
    """Turns the checks on or off."""
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
    """Returns a function that checks its arrays.

    Records are not checked: JAX rebuilds pytrees with placeholders and with batches.
    """
    arrays = {name: hint for name, hint in function.__annotations__.items() if _has_array(hint)}
    if not arrays or function.__name__ == "__init__":
        return function
    function.__annotations__ = arrays
    return _beartyped(function)


def _has_array(hint):
    if isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    return any(_has_array(part) for part in get_args(hint))
