from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Real

from sirtjax.errors import ImageFormatError


def check_finite(array: Real[np.ndarray, "*shape"], path: Path | str) -> None:
    """Refuses NaN and infinite voxels, with their number and the position of the first.

    Raises:
      ImageFormatError: a voxel is NaN, infinite, or beyond what float32 holds.
    """
    # The sum of finite float32 values is finite in double precision, and costs no mask.
    if array.size == 0 or np.isfinite(array.sum(dtype=np.float64)):
        return
    bad = ~np.isfinite(array)
    count = int(bad.sum())
    first = tuple(int(n) for n in np.unravel_index(int(np.argmax(bad)), array.shape))
    value = float(array[first])
    raise ImageFormatError(
        f"{path}: {count} of {array.size} voxels are NaN or infinite, the first ({value:g}) at voxel {first}; "
        "expected finite numbers, export the image again or mask those voxels"
    )
