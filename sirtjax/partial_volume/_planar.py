"""Counts of the regions of a planar view without those that the blur of the camera moved between them."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float, Real
from numpy.typing import ArrayLike, NDArray

from sirtjax.errors import InputError
from sirtjax.partial_volume._blur import SIGMA_PER_FWHM

# Below this fraction of its maximum, the blurred model does not show where counts are from: they stay in their pixel.
_KNOWN = 1e-3


def unblurred_region_counts(
    view: Real[np.ndarray, "i j"],
    regions: Bool[np.ndarray, "n i j"],
    spacing_mm: ArrayLike,
    fwhm_mm: float,
    *,
    repeats: int = 3,
) -> Float[np.ndarray, " n"]:
    """Computes the counts of each region of a planar view, corrected for spill-out and spill-in.

    The geometric transfer matrix predicts which part of the counts of each region the blur moves to each other one, and
    the linear system gives the counts without blur. Regions of a projection are not even: the liver and the lungs
    become thin towards their borders. The matrix therefore takes the distribution of the counts within each region from
    the view itself. It starts with the counts as measured. Each repetition multiplies them by the ratio of the model
    to the blurred model (iterative Yang). With even regions the spill of the liver would be several times too large.

    An edge as sharp as that of a plate is found too soft, so a part of its spill-in remains. The result is independent
    of activity in front of and behind a region, which needs no resolution.

    Args:
      view: (i, j) counts, of one view.
      regions: (n, i, j) pixels of each region. They do not overlap and fill the view, so one of them is the rest.
      spacing_mm: (2,) pixel spacing along i and j.
      fwhm_mm: resolution of the view: full width at half maximum of its Gaussian point spread function.
      repeats: number of repetitions.

    Returns:
      (n,) counts of each region, 0 if the others explain more counts than it has.

    Raises:
      InputError: the view, a spacing or the FWHM is not usable, the FWHM is larger than the view, or the regions
        overlap, are empty or do not fill the view.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import partial_volume
      >>> x = np.arange(40)
      >>> liver = np.tile(np.exp(-0.5 * ((x - 10) / 3.0) ** 2), (40, 1))  # narrow enough to end in its region
      >>> blurred = np.tile(np.exp(-0.5 * ((x - 10) / 5.0) ** 2) * 3.0 / 5.0, (40, 1))  # 3² + 4² = 5²
      >>> regions = np.stack([np.tile(x < 20, (40, 1)), np.tile(x >= 20, (40, 1))])
      >>> fwhm_mm = 2.0 * 4.0 * np.sqrt(8 * np.log(2))  # 4 pixels of 2 mm
      >>> found = partial_volume.unblurred_region_counts(1000 * blurred, regions, (2.0, 2.0), float(fwhm_mm))
      >>> [round(100 * float(blurred[region].sum() / blurred.sum()), 1) for region in regions]
      [97.1, 2.9]
      >>> [round(100 * float(counts / found.sum()), 1) for counts in found]
      [100.0, 0.0]

    Reference:
      Transfer matrix: Rousset, Ma and Evans, J Nucl Med 39:904-911, 1998. Iterative Yang: Erlandsson et al., Phys Med
      Biol 57:R119-R159, 2012, doi:10.1088/0031-9155/57/21/R119.
    """
    counts, masks = np.asarray(view, np.float64), np.asarray(regions, bool)
    spacing = np.asarray(spacing_mm, np.float64)
    _check(counts, masks, spacing, fwhm_mm)
    sigma = fwhm_mm * SIGMA_PER_FWHM / spacing
    across, along = (_blur_matrix(length, width) for length, width in zip(counts.shape, sigma, strict=True))

    def blurred(image: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(across @ image @ along.T)

    measured = np.array([counts[mask].sum() for mask in masks])
    if not measured.any():
        return measured
    model, found = np.maximum(counts, 0.0), measured
    for repeat in range(repeats + 1):
        templates = [_template(model, mask) for mask in masks]
        spread = [blurred(template) for template in templates]
        matrix = np.array([[image[mask].sum() for image in spread] for mask in masks])
        found = np.maximum(np.linalg.solve(matrix, measured), 0.0)
        if repeat < repeats:
            model = np.tensordot(found, np.stack(templates), axes=1)
            seen = np.tensordot(found, np.stack(spread), axes=1)
            known = seen > _KNOWN * seen.max()
            model = np.maximum(counts, 0.0) * np.where(known, model / np.where(known, seen, 1.0), 1.0)
    return found


def _template(model: NDArray[np.float64], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The distribution of one count within a region; even, if the model has none there."""
    inside = model * mask
    total = float(inside.sum())
    return inside / total if total > 0 else mask / float(mask.sum())


def _blur_matrix(length: int, sigma: float) -> NDArray[np.float64]:
    """(length, length) Gaussian between pixel centres; what leaves the view is lost."""
    reach = max(math.ceil(6.0 * sigma), 1)
    offsets = np.arange(length)[:, None] - np.arange(length)[None, :]
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-3)) ** 2)
    return np.asarray(np.exp(-0.5 * (offsets / max(sigma, 1e-3)) ** 2) / weights.sum())


def _check(counts: NDArray[np.float64], masks: NDArray[np.bool_], spacing: NDArray[np.float64], fwhm_mm: float) -> None:
    if counts.ndim != 2 or not np.isfinite(counts).all():
        raise InputError(f"view: shape {counts.shape}, expected (i, j) finite counts; check the planar view")
    if masks.ndim != 3 or masks.shape[1:] != counts.shape:
        raise InputError(f"regions: shape {masks.shape}, expected (n, {counts.shape[0]}, {counts.shape[1]})")
    if spacing.shape != (2,) or not (np.isfinite(spacing) & (spacing > 0)).all():
        raise InputError(f"spacing_mm: {spacing.tolist()}, expected two positive distances in mm")
    extent_mm = float((np.asarray(counts.shape) * spacing).min())
    if not 0 < fwhm_mm < extent_mm:
        raise InputError(f"fwhm_mm: {fwhm_mm:g}, expected above 0 and below the extent of the view, {extent_mm:g} mm")
    if not (masks.sum(axis=0) == 1).all() or not masks.any(axis=(1, 2)).all():
        raise InputError("regions: they overlap, are empty or do not fill the view; add the rest as a region")
