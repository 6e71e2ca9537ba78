"""Labels that are enclosed by another one, such as lesions drawn inside the liver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jaxtyping import Bool
from scipy import ndimage

from sirtjax.volume import LabelMap

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# A label belongs to the liver if more than this fraction of its surface touches it. In 3D-IRCADb-01 case 1: tumours
# 0.81 to 1, including those at the capsule; hepatic veins with the vena cava 0.56, portal vein 0.41.
ENCLOSED = 2 / 3


def enclosed_labels(liver: Bool[np.ndarray, "i j k"], others: Mapping[str, Bool[np.ndarray, "i j k"]]) -> set[str]:
    """Returns the labels most of whose surface touches the liver, or other labels enclosed in this way.

    Args:
      liver: (i, j, k) mask of the liver.
      others: other masks by name, on the same grid and disjoint from the liver.
    """
    inside = liver.copy()
    found: set[str] = set()
    waiting = {name: mask for name, mask in others.items() if mask.any()}
    while True:
        # Start again after each: a necrotic core is enclosed once its lesion is.
        name = next((name for name, mask in waiting.items() if _fraction(mask, inside) > ENCLOSED), None)
        if name is None:
            return found
        inside |= waiting.pop(name)
        found.add(name)


def liver_with_enclosed(masks: Mapping[str, LabelMap], name: str) -> tuple[LabelMap, LabelMap | None]:
    """Returns a liver with the labels contoured inside it, and these labels together.

    Args:
      masks: masks of one file by name, one label each. Masks on another grid or overlapping the liver are not added.
      name: name of the liver in `masks`.

    Returns:
      The liver, and the added labels with their own names; None if none was added.
    """
    liver = masks[name]
    whole = liver.mask(liver.names[0][1])
    beside = {other: one.mask(one.names[0][1]) for other, one in masks.items() if one.geometry.matches(liver.geometry)}
    beside = {other: one for other, one in beside.items() if not (one & whole).any()}
    added = sorted(enclosed_labels(whole, beside))
    if not added:
        return liver, None
    labels = whole.astype("uint16") * 0
    for value, other in enumerate(added, start=1):
        labels[beside[other]] = value
    geometry, names = liver.geometry, tuple(enumerate(added, start=1))
    return (
        LabelMap.from_mask(whole | (labels > 0), geometry, name=liver.names[0][1]),
        LabelMap(labels, geometry, names=names),
    )


def _fraction(mask: NDArray[np.bool_], inside: NDArray[np.bool_]) -> float:
    """Returns the fraction of the voxels next to a mask that are inside."""
    ends = ndimage.find_objects(mask.astype("uint8"))[0]
    box = tuple(slice(max(end.start - 1, 0), end.stop + 1) for end in ends)
    shell = ndimage.binary_dilation(mask[box]) & ~mask[box]
    return float((shell & inside[box]).sum() / max(int(shell.sum()), 1))
