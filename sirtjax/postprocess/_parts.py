from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike, NDArray

from sirtjax import ops
from sirtjax.postprocess._box import in_bounding_box

Mask = NDArray[np.bool_]


def threshold(probability: ArrayLike, *, threshold: float = 0.5) -> Bool[np.ndarray, "..."]:
    """Returns where a probability exceeds the threshold, (i, j, k).

    One half "is the natural choice because it selects the voxels which are more likely to belong to the liver than
    not" (thesis, chapter 3, data postprocessing; 0.5 in chapters 4 and 7, too).
    """
    return np.asarray(np.asarray(probability) > np.float32(threshold), bool)


def keep_largest(mask: ArrayLike) -> Bool[np.ndarray, "i j k"]:
    """Returns the largest connected component of a mask (face neighbours). On the host.

    "The thresholded map might contain multiple non-connected regions. The largest region was retained as the liver
    segmentation and other smaller regions were discarded" (thesis, chapter 4, data post-processing).
    """
    return in_bounding_box(mask, ops.largest_component)


def fill_holes(mask: ArrayLike) -> Bool[np.ndarray, "..."]:
    """Fills holes that the mask encloses on all sides. On the host.

    "Morphological operations (hole filling and small object removal) were used to refine the final segmentations"
    (the Y-90 paper, inference).
    """
    return in_bounding_box(mask, ops.binary_fill_holes)


def remove_small(
    mask: ArrayLike, spacing_mm: Sequence[float], *, min_volume_ml: float, voxel_volume_ml: float | None = None
) -> Bool[np.ndarray, "i j k"]:
    """Removes connected components smaller than a volume; equal volumes remain. On the host.

    Args:
      mask: (i, j, k) booleans.
      spacing_mm: voxel size along i, j, k.
      min_volume_ml: smallest volume of a component that is not removed.
      voxel_volume_ml: volume of a voxel, needed on a sheared grid. Default: product of `spacing_mm`.

    Raises:
      ValueError: the volume is negative.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import postprocess
      >>> mask = np.zeros((6, 2, 2), bool)
      >>> mask[:2], mask[4, 0, 0] = True, True  # components of 8 mL and 1 mL
      >>> kept = postprocess.remove_small(mask, (10.0, 10.0, 10.0), min_volume_ml=2.0)
      >>> postprocess.component_volumes_ml(mask, (10.0, 10.0, 10.0)).tolist(), int(kept.sum())
      ([8.0, 1.0], 8)
    """
    if min_volume_ml < 0:
        raise ValueError(f"min_volume_ml must not be negative, got {min_volume_ml}")
    voxel_ml = _voxel_ml(spacing_mm) if voxel_volume_ml is None else voxel_volume_ml

    def large_parts(inside: Mask) -> Mask:
        labels = ops.components(inside)
        sizes_ml = np.bincount(labels.ravel()) * voxel_ml
        kept = sizes_ml >= min_volume_ml * (1 - 1e-6)
        kept[0] = False
        found: Mask = kept[labels]
        return found

    return in_bounding_box(mask, large_parts)


def component_volumes_ml(
    mask: ArrayLike, spacing_mm: Sequence[float], *, voxel_volume_ml: float | None = None
) -> Float[np.ndarray, " components"]:
    """Returns the component volumes of a mask in mL, largest first; empty if empty. On the host.

    Args:
      mask: (i, j, k) booleans.
      spacing_mm: voxel size along i, j, k.
      voxel_volume_ml: volume of a voxel, needed on a sheared grid. Default: product of `spacing_mm`.
    """
    voxel_ml = _voxel_ml(spacing_mm) if voxel_volume_ml is None else voxel_volume_ml
    return np.asarray(np.bincount(ops.components(mask).ravel())[1:] * voxel_ml, np.float64)


def _voxel_ml(spacing_mm: Sequence[float]) -> float:
    """The volume of a voxel whose axes are perpendicular."""
    return float(np.prod(spacing_mm)) / 1000
