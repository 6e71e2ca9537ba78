"""The noise of a reconstructed image, from the image itself: size and correlation in evenly perfused tissue."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64
from scipy import ndimage

from sirtjax.errors import ComputationError, InputError
from sirtjax.partial_volume import SIGMA_PER_FWHM

# Fraction of a voxel from which it counts as tissue.
WHOLE = 0.99
# Pairs are compared up to this distance, in multiples of the resolution.
REACH = 2.0
# Smallest volume of tissue, in cubes of the resolution: fewer independent values say little about a variance.
SMALLEST_CUBES = 15.0
# Parts of the tissue that are left out in turn, for the standard error.
PARTS = 8
# Correlation of the noise, as a fraction of the resolution: finer noise needs smaller voxels.
FINEST, COARSEST = 0.2, 1.5


@dataclass(frozen=True, kw_only=True)
class ImageNoise:
    """The noise of an image.

    Attributes:
      fraction: standard deviation of a voxel at the mean concentration of the liver, relative to it.
      fraction_error: standard error of `fraction`.
      correlation_fwhm_mm: width of the filter that makes this noise from independent voxels (FWHM).
      volume_ml: volume of the tissue that was used.
    """

    fraction: float
    fraction_error: float
    correlation_fwhm_mm: float
    volume_ml: float


def image_noise(
    image: Float[np.ndarray, "i j k"],
    tissue: Float[np.ndarray, "t i j k"],
    liver: Float[np.ndarray, "i j k"],
    spacing_mm: tuple[float, float, float],
    *,
    fwhm_mm: float,
) -> ImageNoise:
    """Measures the noise of a reconstructed image from differences of voxels in even tissue.

    Half the mean squared difference of two voxels increases with their distance (the variogram). Noise that a filter
    has correlated reaches its variance within the width of the filter; uptake that changes slowly adds a part that
    increases with the squared distance. Both are fitted. The variance of the noise is taken as proportional to the
    concentration, as counts have it. Uneven uptake as fine as the resolution has the same differences. The result
    contains it, and is then too large.

    Args:
      image: (i, j, k) concentration, in any unit.
      tissue: (t, i, j, k) fraction of each voxel in each evenly perfused tissue, such as the normal tissue of each
        territory. Voxels closer to its surface than the resolution are left out.
      liver: (i, j, k) fraction of each voxel in the liver with its lesions.
      spacing_mm: voxel size.
      fwhm_mm: resolution of the image (FWHM).

    Raises:
      InputError: shapes that differ, or no activity in the liver.
      ComputationError: too little tissue, or differences that have no plateau, so that noise and uptake cannot be told
        apart.

    Examples:
      >>> import numpy as np
      >>> from scipy import ndimage
      >>> from sirtjax import uncertainty
      >>> noise = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((60, 60, 60)), 1.0, mode="wrap")
      >>> image = 100.0 + 10.0 * noise / noise.std()
      >>> liver = np.ones_like(image)
      >>> found = uncertainty.image_noise(image, liver[None], liver, (4.0, 4.0, 4.0), fwhm_mm=12.0)
      >>> round(found.fraction, 2), round(found.correlation_fwhm_mm)  # 2.355 voxels of 4 mm
      (0.1, 9)

    Reference:
      Matheron, Principles of geostatistics, Econ Geol 1963, doi:10.2113/gsecongeo.58.8.1246.
    """
    values, spacing = np.asarray(image, np.float64), np.asarray(spacing_mm, np.float64)
    if np.shape(tissue)[1:] != values.shape or np.shape(liver) != values.shape:
        raise InputError(f"tissue and liver: expected the shape of the image {values.shape}")
    mean = float((values * liver).sum() / max(float(np.sum(liver)), 1e-9))
    if not mean > 0:
        raise InputError("image: no activity in the liver")
    # Distances take most of the time, and an image is many times larger than a liver.
    box = _box(np.asarray(tissue) > WHOLE)
    values = values[box]
    inner = [_inside(np.asarray(part)[box], spacing, fwhm_mm) for part in tissue]
    volume_ml = float(sum(part.sum() for part in inner) * np.prod(spacing) / 1000.0)
    wanted_ml = SMALLEST_CUBES * fwhm_mm**3 / 1000.0
    if volume_ml < wanted_ml:
        raise ComputationError(
            f"noise of the image: {volume_ml:.0f} mL of tissue are farther than {fwhm_mm:g} mm from lesions and "
            f"borders, {wanted_ml:.0f} mL are needed; state the noise instead"
        )
    lags = _lags(values.shape, spacing, REACH * fwhm_mm)
    distance_mm = np.array([float(np.linalg.norm(np.array(lag) * spacing)) for lag in lags])
    sums, counts = np.zeros((PARTS, len(lags))), np.zeros((PARTS, len(lags)))
    for part in inner:
        label = _parts(part)
        for index, lag in enumerate(lags):
            one, two = _pairs(values, lag)
            both = np.logical_and(*_pairs(part, lag))
            half = 0.5 * (one[both] - two[both]) ** 2 / (np.maximum(one[both] + two[both], 1e-9) * 0.5 * mean)
            of = _pairs(label, lag)[0][both]
            sums[:, index] += np.bincount(of, half, minlength=PARTS)
            counts[:, index] += np.bincount(of, minlength=PARTS)
    variance, width_mm = _fit(distance_mm, sums.sum(axis=0), counts.sum(axis=0), fwhm_mm)
    left_out = [
        _fit(distance_mm, np.delete(sums, p, 0).sum(axis=0), np.delete(counts, p, 0).sum(axis=0), fwhm_mm)[0]
        for p in range(PARTS)
    ]
    roots = np.sqrt(left_out)
    error = math.sqrt((PARTS - 1) * float(np.mean((roots - roots.mean()) ** 2)))
    if width_mm >= 0.99 * COARSEST * fwhm_mm or variance <= 0:
        raise ComputationError(
            "noise of the image: differences of voxels increase with their distance without a plateau, so noise and "
            "uneven uptake cannot be told apart; state the noise instead"
        )
    return ImageNoise(
        fraction=math.sqrt(variance), fraction_error=error, correlation_fwhm_mm=width_mm, volume_ml=volume_ml
    )


def _box(tissue: Bool[np.ndarray, "t i j k"]) -> tuple[slice, ...]:
    """The part of the image with tissue, or one voxel."""
    found = []
    for axis in range(1, 4):
        at = np.nonzero(tissue.any(axis=tuple(other for other in range(4) if other != axis)))[0]
        found.append(slice(int(at[0]), int(at[-1]) + 1) if at.size else slice(0, 1))
    return tuple(found)


def _inside(
    tissue: Float[np.ndarray, "i j k"], spacing_mm: Float64[np.ndarray, "3"], margin_mm: float
) -> Bool[np.ndarray, "i j k"]:
    # The faces of the image count as surface.
    padded = np.pad(np.asarray(tissue) > WHOLE, 1)
    depth = ndimage.distance_transform_edt(padded, sampling=spacing_mm)[1:-1, 1:-1, 1:-1]
    found: np.ndarray = depth > margin_mm
    return found


def _lags(shape: tuple[int, ...], spacing_mm: Float64[np.ndarray, "3"], reach_mm: float) -> list[tuple[int, int, int]]:
    """Steps along the axes and the diagonals of two axes."""
    found = []
    for axes in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1)):
        for step in itertools.count(1):
            i, j, k = (step * axis for axis in axes)
            if np.linalg.norm(np.array((i, j, k)) * spacing_mm) > reach_mm:
                break
            if all(n > s for n, s in zip(shape, (i, j, k), strict=True)):
                found.append((i, j, k))
    return found


def _pairs(
    values: Float[np.ndarray, "i j k"], lag: tuple[int, int, int]
) -> tuple[Float[np.ndarray, "a b c"], Float[np.ndarray, "a b c"]]:
    first = tuple(slice(None, n - step) for n, step in zip(values.shape, lag, strict=True))
    return values[first], values[tuple(slice(step, None) for step in lag)]


def _parts(tissue: Bool[np.ndarray, "i j k"]) -> Float[np.ndarray, "i j k"]:
    """The octant of each voxel about the middle of the tissue."""
    where = np.nonzero(tissue)
    label = np.zeros(tissue.shape, np.int64)
    for axis, index in enumerate(where):
        middle = np.median(index) if index.size else 0.0
        at = np.arange(tissue.shape[axis]) > middle
        label += at.reshape([-1 if other == axis else 1 for other in range(3)]) * 2**axis
    return label


def _fit(
    distance_mm: Float64[np.ndarray, " l"],
    sums: Float64[np.ndarray, " l"],
    counts: Float64[np.ndarray, " l"],
    fwhm_mm: float,
) -> tuple[float, float]:
    """Variance and width of the filter of the noise."""
    from scipy import optimize  # a quarter of a second to load

    used = counts > 0
    distance, weight = distance_mm[used], np.sqrt(counts[used])
    half = sums[used] / counts[used]

    def parts(width_mm: float) -> Float64[np.ndarray, "l 2"]:
        sigma = width_mm * SIGMA_PER_FWHM
        # The correlation of noise from a filter is the filter twice.
        return np.stack([1.0 - np.exp(-(distance**2) / (4.0 * sigma**2)), (distance / fwhm_mm) ** 2], axis=1)

    # Variance of a mean squared difference: inverse to the pairs, and to the volume that one value correlates with.
    weight = weight / (half.mean() * distance)

    def best(width_mm: float) -> tuple[Float64[np.ndarray, "2"], float]:
        found, error = optimize.nnls(parts(width_mm) * weight[:, None], weight * half)
        return found, error

    width = optimize.minimize_scalar(
        lambda w: best(w)[1], bounds=(FINEST * fwhm_mm, COARSEST * fwhm_mm), method="bounded"
    ).x
    return float(best(width)[0][0]), float(width)
