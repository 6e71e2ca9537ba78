from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sirtjax.errors import InputError
from sirtjax.metrics._overlap import voxels_inside
from sirtjax.ops import components

Connectivity = Literal[6, 18, 26]


@dataclass(frozen=True, kw_only=True)
class LesionDetection:
    """Numbers of detected and missed lesions, by the counting rules of the thesis (7.3.3).

    Attributes:
      reference_count: number of drawn lesions.
      predicted_count: number of predicted lesions.
      detected: number of drawn lesions that at least one predicted one overlaps (true positives).
      missed: number of the other drawn lesions (false negatives).
      false_positives: number of predicted lesions that overlap no drawn one.
      connectivity: connectivity of the voxels of a lesion: 6, 18 or 26.
      min_volume_ml: volume below which lesions were excluded, on both sides.
    """

    reference_count: int
    predicted_count: int
    detected: int
    missed: int
    false_positives: int
    connectivity: Connectivity
    min_volume_ml: float

    @property
    def sensitivity(self) -> float:
        """TP / (TP + FN); NaN if no lesion is drawn."""
        return self.detected / self.reference_count if self.reference_count else math.nan

    @property
    def precision(self) -> float:
        """TP / (TP + FP); NaN if no lesion is detected, truly or falsely."""
        found = self.detected + self.false_positives
        return self.detected / found if found else math.nan


def lesion_detection(
    predicted: ArrayLike,
    reference: ArrayLike,
    spacing_mm: Sequence[float],
    *,
    connectivity: Connectivity = 26,
    min_volume_ml: float = 0.0,
    voxel_volume_ml: float | None = None,
) -> LesionDetection:
    """Counts detected, missed and false lesions.

    A drawn lesion counts once, however many predicted ones overlap it; a predicted one that overlaps several drawn
    ones detects each of them. Any common voxel is an overlap. A drawn lesion that is too small neither has to be
    found nor counts as found, and a predicted lesion that overlaps it is not false.

    Args:
      predicted: (i, j, k) mask of lesions.
      reference: the mask drawn, on the same grid.
      spacing_mm: voxel size along i, j, k.
      connectivity: 6 (faces), 18 (and edges) or 26 (and corners).
      min_volume_ml: volume below which lesions are not counted.
      voxel_volume_ml: volume of a voxel, needed on a sheared grid. Default: product of `spacing_mm`.

    Raises:
      InputError: masks of different shapes.
      ValueError: the connectivity is not supported.

    Reference:
      Thesis, chapter 7.3.3, equations 7.1 and 7.2; it leaves connectivity and minimum size open.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import metrics
      >>> drawn, predicted = np.zeros((9, 3, 3), bool), np.zeros((9, 3, 3), bool)
      >>> drawn[0], drawn[4], predicted[0], predicted[8] = True, True, True, True
      >>> found = metrics.lesion_detection(predicted, drawn, (2.0, 2.0, 2.0))
      >>> found.detected, found.missed, found.false_positives, found.sensitivity, found.precision
      (1, 1, 1, 0.5, 0.5)
    """
    found, drawn = voxels_inside(predicted), voxels_inside(reference)
    if found.shape != drawn.shape:
        raise InputError(f"masks of shape {found.shape} and {drawn.shape}; expected both on one grid (resample one)")
    voxel_ml = float(np.prod(np.asarray(spacing_mm, np.float64))) / 1000 if voxel_volume_ml is None else voxel_volume_ml
    lesions = components(drawn, connectivity=connectivity)
    candidates = components(found, connectivity=connectivity)
    counted, kept = (_large(labels, min_volume_ml / voxel_ml) for labels in (lesions, candidates))
    # Pairs of a drawn and a predicted lesion that share a voxel.
    both = drawn & found
    pairs = np.unique(np.stack([lesions[both], candidates[both]]), axis=1)
    detected = np.unique(pairs[0][np.isin(pairs[1], kept)])
    hits = int(np.isin(counted, detected).sum())
    false = int((~np.isin(kept, pairs[1])).sum())
    return LesionDetection(
        reference_count=len(counted),
        predicted_count=len(kept),
        detected=hits,
        missed=len(counted) - hits,
        false_positives=false,
        connectivity=connectivity,
        min_volume_ml=min_volume_ml,
    )


def _large(labels: NDArray[np.int32], least_voxels: float) -> NDArray[np.int64]:
    """Numbers of the components of at least so many voxels."""
    sizes = np.bincount(labels.ravel())[1:]
    # A size given in mL is rarely a whole number of voxels: rounding must not drop one that has just as many.
    return np.flatnonzero(sizes >= least_voxels * (1 - 1e-9)) + 1
