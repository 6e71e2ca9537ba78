from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from sirtjax.errors import InputError
from sirtjax.spatial import DisplacementField, Transform, jacobian_determinant
from sirtjax.volume import Geometry, LabelMap

Values = NDArray[np.float32]

# Planes of a field whose corner determinants are computed together.
_PLANES = 8


@dataclass(frozen=True, kw_only=True)
class JacobianSummary:
    """Statistics of the local volume change by a transform.

    The determinant is floating volume per reference volume. That of a field is taken by central differences
    at its voxels, as others report it; since these do not see a displacement that alternates from voxel to
    voxel, the corner figure also takes the eight one-sided differences at each voxel, which are the determinants
    of the interpolated field in the corners of the cells around it.

    Attributes:
      minimum, maximum: extreme values of the determinant.
      log_std: standard deviation of the natural logarithm of the determinant, over the voxels where it is above
        zero; NaN if there is none.
      folding_fraction: fraction of the voxels with a determinant of zero or below.
      corner_folding_fraction: fraction of the voxels with any of the eight corner determinants zero or below.
    """

    minimum: float
    maximum: float
    log_std: float
    folding_fraction: float
    corner_folding_fraction: float


def jacobian_summary(transform: Transform, *, within: LabelMap | None = None) -> JacobianSummary:
    """Computes range, standard deviation and folding of the Jacobian determinant.

    Args:
      transform: pull; an affine transform has one determinant everywhere.
      within: measure in the labels of this map, in the reference image's space: at each of its labelled voxels,
        taking the field's nearest voxel. By default over the whole field.

    Raises:
      InputError: no voxel of the map is labelled.
    """
    return summary_of(determinants(transform, corners=True), None if within is None else labelled_points_mm(within))


def folding_fraction(transform: Transform, *, within: LabelMap | None = None) -> float:
    """Computes the fraction of voxels with a Jacobian determinant (central differences) of at most zero.

    Of the whole field, or of the labelled voxels of `within`; see `jacobian_summary`.
    """
    central, _ = determinants(transform).at(None if within is None else labelled_points_mm(within))
    return float((central <= 0).mean())


def log_jacobian_std(transform: Transform, *, within: LabelMap | None = None) -> float:
    """Computes the standard deviation of ln(det J) over voxels that do not fold; NaN if all fold.

    This is not the SDlogJ of Learn2Reg, whose evaluation takes log(det J + 3) and so reports much smaller
    numbers. Of the whole field, or of the labelled voxels of `within`; see `jacobian_summary`.
    """
    central, _ = determinants(transform).at(None if within is None else labelled_points_mm(within))
    return _log_std(central)


@dataclass(frozen=True, kw_only=True)
class Determinants:
    """The Jacobian determinant of a transform.

    Attributes:
      beyond: the determinant outside the field, or of an affine transform everywhere.
      geometry: the field's voxels; None for an affine transform.
      central: (i, j, k) determinants by central differences.
      least: (i, j, k) smallest determinant of the corners; `central` if these were not requested.
    """

    beyond: float
    geometry: Geometry | None = None
    central: Float[np.ndarray, "..."]
    least: Float[np.ndarray, "..."]

    def at(self, points_mm: Float[np.ndarray, "n 3"] | None) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
        """Returns both determinants at the voxels nearest to points, or at all voxels.

        An affine transform has one determinant for all points.
        """
        if points_mm is None or self.geometry is None:
            return self.central.ravel(), self.least.ravel()
        voxels = np.rint(self.geometry.to_voxel(points_mm)).astype(int)
        inside = ((voxels >= 0) & (voxels < np.asarray(self.geometry.shape))).all(axis=-1)
        place = tuple(voxels[inside].T)
        central, least = (np.full(len(voxels), self.beyond, np.float32) for _ in range(2))
        central[inside], least[inside] = self.central[place], self.least[place]
        return central, least


def determinants(transform: Transform, *, corners: bool = False) -> Determinants:
    """Computes the Jacobian determinant at every voxel by central and optionally one-sided differences."""
    if not isinstance(transform, DisplacementField):
        one = float(np.linalg.det(np.asarray(transform.floating_from_reference, np.float64)[:3, :3]))
        everywhere = np.asarray([one], np.float32)
        return Determinants(beyond=one, central=everywhere, least=everywhere)
    matrix = transform.floating_from_displaced
    matrix = None if matrix is None else np.asarray(matrix, np.float64)
    field = replace(transform, array=np.asarray(transform.array, np.float32), floating_from_displaced=matrix)
    # Beyond the field only the affine map applies.
    beyond = 1.0 if matrix is None else float(np.linalg.det(matrix[:3, :3]))
    central = np.asarray(jacobian_determinant(field), np.float32)
    least = np.asarray(beyond * _least_corner(field), np.float32) if corners else central
    return Determinants(beyond=beyond, geometry=field.geometry, central=central, least=least)


def summary_of(found: Determinants, points_mm: Float[np.ndarray, "n 3"] | None) -> JacobianSummary:
    """Computes the summary over the field's voxels nearest to points (n, 3), or over all voxels."""
    central, corners = found.at(points_mm)
    return JacobianSummary(
        minimum=float(central.min()),
        maximum=float(central.max()),
        log_std=_log_std(central),
        folding_fraction=float((central <= 0).mean()),
        corner_folding_fraction=float((corners <= 0).mean()),
    )


def labelled_points_mm(within: LabelMap) -> Float[np.ndarray, "n 3"]:
    """Returns the world positions of the labelled voxels of a map, (n, 3).

    Raises:
      InputError: no voxel is labelled.
    """
    found = np.argwhere(np.asarray(within.array) != 0)
    if len(found) == 0:
        raise InputError("the mask is empty, so the Jacobian cannot be measured in it; check the mask")
    return within.geometry.to_world(found)


def _log_std(values: Values) -> float:
    positive = values[values > 0].astype(np.float64)
    return float(np.log(positive).std()) if positive.size else float("nan")


def _least_corner(field: DisplacementField) -> Values:
    """The least of the eight determinants of I + du/dx by one-sided differences at each voxel, (i, j, k)."""
    shape = field.geometry.shape
    least = np.empty(shape, np.float32)
    array = np.moveaxis(np.asarray(field.array), -1, 0)
    for begin in range(0, shape[0], _PLANES):
        end = min(begin + _PLANES, shape[0])
        first, last = max(0, begin - 1), min(shape[0], end + 1)
        own = slice(begin - first, end - first)
        least[begin:end] = _least_in_slab(array[:, first:last], field.geometry)[own]
    return least


def _least_in_slab(array: Values, geometry: Geometry) -> Values:
    """`_least_corner` of displacements (3, i, j, k)."""
    affine = geometry.affine[:3, :3].astype(np.float32)
    columns = []
    for axis in range(3):
        # Where a step along the grid's axis is taken to: with the inverse affine, the columns of the Jacobian.
        moved = affine[:, axis][:, None, None, None]
        step = np.diff(array, axis=axis + 1)
        if step.size == 0:
            columns.append([np.broadcast_to(moved, array.shape)])
            continue
        # At a face of the grid there is only the inner side.
        ends = [[(0, 0)] * 4 for _ in range(2)]
        ends[0][axis + 1], ends[1][axis + 1] = (1, 0), (0, 1)
        columns.append([moved + np.pad(step, end, mode="edge") for end in ends])
    least = np.full(array.shape[1:], np.inf, np.float32)
    for a, b in product(columns[0], columns[1]):
        across = (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
        for c in columns[2]:
            volume = across[0] * c[0] + across[1] * c[1] + across[2] * c[2]
            np.minimum(least, volume / np.linalg.det(affine), out=least)
    return least
