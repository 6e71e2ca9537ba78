from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

from sirtjax.errors import InputError
from sirtjax.spatial import AffineTransform, DisplacementField, Transform, transform_points
from sirtjax.volume import LabelMap


@dataclass(frozen=True, kw_only=True)
class TargetRegistrationError:
    """Target registration error (TRE) over a set of points.

    Attributes:
      mean_mm: mean distance.
      p95_mm: 95th percentile, interpolated linearly between the two nearest.
      max_mm: largest distance.
      count: number of points.
      each_mm: (n,) distances in the order of the points.
    """

    mean_mm: float
    p95_mm: float
    max_mm: float
    count: int
    each_mm: Float[np.ndarray, " n"] = field(repr=False, compare=False)


def target_registration_error_mm(
    transform: Transform, reference_points_mm: ArrayLike, floating_points_mm: ArrayLike
) -> TargetRegistrationError:
    """Distances between reference points taken through a transform and where they truly are.

    Measured in the floating image, since the transform pulls: |T(x_reference) - x_floating|.

    Raises:
      InputError: the lists of points are empty, differ in length, or contain points that are not finite.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import metrics, spatial
      >>> points = np.array([[0.0, 0.0, 0.0], [10.0, 0.0, 0.0]])
      >>> error = metrics.target_registration_error_mm(spatial.identity(), points, points + [3.0, 4.0, 0.0])
      >>> round(error.mean_mm, 3), error.count
      (5.0, 2)
    """
    reference, floating = _points("reference", reference_points_mm), _points("floating", floating_points_mm)
    if len(reference) != len(floating):
        raise InputError(f"{len(reference)} reference points, but {len(floating)} floating ones; expected pairs")
    moved = np.asarray(transform_points(_on_host(transform), reference))
    return _summary(np.linalg.norm(moved - floating, axis=-1))


def field_error_mm(transform: Transform, truth: Transform, within: LabelMap, name: str) -> TargetRegistrationError:
    """Computes distances between a transform and the true one at every voxel centre of a label.

    Args:
      transform: the transform to be judged, pull.
      truth: the true one, pull, for example a known displacement field.
      within: label map in the reference image's space.
      name: the label.

    Raises:
      InputError: the label is empty.
      GeometryError: no label has that name.
    """
    indices = np.argwhere(within.mask(name))
    if len(indices) == 0:
        raise InputError(f"the mask {name!r} is empty: there is no point to measure at; check the label")
    points = within.geometry.to_world(indices)
    moved, true = (np.asarray(transform_points(_on_host(t), points)) for t in (transform, truth))
    return _summary(np.linalg.norm(moved - true, axis=-1))


def _summary(each: NDArray[np.float64]) -> TargetRegistrationError:
    return TargetRegistrationError(
        mean_mm=float(each.mean()),
        p95_mm=float(np.percentile(each, 95)),
        max_mm=float(each.max()),
        count=len(each),
        each_mm=each,
    )


def _points(which: str, points: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(points, np.float64)
    if array.ndim != 2 or array.shape[1] != 3 or len(array) == 0:
        raise InputError(f"{which} points must be a list of one or more x, y, z in mm, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise InputError(f"{which} points: one is not finite; check the file")
    return array


def _on_host(transform: Transform) -> Transform:
    """The transform in NumPy, so that no number of points costs a compilation."""
    if isinstance(transform, DisplacementField):
        matrix = transform.floating_from_displaced
        return DisplacementField(
            np.asarray(transform.array), transform.geometry, None if matrix is None else np.asarray(matrix)
        )
    return AffineTransform(np.asarray(transform.floating_from_reference, np.float64))
