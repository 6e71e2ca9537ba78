from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32
from numpy.typing import NDArray
from scipy import ndimage

from sirtjax.errors import ModelError
from sirtjax.ops import signed_distance_mm

FloatArray = NDArray[np.float32]
Mask = NDArray[np.bool_]
# The grid on which shapes are compared: its middle is the centroid of the liver.
SHAPE_GRID, SHAPE_SPACING_MM = (40, 32, 32), 8.0
# Distances further from the surface than this say nothing about it.
REACH_MM = 24.0
# A mode may take the shape this many standard deviations from the mean.
MAX_DEVIATIONS = 2.5
# A deeper region on one side and on the other is an extra or missing part, not a rough outline.
APART_MM = 4.0
_FORMAT = "sirtjax liver modes 1"


@dataclass(frozen=True, kw_only=True)
class LiverShapes:
    """The mean of livers and the directions in which they differ most.

    Attributes:
      mean_mm: (n,) signed distance to the surface on the grid, flattened.
      modes: (m, n) orthonormal modes.
      spread_mm: (m,) standard deviation along each.
    """

    mean_mm: Float32[np.ndarray, " points"]
    modes: Float32[np.ndarray, "modes points"]
    spread_mm: Float32[np.ndarray, " modes"]


def centred_distance_mm(
    distance_mm: Float[np.ndarray, "i j k"], spacing_mm: Sequence[float]
) -> Float32[np.ndarray, " points"]:
    """Returns the signed distances of one liver on the grid of shapes, (n,), about its centroid.

    Args:
      distance_mm: (i, j, k) signed distance along LPS, negative inside; some of it is negative.
      spacing_mm: voxel spacing of the distances.
    """
    step = SHAPE_SPACING_MM / np.asarray(spacing_mm, np.float64)
    middle = np.argwhere(distance_mm < 0).mean(axis=0)
    start = middle - (np.asarray(SHAPE_GRID) - 1) / 2 * step
    values = ndimage.affine_transform(
        np.asarray(distance_mm, np.float32), step, start, output_shape=SHAPE_GRID, order=1, mode="nearest"
    )
    result: FloatArray = np.clip(values, -REACH_MM, REACH_MM).ravel()
    return result


def fit_liver_shapes(distances_mm: Float32[np.ndarray, "livers points"], *, modes: int) -> LiverShapes:
    """Returns the mean and the first principal modes of livers, (count, n) from `centred_distance_mm`."""
    mean = distances_mm.mean(axis=0)
    _, size, directions = np.linalg.svd(distances_mm - mean, full_matrices=False)
    spread = size[:modes] / np.sqrt(max(len(distances_mm) - 1, 1))
    return LiverShapes(
        mean_mm=mean.astype(np.float32),
        modes=directions[:modes].astype(np.float32),
        spread_mm=spread.astype(np.float32),
    )


def save_liver_shapes(path: Path, shapes: LiverShapes) -> None:
    """Writes shapes as one compressed file, modes in 8 bits."""
    peak = np.abs(shapes.modes).max(axis=1)
    steps = np.round(shapes.modes / peak[:, None] * 127).astype(np.int8)
    mean = np.round(shapes.mean_mm * 5).astype(np.int8)
    np.savez_compressed(path, format=_FORMAT, mean=mean, modes=steps, peak=peak, spread_mm=shapes.spread_mm)


@cache
def liver_shapes() -> LiverShapes:
    """Returns the shapes bundled with the liver model.

    Raises:
      ModelError: the file is missing or damaged.
    """
    path = Path(str(resources.files("sirtjax"))) / "models" / "liver" / "shapes.npz"
    try:
        with np.load(path, allow_pickle=False) as stored:
            if str(stored["format"]) != _FORMAT:
                raise KeyError("format")
            modes = stored["modes"].astype(np.float32) * (stored["peak"][:, None] / 127)
            mean, spread = stored["mean"].astype(np.float32) / 5, stored["spread_mm"]
    except (OSError, KeyError, ValueError, EOFError) as error:
        raise ModelError(f"{path}: liver shapes are missing or damaged; install sirtjax again") from error
    return LiverShapes(mean_mm=mean, modes=modes, spread_mm=spread)


def shape_evidence(
    mask: Bool[np.ndarray, "i j k"], spacing_mm: Sequence[float], shapes: LiverShapes
) -> dict[str, float]:
    """Returns the difference between a mask and human livers, and its nearest liver among the modes.

    Args:
      mask: (i, j, k) mask along LPS, not empty.
      spacing_mm: voxel spacing of the mask.
      shapes: result of `liver_shapes`.

    Returns:
      `unlike`: 1 - DSC with the nearest shape; `excess` and `lacking`: excess and missing volume, as
        fractions of the volume.
    """
    found = centred_distance_mm(signed_distance_mm(mask, spacing_mm), spacing_mm)
    along = shapes.modes @ (found - shapes.mean_mm)
    bound = MAX_DEVIATIONS * shapes.spread_mm
    nearest = shapes.mean_mm + np.clip(along, -bound, bound) @ shapes.modes
    inside, expected = found < 0, nearest < 0
    volume = max(int(inside.sum()), 1)
    return {
        "unlike": 1 - float(2 * (inside & expected).sum() / max(inside.sum() + expected.sum(), 1)),
        "excess": float(((found < -APART_MM) & (nearest > APART_MM)).sum() / volume),
        "lacking": float(((found > APART_MM) & (nearest < -APART_MM)).sum() / volume),
    }
