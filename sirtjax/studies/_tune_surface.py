"""The surface of a weight search: RRMSD and failures at each grid point, and the best point."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sirtjax.reports import SweepSurface
    from sirtjax.studies._tune_grid import Grid, GridPoint
    from sirtjax.studies._tune_record import Row

UNUSABLE = ("folded", "not finite")
# A smaller gain over the affine map is measurement noise.
MIN_GAIN_MM = 0.01
# More axes than a picture has are seen from their best side.
MAX_AXES = 2


@dataclass(frozen=True, kw_only=True)
class SurfacePoint:
    """All cases at one point.

    Attributes:
      point: point of the grid.
      rrmsd_mm: root of the mean squared RMSD over the cases that have one, NaN if none has.
      affine_rrmsd_mm: the same of the affine maps, over the same cases.
      deformed_rrmsd_mm: the same of the deformations found, also if `register` returns the affine map.
      cases: number of cases with an RMSD.
      failures: number of cases that have no RMSD, fold or are not finite.
      statuses: number of cases with each status.
    """

    point: GridPoint
    rrmsd_mm: float
    affine_rrmsd_mm: float
    deformed_rrmsd_mm: float
    cases: int
    failures: int
    statuses: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Surface:
    """The result of a sweep.

    Attributes:
      points: points in the order of the grid.
      best: the point of the fewest failures and, among these, of the lowest RRMSD; None without any RMSD.
      affine_is_best: whether no deformation is better than the affine map without it, over the cases that both have;
        `best` is then the point with the best affine map.
      deformed: the point of the fewest failures and the lowest RRMSD, also if the affine map is better.
      affine_rrmsd_mm: RRMSD of the best affine map over the cases of `deformed`; NaN if no affine map has all of them.
    """

    points: tuple[SurfacePoint, ...]
    best: SurfacePoint | None
    affine_is_best: bool
    deformed: SurfacePoint | None = None
    affine_rrmsd_mm: float = math.nan


def make_surface(grid: Grid, rows: Sequence[Sequence[Row]]) -> Surface:
    """Returns the surface of the rows of each point."""
    points = tuple(_point(point, own) for point, own in zip(grid.points, rows, strict=True))
    measured = [number for number, one in enumerate(points) if math.isfinite(one.rrmsd_mm)]
    if not measured:
        return Surface(points=points, best=None, affine_is_best=False)
    at = min(measured, key=lambda number: (points[number].failures, points[number].rrmsd_mm))
    deformed = points[at]
    # Only errors over the same cases can be compared: a point that loses a hard case has a low one.
    cases = {row.case for row in rows[at] if math.isfinite(row.figures["rmsd_mm"])}
    affine_mm = [_rrmsd([row.figures["affine_rmsd_mm"] for row in own if row.case in cases]) for own in rows]
    usable = [number for number, value in enumerate(affine_mm) if math.isfinite(value)]
    # Of equal ones the point that says it best.
    affine = min(usable, key=lambda number: (round(affine_mm[number], 4), not _is_still(points[number])), default=at)
    affine_is_best = affine_mm[affine] <= deformed.rrmsd_mm + MIN_GAIN_MM
    return Surface(
        points=points,
        best=points[affine] if affine_is_best else deformed,
        affine_is_best=affine_is_best,
        deformed=deformed,
        affine_rrmsd_mm=affine_mm[affine],
    )


def _point(point: GridPoint, rows: Sequence[Row]) -> SurfacePoint:
    measured = [row.figures for row in rows if math.isfinite(row.figures["rmsd_mm"])]
    failures = sum(row.status in UNUSABLE or not math.isfinite(row.figures["rmsd_mm"]) for row in rows)
    statuses = [row.status for row in rows]
    return SurfacePoint(
        point=point,
        rrmsd_mm=_rrmsd([figures["rmsd_mm"] for figures in measured]),
        affine_rrmsd_mm=_rrmsd([figures["affine_rmsd_mm"] for figures in measured]),
        deformed_rrmsd_mm=_rrmsd([figures["deformed_rmsd_mm"] for figures in measured]),
        cases=len(measured),
        failures=failures,
        statuses={status: statuses.count(status) for status in sorted(set(statuses))},
    )


def _rrmsd(rmsds_mm: Sequence[float]) -> float:
    from sirtjax import metrics

    finite = [value for value in rmsds_mm if math.isfinite(value)]
    return metrics.rrmsd_mm(finite) if finite and len(finite) == len(rmsds_mm) else math.nan


def write_surface(path: Path, grid: Grid, surface: Surface) -> None:
    """Writes a CSV table with one row per point."""
    from sirtjax import io

    numbers = ("rrmsd_mm", "affine_rrmsd_mm", "deformed_rrmsd_mm")
    statuses = sorted({status for one in surface.points for status in one.statuses})
    with io.atomic_path(path, force=True) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = io.CsvWriter(file)
        table.writerow([*grid.axes, *numbers, "cases", "failures", *statuses])
        for one in surface.points:
            values = [getattr(one, name) for name in numbers]
            table.writerow(
                [
                    *one.point.settings.values(),
                    *(f"{value:.6g}" if math.isfinite(value) else "" for value in values),
                    one.cases,
                    one.failures,
                    *(one.statuses.get(status, 0) for status in statuses),
                ]
            )


def surface_picture(grid: Grid, surface: Surface, *, title: str) -> SweepSurface:
    """Returns the surface for its plot; axes beyond the two longest are shown at their best point."""
    import numpy as np

    from sirtjax.reports import SweepSurface

    names = list(grid.axes)
    longest = sorted(range(len(names)), key=lambda axis: -len(grid.axes[names[axis]]))[:MAX_AXES]
    shown = [axis for axis in sorted(longest) if len(grid.axes[names[axis]]) > 1] or longest[:1]
    shape = tuple(len(values) for values in grid.axes.values())
    heights_mm = np.array([one.rrmsd_mm for one in surface.points], np.float64).reshape(shape)
    failures = np.array([one.failures for one in surface.points], np.int64).reshape(shape)
    hidden = [axis for axis in range(len(names)) if axis not in shown]
    # The grid point at each point of the plot.
    places = np.transpose(np.arange(len(surface.points)).reshape(shape), [*shown, *hidden])
    places = places.reshape(*(shape[axis] for axis in shown), -1)
    heights = np.where(np.isfinite(heights_mm), heights_mm, np.inf).ravel()
    at = np.argmin(heights[places], axis=-1)[..., None]
    places = np.take_along_axis(places, at, axis=-1)[..., 0]
    if any(len(grid.axes[names[axis]]) > 1 for axis in hidden):
        title += f"\neach at the best {', '.join(names[axis] for axis in hidden)}"
    still = [number for number, one in enumerate(surface.points) if _is_still(one)]
    best = [number for number, one in enumerate(surface.points) if one is surface.best]
    if surface.affine_is_best and surface.best is not None and not _is_still(surface.best):
        best = []  # it is the dashed line or the mark on the scale, and no point of the grid
    return SweepSurface(
        axes=[(names[axis], grid.axes[names[axis]]) for axis in shown],
        rrmsd_mm=heights_mm.ravel()[places],
        failures=failures.ravel()[places],
        affine_rrmsd_mm=surface.affine_rrmsd_mm,
        best=_index(places, best),
        still=_index(places, still),
        title=title,
    )


def _is_still(one: SurfacePoint) -> bool:
    weights = one.point.config.weights
    return weights.image == 0 and weights.masks == 0


def _index(places: object, numbers: Sequence[int]) -> tuple[int, ...] | None:
    import numpy as np

    found = np.argwhere(np.isin(np.asarray(places), numbers))
    return tuple(int(n) for n in found[0]) if len(found) else None
