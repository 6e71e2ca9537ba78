from __future__ import annotations

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from sirtjax.dicom.reference._series import Reference
from sirtjax.errors import GeometryError, InputError
from sirtjax.spatial import mask_occupancy
from sirtjax.volume import LabelMap, axis_codes, reorient

# Larger fractions of the volume outside the reference mean a truncated structure, smaller ones rounding at its edges.
_MAX_LOST = 0.01


def on_reference(labels: LabelMap, reference: Reference, *, name: str) -> Float32[np.ndarray, "i j k"]:
    """Returns the fraction of each reference voxel inside a mask: exactly 0 or 1 if the grids agree.

    Args:
      labels: map with one label, or one that has the label `name`; on any grid.
      reference: series for which the mask is written.
      name: name of the mask, also for messages.

    Raises:
      InputError: the mask is empty, or it isn't clear which label is meant.
      GeometryError: the mask lies outside of the reference, or reaches beyond it.
    """
    inside = _mask(labels, name)
    if not inside.any():
        raise InputError(f"mask {name!r} is empty: no voxel to write; omit it or check its segmentation")
    turned = reorient(LabelMap.from_mask(inside, labels.geometry, name=name), axis_codes(reference.geometry))
    if turned.geometry.matches(reference.geometry):
        return np.asarray(turned.array, np.float32)
    fraction = np.asarray(mask_occupancy(inside, labels.geometry, reference.geometry))
    kept = float(fraction.sum(dtype=np.float64)) * reference.geometry.voxel_volume_ml
    share = kept / (float(inside.sum()) * labels.geometry.voxel_volume_ml)
    if share < 1 - _MAX_LOST:
        where = "it does not overlap" if share == 0 else f"{100 * (1 - share):.0f} % of it is outside"
        raise GeometryError(
            f"mask {name!r} does not fit the target {reference.modality} series: {where} its "
            f"{reference.geometry}; provide the series it was contoured on, or register them first"
        )
    return fraction


def _mask(labels: LabelMap, name: str) -> NDArray[np.bool_]:
    known = [label for _, label in labels.names]
    if len(known) != 1 and name not in known:
        raise InputError(
            f"mask {name!r}: its label map contains {', '.join(known) or 'none'}; expected one of that name"
        )
    return labels.mask(name if name in known else known[0])
