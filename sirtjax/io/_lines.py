from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from sirtjax.errors import ImageFormatError, InputError
from sirtjax.io._kind_of_file import check_file
from sirtjax.parsing import parse_json

# To LPS from what a file may name; 3D Slicer once wrote its frames as numbers (0 RAS, 1 LPS).
_LPS_FROM = {"LPS": (1.0, 1.0, 1.0), "RAS": (-1.0, -1.0, 1.0)}
_SLICER_FRAMES = {0: "RAS", 1: "LPS", "0": "RAS", "1": "LPS"}
_SLICER_LINES = ("Line", "Curve", "ClosedCurve")
_FARTHEST_MM = 1e5


def read_lines(path: str | Path) -> list[Float64[np.ndarray, "_ 3"]]:
    """Reads lines as runs of points in LPS mm, for example the borders between liver territories.

    Two formats are read: 3D Slicer markups (`.mrk.json`; Line, Curve and ClosedCurve, of which the last comes
    back to its first point), and JSON of the form
    `{"coordinate_system": "LPS" or "RAS", "unit": "mm", "lines": [[[x, y, z], ...], ...]}`.

    Args:
      path: one such file, or a folder whose `.mrk.json` files are read in the order of their names.

    Returns:
      One (n, 3) array per line, n at least 2, without points repeated in a row.

    Raises:
      ImageFormatError: the file has another format, states no frame or unit, or contains no line.
      InputError: a line has fewer than two distinct points, or a point that is not a position.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(path.glob("*.mrk.json"))
        if not files:
            raise ImageFormatError(f"{path}: no .mrk.json file in the folder; save curves from 3D Slicer there")
        return [line for file in files for line in _read_file(file)]
    return _read_file(path)


def _read_file(path: Path) -> list[NDArray[np.float64]]:
    check_file(path, "lines as JSON or 3D Slicer .mrk.json")
    try:
        content = parse_json(path.read_text("utf-8-sig"))
    except ValueError as error:
        raise ImageFormatError(f"{path}: not readable as JSON ({error}); save the lines again") from error
    if isinstance(content, dict) and isinstance(content.get("markups"), list):
        lines = [line for markup in content["markups"] for line in _slicer_line(path, markup)]
    elif isinstance(content, dict) and isinstance(content.get("lines"), list):
        lines = _plain_lines(path, content)
    else:
        raise ImageFormatError(
            f'{path}: holds neither "lines" nor 3D Slicer "markups"; expected '
            '{"coordinate_system": "LPS", "unit": "mm", "lines": [[[x, y, z], ...], ...]} or a .mrk.json'
        )
    if not lines:
        raise ImageFormatError(f"{path}: has no line in it; draw one of two or more points")
    return lines


def _plain_lines(path: Path, content: dict[str, Any]) -> list[NDArray[np.float64]]:
    signs = frame_signs(path, content.get("coordinate_system"))
    check_unit(path, content.get("unit"))
    return [_line(path, n, points, signs) for n, points in enumerate(content["lines"], start=1)]


def _slicer_line(path: Path, markup: Any) -> list[NDArray[np.float64]]:
    if not isinstance(markup, dict) or markup.get("type") not in _SLICER_LINES:
        found = markup.get("type") if isinstance(markup, dict) else markup
        raise ImageFormatError(f"{path}: holds a markup of type {found!r}; expected {', '.join(_SLICER_LINES)}")
    signs = slicer_signs(path, markup)
    check_unit(path, markup.get("coordinateUnits", "mm"))
    points = markup.get("controlPoints")
    if not isinstance(points, list) or not all(isinstance(point, dict) for point in points):
        raise ImageFormatError(f"{path}: a markup has no list of control points; save it again")
    # Slicer also keeps points that are announced but not yet placed.
    placed = [p.get("position") for p in points if p.get("positionStatus", "defined") == "defined"]
    line = _line(path, 1, placed, signs)
    if markup["type"] == "ClosedCurve" and not np.array_equal(line[0], line[-1]):
        line = np.concatenate([line, line[:1]])
    return [line]


def _line(path: Path, ordinal: int, points: Any, signs: NDArray[np.float64]) -> NDArray[np.float64]:
    try:
        values = np.asarray(points, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: line {ordinal} is not a list of [x, y, z] in mm ({error})") from error
    if values.ndim != 2 or values.shape[1] != 3:
        raise InputError(f"{path}: line {ordinal} is not a list of two or more [x, y, z] points in mm")
    if not (np.abs(values) < _FARTHEST_MM).all():
        raise InputError(f"{path}: line {ordinal} has a point that is not a position in mm (NaN or far away)")
    moved = np.concatenate([[True], (np.diff(values, axis=0) != 0).any(axis=1)])
    values = values[moved]
    if len(values) < 2:
        raise InputError(f"{path}: line {ordinal} has one distinct point; a line needs two or more")
    return np.asarray(values * signs)


def slicer_signs(path: Path, markup: Mapping[str, object]) -> Float64[np.ndarray, "3"]:
    """Returns the factors that convert the coordinates of a 3D Slicer markup to LPS."""
    frame = markup.get("coordinateSystem")
    return frame_signs(path, _SLICER_FRAMES.get(frame, frame) if isinstance(frame, int | str) else frame)


def frame_signs(path: Path, frame: object) -> Float64[np.ndarray, "3"]:
    """Returns the factors that convert coordinates in a named frame to LPS.

    Raises:
      ImageFormatError: the frame is neither LPS nor RAS.
    """
    if not isinstance(frame, str) or frame not in _LPS_FROM:
        raise ImageFormatError(f"{path}: the coordinate system is {frame!r}; expected LPS or RAS, stated in the file")
    return np.asarray(_LPS_FROM[frame])


def check_unit(path: Path, unit: object) -> None:
    """Refuses a unit of length other than mm.

    Raises:
      ImageFormatError: the unit is not mm, or is not stated.
    """
    # Slicer may give the unit as a coded entry: value, scheme, meaning.
    stated = unit[0] if isinstance(unit, list) and unit else unit
    if stated != "mm":
        raise ImageFormatError(f"{path}: the unit is {unit!r}; expected mm, stated in the file")
