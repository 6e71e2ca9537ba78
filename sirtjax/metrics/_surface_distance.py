from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

from sirtjax.errors import InputError
from sirtjax.metrics._nearest import distance_to_surface_mm
from sirtjax.metrics._surface_mesh import SurfaceMesh, extract_surface


@dataclass(frozen=True, kw_only=True)
class SurfaceDistances:
    """The distances between two surfaces.

    Attributes:
      msd_mm: mean surface distance: over both surfaces together, the mean by area of the distance to the other.
      hd_mm: Hausdorff distance: the largest distance of a point of either surface to the other.
      hd95_mm: distance within which 95 % of a surface's area is from the other surface; the larger of both directions.
    """

    msd_mm: float
    hd_mm: float
    hd95_mm: float


def surface_distances(a: ArrayLike, b: ArrayLike, spacing_mm: Sequence[float]) -> SurfaceDistances:
    """Distances between the surfaces of two masks on one grid, to a fraction of a voxel.

    The surface of a mask runs half-way between the voxel centres inside and outside it (`extract_surface`), not
    through voxel centres; that of an occupancy where it is 0.5. Each facet is measured from one point on it to
    the nearest point of the other surface's facets and weighed by its area; the Hausdorff distance is taken
    over the facets' corners too. Where a mask reaches the edge of the array its surface is there.

    Args:
      a: (i, j, k) booleans, or occupancies from 0 to 1.
      b: the other mask, (i, j, k), boolean or occupancy from 0 to 1.
      spacing_mm: voxel size along i, j, k; the axes are assumed to be perpendicular.

    Raises:
      InputError: masks of different shapes, an empty mask, or a spacing that is not three positive numbers.
    """
    one, two = np.asarray(a), np.asarray(b)
    if one.shape != two.shape:
        raise InputError(f"masks of shape {one.shape} and {two.shape}; expected both on one grid (resample one)")
    spacing = np.asarray(spacing_mm, np.float64)
    if spacing.shape != (3,) or not (np.isfinite(spacing).all() and spacing.min() > 0):
        raise InputError(f"spacing_mm must be three positive numbers, got {tuple(spacing_mm)}")
    affine = np.diag([*spacing, 1.0])
    return facet_distances(extract_surface(one, affine), extract_surface(two, affine))


def mean_surface_distance_mm(a: SurfaceMesh, b: SurfaceMesh) -> float:
    """Computes only the `msd_mm` of `surface_distances`, in a third of the time."""
    there, back = distance_to_surface_mm(a.centres_mm, b), distance_to_surface_mm(b.centres_mm, a)
    return _mean_by_area(there, back, a, b)


def facet_distances(a: SurfaceMesh, b: SurfaceMesh) -> SurfaceDistances:
    """Computes `surface_distances` of two surfaces."""
    there, back = distance_to_surface_mm(a.centres_mm, b), distance_to_surface_mm(b.centres_mm, a)
    return surface_figures(a, b, there, back)


def surface_figures(
    a: SurfaceMesh, b: SurfaceMesh, there: Float[np.ndarray, " m"], back: Float[np.ndarray, " n"]
) -> SurfaceDistances:
    """Computes the metrics of two surfaces from the distances of facet centres to the other surface."""
    weights = a.areas_mm2, b.areas_mm2
    corners = max(distance_to_surface_mm(x.corners_mm[:, 0], y).max() for x, y in ((a, b), (b, a)))
    return SurfaceDistances(
        msd_mm=_mean_by_area(there, back, a, b),
        hd_mm=max(float(there.max()), float(back.max()), float(corners)),
        hd95_mm=max(_share_below(there, weights[0], 0.95), _share_below(back, weights[1], 0.95)),
    )


def _mean_by_area(there: NDArray[np.float64], back: NDArray[np.float64], a: SurfaceMesh, b: SurfaceMesh) -> float:
    weights = a.areas_mm2, b.areas_mm2
    return float(there @ weights[0] + back @ weights[1]) / float(weights[0].sum() + weights[1].sum())


def _share_below(values: NDArray[np.float64], weights: NDArray[np.float64], share: float) -> float:
    """Returns the weighted quantile: the smallest value up to which the weights reach this fraction."""
    order = np.argsort(values)
    held = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(held, share * held[-1])])
