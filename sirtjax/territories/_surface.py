from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Real
from numpy.typing import ArrayLike, NDArray

from sirtjax.compilation_cache import cached_jit
from sirtjax.errors import InputError
from sirtjax.ops import full_precision
from sirtjax.territories._lines import align_directions, check_agreement, check_lines, fit_frame, space_line
from sirtjax.territories._spline import fit_thin_plate_spline
from sirtjax.typing import Array, Scalar

# Drawn points closer than this are thinned, those farther apart are filled up along the straight line.
DRAWN_STEP_MM = (3.0, 15.0)
# Sites of a surface, padded up to this number so that another patient compiles nothing; more are thinned.
MAX_SITES = 256
# Points of the lines that share a square of this width are one site.
MIN_SITE_WIDTH_MM = 1.0
# Points a side of the lattice on which the sides of many points are found.
LATTICE = 192


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["origin_mm", "axes", "scale_mm", "sites", "weights", "plane", "rms_mm"],
    meta_fields=[],
)
@dataclass(frozen=True, kw_only=True)
class DividingSurface:
    """A smooth surface without edges or folds: a thin-plate spline height over a plane.

    It divides all of space into two sides, each in one piece.

    Attributes:
      origin_mm: (3,) a point of the plane, LPS.
      axes: (3, 3) unit vectors by row: along the lines, across the slices, the height.
      scale_mm: () length by which positions and heights are divided in the spline.
      sites: (n, 2) spline sites in the plane, scaled; padded.
      weights: (n,) kernel weights; 0 on padding.
      plane: (3,) coefficients of (1, u, v).
      rms_mm: () root-mean-square height between surface and lines.
    """

    origin_mm: Float[Array, "3"]
    axes: Float[Array, "3 3"]
    scale_mm: Scalar
    sites: Float[Array, "n 2"]
    weights: Float[Array, " n"]
    plane: Float[Array, "3"]
    rms_mm: Scalar


def fit_surface(
    lines_mm: Sequence[ArrayLike], *, drawing_error_mm: float | None = None, source: str = "lines"
) -> DividingSurface:
    """Fits a smooth surface to lines drawn on a few slices.

    The lines may be curved, drawn in either direction, end inside or outside the liver and be split into
    pieces; the slices may be oblique. Between the slices the surface bends as little as it can; beyond the
    lines and the slices it continues nearly straight.

    Args:
      lines_mm: two or more (n, 3) polylines, LPS mm, on two or more slices.
      drawing_error_mm: RMS distance between surface and lines, for a smoother surface; 0 passes through the lines, None
        estimates it from the lines (generalised cross-validation).
      source: name of the lines in an error, such as the path of their file.

    Returns:
      The surface; `height_mm` tells the side of a point.

    Raises:
      InputError: too few lines, lines that contradict each other, or a line that doubles back.
    """
    if drawing_error_mm is not None and not (np.isfinite(drawing_error_mm) and drawing_error_mm >= 0):
        raise InputError(f"drawing_error_mm must be 0 or more, got {drawing_error_mm}")
    lines = align_directions(check_lines(lines_mm, source=source), source=source)
    lines = [space_line(line, shortest_mm=DRAWN_STEP_MM[0], longest_mm=DRAWN_STEP_MM[1]) for line in lines]
    frame = fit_frame(lines, source=source)
    coordinates = [frame.coordinates_mm(line) for line in lines]
    check_agreement(coordinates, source=source)
    sites, heights = _sites(np.concatenate(coordinates))
    scale = float(np.ptp(sites, axis=0).max()) / 2
    allowed = None if drawing_error_mm is None else drawing_error_mm / scale
    weights, plane, rms = fit_thin_plate_spline(sites / scale, heights / scale, rms=allowed)
    padding = MAX_SITES - len(sites)
    return DividingSurface(
        origin_mm=frame.origin_mm,
        axes=np.stack([frame.along, frame.across, frame.normal]),
        scale_mm=np.asarray(scale),
        sites=np.pad(sites / scale, ((0, padding), (0, 0))),
        weights=np.pad(weights, (0, padding)),
        plane=plane,
        rms_mm=np.asarray(rms * scale),
    )


@full_precision
def height_mm(surface: DividingSurface, points_mm: Real[Array, "*points 3"]) -> Float[jax.Array, "*points"]:
    """Computes the signed height of points above the surface along its normal; 0 on the surface.

    It has the sign of the side but is the distance only where the surface is parallel to its base plane.

    Args:
      surface: result of `fit_surface`.
      points_mm: (..., 3) points, LPS mm.

    Returns:
      (...) heights in mm.
    """
    single = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), surface)
    points = jnp.asarray(points_mm, jnp.float32)
    local = (points.reshape(-1, 3) - single.origin_mm[None]) @ single.axes.T / single.scale_mm
    offset = local[:, None, :2] - single.sites[None]
    squared = jnp.sum(offset**2, axis=-1)
    # r^2 log r is 0 at 0; the inner where keeps its gradient finite there.
    kernel = 0.5 * squared * jnp.log(jnp.where(squared > 0, squared, 1.0))
    spline = kernel @ single.weights + single.plane[0] + local[:, :2] @ single.plane[1:]
    heights: jax.Array = (local[:, 2] - spline) * single.scale_mm
    return heights.reshape(points.shape[:-1])


_height_on_lattice = cached_jit(height_mm)


def is_above(surface: DividingSurface, points_mm: ArrayLike) -> Bool[np.ndarray, " n"]:
    """Returns whether each point is on the positive side of a surface; compiled once for any number.

    The spline is evaluated on a fine lattice over the points and interpolated linearly between: over a liver
    of 250 mm this moves a surface bent to a radius of 20 mm by about 0.01 mm.

    Args:
      surface: result of `fit_surface`.
      points_mm: (n, 3) points, LPS mm.

    Returns:
      (n,) booleans.
    """
    from scipy.ndimage import map_coordinates

    axes, origin = np.asarray(surface.axes, np.float64), np.asarray(surface.origin_mm, np.float64)
    local = (np.asarray(points_mm, np.float64) - origin) @ axes.T
    low = local[:, :2].min(axis=0)
    step = np.maximum(np.ptp(local[:, :2], axis=0), 1.0) / (LATTICE - 1)
    in_plane = np.zeros((LATTICE, LATTICE, 3))
    in_plane[..., :2] = low + step * np.moveaxis(np.indices((LATTICE, LATTICE)), 0, -1)
    single = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), surface)
    heights = -np.asarray(_height_on_lattice(single, (in_plane @ axes + origin).astype(np.float32)), np.float64)
    spline = map_coordinates(heights, ((local[:, :2] - low) / step).T, order=1, mode="nearest")
    return np.asarray(local[:, 2] > spline)


def _sites(coordinates_mm: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sites (n, 2) and heights (n,), with points that share a square averaged until there are few enough."""
    width_mm = MIN_SITE_WIDTH_MM
    while True:
        squares = np.round(coordinates_mm[:, :2] / width_mm).astype(np.int64)
        square = np.unique(squares, axis=0, return_inverse=True)[1].reshape(-1)
        count = np.bincount(square)
        if len(count) <= MAX_SITES:
            break
        width_mm *= 1.25
    mean = np.stack([np.bincount(square, coordinates_mm[:, axis]) / count for axis in range(3)], axis=1)
    return mean[:, :2], mean[:, 2]
