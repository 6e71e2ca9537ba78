"""Connected pieces of lung on a coarse grid, and their vessels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float32
from scipy import ndimage

from sirtjax import ops, postprocess

LUNG_HU = -400.0
# Half of the inside of a piece of lung is denser than this, below which lung counts as destroyed by emphysema (Gevenois
# et al., Am J Respir Crit Care Med 1996;154:187-192); gas in the bowel is not.
GAS_HU = -950.0
MIN_CORE_ML, MIN_ML = 5.0, 40.0
# Vessels thinner than twice this are part of the lung.
VESSEL_MM = 6.0


def lung_pieces(
    air: Bool[np.ndarray, "i j k"], values: Float32[np.ndarray, "i j k"], voxel_ml: float
) -> Iterator[Bool[np.ndarray, "i j k"]]:
    """Yields the connected components of air that can be lung.

    They are split at thin walls where bowel gas touches a lung, and have at least `MIN_CORE_ML`. Those smaller than
    `MIN_ML` are lung only as part of a larger open one.

    Args:
      air: voxels below `LUNG_HU` inside the body.
      values: image, HU.
      voxel_ml: volume of a voxel.
    """
    cores = ops.components(ndimage.binary_erosion(air, border_value=1))
    sizes_ml = np.bincount(cores.ravel()) * voxel_ml
    sizes_ml[0] = 0
    large = np.flatnonzero(sizes_ml >= MIN_CORE_ML)
    cores[~np.isin(cores, large)] = 0
    if large.size == 0:
        return
    nearest = ndimage.distance_transform_edt(cores == 0, return_distances=False, return_indices=True)
    owner = np.where(air, cores[tuple(nearest)], 0)
    for number in large:
        piece = ops.largest_component(owner == number)
        if piece.sum() * voxel_ml >= MIN_CORE_ML and float(np.median(values[cores == number])) > GAS_HU:
            yield piece


def with_vessels(piece: Bool[np.ndarray, "i j k"], spacing_mm: tuple[float, float, float]) -> Bool[np.ndarray, "i j k"]:
    """Returns a piece of lung with gaps narrower than twice `VESSEL_MM` filled.

    Args:
      piece: (i, j, k) booleans.
      spacing_mm: voxel size.
    """
    reach = int(np.ceil(VESSEL_MM / min(spacing_mm))) + 1
    # Continued beyond the faces, so that there is no margin there.
    wide = np.pad(piece, reach, mode="edge")
    grown = ops.binary_fill_holes(postprocess.dilate(wide, spacing_mm, margin_mm=VESSEL_MM))
    shrunk = ops.distance_mm(~grown, spacing_mm) > VESSEL_MM
    within = tuple(slice(reach, -reach) for _ in range(3))
    closed: Bool[np.ndarray, "i j k"] = piece | shrunk[within]
    return ops.binary_fill_holes(closed)
