"""Uneven uptake within the regions of a treatment, of which the image shows only a part."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from sirtjax.partial_volume import SIGMA_PER_FWHM
from sirtjax.typing import Array, Scalar
from sirtjax.uncertainty._treatment import TreatmentData

# Image over fitted image beyond which a voxel shows a wrong contour and not the uptake.
LARGEST_RATIO = 4.0
# Smallest relative noise, so that an image without noise has a defined correction.
LEAST_NOISE = 1e-3


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True, eq=False)
class UptakeTexture:
    """The uptake within regions that is consistent with an image, as a random field.

    The logarithm of uptake over the mean of its region is a stationary normal field. The image shows it blurred and
    with noise. Given the image, it is again normal: `mean` is its expectation, `deviation` that of the rest by wave.

    Attributes:
      shown: (i, j, k) logarithm of image over fitted image, 0 outside the liver.
      mean: (i, j, k) most probable logarithm of the uptake.
      deviation: (3, i, j, k) standard deviation of each cosine wave of the rest: in normal tissue, in lesions, and at
        surfaces.
      in_lesions: (i, j, k) part of each voxel in lesions.
      at_surface: (i, j, k) part of each voxel where the image does not show the uptake.
      in_liver: (i, j, k) part of each voxel in the liver with its lesions.
    """

    shown: Float[Array, "i j k"]
    mean: Float[Array, "i j k"]
    deviation: Float[Array, "3 i j k"]
    in_lesions: Float[Array, "i j k"]
    at_surface: Float[Array, "i j k"]
    in_liver: Float[Array, "i j k"]


def uptake_texture(
    image: Float[Array, "i j k"],
    spread: Float[Array, "i j k"],
    regions: Float[Array, "r i j k"],
    distance_mm: Float[Array, "m i j k"],
    data: TreatmentData,
    *,
    uptake_fraction: Scalar,
    uptake_fwhm_mm: Scalar,
    noise_fraction: Scalar,
    noise_fwhm_mm: Scalar,
) -> UptakeTexture:
    """Computes the uneven uptake that is consistent with an image.

    With the spectra S of the uptake and N of the noise, and the blur G, the expectation of a wave is that of the image
    times G S / (G^2 S + N), and its variance is S N / (G^2 S + N). The noise of lesions is relatively smaller, because
    they are brighter. Within the blur of a surface, uptake and a misplaced contour look alike: what the image shows
    there is not used. Otherwise the edges of misplaced contours would be simulated as uptake, and displaced again.

    Args:
      image: (i, j, k) measured concentration.
      spread: (i, j, k) blurred concentration of uniform regions, as of `region_model`.
      regions: (r, i, j, k) occupancies as of `regions_of`.
      distance_mm: (m, i, j, k) signed distances as in `regions_of`.
      data: constants of the patient.
      uptake_fraction: standard deviation of the uptake within a region, relative to its mean.
      uptake_fwhm_mm: width of the Gaussian that gives white noise the correlation of the uptake (FWHM).
      noise_fraction: standard deviation of the noise relative to the mean concentration of the liver.
      noise_fwhm_mm: width of the correlation of the noise, as for the uptake.
    """
    in_liver, lesions = 1.0 - regions[-1], jnp.sum(regions[: data.lesions], axis=0)
    in_lesions = jnp.clip(lesions / jnp.maximum(in_liver, 1e-6), 0.0, 1.0)
    level = jnp.asarray(spread)
    lit = level > jnp.max(level) / 1e3
    ratio = jnp.where(lit, jnp.asarray(image) / jnp.where(lit, level, 1.0), 1.0)
    shown = jnp.log(jnp.clip(ratio, 1.0 / LARGEST_RATIO, LARGEST_RATIO)) * in_liver

    shape, spacing = image.shape, jnp.asarray(data.spacing_mm)
    sigma_mm = SIGMA_PER_FWHM * jnp.mean(jnp.asarray(data.fwhm_mm))
    at_surface = jnp.exp(-0.5 * (jnp.min(jnp.abs(jnp.asarray(distance_mm)), axis=0) / sigma_mm) ** 2)
    whole = _mean(level, in_liver)
    means = jnp.stack([_mean(level, in_liver - lesions), _mean(level, lesions)])
    noise = jnp.asarray(noise_fraction) * jnp.sqrt(whole / jnp.where(means > 0, means, whole))
    noise_power = jnp.maximum(noise, LEAST_NOISE)[:, None, None, None] ** 2 * _power(shape, spacing, noise_fwhm_mm)
    power = jnp.asarray(uptake_fraction) ** 2 * _power(shape, spacing, uptake_fwhm_mm)
    blur = _attenuation(shape, spacing, data.fwhm_mm)[None]
    total = blur**2 * power + noise_power
    waves = cosine_waves(shown * (1.0 - at_surface))[None] * blur * power / total
    return UptakeTexture(
        shown=shown,
        mean=_by_place(jnp.concatenate([waves, 0.0 * power]), in_lesions, at_surface),
        deviation=jnp.sqrt(jnp.concatenate([power * noise_power / total, power])),
        in_lesions=in_lesions,
        at_surface=at_surface,
        in_liver=in_liver,
    )


def sampled_uptake(
    recovered: Float[Array, "i j k"], texture: UptakeTexture, normal: Float[Array, "i j k"]
) -> Float[jax.Array, "i j k"]:
    """Returns a concentration with one sample of the uneven uptake.

    The sample replaces the unevenness that the image shows.

    Args:
      recovered: (i, j, k) concentration without partial-volume effect, corrected voxel by voxel.
      texture: uptake that is consistent with the image.
      normal: (i, j, k) independent standard normal numbers.
    """
    waves = jnp.asarray(texture.deviation) * jnp.asarray(normal)[None]
    rest = _by_place(waves, texture.in_lesions, texture.at_surface)
    found: jax.Array = jnp.asarray(recovered) * jnp.exp((texture.mean + rest) * texture.in_liver - texture.shown)
    return found


def cosine_waves(values: Float[Array, "i j k"], *, inverse: bool = False) -> Float[jax.Array, "i j k"]:
    """Computes the orthonormal cosine transform (DCT-II).

    A blur with reflection at the faces attenuates its waves and does not mix them.

    Args:
      values: (i, j, k) values, or amplitudes of waves for the inverse.
      inverse: whether to compute values from amplitudes.
    """
    found = jnp.asarray(values)
    for _ in range(3):  # contract the leading axis and append the new one: the order is restored after three
        matrix = _cosines(found.shape[0])
        found = jnp.tensordot(found, matrix if inverse else matrix.T, ((0,), (0,)), precision=jax.lax.Precision.HIGHEST)
    return found


def _cosines(size: int) -> Float[np.ndarray, "n n"]:
    place, wave = np.arange(size) + 0.5, np.arange(size)[:, None]
    found = np.sqrt(2.0 / size) * np.cos(np.pi / size * wave * place)
    found[0] /= np.sqrt(2.0)
    rows: np.ndarray = found.astype(np.float32)
    return rows


def _attenuation(shape: tuple[int, ...], spacing_mm: jax.Array, fwhm_mm: Scalar | Array) -> jax.Array:
    """Attenuation of each wave by a Gaussian blur."""
    sigma = jnp.broadcast_to(jnp.asarray(fwhm_mm) * SIGMA_PER_FWHM, (3,))
    parts = [
        jnp.exp(-0.5 * (np.pi * np.arange(size, dtype=np.float32) / size * sigma[axis] / spacing_mm[axis]) ** 2)
        for axis, size in enumerate(shape)
    ]
    found: jax.Array = parts[0][:, None, None] * parts[1][None, :, None] * parts[2][None, None, :]
    return found


def _power(shape: tuple[int, ...], spacing_mm: jax.Array, fwhm_mm: Scalar) -> jax.Array:
    """Spectrum (1, i, j, k) of blurred white noise with a variance of 1."""
    found = _attenuation(shape, spacing_mm, fwhm_mm) ** 2
    normalised: jax.Array = (found / jnp.mean(found))[None]
    return normalised


def _by_place(waves: jax.Array, in_lesions: Array, at_surface: Array) -> jax.Array:
    """Values of the three sets of waves, each where it applies."""
    tissue, lesions, surface = (cosine_waves(one, inverse=True) for one in waves)
    inside = tissue + jnp.asarray(in_lesions) * (lesions - tissue)
    found: jax.Array = inside + jnp.asarray(at_surface) * (surface - inside)
    return found


def _mean(values: jax.Array, weight: jax.Array) -> jax.Array:
    return jnp.sum(values * weight) / jnp.maximum(jnp.sum(weight), 1e-3)
