"""How well a transform registers a case whose truth is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sirtjax.metrics import evaluate_registration, jacobian_summary
from sirtjax.spatial import AffineTransform, DisplacementField, Transform, transform_points, voxel_centres_mm
from sirtjax.volume import LabelMap

# In the order of the tables.
COLUMNS = ("rmsd_mm", "tre_mean_mm", "tre_p95_mm", "msd_mm", "mcd_mm", "dsc", "folding_percent")


def score(case: Any, transform: Transform) -> dict[str, float]:
    """Figures of merit of a transform from the reference to the floating image of a case.

    `rmsd_mm` is the thesis' root mean square of the liver's mean surface distance and of each lesion's mass centre
    distance, `mcd_mm` the mean of the latter, `dsc` the liver's Dice coefficient, `tre` the distance of the transform
    from the true one over all voxels of the liver, and `folding_percent` the share of the body's voxels where the
    Jacobian determinant of the whole transform on the reference's grid is not above zero. NaN where a label is lost.

    Args:
      case: a `registration_cases.Case`.
      transform: pull, from reference to floating.
    """
    points = liver_points_mm(case)
    found = evaluate_registration(
        transform,
        case.reference_masks,
        case.floating_masks,
        reference_points_mm=points,
        floating_points_mm=case.truth_at(points),
    )
    liver, lesions = found.labels[0], found.labels[1:]
    if found.target is None:
        raise RuntimeError("points were given, so there is a target registration error")
    body = LabelMap.from_mask(case.body, case.reference.geometry, name="body")
    folding = jacobian_summary(on_grid(transform, case), within=body).folding_fraction
    return {
        "rmsd_mm": found.rmsd_mm,
        "tre_mean_mm": found.target.mean_mm,
        "tre_p95_mm": found.target.p95_mm,
        "msd_mm": liver.msd_mm,
        "mcd_mm": float(np.mean([lesion.mcd_mm for lesion in lesions])),
        "dsc": liver.dsc,
        "folding_percent": 100.0 * folding,
    }


def best_affine(case: Any) -> AffineTransform:
    """The affine map closest to the truth over the voxels of the liver, by least squares."""
    points = liver_points_mm(case)
    wide = np.concatenate([points, np.ones((len(points), 1))], axis=1)
    matrix = np.eye(4)
    matrix[:3] = np.linalg.lstsq(wide, case.truth_at(points), rcond=None)[0].T
    return AffineTransform(matrix)


def on_grid(transform: Transform, case: Any) -> DisplacementField:
    """The whole transform as displacements at the voxels of the reference."""
    geometry = case.reference.geometry
    points = voxel_centres_mm(geometry)
    moved = np.stack([np.asarray(transform_points(transform, slab) - slab, np.float32) for slab in points])
    return DisplacementField(moved, geometry)


def plain(value: Any) -> Any:
    """A value for JSON, which knows neither NaN nor infinity: these become None."""
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def liver_points_mm(case: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Centres of the voxels of the reference's liver, (n, 3)."""
    return np.asarray(case.reference.geometry.to_world(np.argwhere(case.reference_masks["liver"].mask("liver"))))
