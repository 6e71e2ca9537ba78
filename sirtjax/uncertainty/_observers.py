"""The variation between several contours of one structure, as the size and correlation of a displaced boundary."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Shaped
from scipy import ndimage
from scipy.spatial.distance import pdist

from sirtjax import metrics
from sirtjax.errors import InputError

# Points of the mean surface whose pairs are compared.
POINTS = 1500
# Fewest points of a surface that are compared.
FEWEST_POINTS = 30
# Correlation length that a case can state, mm.
SHORTEST_MM, LONGEST_MM = 5.0, 100.0
# Fraction of pairs, the nearest ones, that are compared: the few pairs across the whole structure say little.
NEAREST_PAIRS = 0.6


@dataclass(frozen=True, kw_only=True)
class ContourVariation:
    """The displacement of a contour between observers.

    Attributes:
      size_mm: standard deviation of the displacement at a point, without the steps of the voxels.
      correlation_mm: correlation length of the displacement, as `[uncertainty.contours]` defines it.
      observers: number of contours.
      points: points of the mean surface that were used.
    """

    size_mm: float
    correlation_mm: float
    observers: int
    points: int


def contour_variation(
    masks: Sequence[Shaped[np.ndarray, "i j k"]], spacing_mm: tuple[float, float, float]
) -> ContourVariation:
    """Measures how much contours of the same structure differ, at points of their mean surface.

    The displacement of each contour from their mean is the difference of signed distances. Its covariance between
    points decreases with their distance. Size and correlation length are fitted to this decrease beyond two voxels,
    because voxels add steps that neighbouring points do not share.

    Args:
      masks: (i, j, k) masks of the same structure on one grid, one per observer, at least two.
      spacing_mm: voxel size.

    Raises:
      InputError: fewer than two masks, masks on different grids, one without voxels, or too small a structure.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import uncertainty
      >>> x, y, z = np.meshgrid(*(np.arange(40) - 20.0,) * 3, indexing="ij")
      >>> spheres = [x**2 + y**2 + z**2 < radius**2 for radius in (11.0, 12.0, 13.0)]
      >>> found = uncertainty.contour_variation(spheres, (1.0, 1.0, 1.0))
      >>> round(found.size_mm), found.observers  # radii of 11, 12 and 13 mm
      (1, 3)

    Reference:
      JCGM 100:2008, Guide to the expression of uncertainty in measurement, 4.2.2 (variance of few observations).
    """
    count = len(masks)
    if count < 2:
        raise InputError(f"expected the masks of at least two observers, got {count}")
    inside = [np.asarray(mask) > 0 for mask in masks]
    if any(mask.shape != inside[0].shape for mask in inside):
        raise InputError(f"masks: expected one grid, got {', '.join(str(mask.shape) for mask in inside)}")
    if not all(mask.any() for mask in inside):
        raise InputError("masks: one has no voxels")
    stack = _cropped(np.stack(inside))
    coarse = np.stack([_voxel_distance_mm(mask, spacing_mm) for mask in stack]).mean(axis=0)
    surface = np.argwhere(np.abs(coarse) <= min(spacing_mm) + 1e-6)
    if len(surface) < FEWEST_POINTS:
        raise InputError(f"masks: their mean surface has {len(surface)} voxels, too few to compare them")
    chosen = surface[np.sort(np.random.default_rng(0).permutation(len(surface))[:POINTS])]
    points_mm = chosen * np.asarray(spacing_mm, np.float64)
    affine = np.diag([*spacing_mm, 1.0])
    distance = np.stack(
        [
            np.where(mask[tuple(chosen.T)], -1.0, 1.0)
            * metrics.distance_to_surface_mm(points_mm, metrics.extract_surface(mask, affine))
            for mask in stack
        ]
    )
    moved = distance - distance.mean(axis=0)
    apart_mm = pdist(points_mm)
    first, second = np.triu_indices(len(chosen), 1)
    product = (moved[:, first] * moved[:, second]).sum(axis=0) / (count - 1)
    variance, length_mm = _fit(apart_mm, product, step_mm=max(spacing_mm))
    return ContourVariation(size_mm=math.sqrt(variance), correlation_mm=length_mm, observers=count, points=len(chosen))


def _cropped(masks: Bool[np.ndarray, "o i j k"]) -> Bool[np.ndarray, "o i j k"]:
    """The part of the grid with any mask, and two voxels around it."""
    where = np.argwhere(masks.any(axis=0))
    low, high = where.min(axis=0), where.max(axis=0) + 1
    found: np.ndarray = masks[(slice(None), *(slice(a, b) for a, b in zip(low, high, strict=True)))]
    return np.pad(found, ((0, 0), (2, 2), (2, 2), (2, 2)))


def _voxel_distance_mm(
    mask: Bool[np.ndarray, "i j k"], spacing_mm: tuple[float, float, float]
) -> Float64[np.ndarray, "i j k"]:
    """Signed distance in steps of voxels, to find the mean surface."""
    outer = ndimage.distance_transform_edt(~mask, sampling=spacing_mm)
    inner = ndimage.distance_transform_edt(mask, sampling=spacing_mm)
    found: np.ndarray = outer - inner
    return found


def _fit(
    apart_mm: Float64[np.ndarray, " pairs"], product: Float64[np.ndarray, " pairs"], *, step_mm: float
) -> tuple[float, float]:
    """Variance and correlation length from products of displacements at pairs of points."""
    from scipy import optimize  # a quarter of a second to load

    reach = max(float(np.quantile(apart_mm, NEAREST_PAIRS)), 3.0 * step_mm)
    edges = np.arange(2.0 * step_mm, reach + step_mm, step_mm)
    bins = np.digitize(apart_mm, edges)
    number = np.bincount(bins, minlength=len(edges) + 1)[1:-1]
    total = np.bincount(bins, product, minlength=len(edges) + 1)[1:-1]
    middle = np.bincount(bins, apart_mm, minlength=len(edges) + 1)[1:-1]
    used = number > 0
    covariance, weight, at = total[used] / number[used], np.sqrt(number[used]), middle[used] / number[used]

    def best(length_mm: float) -> tuple[float, float]:
        shape = _correlation(at / length_mm)
        variance = max(float((weight**2 * shape * covariance).sum() / max((weight**2 * shape**2).sum(), 1e-12)), 0.0)
        return variance, float((weight**2 * (covariance - variance * shape) ** 2).sum())

    # The error has several minima where few pairs are left: the best of a grid starts the search.
    lengths = np.geomspace(SHORTEST_MM, LONGEST_MM, 40)
    start = int(np.argmin([best(length)[1] for length in lengths]))
    found = optimize.minimize_scalar(
        lambda length: best(length)[1],
        bounds=(lengths[max(start - 1, 0)], lengths[min(start + 1, len(lengths) - 1)]),
        method="bounded",
    ).x
    return best(found)[0], float(found)


def _correlation(lengths: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Correlation of `boundary_field` at a distance in correlation lengths, along an axis."""
    found: np.ndarray = np.interp(lengths, *_table())
    return found


@functools.cache
def _table() -> tuple[np.ndarray, np.ndarray]:
    nodes, start = np.arange(-1, 5), np.linspace(0.0, 1.0, 64, endpoint=False)

    def weights(position: np.ndarray) -> np.ndarray:
        hat = np.maximum(0.0, 1.0 - np.abs(position[:, None] - nodes))
        unit: np.ndarray = hat / np.sqrt((hat**2).sum(axis=1, keepdims=True))
        return unit

    lags = np.linspace(0.0, 2.0, 81)
    return lags, np.array([(weights(start) * weights(start + lag)).sum(axis=1).mean() for lag in lags])
