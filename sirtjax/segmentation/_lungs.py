from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sirtjax import ops, postprocess
from sirtjax.errors import ImageFormatError
from sirtjax.segmentation._body import coarse_body
from sirtjax.segmentation._contour import sharpened
from sirtjax.segmentation._flags import edge_flags
from sirtjax.segmentation._result import Segmentation
from sirtjax.volume import LabelMap, Volume

LUNG_HU = -400.0
# Half of the inside of a piece of lung is denser than this, below which lung counts as destroyed by emphysema (Gevenois
# et al., Am J Respir Crit Care Med 1996;154:187-192); gas in the bowel is not.
GAS_HU = -950.0
MIN_CORE_ML, MIN_ML = 5.0, 40.0
# Vessels thinner than twice this are part of the lung.
VESSEL_MM = 6.0


Mask = NDArray[np.bool_]


def segment_lungs(volume: Volume) -> Segmentation:
    """Segments the lungs with their vessels on a CT.

    Lungs are air-filled components of at least 40 mL inside the body that do not consist only of gas.

    Airways that are open to a lung stay with it. The flag "truncated" shows whether the lungs are truncated.

    Raises:
      ConfigError: the image is not a CT.
      ImageFormatError: the image can't be used, or no lung is in it.
    """
    began = perf_counter()
    values, grid, body = coarse_body(volume)
    coarse = np.zeros_like(body)
    for piece in _pieces(body & (values < LUNG_HU), values, grid.voxel_volume_ml):
        coarse |= _closed(piece, grid.spacing_mm) & body
    if not coarse.any():
        raise ImageFormatError(
            f"no lung in the image: no air-filled component of {MIN_ML:g} mL with tissue inside the body"
        )
    moment = perf_counter()
    mask = sharpened(coarse, grid, volume, keep="below", hu=LUNG_HU)
    labels = LabelMap.from_mask(mask, volume.geometry, name="lungs")
    return Segmentation(
        labels=labels,
        volumes_ml={"lungs": labels.volume_ml("lungs")},
        method=f"pieces below {LUNG_HU:g} HU inside the body",
        flags=edge_flags(labels, "lungs", volume),
        timings_s={"find": moment - began, "back": perf_counter() - moment},
    )


def _pieces(air: Mask, values: NDArray[np.float32], voxel_ml: float) -> Iterator[Mask]:
    """Yields the connected components of air that are lung, split at thin walls where bowel gas touches a lung."""
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
        if piece.sum() * voxel_ml >= MIN_ML and float(np.median(values[cores == number])) > GAS_HU:
            yield piece


def _closed(piece: Mask, spacing_mm: tuple[float, float, float]) -> Mask:
    """Returns a component with gaps narrower than twice `VESSEL_MM` filled."""
    reach = int(np.ceil(VESSEL_MM / min(spacing_mm))) + 1
    # Continued beyond the faces, so that there is no margin there.
    wide = np.pad(piece, reach, mode="edge")
    grown = ops.binary_fill_holes(postprocess.dilate(wide, spacing_mm, margin_mm=VESSEL_MM))
    shrunk = ops.distance_mm(~grown, spacing_mm) > VESSEL_MM
    within = tuple(slice(reach, -reach) for _ in range(3))
    closed: Mask = piece | shrunk[within]
    return ops.binary_fill_holes(closed)
