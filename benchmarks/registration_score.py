"""How well a transform registers a case whose truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sirtjax.spatial import AffineTransform, DisplacementField, Transform, jacobian_determinant, voxel_centres_mm
from sirtjax.spatial import transform_points as points_through

Mask = NDArray[np.bool_]
# In the order of the tables.
COLUMNS = ("rmsd_mm", "tre_mean_mm", "tre_p95_mm", "msd_mm", "mcd_mm", "dsc", "folding_percent")


def score(case: Any, transform: Transform) -> dict[str, float]:
    """Figures of merit of a transform from the reference to the floating image of a case.

    `rmsd_mm` is the thesis' root of the mean of the squares of the liver's mean surface distance and of each
    lesion's mass centre distance, `mcd_mm` the mean of the latter, `dsc` the liver's Dice coefficient, `tre` the
    distance of the transform from the true one over all voxels of the liver, and `folding_percent` the share of the
    body's voxels where the Jacobian determinant is not above zero. Masks are warped with linear interpolation and
    cut at one half. Where a mask leaves the image altogether its distance is infinite.

    Args:
      case: a `registration_cases.Case`.
      transform: pull, from reference to floating.
    """
    geometry = case.reference.geometry
    centres = voxel_centres_mm(geometry).reshape(-1, 3)
    pieces = np.array_split(centres.astype(np.float32), 32)
    moved = np.concatenate([np.asarray(points_through(transform, part), np.float32) for part in pieces])
    liver = case.reference_masks["liver"].mask("liver")
    error = np.linalg.norm(moved[liver.ravel()] - case.truth_at(centres[liver.ravel()]), axis=1)
    moved = moved.reshape(*geometry.shape, 3)
    warped = {
        name: warped_mask(labels.mask(name), labels.geometry, moved) for name, labels in case.floating_masks.items()
    }
    msd_mm = mean_surface_distance_mm(warped["liver"], liver, geometry.spacing_mm)
    names = [name for name in case.reference_masks if name != "liver"]
    mcd_mm = np.array(
        [mass_centres_apart_mm(warped[n], case.reference_masks[n].mask(n), geometry.spacing_mm) for n in names]
    )
    displacement = moved - centres.astype(np.float32).reshape(moved.shape)
    jacobian = jacobian_determinant(DisplacementField(displacement, geometry))
    both = float(warped["liver"].sum() + liver.sum())
    return {
        "rmsd_mm": float(np.sqrt((msd_mm**2 + (mcd_mm**2).sum()) / (1 + len(names)))),
        "tre_mean_mm": float(error.mean()),
        "tre_p95_mm": float(np.percentile(error, 95)),
        "msd_mm": msd_mm,
        "mcd_mm": float(mcd_mm.mean()),
        "dsc": 2.0 * float((warped["liver"] & liver).sum()) / both,
        "folding_percent": 100.0 * float((jacobian[case.body] <= 0).mean()),
    }


def best_affine(case: Any) -> AffineTransform:
    """The affine map closest to the truth over the voxels of the liver, by least squares."""
    liver = case.reference_masks["liver"].mask("liver")
    points = case.reference.geometry.to_world(np.argwhere(liver))
    wide = np.concatenate([points, np.ones((len(points), 1))], axis=1)
    solution = np.linalg.lstsq(wide, case.truth_at(points), rcond=None)[0]
    matrix = np.eye(4)
    matrix[:3] = solution.T
    return AffineTransform(matrix)


def warped_mask(mask: Mask, geometry: Any, moved_mm: NDArray[np.float32]) -> Mask:
    """A floating mask seen at world points (i, j, k, 3), by linear interpolation cut at one half."""
    inside = np.argwhere(mask)
    low, high = inside.min(axis=0) - 2, inside.max(axis=0) + 3
    affine = geometry.voxel_from_world.astype(np.float32)
    index = moved_mm @ affine[:3, :3].T + affine[:3, 3]
    near = ((index > low) & (index < high)).all(axis=-1)
    low = np.maximum(low, 0)
    part = mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))].astype(np.float32)
    warped = np.zeros(moved_mm.shape[:3], bool)
    warped[near] = ndimage.map_coordinates(part, (index[near] - low).T, order=1, mode="constant") >= 0.5
    return warped


def mean_surface_distance_mm(one: Mask, two: Mask, spacing_mm: tuple[float, float, float]) -> float:
    """Mean distance of the surface voxels of either mask to the nearest one of the other."""
    if not (one.any() and two.any()):
        return float("inf")
    inside = np.argwhere(one | two)
    box = tuple(slice(max(a - 1, 0), b + 2) for a, b in zip(inside.min(axis=0), inside.max(axis=0), strict=True))
    surfaces = [_surface(mask[box]) for mask in (one, two)]
    away = [ndimage.distance_transform_edt(~surface, sampling=spacing_mm) for surface in surfaces]
    return float(np.concatenate([away[1][surfaces[0]], away[0][surfaces[1]]]).mean())


def mass_centres_apart_mm(one: Mask, two: Mask, spacing_mm: tuple[float, float, float]) -> float:
    """Distance between the mass centres of two masks."""
    if not (one.any() and two.any()):
        return float("inf")
    apart = np.argwhere(one).mean(axis=0) - np.argwhere(two).mean(axis=0)
    return float(np.linalg.norm(apart * spacing_mm))


def _surface(mask: Mask) -> Mask:
    return np.asarray(mask & ~ndimage.binary_erosion(mask), bool)
