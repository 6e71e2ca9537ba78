"""The simulated acquisition: from exact values on a grid to the image of a scanner.

Resolution is a JAX function; the noise is drawn with NumPy, which is reproducible from the seed and needs no
compilation for each grid.
"""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import ndimage

from sirtjax.compilation_cache import cached_jit
from sirtjax.ops import gaussian_filter
from sirtjax.typing import Array
from sirtjax.volume import Geometry

FloatArray = NDArray[np.float32]
SIGMA_PER_FWHM = 1.0 / (2.0 * np.sqrt(2.0 * np.log(2.0)))


def blur(array: Float[np.ndarray, "i j k"], geometry: Geometry, *, fwhm_mm: float) -> Float[np.ndarray, "i j k"]:
    """Applies a uniform Gaussian point spread function with this full width at half maximum."""
    sigma = np.asarray(fwhm_mm * SIGMA_PER_FWHM / np.asarray(geometry.spacing_mm), np.float32)
    radius = int(np.ceil(4.0 * sigma.max()))
    return np.asarray(_blur(np.asarray(array, np.float32), sigma, radius=radius))


@partial(cached_jit, static_argnames=("radius",))
def _blur(array: Float[Array, "i j k"], sigma_voxels: Float[Array, "3"], *, radius: int) -> Float[jax.Array, "i j k"]:
    blurred: jax.Array = gaussian_filter(array, sigma_voxels, radius=radius)
    return blurred


def ct_image(
    random: np.random.Generator, hu: Float[np.ndarray, "i j k"], *, noise_hu: float, texture_hu: float = 5.0
) -> Float[np.ndarray, "i j k"]:
    """Simulates a CT from exact CT numbers: mottle and correlated noise, in whole HU from -1024.

    Args:
      random: random number generator.
      hu: (i, j, k) exact CT numbers.
      noise_hu: standard deviation of the noise.
      texture_hu: standard deviation of the mottle of soft tissue.
    """
    noise = _correlated(random, hu.shape, (0.7, 0.7, 0.35)) * np.float32(noise_hu)
    mottle = _correlated(random, hu.shape, (1.8, 1.8, 1.2)) * np.float32(texture_hu)
    soft = np.clip((hu + 150.0) / 100.0, 0.0, 1.0).astype(np.float32)
    # Less light reaches the detector through more tissue: air around the patient is quieter.
    body = 0.35 + 0.65 * np.clip((hu + 1000.0) / 700.0, 0.0, 1.0).astype(np.float32)
    image: FloatArray = np.clip(np.round(hu + noise * body + mottle * soft), -1024, 3071).astype(np.float32)
    return image


def mr_image(
    random: np.random.Generator, signal: Float[np.ndarray, "i j k"], *, noise: float, bias: float
) -> Float[np.ndarray, "i j k"]:
    """Simulates a magnitude MR image: smooth multiplicative bias field and Rician noise.

    Args:
      random: random number generator.
      signal: (i, j, k) exact signal.
      noise: standard deviation of each of the real and imaginary noise.
      bias: size of the bias field, the largest deviation of its logarithm from 0.

    Reference:
      Gudbjartsson and Patz, The Rician distribution of noisy MRI data, Magn Reson Med 1995,
      doi:10.1002/mrm.1910340618.
    """
    axes = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in signal.shape), indexing="ij", sparse=True)
    field = np.zeros(signal.shape, np.float32)
    for _ in range(4):
        wave, phase = random.uniform(-2.0, 2.0, 3), random.uniform(0, 2 * np.pi)
        field += np.sin(sum(w * a for w, a in zip(wave.astype(np.float32), axes, strict=True)) + np.float32(phase))
    field *= np.float32(bias) / max(float(np.abs(field).max()), 1e-6)
    mottle = 1.0 + 0.03 * _correlated(random, signal.shape, (1.2, 1.2, 0.8))
    clean = signal * np.exp(field) * mottle
    real, imaginary = (random.standard_normal(signal.shape, np.float32) * np.float32(noise) for _ in range(2))
    magnitude: FloatArray = np.sqrt((clean + real) ** 2 + imaginary**2).astype(np.float32)
    return magnitude


def poisson_counts(
    random: np.random.Generator, expected: Float[np.ndarray, "i j k"], *, counts: float
) -> Float[np.ndarray, "i j k"]:
    """Counts with Poisson statistics whose expected total is `counts`, distributed as `expected`."""
    mean = np.maximum(expected, 0.0).astype(np.float64)
    drawn: FloatArray = random.poisson(mean * (counts / mean.sum())).astype(np.float32)
    return drawn


def pet_image(
    random: np.random.Generator,
    bq_per_ml: Float[np.ndarray, "i j k"],
    geometry: Geometry,
    *,
    fwhm_mm: float,
    counts_per_bq: float,
) -> Float[np.ndarray, "i j k"]:
    """Simulates a PET in Bq/mL of stated resolution: half of the blur before, half after the noise.

    The filter after it makes the noise as grainy as that of a reconstruction with a post-filter.
    """
    half = fwhm_mm / np.sqrt(2.0)
    seen = np.maximum(blur(bq_per_ml, geometry, fwhm_mm=half), 0.0).astype(np.float64)
    scale = counts_per_bq * geometry.voxel_volume_ml
    # Randoms and scatter leave noise where there is no activity.
    floor = 0.02 * float(np.quantile(seen, 0.98))
    counted = random.poisson((seen + floor) * scale) / scale - floor
    image: FloatArray = np.maximum(blur(counted.astype(np.float32), geometry, fwhm_mm=half), 0.0)
    return image


def _correlated(random: np.random.Generator, shape: tuple[int, ...], sigma: tuple[float, float, float]) -> FloatArray:
    noise = ndimage.gaussian_filter(random.standard_normal(shape, np.float32), sigma, mode="wrap")
    return np.asarray(noise / noise.std(), np.float32)
