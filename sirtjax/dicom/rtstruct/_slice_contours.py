from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Real
from numpy.typing import NDArray

from sirtjax.dicom.reference._series import Reference
from sirtjax.dicom.rtstruct._apportion import apportioned
from sirtjax.dicom.rtstruct._contours import plane_outlines


@dataclass(frozen=True, kw_only=True, eq=False)
class SliceContour:
    """One closed contour on one slice.

    Attributes:
      k: the slice of the reference.
      points_mm: (n, 3) points in the patient's coordinates, the first point not repeated.
    """

    k: int
    points_mm: Float64[np.ndarray, "points 3"]


def slice_contours(
    fraction: Bool[np.ndarray, "i j k"] | Real[np.ndarray, "i j k"], reference: Reference
) -> list[SliceContour]:
    """Returns the contours of a mask on every slice that it meets.

    They are computed from the fraction of each reference voxel inside the mask.
    """
    found = []
    held = apportioned(fraction)
    for k in np.flatnonzero(held.any(axis=(0, 1))):
        for polygon in plane_outlines(held[:, :, k], fraction[:, :, k]):
            points = reference.geometry.to_world(np.column_stack([polygon, np.full(len(polygon), float(k))]))
            points = _started_apart(points + _off_grid_mm(reference, int(k)))
            found.append(SliceContour(k=int(k), points_mm=points))
    return found


def _started_apart(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same contour, begun where the last point is furthest from the first across the body.

    There are programs (plastimatch 1.9) that take a last point with the x and y of the first for the first again,
    whatever its z, and drop it: in a sagittal or coronal slice, a corner.
    """
    across = np.linalg.norm((points - np.roll(points, 1, axis=0))[:, :2], axis=1)
    return np.roll(points, -int(across.argmax()), axis=0)


def _off_grid_mm(reference: Reference, k: int) -> NDArray[np.float64]:
    """From the even grid to where slice k says it is: positions are rounded, and readers look for the slice's own."""
    header = reference.headers[0 if reference.frame_numbers is not None else k]
    if reference.frame_numbers is not None or "ImagePositionPatient" not in header:
        return np.zeros(3)  # frames have their places in functional groups, or evenly by the number of the slice
    stated = np.array([float(x) for x in header.ImagePositionPatient])
    return np.asarray(stated - reference.geometry.to_world((0, 0, k)))
