from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool
from numpy.typing import ArrayLike

from sirtjax.volume import bounding_box

Mask = Bool[np.ndarray, "i j k"]


def in_bounding_box(mask: ArrayLike, change: Callable[[Mask], Mask], *, margin: int = 0) -> Mask:
    """Applies `change` to the box around a mask, for speed; an empty mask remains empty.

    With a `margin` the box is larger by so many voxels, also beyond the faces of the image, where the mask is false;
    voxels that `change` sets to true there are discarded.
    """
    inside = np.asarray(mask, bool)
    result = np.zeros_like(inside)
    if not inside.any():
        return result
    start, stop = bounding_box(inside)
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    changed = change(np.pad(inside[box], margin))
    wide = tuple(slice(max(0, a - margin), b + margin) for a, b in zip(start, stop, strict=True))
    cut = tuple(
        slice(w.start - (a - margin), w.start - (a - margin) + min(n, w.stop) - w.start)
        for w, a, n in zip(wide, start, inside.shape, strict=True)
    )
    result[wide] = changed[cut]
    return result
