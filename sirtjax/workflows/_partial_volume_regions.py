"""Regions of an activity image and their blur, for the partial-volume correction of a case."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import jax
import numpy as np
from jaxtyping import Float, Float32, Float64, Int64
from numpy.typing import NDArray

from sirtjax import partial_volume
from sirtjax.ops import weighted_sum
from sirtjax.volume import Geometry

Array = NDArray[np.float32]

# Voxels of the transfer matrix and the deconvolution: several per FWHM are enough, and finer grids take longer.
FWHM_PER_VOXEL = 2.5
COARSEST = 4
# Numbers of regions, so that patients with few more or fewer lesions share a program.
REGION_COUNTS = (8, 16, 32, 64)


@dataclass(frozen=True, eq=False)
class Regions:
    """Regions that fill the grid without overlap.

    Attributes:
      names: names of the VOIs that the first regions are; the others are unnamed.
      weights: (n, i, j, k) fraction of each voxel in each region.
    """

    names: tuple[str, ...]
    weights: Float32[np.ndarray, "n i j k"]


def coarsening(shape: Sequence[int], spacing: Float64[np.ndarray, "3"], fwhm_mm: float) -> Int64[np.ndarray, "3"]:
    """Returns the voxels of the dose grid per voxel of the coarser grid along each axis."""
    return np.array(
        [
            max((f for f in range(1, COARSEST + 1) if n % f == 0 and f * step <= fwhm_mm / FWHM_PER_VOXEL), default=1)
            for n, step in zip(shape, spacing, strict=True)
        ]
    )


def width_on_grid_mm(fwhm_mm: float, image: Geometry, grid: Geometry, *, copied: bool) -> Float32[np.ndarray, "3"]:
    """Returns the width of the image on the dose grid, FWHM along each axis.

    A voxel of the image is the mean over it: a box, whose variance adds to that of the scanner. Between voxels the
    image is interpolated linearly, which adds a triangle, or its voxels are copied, which adds another box. Grids that
    coincide average their masks over the same voxels, and nothing is added.

    Args:
      fwhm_mm: resolution of the image.
      image: grid of the image.
      grid: dose grid.
      copied: whether the dose grid copies the voxels of the image.
    """
    across = np.abs(grid.direction.T @ image.direction) @ np.asarray(image.spacing_mm)
    if np.allclose(across, grid.spacing_mm, rtol=1e-4):
        return np.full(3, fwhm_mm, np.float32)
    variance = across**2 / 12.0 + across**2 / (12.0 if copied else 6.0)
    width: Array = np.sqrt(fwhm_mm**2 + 8.0 * math.log(2.0) * variance).astype(np.float32)
    return width


def block_means(array: Float32[np.ndarray, "i j k"], factors: Int64[np.ndarray, "3"]) -> Float32[np.ndarray, "a b c"]:
    """Returns the means over blocks of voxels."""
    (i, a), (j, b), (k, c) = zip(array.shape, factors.tolist(), strict=True)
    means: Array = array.reshape(i // a, a, j // b, b, k // c, c).mean(axis=(1, 3, 5), dtype=np.float32)
    return means


def region_means(
    weights: Float32[np.ndarray, "n i j k"], image: Float32[np.ndarray, "i j k"]
) -> Float64[np.ndarray, " n"]:
    """Returns the mean of an image over each region."""
    return np.array([weighted_sum(w, image) / float(w.sum(dtype=np.float64)) for w in weights])


@functools.cache
def program(name: str) -> Callable[..., Float[jax.Array, "..."]]:
    """Returns the compiled function of a name, the same for all patients with grids of one shape."""
    programs: dict[str, Callable[..., object]] = {
        "matrix": partial_volume.geometric_transfer_matrix,
        "blur": partial_volume.gaussian_blur,
        "lucy": partial_volume.richardson_lucy,
    }
    return cast("Callable[..., jax.Array]", jax.jit(programs[name]))


def transfer_matrix(
    weights: Float32[np.ndarray, "n i j k"], spacing_mm: Float32[np.ndarray, "3"], fwhm_mm: Float32[np.ndarray, "3"]
) -> Float64[np.ndarray, "n n"]:
    """Returns the geometric transfer matrix of regions, compiled for a few numbers of them."""
    count = len(weights)
    padded = next((n for n in REGION_COUNTS if n >= count), count)
    # Empty regions have rows without meaning, and columns of zeros: neither is used.
    masks = np.concatenate([weights, np.zeros((padded - count, *weights.shape[1:]), np.float32)])
    matrix = np.asarray(program("matrix")(masks, spacing_mm, fwhm_mm), np.float64)
    return matrix[:count, :count]


def deconvolved(
    counts: Float32[np.ndarray, "i j k"], spacing_mm: Float32[np.ndarray, "3"], fwhm_mm: Float32[np.ndarray, "3"]
) -> tuple[Float32[np.ndarray, "i j k"], int]:
    """Returns the image after Richardson-Lucy, and the number of iterations."""
    found = cast("partial_volume.Deconvolution", program("lucy")(counts, spacing_mm, fwhm_mm))
    return np.asarray(found.image), int(found.iterations)
