"""TOML, JSON and CSV of files: whatever is wrong with a text ends in an error of one line."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Sequence
from datetime import datetime
from numbers import Integral, Real
from typing import TypeVar, overload

from sirtjax.errors import InputError

# Files of this package, of nnU-Net and of 3D Slicer nest less than ten levels. What reads them recurses.
MAX_DEPTH = 100

_Item = TypeVar("_Item")


class ParseError(InputError):
    """A text is not valid TOML or JSON, or is nested too deeply."""


def parse_toml(text: str) -> dict[str, object]:
    """Returns the tables of a TOML text.

    Raises:
      ParseError: the text is not valid TOML, or nested more than 100 levels deep.

    Examples:
      >>> from sirtjax import parsing
      >>> parsing.parse_toml("shunt.fraction = 0.05")
      {'shunt': {'fraction': 0.05}}
      >>> parsing.parse_toml("fraction = ")
      Traceback (most recent call last):
      sirtjax.parsing.ParseError: Invalid value (at end of document)
    """
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:  # syntax, and numbers with thousands of digits
        raise ParseError(str(error)) from error
    _check_depth(table)
    return table


def parse_json(text: str | bytes) -> object:
    """Returns the value of a JSON text; bytes are UTF-8, UTF-16 or UTF-32.

    Raises:
      ParseError: the text is not valid JSON, or nested more than 100 levels deep.

    Examples:
      >>> from sirtjax import parsing
      >>> parsing.parse_json('{"dose_gy": [120, 60.5]}')
      {'dose_gy': [120, 60.5]}
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise ParseError(str(error)) from error
    _check_depth(value)
    return value


@overload
def json_value(value: dict[str, _Item]) -> dict[str, object]: ...


@overload
def json_value(value: object) -> object: ...


def json_value(value: object) -> object:
    """Returns a value as JSON can hold it: NaN becomes None, NumPy's numbers Python's, times texts.

    Args:
      value: dictionaries, lists and tuples of anything; other objects stay as they are.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import parsing
      >>> parsing.json_value({"dose": np.float32(0.5), "count": np.int64(3), "ratio": float("nan")})
      {'dose': 0.5, 'count': 3, 'ratio': None}
    """
    if isinstance(value, dict):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    if isinstance(value, bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None
    return value.isoformat() if isinstance(value, datetime) else value


def surplus_cells(more: Sequence[str], columns: Sequence[str]) -> str | None:
    """Returns the fault of a CSV row with more cells than the header; None if the further cells are empty.

    Args:
      more: cells of the row beyond the header, as `csv.DictReader` gives them for the key None.
      columns: names in the header.

    Examples:
      >>> from sirtjax import parsing
      >>> parsing.surplus_cells(["b.nii"], ["image"])
      'has 2 cells, the header 1 (image); add the missing column, or put a cell with a comma in quotes'
    """
    if not any(cell.strip() for cell in more):
        return None
    return (
        f"has {len(columns) + len(more)} cells, the header {len(columns)} ({', '.join(columns)}); add the missing "
        "column, or put a cell with a comma in quotes"
    )


def _check_depth(value: object) -> None:
    containers = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        containers = [
            item
            for container in containers
            for item in (container.values() if isinstance(container, dict) else container)
            if isinstance(item, dict | list)
        ]
    if containers:
        raise _too_deep()


def _too_deep() -> ParseError:
    return ParseError(f"nested more than {MAX_DEPTH} levels deep")
