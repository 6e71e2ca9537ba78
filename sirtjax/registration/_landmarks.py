from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

from sirtjax.errors import GeometryError
from sirtjax.registration._pair import LANDMARKS
from sirtjax.volume import LabelMap


@dataclass(frozen=True, kw_only=True)
class Landmarks:
    """Points known in both images, in the fixed number of places that a solver has.

    Attributes:
      reference_mm: (LANDMARKS, 3) points of the reference, LPS mm.
      floating_mm: (LANDMARKS, 3) points of the floating image, LPS mm.
      weight: (LANDMARKS,) 1 for a landmark, 0 for an empty place.
    """

    reference_mm: Float[np.ndarray, "landmarks 3"]
    floating_mm: Float[np.ndarray, "landmarks 3"]
    weight: Float[np.ndarray, " landmarks"]


def match_landmarks(
    reference_masks: Mapping[str, LabelMap],
    floating_masks: Mapping[str, LabelMap],
    *,
    reference_points_mm: ArrayLike | None = None,
    floating_points_mm: ArrayLike | None = None,
) -> Landmarks:
    """Returns the centroids of masks with the same name, and the provided points.

    Args:
      reference_masks: landmark masks of the reference, by name.
      floating_masks: landmark masks of the floating image, by the same names.
      reference_points_mm: (n, 3) points of the reference, LPS mm, or None.
      floating_points_mm: (n, 3) the same points in the floating image.

    Raises:
      GeometryError: the two lists of points differ in length, are not (n, 3) or not finite, or there are more
        than LANDMARKS landmarks.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import registration
      >>> from sirtjax.volume import Geometry, LabelMap
      >>> grid = Geometry.from_axes((8, 8, 8), spacing_mm=(2.0, 2.0, 2.0))
      >>> inside = np.zeros(grid.shape, bool)
      >>> inside[2:5, 2:5, 2:5] = True
      >>> lesion = {"lesion1": LabelMap.from_mask(inside, grid, name="lesion1")}
      >>> found = registration.match_landmarks(lesion, lesion)
      >>> found.reference_mm[0].tolist(), int((found.weight > 0).sum())  # the centroid, voxel (3, 3, 3)
      ([6.0, 6.0, 6.0], 1)
    """
    pairs = [
        (mass_centre_mm(reference_masks[name], name), mass_centre_mm(floating_masks[name], name))
        for name in reference_masks
    ]
    if (reference_points_mm is None) != (floating_points_mm is None):
        raise GeometryError("landmark points are missing for one image; provide points for both images")
    if reference_points_mm is not None:
        one, two = np.asarray(reference_points_mm, np.float64), np.asarray(floating_points_mm, np.float64)
        if one.shape != two.shape or one.ndim != 2 or one.shape[1] != 3:
            raise GeometryError(
                f"landmark points must be two lists of (x, y, z) of equal length, got {one.shape} and {two.shape}"
            )
        if not (np.isfinite(one).all() and np.isfinite(two).all()):
            raise GeometryError("landmark points must be finite numbers; check the files")
        pairs += list(zip(one, two, strict=True))
    if len(pairs) > LANDMARKS:
        raise GeometryError(f"{len(pairs)} landmarks, at most {LANDMARKS} can be used; omit the others")
    places = np.zeros((2, LANDMARKS, 3), np.float32)
    for number, pair in enumerate(pairs):
        places[:, number] = pair
    weight = (np.arange(LANDMARKS) < len(pairs)).astype(np.float32)
    return Landmarks(reference_mm=places[0], floating_mm=places[1], weight=weight)


def mass_centre_mm(labels: LabelMap, name: str) -> Float[np.ndarray, "3"]:
    """Returns the mean position (3,) of a label's voxels, LPS mm."""
    voxels = np.argwhere(labels.mask(name))
    centre: NDArray[np.float64] = labels.geometry.to_world(voxels.mean(axis=0))
    return centre
