"""Lung that is open to the outside in the slices of an image whose field of view ends in the chest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32
from numpy.typing import NDArray
from scipy import ndimage

from sirtjax import ops
from sirtjax.preprocess import to_grid
from sirtjax.segmentation._contour import sharpened
from sirtjax.segmentation._input import PADDING_HU
from sirtjax.segmentation._lung_pieces import GAS_HU, LUNG_HU, MIN_CORE_ML, MIN_ML, with_vessels
from sirtjax.segmentation._unmeasured import at_corners, common_area_cm2, unmeasured_voxels
from sirtjax.volume import Geometry, Volume

Mask = NDArray[np.bool_]
# Films up to twice as thick, in voxels of 3 mm, are partial volume of the skin, not lung.
FILM_VOXELS = 2
# Around vessels the same removes lung, which grows back so far.
REGROWN_VOXELS = 6
# Less of a voxel of the coarse grid has data: it belongs to the padding.
MIN_MEASURED = 0.5
# Cushions, blankets and clothes have outside air or a table around them. Lung has the body around it, and the edge of
# the field of view.
MAX_AIR_FRACTION = 0.25
MIN_BODY_FRACTION = 0.65
# A wall of a chest that is so thin, in voxels of 3 mm, does not enclose a lung if the field of view ends in it.
THIN_VOXELS = 7


@dataclass(frozen=True, kw_only=True, eq=False)
class OpenLungs:
    """Parts of lungs that are open to the edge of the field of view, on a coarse grid.

    Attributes:
      mask: voxels of the open parts with their vessels.
      end_cm2: area at which lung ends at air that is neither in the body nor lung.
      apart_ml: volume that may be lung, but is not connected with lung that is enclosed in other slices.
    """

    mask: Bool[np.ndarray, "i j k"]
    end_cm2: float
    apart_ml: float


def open_lungs(
    volume: Volume,
    grid: Geometry,
    body: Bool[np.ndarray, "i j k"],
    pieces: Sequence[Bool[np.ndarray, "i j k"]],
) -> OpenLungs:
    """Finds lung next to padding or a lateral face of the image, where no tissue encloses it.

    It has the density of lung, is connected with lung that is enclosed in other slices, and has next to no outside air
    around it. Padding and faces count as walls.

    Args:
      volume: the CT.
      grid: the coarse grid.
      body: body on the coarse grid.
      pieces: pieces of lung inside the body, on the coarse grid; small ones only count as parts of open lungs.
    """
    values, wall = _measured(volume, grid)
    outside = (values < LUNG_HU) & ~wall & ~body
    lungs = np.any(pieces, axis=0) if pieces else np.zeros(grid.shape, bool)
    tissue = (values >= LUNG_HU) & ~wall
    large = np.any(
        [piece for piece in pieces if piece.sum() * grid.voxel_volume_ml >= MIN_ML] or [lungs & False], axis=0
    )
    found, apart_ml = np.zeros(grid.shape, bool), 0.0
    around = ndimage.binary_dilation(body, iterations=THIN_VOXELS, mask=tissue | body)
    # The air outside a patient can be as constant as padding.
    certain = wall if float(np.asarray(volume.array).min()) < PADDING_HU else np.zeros_like(wall)
    for part in _parts(values, wall, outside, lungs, grid.voxel_volume_ml):
        air, enclosed = _surroundings(part, outside, around, certain)
        if air > MAX_AIR_FRACTION:
            continue
        near = ndimage.binary_dilation(part)
        owners = [piece for piece in pieces if (near & piece).any()]
        size_ml = int(np.any([part, *owners], axis=0).sum()) * grid.voxel_volume_ml
        if size_ml < MIN_ML:
            continue
        for piece in owners:
            found = found | part | (with_vessels(piece | part, grid.spacing_mm) & (tissue | body))
        if not owners and enclosed > MIN_BODY_FRACTION:
            apart_ml += size_ml
    return OpenLungs(mask=found, end_cm2=common_area_cm2(large | found, outside & ~found, grid), apart_ml=apart_ml)


def open_on_image(
    coarse: Bool[np.ndarray, "i j k"], grid: Geometry, volume: Volume, *, hu: float
) -> Bool[np.ndarray, "a b c"]:
    """Returns a coarse mask of lung on the image's own grid, without padding.

    Args:
      coarse: mask of lung that may be open.
      grid: the coarse grid.
      volume: the CT.
      hu: threshold of the contour.
    """
    measured: Mask = sharpened(coarse, grid, volume, keep="below", hu=hu) & ~unmeasured_voxels(volume)
    return measured


def _measured(volume: Volume, grid: Geometry) -> tuple[Float32[np.ndarray, "i j k"], Mask]:
    """The mean of the measured part of each coarse voxel, and the voxels without data."""
    filled = unmeasured_voxels(volume)
    part = 1 - to_grid(volume.replace(filled.astype(np.float32), unit="1"), grid, fill=1.0)
    total = to_grid(volume.replace(np.where(filled, 0, volume.array).astype(np.float32)), grid, fill=0.0)
    wall = at_corners(part < MIN_MEASURED)
    values = np.where(part > 0, total / np.maximum(part, 1e-3), -1000.0)
    # Constant air that is not padding, such as gas in the bowel, has no measured part.
    lowest = float(np.asarray(volume.array).min())
    return np.where(part < MIN_MEASURED, np.maximum(lowest, -1000.0), values).astype(np.float32), wall


def _parts(values: Float32[np.ndarray, "i j k"], wall: Mask, outside: Mask, lungs: Mask, voxel_ml: float) -> list[Mask]:
    """Thick parts of the density of lung outside the body that reach padding or a lateral face."""
    weight = (~wall).astype(np.float32)
    mean = ndimage.uniform_filter(values * weight, 3) / np.maximum(ndimage.uniform_filter(weight, 3), 1e-3)
    light = outside & (mean > GAS_HU) & (mean < LUNG_HU)
    solid = light | wall | lungs
    core = ndimage.binary_erosion(solid, iterations=FILM_VOXELS, border_value=1) & light
    if not core.any():
        return []
    edge = wall.copy()
    edge[[0, -1]] = edge[:, [0, -1]] = True
    edge = ndimage.binary_dilation(edge, iterations=THIN_VOXELS)
    numbers = ops.components(ndimage.binary_dilation(core, iterations=REGROWN_VOXELS, mask=outside))
    sizes_ml = np.bincount(numbers.ravel()) * voxel_ml
    return [
        numbers == number
        for number in np.unique(numbers[edge & (numbers > 0)]).tolist()
        if sizes_ml[number] >= MIN_CORE_ML
    ]


def _surroundings(part: Mask, outside: Mask, body: Mask, padding: Mask) -> tuple[float, float]:
    """The fractions of the measured voxels around a part that are outside air and body."""
    shell = ndimage.binary_dilation(part) & ~part & ~padding
    count = max(int(shell.sum()), 1)
    return int((shell & outside).sum()) / count, int((shell & body).sum()) / count
