from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy import fft, ndimage, optimize, stats

FloatArray = NDArray[np.float32]
Mask = NDArray[np.bool_]
# Radii of the balls over which the image is averaged; lesions between them are matched well enough (10 % of the z).
RADII_MM = (3.0, 4.0, 6.0, 9.0, 13.0, 18.0, 25.0)
# The background is the liver within this many radii, but no further than the size of a segment.
BACKGROUND_RADII, BACKGROUND_MM = 3.0, 60.0
# Closer to the contour of the liver the partial volume of its neighbours is not noise of the liver.
ERODED_MM = 5.0
# An average needs this fraction of its ball in the liver, a scale this number of independent places.
LEAST_SHARE, LEAST_PLACES = 0.5, 10.0
# Of noise, networks take less than this fraction of a liver for lesions.
CROWDED = 0.2
# A background needs less: it is larger.
LEAST_AROUND = 0.05
_NORMAL_MAD = float(stats.norm.ppf(0.75))


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The noise of averages over one size of balls.

    Attributes:
      radius_mm: radius of the balls.
      noise: standard deviation of the local contrast of balls without a lesion, in the unit of the image.
      places: number of independent averages that fit into the liver.
    """

    radius_mm: float
    noise: float
    places: float


@dataclass(frozen=True, kw_only=True, eq=False)
class LiverNoise:
    """The noise of a liver at the scales of lesions, and the significance of every voxel.

    Attributes:
      scales: noise of each size of balls, smallest first; sizes that do not fit into the liver are left out.
      median: median of the liver, in the unit of the image.
      contrast: (scale, i, j, k) mean of the ball around each voxel minus the liver around it, divided by the noise.
    """

    scales: tuple[Scale, ...]
    median: float
    contrast: Float[np.ndarray, "scales i j k"]

    def noise_at(self, radius_mm: float) -> float:
        """Returns the noise for a lesion of this radius, in the unit of the image; NaN without any scale."""
        if not self.scales:
            return math.nan
        radii, noises = zip(*((one.radius_mm, one.noise) for one in self.scales), strict=True)
        return float(np.exp(np.interp(math.log(radius_mm), np.log(radii), np.log(noises))))


def liver_noise(
    image: Float[np.ndarray, "i j k"],
    liver: Bool[np.ndarray, "i j k"],
    suspected: Bool[np.ndarray, "i j k"],
    *,
    spacing_mm: Sequence[float],
    radii_mm: Sequence[float] = RADII_MM,
) -> LiverNoise:
    """Measures the noise of a liver as the scatter of averages over balls of the size of lesions.

    The correlation of the noise, streaks, vessels and shading all contribute. The median absolute deviation is robust
    against lesions. Suspected lesions are left out of the background, and of the noise if they are a large part of the
    liver. Otherwise they are not, because the extremes of noise would be left out of it.

    Args:
      image: image.
      liver: mask of the liver, lesions included.
      suspected: voxels that may be lesions.
      spacing_mm: voxel size.
      radii_mm: radii of the balls.
    """
    deep = ndimage.distance_transform_edt(liver, sampling=spacing_mm) > ERODED_MM
    quiet = liver & ~suspected
    middle = image[quiet if np.count_nonzero(quiet) > np.count_nonzero(liver) / 10 else liver]
    median = float(np.median(middle)) if middle.size else math.nan
    centred = np.where(liver, image - median, 0).astype(np.float32)
    # Beyond this fraction the averages of the whole liver are those of lesions: only healthy liver shows the noise.
    crowded = np.count_nonzero(liver & suspected) > CROWDED * np.count_nonzero(liver)
    whole, rest = _Averages(centred, liver, spacing_mm), _Averages(centred, quiet, spacing_mm)
    scales, maps = [], []
    for radius_mm in radii_mm:
        mean, share = whole.balls(radius_mm)
        places = float(np.count_nonzero(deep)) * float((_ball(radius_mm, spacing_mm) ** 2).sum())
        usable = deep & (share > LEAST_SHARE)
        if places < LEAST_PLACES or not usable.any():
            continue
        background, around = rest.balls(min(BACKGROUND_RADII * radius_mm, BACKGROUND_MM))
        # A place without healthy liver around it is compared with the median of all healthy liver.
        background = np.where(around > LEAST_AROUND, background, 0)
        # The noise of a mean over part of a ball, at the edge of the liver, is larger by the root of that part.
        contrast = (mean - background) * np.sqrt(np.clip(share, 0, 1))
        noise = _spread(contrast[usable])
        if crowded:
            healthy, share_healthy = rest.balls(radius_mm)
            usable &= quiet & (share_healthy > LEAST_SHARE)
            scaled = (healthy - background) * np.sqrt(np.clip(share_healthy, 0, 1))
            noise = min(noise, _spread(scaled[usable])) if usable.any() else noise
        if noise <= 0:
            continue
        scales.append(Scale(radius_mm=float(radius_mm), noise=noise, places=places))
        maps.append(np.where(share > LEAST_SHARE, contrast / noise, 0).astype(np.float32))
    stacked = np.stack(maps) if maps else np.zeros((0, *image.shape), np.float32)
    return LiverNoise(scales=tuple(scales), median=median, contrast=stacked)


def _spread(contrast: Float[np.ndarray, " places"]) -> float:
    """Standard deviation about zero, the contrast of healthy liver, by the median absolute deviation."""
    return float(np.median(np.abs(contrast))) / _NORMAL_MAD


def threshold_z(scale: Scale, *, false_alarms: float) -> float:
    """Returns the z that the local contrast of pure noise exceeds at this number of places per liver.

    Args:
      scale: scale of the averages.
      false_alarms: expected number of maxima and minima beyond it in one liver.

    Reference:
      Worsley et al., A unified statistical approach for determining significant signals in images of cerebral
      activation, Hum Brain Mapp 1996, doi:10.1002/(SICI)1097-0193(1996)4:1<58::AID-HBM4>3.0.CO;2-O.
    """
    # The expected Euler characteristic of a Gaussian field, with its resels written as independent averages.
    density = scale.places / math.sqrt(2 * math.pi)

    def excess(z: float) -> float:
        return 2 * density * (z**2 - 1) * math.exp(-(z**2) / 2) - false_alarms

    # The expected number of maxima decreases beyond the square root of 3.
    low = math.sqrt(3)
    return float(optimize.brentq(excess, low, 40.0)) if excess(low) > 0 else low


def _ball(radius_mm: float, spacing_mm: Sequence[float]) -> FloatArray:
    """Weights of a ball's voxels, which sum to one; the surface is blurred over a voxel."""
    axes = [np.arange(-math.ceil(radius_mm / s) - 1, math.ceil(radius_mm / s) + 2) * s for s in spacing_mm]
    distance = np.sqrt(sum(axis**2 for axis in np.meshgrid(*axes, indexing="ij", sparse=True)))
    weight = np.clip((radius_mm - distance) / float(np.mean(spacing_mm)) + 0.5, 0, 1)
    kernel: FloatArray = (weight / weight.sum()).astype(np.float32)
    return kernel


class _Averages:
    """Means of an image over the part of balls that is in a mask."""

    def __init__(self, values: FloatArray, mask: Mask, spacing_mm: Sequence[float]) -> None:
        reach = [2 * (math.ceil(BACKGROUND_MM / one) + 1) for one in spacing_mm]
        self._shape = [fft.next_fast_len(n + more, real=True) for n, more in zip(mask.shape, reach, strict=True)]
        self._box = tuple(slice(0, n) for n in mask.shape)
        self._spacing_mm = spacing_mm
        weight = mask.astype(np.float32)
        self._weight, self._values = (fft.rfftn(one, self._shape) for one in (weight, values * weight))

    def balls(self, radius_mm: float) -> tuple[FloatArray, FloatArray]:
        """Returns the mean around each voxel, and the part of the ball that is in the mask."""
        kernel = _ball(radius_mm, self._spacing_mm)
        padded = np.zeros(self._shape, np.float32)
        padded[tuple(slice(0, n) for n in kernel.shape)] = kernel
        # The centre of the ball becomes the first voxel.
        spectrum = fft.rfftn(np.roll(padded, [-(n // 2) for n in kernel.shape], axis=(0, 1, 2)))
        share = fft.irfftn(self._weight * spectrum, self._shape)[self._box]
        total = fft.irfftn(self._values * spectrum, self._shape)[self._box]
        return (total / np.maximum(share, 1e-3)).astype(np.float32), share.astype(np.float32)
