"""The VOIs of a result as masks, for files."""

from __future__ import annotations

import numpy as np

from sirtjax import ops
from sirtjax.volume import LabelMap
from sirtjax.workflows._results import ResultVolumes
from sirtjax.workflows._written_masks import WrittenMask, mask_files, mask_sha256


def result_mask(maps: ResultVolumes, name: str, *, label: str | None = None) -> LabelMap:
    """Returns the voxels that a VOI fills most, as many as its volume; the lungs on their own grid.

    Args:
      maps: images of a result.
      name: name of the VOI.
      label: name in the mask; that of the VOI by default.
    """
    weight, geometry = maps.occupancy[name], maps.geometry
    if name == "lungs" and maps.lungs is not None:
        weight, geometry = np.asarray(maps.lungs.array), maps.lungs.geometry
    return LabelMap.from_mask(ops.fullest_voxels(np.asarray(weight)), geometry, name=label or name)


def written_masks(maps: ResultVolumes) -> tuple[WrittenMask, ...]:
    """Returns the record of each mask that is written with a result.

    Args:
      maps: images of the result.
    """
    return tuple(
        WrittenMask(name=name, file=file, sha256=mask_sha256(np.asarray(result_mask(maps, name).array)))
        for name, file in mask_files(maps.occupancy).items()
    )
