from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sirtjax.dicom.reference._series import Reference
from sirtjax.errors import GeometryError, InputError
from sirtjax.spatial import mask_occupancy
from sirtjax.volume import LabelMap, axis_codes, reorient

# More of a structure's volume than this outside of the reference is a part cut off; less is an edge between two grids.
_MOST_LOST = 0.01


def on_reference(labels: LabelMap, reference: Reference, *, name: str) -> NDArray[np.float32]:
    """How much of each voxel of the reference lies inside a mask, 0 to 1: exactly 0 or 1 where the grids agree.

    Args:
      labels: a map with one label, or one that has the label `name`; on any grid.
      reference: the series it is to be written on.
      name: of the mask, for messages too.

    Raises:
      InputError: the mask is empty, or it isn't clear which label is meant.
      GeometryError: the mask lies outside of the reference, or reaches beyond it.
    """
    inside = _mask(labels, name)
    if not inside.any():
        raise InputError(f"mask {name!r} is empty: no voxel to write; leave it out or check its segmentation")
    turned = reorient(LabelMap.from_mask(inside, labels.geometry, name=name), axis_codes(reference.geometry))
    if turned.geometry.matches(reference.geometry):
        return np.asarray(turned.array, np.float32)
    fraction = mask_occupancy(inside, labels.geometry, reference.geometry)
    kept = float(fraction.sum(dtype=np.float64)) * reference.geometry.voxel_volume_ml
    share = kept / (float(inside.sum()) * labels.geometry.voxel_volume_ml)
    if share < 1 - _MOST_LOST:
        where = "none of it lies" if share == 0 else f"{100 * (1 - share):.0f} % of it lie outside, not"
        raise GeometryError(
            f"mask {name!r} is not on the {reference.modality} series to write it for: {where} in its "
            f"{reference.geometry}; give the series it was drawn on, or register them first"
        )
    return fraction


def _mask(labels: LabelMap, name: str) -> NDArray[np.bool_]:
    known = [label for _, label in labels.names]
    if len(known) != 1 and name not in known:
        raise InputError(
            f"mask {name!r}: its map has the labels {', '.join(known) or 'none'}; expected one of that name"
        )
    return labels.mask(name if name in known else known[0])
