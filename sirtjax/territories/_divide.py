from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sirtjax.errors import InputError
from sirtjax.territories._lines import Line, resample_line
from sirtjax.territories._surface import DividingSurface, fit_surface, is_above
from sirtjax.volume import Geometry, LabelMap

# A drawn line may end outside the liver but has to come this near it.
MAX_LINE_DISTANCE_MM = 10.0
# Where the two parts lie less than this much right and left of each other, the names can't be given by it.
MIN_LATERAL_FRACTION = 0.25
# Surfaces may meet within this fraction of the liver's volume (rounding at the edge), but not cross.
MAX_CROSSING_FRACTION = 0.01


def territories_from_lines(
    liver: LabelMap,
    line_sets_mm: Sequence[Sequence[ArrayLike]],
    *,
    names: Sequence[str],
    drawing_error_mm: float | None = None,
    seeds_mm: Sequence[ArrayLike] | None = None,
    sources: Sequence[str] | None = None,
    allow_crossing: bool = False,
) -> LabelMap:
    """Divides the liver into perfusion territories along lines drawn on a few slices.

    Args:
      liver: any non-zero label is liver.
      line_sets_mm: lines of each dividing surface, (n, 3) LPS mm in the liver's frame.
      names: names of the territories, one more than surfaces; see `divide_liver`.
      drawing_error_mm: RMS distance between surface and lines, see `fit_surface`.
      seeds_mm: one point per surface, see `divide_liver`.
      sources: name of each set of lines in an error.
      allow_crossing: accept crossing surfaces, see `divide_liver`.

    Returns:
      The territories on the liver's grid; together they fill the liver.

    Raises:
      InputError: the lines don't define surfaces that divide this liver.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import territories
      >>> from sirtjax.volume import Geometry, LabelMap
      >>> grid = Geometry.from_axes((10, 10, 10), spacing_mm=(10.0, 10.0, 10.0), origin_mm=(5.0, 5.0, 5.0))
      >>> liver = LabelMap.from_mask(np.ones(grid.shape, bool), grid, name="liver")
      >>> lines = [np.array([[40.0, y, z] for y in (0.0, 50.0, 100.0)]) for z in (20.0, 80.0)]  # the plane x = 40 mm
      >>> divided = territories.territories_from_lines(liver, [lines], names=("right", "left"))
      >>> [int(divided.mask(name).sum()) for name in ("right", "left")]  # mL
      [400, 600]
    """
    where = list(sources) if sources is not None else [f"line set {n + 1}" for n in range(len(line_sets_mm))]
    surfaces = []
    for lines, source in zip(line_sets_mm, where, strict=True):
        surface = fit_surface(lines, drawing_error_mm=drawing_error_mm, source=source)
        check_lines_meet_liver(liver, [np.asarray(line, np.float64) for line in lines], source=source)
        surfaces.append(surface)
    return divide_liver(liver, surfaces, names=names, seeds_mm=seeds_mm, sources=where, allow_crossing=allow_crossing)


def divide_liver(
    liver: LabelMap,
    surfaces: Sequence[DividingSurface],
    *,
    names: Sequence[str],
    seeds_mm: Sequence[ArrayLike] | None = None,
    sources: Sequence[str] | None = None,
    allow_crossing: bool = False,
) -> LabelMap:
    """Divides the liver by surfaces; each separates one territory from the remaining liver.

    The first name belongs to the part on the first side of the first surface, the second to the part that the second
    surface cuts off the remainder, the last to the rest. The first side of a surface is the one towards
    the patient's right, or the one its seed lies on.

    Args:
      liver: any non-zero label is liver.
      surfaces: surfaces from the patient's right to left, or in the order of the seeds.
      names: names of the territories, one more than surfaces.
      seeds_mm: point (3,), LPS mm, on the first side of each surface; needed if a surface does not separate right from
        left.
      sources: name of each surface in an error.
      allow_crossing: accept surfaces that cross inside the liver, such as one meant for the left lobe only.

    Returns:
      The territories on the liver's grid; together they fill the liver.

    Raises:
      InputError: the number of names or seeds is wrong, the liver is empty, a surface misses the liver, a
        side can't be named, surfaces cross, or a territory is empty.
    """
    where = list(sources) if sources is not None else [f"surface {n + 1}" for n in range(len(surfaces))]
    _check_numbers(surfaces, names, seeds_mm)
    inside = np.argwhere(_liver_mask(liver))
    points = liver.geometry.to_world(inside)
    left_over = np.ones(len(points), bool)
    crossing = np.zeros(len(points), bool)
    passed_before = np.ones(len(points), bool)
    label = np.full(len(points), len(names), np.uint8)
    for number, (surface, source) in enumerate(zip(surfaces, where, strict=True)):
        seed = None if seeds_mm is None else np.asarray(seeds_mm[number], np.float64)
        passed = _is_beyond(surface, points, seed, source=source, first_name=names[number])
        crossing |= passed & ~passed_before
        passed_before &= passed
        label[left_over & ~passed] = number + 1
        left_over &= passed
    share = float(crossing.mean())
    if share > MAX_CROSSING_FRACTION and not allow_crossing:
        raise InputError(
            f"{', '.join(where)}: the surfaces cross inside the liver ({100 * share:.0f} % of it lies "
            "between them the wrong way round); give them from the patient's right to left, or allow crossing"
        )
    for value, name in enumerate(names, start=1):
        if not (label == value).any():
            raise InputError(
                f"territory {name!r} is empty: no liver is between its surfaces; list the line files from "
                "the patient's right to left, in the order of the names"
            )
    array = np.zeros(liver.geometry.shape, np.uint8)
    array[tuple(inside.T)] = label
    return LabelMap(array, liver.geometry, names=tuple(enumerate(names, start=1)))


def check_lines_meet_liver(liver: LabelMap, lines_mm: Sequence[Line], *, source: str) -> None:
    """Checks that every drawn line passes through or near the liver.

    Args:
      liver: any non-zero label is liver.
      lines_mm: (n, 3) points of each line, LPS mm.
      source: name of the lines in an error.

    Raises:
      InputError: a line stays further than a centimetre from the liver.
    """
    inside = _liver_mask(liver)
    for number, line in enumerate(lines_mm, start=1):
        distance = _distance_mm(inside, liver.geometry, resample_line(line, step_mm=3.0))
        if distance > MAX_LINE_DISTANCE_MM:
            raise InputError(
                f"{source}: line {number} passes the liver at {distance:.0f} mm, expected it to cross "
                "it; check that it was contoured on the liver's image and that its coordinates are LPS mm"
            )


def _distance_mm(inside: NDArray[np.bool_], geometry: Geometry, points_mm: Line) -> float:
    """Distance from the nearest of some points to the nearest voxel of a mask; 0 if one is inside."""
    from scipy.ndimage import binary_erosion
    from scipy.spatial import cKDTree

    index = np.round(geometry.to_voxel(points_mm)).astype(np.int64)
    on_grid = index[((index >= 0) & (index < geometry.shape)).all(axis=1)]
    if inside[tuple(on_grid.T)].any():
        return 0.0
    shell = np.argwhere(inside & ~binary_erosion(inside))
    return float(cKDTree(geometry.to_world(shell)).query(points_mm)[0].min())


def _liver_mask(liver: LabelMap) -> NDArray[np.bool_]:
    inside = np.asarray(np.asarray(liver.array) != 0)
    if not inside.any():
        raise InputError("the liver mask is empty; give one with the liver in it")
    return inside


def _check_numbers(surfaces: Sequence[object], names: Sequence[str], seeds_mm: Sequence[ArrayLike] | None) -> None:
    if not surfaces or len(names) != len(surfaces) + 1:
        raise InputError(
            f"{len(surfaces)} dividing surface(s) make {len(surfaces) + 1} territories, got {len(names)} "
            f"name(s): {', '.join(names)}; give one set of lines per boundary"
        )
    if len(set(names)) != len(names) or not all(names):
        raise InputError(f"territory names must be distinct and not empty, got {', '.join(map(repr, names))}")
    if seeds_mm is None:
        return
    if len(seeds_mm) != len(surfaces):
        raise InputError(f"{len(seeds_mm)} seed point(s) for {len(surfaces)} surface(s); give one for each")
    for seed in seeds_mm:
        if np.shape(seed) != (3,) or not np.isfinite(np.asarray(seed, np.float64)).all():
            raise InputError(f"a seed is three finite numbers x, y, z in LPS mm, got {seed!r}")


def _is_beyond(
    surface: DividingSurface,
    points_mm: NDArray[np.float64],
    seed_mm: NDArray[np.float64] | None,
    *,
    source: str,
    first_name: str,
) -> NDArray[np.bool_]:
    """True for the points on the second side of a surface."""
    above = is_above(surface, points_mm)
    if above.all() or not above.any():
        raise InputError(
            f"{source}: the surface through the lines does not divide the liver, which lies all on one "
            "side of it; check that the lines cross the liver"
        )
    if seed_mm is not None:
        return np.asarray(above != is_above(surface, seed_mm[None])[0])
    apart = points_mm[above].mean(axis=0) - points_mm[~above].mean(axis=0)
    if abs(apart[0]) < MIN_LATERAL_FRACTION * np.linalg.norm(apart):
        raise InputError(
            f"{source}: the surface does not part right from left, so it is not clear which side "
            f"is {first_name!r}; give a seed point on that side"
        )
    # LPS: x grows towards the patient's left.
    return above if apart[0] > 0 else ~above
