"""The translation of the activity image that fits it to the masks, as a proposal."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Float32

from sirtjax import partial_volume
from sirtjax.volume import Geometry
from sirtjax.workflows._partial_volume_record import ActivityAlignment
from sirtjax.workflows._partial_volume_regions import REGION_COUNTS

# Before looking at the image: breathing and patient motion between CT and SPECT or PET.
PRIOR_SD_MM = 6.0
# An axis along which the image halves the uncertainty at least is determined by it.
DETERMINED_SD_MM = PRIOR_SD_MM / 2


def activity_alignment(
    counts: Float32[np.ndarray, "i j k"],
    regions: Float32[np.ndarray, "n i j k"],
    spacing_mm: Float32[np.ndarray, "3"],
    fwhm_mm: Float32[np.ndarray, "3"],
    grid: Geometry,
    *,
    applied_mm: tuple[float, float, float] | None,
) -> ActivityAlignment:
    """Returns the proposed translation of the activity image, with its standard error; nothing is moved.

    Args:
      counts: activity image.
      regions: regions of nearly even uptake that fill the grid, without overlap.
      spacing_mm: voxel spacing of both.
      fwhm_mm: width of the image along each axis.
      grid: dose grid, whose axes are those of both arrays.
      applied_mm: translation that the case already applies.
    """
    count = len(regions)
    padded = next((n for n in REGION_COUNTS if n >= count), count)
    masks = np.concatenate([regions, np.zeros((padded - count, *regions.shape[1:]), np.float32)])
    near = 1.0 - regions[-1]
    found = _program()(counts, masks, near, spacing_mm, fwhm_mm)
    # The masks would move by the shift, so the image moves by its opposite.
    shift_mm = -grid.direction @ np.asarray(found.shift_mm, np.float64)
    covariance = grid.direction @ np.asarray(found.covariance_mm2, np.float64) @ grid.direction.T
    error_mm = np.sqrt(np.diag(covariance))
    x, y, z = (round(float(mm), 2) for mm in shift_mm)
    ex, ey, ez = (round(float(mm), 2) for mm in error_mm)
    return ActivityAlignment(
        shift_mm=(x, y, z),
        standard_error_mm=(ex, ey, ez),
        determined=bool((error_mm <= DETERMINED_SD_MM).all()),
        residual_ratio=round(float(found.residual_sd) / max(float(found.residual_sd_before), 1e-30), 3),
        applied_mm=applied_mm,
    )


@functools.cache
def _program() -> Callable[..., partial_volume.MaskAlignment]:
    @jax.jit
    def align(
        counts: jax.Array, masks: jax.Array, near: jax.Array, spacing_mm: jax.Array, fwhm_mm: jax.Array
    ) -> partial_volume.MaskAlignment:
        # Voxels of the regions and up to two widths around them.
        weights = (partial_volume.gaussian_blur(near, spacing_mm, 2.0 * fwhm_mm) > 0.01).astype(counts.dtype)
        return partial_volume.align_masks(counts, masks, spacing_mm, fwhm_mm, prior_sd_mm=PRIOR_SD_MM, weights=weights)

    return align
