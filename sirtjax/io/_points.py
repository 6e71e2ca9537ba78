"""Landmarks and contours as lists of points: tables (CSV) and 3D Slicer markups."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from sirtjax.errors import ImageFormatError, InputError, OutputError
from sirtjax.io._atomic import atomic_path
from sirtjax.io._csv_cells import CsvWriter, plain_cell
from sirtjax.io._kind_of_file import check_file
from sirtjax.io._lines import check_unit, slicer_signs
from sirtjax.parsing import ParseError, parse_json

Kind = Literal["points", "line", "curve", "closed curve"]
_KINDS: dict[str, Kind] = {"Fiducial": "points", "Line": "line", "Curve": "curve", "ClosedCurve": "closed curve"}
# Column names, and what turns them to LPS; x, y, z are LPS as in ANTs' tables.
_FRAMES = {("x", "y", "z"): (1, 1, 1), ("l", "p", "s"): (1, 1, 1), ("r", "a", "s"): (-1, -1, 1)}
_FARTHEST_MM = 1e5
_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)


@dataclass(frozen=True, kw_only=True)
class PointList:
    """Points of one kind that belong together.

    Attributes:
      points_mm: (n, 3) points, LPS mm.
      kind: "points" (landmarks), "line", "curve" or "closed curve" (a contour; its first point is not repeated).
      name: name of the list; empty if the file has none.
      labels: one label per point; empty strings if the file has none.
    """

    points_mm: Float64[np.ndarray, "points 3"]
    kind: Kind = "points"
    name: str = ""
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shape = np.shape(self.points_mm)
        if len(shape) != 2 or shape[1] != 3:
            raise InputError(f"points_mm must have shape (n, 3), got {shape}")
        if not self.labels:
            object.__setattr__(self, "labels", ("",) * shape[0])
        if len(self.labels) != shape[0]:
            raise InputError(f"{shape[0]} points need as many labels, got {len(self.labels)}")


def read_points(path: str | Path) -> list[PointList]:
    """Reads points in LPS mm from a table (.csv) or 3D Slicer markups (.mrk.json, .fcsv).

    A table has a row of column names: x, y, z (LPS, as ANTs has them), l, p, s or r, a, s, in mm; a column "label"
    names points, a column "list" parts them into lists. Other columns are passed over.

    Raises:
      ImageFormatError: the file has another format, states no frame or unit, or contains no point.
      InputError: a row that is not a position.
    """
    path = Path(path)
    check_file(path, "points as .csv or 3D Slicer .mrk.json")
    name = path.name.lower()
    reader = {"csv": _from_table, "fcsv": _from_fiducials, "json": _from_markups}.get(name.rpartition(".")[2])
    if reader is None:
        raise ImageFormatError(f"{path}: not points by its name; expected .csv, or 3D Slicer .mrk.json or .fcsv")
    try:
        lists = reader(path, path.read_text("utf-8-sig"))
    except (UnicodeDecodeError, ParseError, csv.Error) as error:
        raise ImageFormatError(f"{path}: not readable ({error}); save the points again") from error
    if not lists:
        raise ImageFormatError(f"{path}: has no point in it")
    return lists


def write_points(path: str | Path, lists: Sequence[PointList], *, force: bool = False) -> None:
    """Writes points as a table (.csv; x, y, z in LPS mm, label, list) or 3D Slicer markups.

    A table keeps no kinds: a contour comes back as points. A label that a spreadsheet would take for a formula gets an
    apostrophe in front, which `read_points` takes off.

    Raises:
      OutputError: another suffix, or the file exists and `force` is not given.

    Examples:
      >>> import tempfile
      >>> from pathlib import Path
      >>> import numpy as np
      >>> from sirtjax import io
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = Path(folder) / "landmarks.csv"
      ...     io.write_points(path, [io.PointList(points_mm=np.array([[1.0, 2.0, 3.0]]), labels=("dome",))])
      ...     (found,) = io.read_points(path)
      >>> found.labels, found.points_mm.tolist()
      (('dome',), [[1.0, 2.0, 3.0]])
    """
    path = Path(path)
    name = path.name.lower()
    if not name.endswith((".csv", ".mrk.json")):
        raise OutputError(f"{path}: points are written as .csv or .mrk.json; choose such a name")
    with atomic_path(path, force=force) as temporary:
        if name.endswith(".csv"):
            _write_table(temporary, lists)
        else:
            markups = {"@schema": _SCHEMA, "markups": [_markup(one) for one in lists]}
            temporary.write_text(json.dumps(markups, indent=2, allow_nan=False), encoding="utf-8")


def _from_table(path: Path, text: str) -> list[PointList]:
    rows = csv.DictReader(text.splitlines(), skipinitialspace=True)
    columns = {str(name).strip().lower(): str(name) for name in rows.fieldnames or ()}
    frame = next((names for names in _FRAMES if set(names) <= columns.keys()), None)
    if frame is None:
        raise ImageFormatError(
            f"{path}: its columns are {', '.join(columns) or 'none'}; expected x, y, z (LPS, mm), or r, a, s"
        )
    label, group = columns.get("label", ""), columns.get("list", "")
    places: dict[str, list[NDArray[np.float64]]] = {}
    labels: dict[str, list[str]] = {}
    for row in rows:
        point = _position(f"{path}, line {rows.line_num}", [row[columns[axis]] for axis in frame])
        name = plain_cell(row.get(group) or "")
        places.setdefault(name, []).append(point * _FRAMES[frame])
        labels.setdefault(name, []).append(plain_cell(row.get(label) or ""))
    return [PointList(points_mm=np.stack(places[name]), name=name, labels=tuple(labels[name])) for name in places]


def _from_fiducials(path: Path, text: str) -> list[PointList]:
    """3D Slicer's older tables, whose frame and columns are named in comments."""
    comments = [line.lstrip("# ").partition("=") for line in text.splitlines() if line.startswith("#")]
    said = {key.strip(): value.strip() for key, _, value in comments}
    signs = slicer_signs(path, {"coordinateSystem": said.get("CoordinateSystem")})
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    found = _from_table(path, "\n".join([said.get("columns", ""), *lines]))
    return [replace(one, points_mm=one.points_mm * signs) for one in found]


def _from_markups(path: Path, text: str) -> list[PointList]:
    content = parse_json(text)
    markups = content.get("markups") if isinstance(content, dict) else None
    if not isinstance(markups, list):
        raise ImageFormatError(f'{path}: holds no 3D Slicer "markups"; save the points from 3D Slicer as .mrk.json')
    found = [_from_markup(path, markup) for markup in markups]
    return [one for one in found if len(one.points_mm)]


def _from_markup(path: Path, markup: Any) -> PointList:
    said = markup.get("type") if isinstance(markup, dict) else markup
    kind = _KINDS.get(said) if isinstance(said, str) else None
    if kind is None:
        raise ImageFormatError(f"{path}: holds a markup of type {said!r}; expected {', '.join(_KINDS)}")
    signs = slicer_signs(path, markup)
    check_unit(path, markup.get("coordinateUnits", "mm"))
    points = markup.get("controlPoints")
    if not isinstance(points, list) or not all(isinstance(point, dict) for point in points):
        raise ImageFormatError(f"{path}: a markup has no list of control points; save it again")
    # Slicer also keeps points that are announced but not yet placed.
    placed = [point for point in points if point.get("positionStatus", "defined") == "defined"]
    places = [_position(f"{path}, point {n}", point.get("position")) for n, point in enumerate(placed, start=1)]
    return PointList(
        points_mm=np.asarray(places, np.float64).reshape(-1, 3) * signs,
        kind=kind,
        name=str(markup.get("name") or ""),
        labels=tuple(str(point.get("label") or "") for point in placed),
    )


def _position(where: str, values: Any) -> NDArray[np.float64]:
    try:
        point = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        point = np.full(3, np.nan)
    if point.shape != (3,) or not (np.abs(point) < _FARTHEST_MM).all():
        raise InputError(f"{where}: {values!r} is not a position; expected three numbers in mm")
    return point


def _write_table(path: Path, lists: Sequence[PointList]) -> None:
    named = any(one.name for one in lists) or len(lists) > 1
    with path.open("w", newline="", encoding="utf-8") as file:
        table = CsvWriter(file)
        table.writerow(["x", "y", "z", "label", *(["list"] if named else [])])
        for number, one in enumerate(lists, start=1):
            group = [one.name or str(number)] if named else []
            for point, label in zip(one.points_mm, one.labels, strict=True):
                table.writerow([*(repr(float(x)) for x in point), label, *group])


def _markup(one: PointList) -> dict[str, Any]:
    kind = next(said for said, kind in _KINDS.items() if kind == one.kind)
    points = [
        {"id": str(n), "label": label, "position": [float(x) for x in point], "positionStatus": "defined"}
        for n, (point, label) in enumerate(zip(one.points_mm, one.labels, strict=True), start=1)
    ]
    named = {"name": one.name} if one.name else {}
    return {"type": kind, **named, "coordinateSystem": "LPS", "coordinateUnits": "mm", "controlPoints": points}
