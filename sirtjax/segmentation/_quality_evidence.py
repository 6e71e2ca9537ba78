from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray
from scipy import ndimage

from sirtjax import ops
from sirtjax.segmentation._quality_ensemble import Tile
from sirtjax.segmentation._quality_shape import LiverShapes, shape_evidence

FloatArray = NDArray[np.float32]
Mask = NDArray[np.bool_]
# What each evidence says to a reader where it is the heaviest reason for a low estimate.
EVIDENCE_WORDS = {
    "doubt": "the network is unsure of parts of it",
    "disagreement": "the network's output changes if the image is shifted, scaled, blurred or noisier",
    "unlike": "its shape is unlike that of a liver",
    "excess": "it has a region that livers do not have",
    "lacking": "it lacks a region that livers have",
    "thin": "parts of it are thin or connected by a narrow neck",
    "faint": "much of its surface shows no edge in the image",
}
# Regions narrower than twice this are thin. A step below this fraction of the network's range is not an edge
# (15 HU on CT).
THIN_MM, EDGE_STEP = 10.0, 0.06
# Logarithms need a floor: less than this is nothing.
LEAST = 0.005


def mask_evidence(tile: Tile, spacing_mm: Sequence[float], shapes: LiverShapes) -> dict[str, float]:
    """Returns the evidence about a liver mask; larger numbers mean a less reliable mask.

    The logarithms of `doubt` (1 - the DSC expected from the mean of all probabilities), `disagreement` (1 - the
    median DSC of a variant's mask with this one), `unlike`, `excess` and `lacking` (`shape_evidence`), `thin` (fraction
    of the volume that an opening by 10 mm removes), and `faint` (fraction of the surface without an edge).

    Args:
      tile: tile around the liver; all evidence is worst for an empty mask.
      spacing_mm: voxel spacing of the tile.
      shapes: shapes of livers.
    """
    if not tile.mask.any():
        return dict.fromkeys(EVIDENCE_WORDS, math.inf)
    found = _logarithms({**_agreement(tile), "faint": _faint(tile)}) | outline_evidence(tile.mask, spacing_mm, shapes)
    return {name: found[name] for name in EVIDENCE_WORDS}


def outline_evidence(
    mask: Bool[np.ndarray, "i j k"], spacing_mm: Sequence[float], shapes: LiverShapes
) -> dict[str, float]:
    """Returns the part of `mask_evidence` that needs no image: `unlike`, `excess`, `lacking` and `thin`.

    Args:
      mask: (i, j, k) mask along LPS, not empty.
      spacing_mm: voxel spacing of the mask.
      shapes: shapes of livers.
    """
    return _logarithms(shape_evidence(mask, spacing_mm, shapes) | {"thin": _thin(mask, spacing_mm)})


def _logarithms(found: dict[str, float]) -> dict[str, float]:
    return {name: math.log(max(value, LEAST)) for name, value in found.items()}


def _agreement(tile: Tile) -> dict[str, float]:
    total, count = tile.probability.astype(np.float32), np.ones(tile.mask.shape, np.float32)
    overlaps = []
    for one in tile.variants:
        seen = np.isfinite(one)
        probability = np.where(seen, one, 0)
        other = probability > 0.5
        other = ops.largest_component(other) if other.any() else other
        both = (tile.mask & seen).sum() + other.sum()
        overlaps.append(2 * (other & tile.mask).sum() / max(both, 1))
        total, count = total + probability, count + seen
    mean = total / count
    expected = 2 * mean[tile.mask].sum() / (tile.mask.sum() + mean.sum())
    median = float(np.median(overlaps)) if overlaps else 1.0
    return {"doubt": 1 - float(expected), "disagreement": 1 - median}


def _thin(mask: Mask, spacing_mm: Sequence[float]) -> float:
    core = ops.distance_mm(~mask, spacing_mm) > THIN_MM
    if not core.any():
        return 1.0
    opened = ops.distance_mm(ops.largest_component(core), spacing_mm) <= THIN_MM
    return 1 - float((opened & mask).sum() / mask.sum())


def _faint(tile: Tile) -> float:
    """Returns the fraction of the surface at which the brightness outside equals that inside."""
    beyond = ndimage.binary_dilation(tile.mask, iterations=2) & ~ndimage.binary_dilation(tile.mask)
    if not beyond.any():
        return 1.0
    weight = ndimage.gaussian_filter(tile.mask.astype(np.float32), 2.0)
    within = ndimage.gaussian_filter(np.where(tile.mask, tile.image, 0), 2.0) / np.maximum(weight, 1e-3)
    step = np.abs(ndimage.gaussian_filter(tile.image, 0.7) - within)[beyond]
    return float((step < EDGE_STEP).mean())
