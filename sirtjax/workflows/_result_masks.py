"""The VOIs of a result as masks, for files."""

from __future__ import annotations

import numpy as np

from sirtjax.volume import LabelMap
from sirtjax.workflows._results import ResultVolumes


def result_mask(maps: ResultVolumes, name: str, *, label: str | None = None) -> LabelMap:
    """Returns the voxels of which a VOI fills half or more; the lungs on their own grid.

    Args:
      maps: images of a result.
      name: name of the VOI.
      label: name in the mask; that of the VOI by default.
    """
    weight, geometry = maps.occupancy[name], maps.geometry
    if name == "lungs" and maps.lungs is not None:
        weight, geometry = np.asarray(maps.lungs.array), maps.lungs.geometry
    return LabelMap.from_mask(weight >= np.float32(0.5), geometry, name=label or name)
