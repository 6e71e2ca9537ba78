"""The part of a territory that an activity image shows without uptake."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Float32
from scipy import ndimage

from sirtjax.workflows._partial_volume_regions import block_means

# Uptake relative to the rest of the territory below which tissue counts as not perfused.
COLD = 0.25
# Tissue nearer to the surface of the liver is not looked at: a misplaced mask includes activity-free surroundings.
DEPTH_MM = 10.0
# The image is smoothed within the liver, so that the noise of single voxels is not taken for missing uptake.
SMOOTHING_FWHM_MM = 10.0
# A territory whose tissue with uptake has less than this of that of another territory has none: it shows only what the
# blur, scatter and noise put there.
LEAST_LEVEL = 0.05
# Finer voxels are averaged up to this size, which the smoothing does not resolve.
COARSEST_MM = 3.0
# Less tissue than this has no result.
LEAST_ML = 20.0
_SIGMA_PER_FWHM = 1.0 / np.sqrt(8.0 * np.log(2.0))


def cold_fractions(
    counts: Float32[np.ndarray, "i j k"],
    liver: Float32[np.ndarray, "i j k"],
    territories: Mapping[str, Float32[np.ndarray, "i j k"]],
    lesions: Float32[np.ndarray, "i j k"],
    spacing_mm: tuple[float, float, float],
) -> dict[str, float]:
    """Computes the fraction of the normal tissue of each territory that has no uptake.

    Tissue has no uptake if the smoothed image is below a quarter of the median of the other tissue of the territory.
    A territory has none at all if this median is 0 or below 5 % of that of another territory. Lesions, and tissue
    within 10 mm of the surface of the liver, are left out.

    Args:
      counts: (i, j, k) activity image.
      liver: (i, j, k) fraction of each voxel in the liver.
      territories: (i, j, k) fraction of each voxel in each territory, by name.
      lesions: (i, j, k) fraction of each voxel in any lesion.
      spacing_mm: size of the voxels.

    Returns:
      The fractions by name. Territories with less than 20 mL of such tissue are absent.
    """
    box = _box_around(liver > 0.5, spacing_mm)
    factors = np.array([max(1, int(COARSEST_MM / size_mm)) for size_mm in spacing_mm])
    box = tuple(slice(b.start, b.stop - (b.stop - b.start) % f) for b, f in zip(box, factors.tolist(), strict=True))
    spacing_mm = tuple((np.asarray(spacing_mm) * factors).tolist())
    inside = block_means(liver[box], factors) > 0.5
    deep = inside & (ndimage.distance_transform_edt(inside, sampling=spacing_mm) >= DEPTH_MM)
    deep &= block_means(lesions[box], factors) <= 0.5
    smooth = _smoothed_within(block_means(counts[box], factors), inside, spacing_mm)
    voxel_ml = float(np.prod(spacing_mm)) / 1000.0
    tissue = {name: smooth[deep & (block_means(weight[box], factors) > 0.5)] for name, weight in territories.items()}
    tissue = {name: values for name, values in tissue.items() if values.size * voxel_ml >= LEAST_ML}
    levels = {name: _perfused_level(values) for name, values in tissue.items()}
    least = LEAST_LEVEL * max(levels.values(), default=0.0)
    return {
        name: 1.0 if levels[name] <= least else float(np.mean(values < COLD * levels[name]))
        for name, values in tissue.items()
    }


def _perfused_level(values: Float[np.ndarray, " n"]) -> float:
    """Median of the tissue with uptake, which the median itself defines."""
    level = float(values.mean())
    for _ in range(50):
        with_uptake = values[values >= COLD * level]
        found = float(np.median(with_uptake)) if with_uptake.size else level
        if found == level:
            break
        level = found
    return level


def _smoothed_within(
    counts: Float32[np.ndarray, "i j k"], inside: Bool[np.ndarray, "i j k"], spacing_mm: tuple[float, float, float]
) -> Float[np.ndarray, "i j k"]:
    """The image smoothed over voxels of the liver only."""
    sigma = SMOOTHING_FWHM_MM * _SIGMA_PER_FWHM / np.asarray(spacing_mm)
    weight = ndimage.gaussian_filter(inside.astype(np.float32), sigma)
    total = ndimage.gaussian_filter(np.where(inside, counts, 0.0).astype(np.float32), sigma)
    found: np.ndarray = np.where(inside, total / np.maximum(weight, 1e-6), 0.0)
    return found


def _box_around(inside: Bool[np.ndarray, "i j k"], spacing_mm: tuple[float, float, float]) -> tuple[slice, ...]:
    """The voxels around the liver, so that its whole surface is in the box."""
    box = []
    for axis, size_mm in enumerate(spacing_mm):
        place = np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis)))
        first, last = (int(place[0]), int(place[-1])) if place.size else (0, -1)
        margin = int(np.ceil(DEPTH_MM / size_mm)) + 1
        box.append(slice(max(first - margin, 0), min(last + 1 + margin, inside.shape[axis])))
    return tuple(box)
