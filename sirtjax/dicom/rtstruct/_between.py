from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64
from numpy.typing import NDArray
from scipy import ndimage


@dataclass(frozen=True, kw_only=True)
class Between:
    """The shape of an ROI between two neighbouring contour planes.

    Pieces that meet when one plane is laid on the other change into each other: their signed distances are
    mixed linearly. A piece (or a hole) with no counterpart in the other plane keeps its shape for half the
    gap.

    Attributes:
      near, far: signed distance to the contours of each plane, positive inside, (i, j); None if no pieces meet.
      near_alone, far_alone: components with no counterpart.
      near_holes, far_holes: holes with no counterpart.

    Reference:
      Raya and Udupa, Shape-based interpolation of multidimensional objects, IEEE Transactions on Medical
      Imaging 1990, doi:10.1109/42.52980.
    """

    near: Float32[np.ndarray, "i j"] | None
    far: Float32[np.ndarray, "i j"] | None
    near_alone: Bool[np.ndarray, "i j"]
    far_alone: Bool[np.ndarray, "i j"]
    near_holes: Bool[np.ndarray, "i j"]
    far_holes: Bool[np.ndarray, "i j"]

    def at(self, fraction: float) -> Bool[np.ndarray, "i j"]:
        """Returns the pixels inside, at this fraction (0 to 1) of the way from the near to the far plane."""
        alone, holes = (self.near_alone, self.near_holes) if fraction < 0.5 else (self.far_alone, self.far_holes)
        if self.near is None or self.far is None:
            return np.asarray(alone & ~holes)
        mixed = (1 - fraction) * self.near + fraction * self.far > 0
        return np.asarray((mixed | alone) & ~holes)

    def at_points(
        self, pixels: Float64[np.ndarray, "2 points"], fraction: Float64[np.ndarray, " points"]
    ) -> Bool[np.ndarray, " points"]:
        """Returns whether points are inside, from (2, n) fractional pixels and (n,) fractions of the way."""
        nearest = np.rint(pixels).astype(np.int64)
        column, row = (np.clip(index, 0, size - 1) for index, size in zip(nearest, self.near_alone.shape, strict=True))
        early = fraction < 0.5
        alone = np.where(early, self.near_alone[column, row], self.far_alone[column, row])
        holes = np.where(early, self.near_holes[column, row], self.far_holes[column, row])
        if self.near is None or self.far is None:
            return np.asarray(alone & ~holes)
        near, far = (
            ndimage.map_coordinates(distance, pixels, order=1, mode="nearest") for distance in (self.near, self.far)
        )
        return np.asarray((((1 - fraction) * near + fraction * far > 0) | alone) & ~holes)


def between(near: Bool[np.ndarray, "i j"], far: Bool[np.ndarray, "i j"], spacing_mm: tuple[float, float]) -> Between:
    """Prepares the shapes between two planes, from the pixels inside on each, (i, j)."""
    near_alone, far_alone = _unmatched(near, far), _unmatched(far, near)
    near_holes, far_holes = _unmatched(~near, ~far), _unmatched(~far, ~near)
    near_met, far_met = (near | near_holes) & ~near_alone, (far | far_holes) & ~far_alone
    meet = near_met.any() and far_met.any()
    return Between(
        near=signed_distance_mm(near_met, spacing_mm) if meet else None,
        far=signed_distance_mm(far_met, spacing_mm) if meet else None,
        near_alone=near_alone,
        far_alone=far_alone,
        near_holes=near_holes,
        far_holes=far_holes,
    )


def signed_distance_mm(mask: Bool[np.ndarray, "i j"], spacing_mm: tuple[float, float]) -> Float32[np.ndarray, "i j"]:
    """Returns the distance to the edge of the mask's pixels, positive inside the mask."""
    if mask.all() or not mask.any():
        reach = float(np.hypot(mask.shape[0] * spacing_mm[0], mask.shape[1] * spacing_mm[1]))
        return np.full(mask.shape, reach if mask.all() else -reach, np.float32)
    inside = ndimage.distance_transform_edt(mask, sampling=spacing_mm)
    outside = ndimage.distance_transform_edt(~mask, sampling=spacing_mm)
    # Measured between pixel centres, of which the edge lies half a pixel short.
    half = min(spacing_mm) / 2
    return np.asarray(np.where(mask, inside - half, half - outside), np.float32)


def _unmatched(mask: NDArray[np.bool_], other: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The connected components of `mask` that do not overlap `other`."""
    labels, count = ndimage.label(mask)
    if count == 0:
        return np.zeros(mask.shape, bool)
    matched = np.zeros(count + 1, bool)
    matched[labels[mask & other]] = True
    return np.asarray(mask & ~matched[labels])
