from __future__ import annotations

import logging

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from sirtjax.errors import InputError
from sirtjax.spatial import mask_occupancy
from sirtjax.volume import Geometry, LabelMap, axis_codes, reorient

_LOG = logging.getLogger(__name__)
# Beyond this a change of volume is worth a word.
_NOTABLE_CHANGE = 0.05


def label_of(masks_name: str, labels: LabelMap) -> str:
    """Returns the label of a map that a mask's name refers to: the label of that name, or the only one.

    Raises:
      InputError: several labels and none of that name, or a label without a voxel.
    """
    names = [name for _, name in labels.names]
    if masks_name not in names and len(names) != 1:
        raise InputError(
            f"mask {masks_name!r}: its label map contains {', '.join(map(repr, names)) or 'no label'}; expected one"
        )
    label = masks_name if masks_name in names else names[0]
    if not labels.mask(label).any():
        raise InputError(f"mask {masks_name!r} is empty; omit it or contour it")
    return label


def placed_mask(name: str, labels: LabelMap, geometry: Geometry) -> Bool[np.ndarray, "i j k"]:
    """Returns a mask on another grid, (i, j, k).

    If the grids have the same voxels, in any order, the mask is copied voxel by voxel.

    On any other grid it takes as many voxels as its volume fills, those that lie inside with most of theirs: cut at one
    half, a small lesion on large voxels would lose a tenth of its volume.

    Args:
      name: name of the mask.
      labels: label map of the mask.
      geometry: grid of the result.

    Raises:
      InputError: an empty mask, or one of which nothing is left on the grid.
    """
    label = label_of(name, labels)
    turned = reorient(labels, axis_codes(geometry))
    if turned.geometry.matches(geometry):
        return turned.mask(label)
    mask = _fullest(np.asarray(mask_occupancy(labels.mask(label), labels.geometry, geometry)))
    before_ml, after_ml = labels.volume_ml(label), float(mask.sum()) * geometry.voxel_volume_ml
    if not mask.any():
        raise InputError(
            f"mask {name!r} of {before_ml:.3g} mL has no voxel on the grid of the reference ({geometry}); "
            "it is smaller than a voxel or outside; choose the image it was contoured on"
        )
    if abs(after_ml - before_ml) > _NOTABLE_CHANGE * before_ml:
        _LOG.warning(
            "mask %r has %.3g mL on the grid of the reference, %.3g mL as contoured", name, after_ml, before_ml
        )
    return mask


def _fullest(share: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Returns the voxels with the largest fractions, as many as the sum of the fractions; of equal ones all or none."""
    count = round(float(share.sum(dtype=np.float64)))
    if count == 0:
        return np.zeros(share.shape, bool)
    inside = share[share > 0]
    last = np.partition(inside, -count)[-count]
    fewer, more = np.asarray(share > last), np.asarray(share >= last)
    return fewer if fewer.any() and count - fewer.sum() < more.sum() - count else more
