"""Small treatments with few unknowns for uncertainty_posterior.py: a liver and a lesion on a coarse SPECT grid.

The anatomy is two ellipsoids whose contours are known. Unknown are the translation of the image against the contours,
the displacement of both contours and the two concentrations. The measurement is the blurred activity with noise of
known correlation, so the posterior density of the unknowns is known up to a constant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from sirtjax import dosimetry

SHAPE, SPACING_MM = (18, 16, 14), 9.0
LIVER_CENTRE_MM, LIVER_RADII_MM = (0.0, 0.0, 0.0), (55.0, 46.0, 40.0)
# Standard deviations of the unknowns before the image is seen; of the concentrations that of the logarithm.
SHIFT_MM, BOUNDARY_MM, CONCENTRATION = 3.0, 1.5, 0.5
GY_ML_PER_MBQ = 49.67 / 1.05
# White noise beside the correlated one, as a fraction of its variance: no spatial frequency is free of noise.
WHITE = 0.05
SHIFT, LESION, LIVER = slice(0, 3), slice(3, 11), slice(11, 19)
UNKNOWNS = 21


@dataclass(frozen=True, kw_only=True)
class Case:
    """One treatment. `noise` is the standard deviation of a voxel relative to the concentration of the liver."""

    name: str
    centre_mm: tuple[float, float, float]
    radii_mm: tuple[float, float, float]
    contrast: float
    fwhm_mm: float
    noise: float
    noise_fwhm_mm: float
    seed: int


CASES = (
    Case(name="20 mm radius, centre", centre_mm=(0.0, 0.0, 0.0), radii_mm=(20.0, 20.0, 20.0),
         contrast=4.0, fwhm_mm=14.0, noise=0.15, noise_fwhm_mm=14.0, seed=1),
    Case(name="14 mm radius, centre", centre_mm=(10.0, -6.0, 4.0), radii_mm=(14.0, 14.0, 14.0),
         contrast=6.0, fwhm_mm=14.0, noise=0.15, noise_fwhm_mm=14.0, seed=2),
    Case(name="12 mm radius, sharper image", centre_mm=(-12.0, 8.0, -6.0), radii_mm=(12.0, 12.0, 12.0),
         contrast=5.0, fwhm_mm=10.0, noise=0.20, noise_fwhm_mm=10.0, seed=3),
    Case(name="oval, at the surface of the liver", centre_mm=(28.0, 0.0, 12.0), radii_mm=(20.0, 14.0, 12.0),
         contrast=3.0, fwhm_mm=14.0, noise=0.20, noise_fwhm_mm=14.0, seed=4),
    Case(name="24 mm radius, much noise", centre_mm=(-16.0, 4.0, 0.0), radii_mm=(24.0, 20.0, 18.0),
         contrast=2.5, fwhm_mm=16.0, noise=0.40, noise_fwhm_mm=12.0, seed=5),
)  # fmt: skip


class Numbers(NamedTuple):
    """The numbers of a case as arrays, so that all cases share their compiled programs."""

    centre_mm: jax.Array
    radii_mm: jax.Array
    contrast: jax.Array
    fwhm_mm: jax.Array
    spectrum: jax.Array
    kernel: jax.Array


def numbers_of(case: Case) -> Numbers:
    values = case.centre_mm, case.radii_mm, case.contrast, case.fwhm_mm, noise_spectrum(case), octant()
    return Numbers(*(jnp.asarray(value, float) for value in values))


class Doses(NamedTuple):
    """Logarithms of the mean doses of the lesion and of the normal liver."""

    lesion: jax.Array
    liver: jax.Array


def axes_mm() -> list[NDArray[np.float64]]:
    return [SPACING_MM * (np.arange(n) - (n - 1) / 2) for n in SHAPE]


def octant() -> NDArray[np.float32]:
    radial = dosimetry.get_radial_kernel("y90-graves2019-water")
    spacing = (SPACING_MM,) * 3
    size = dosimetry.kernel_radius_voxels(spacing, radial=radial, medium_density_g_per_ml=1.05)
    return np.asarray(dosimetry.octant_kernel(spacing, radial=radial, medium_density_g_per_ml=1.05, radius_voxels=size))


def occupancy(shift_mm: jax.Array, centre_mm: jax.Array, radii_mm: jax.Array, corners: jax.Array) -> jax.Array:
    """An ellipsoid with a displaced surface: outward displacements at the corners of its box, trilinear between."""
    # One array per axis until they meet, which saves most of the time.
    x, y, z = (
        (at - centre_mm[axis] - shift_mm[axis]) / radii_mm[axis] for axis, at in enumerate(map(jnp.asarray, axes_mm()))
    )
    size = jnp.sqrt(x[:, None, None] ** 2 + y[None, :, None] ** 2 + z[None, None, :] ** 2 + 1e-6)
    u, v, w = ((one / radius) ** 2 for one, radius in zip((x, y, z), radii_mm, strict=True))
    gradient = jnp.sqrt(u[:, None, None] + v[None, :, None] + w[None, None, :] + 1e-8)
    distance_mm = size * (size - 1.0) / gradient
    sides = []
    for one in (x, y, z):
        share = 0.5 * (1.0 + jnp.tanh(1.5 * one))  # 0 at one face of the box, 1 at the other
        # The same variance everywhere: independent corners average where their weights are alike.
        sides.append(jnp.stack([1.0 - share, share]) / jnp.sqrt(share**2 + (1.0 - share) ** 2))
    moved_mm = jnp.einsum("abc,ai,bj,ck->ijk", corners.reshape(2, 2, 2), *sides)
    return jax.nn.sigmoid(-(distance_mm - moved_mm) / (SPACING_MM / 4.0))


def anatomy(unknowns: jax.Array, case: Numbers, *, moved: bool) -> tuple[jax.Array, jax.Array]:
    """Occupancies of lesion and normal liver in the frame of the image, or of the contours if not `moved`."""
    shift = SHIFT_MM * unknowns[SHIFT] if moved else jnp.zeros(3)
    parts = []
    for centre, radii, chosen in (
        (case.centre_mm, case.radii_mm, LESION),
        (jnp.array(LIVER_CENTRE_MM), jnp.array(LIVER_RADII_MM), LIVER),
    ):
        parts.append(occupancy(shift, centre, radii, BOUNDARY_MM * unknowns[chosen]))
    lesion, liver = parts
    return lesion * liver, (1.0 - lesion) * liver


def concentrations(unknowns: jax.Array, case: Numbers) -> jax.Array:
    return jnp.stack([case.contrast, jnp.ones_like(case.contrast)]) * jnp.exp(CONCENTRATION * unknowns[-2:])


def expected_spectrum(unknowns: jax.Array, case: Numbers) -> jax.Array:
    """The discrete Fourier transform of the image without noise, in units of the concentration of the liver."""
    lesion, liver = anatomy(unknowns, case, moved=True)
    amounts = concentrations(unknowns, case)
    sigma = case.fwhm_mm / np.sqrt(8.0 * np.log(2.0)) / SPACING_MM
    blurred: jax.Array = jnp.exp(-0.5 * sigma**2 * jnp.asarray(squared_frequencies()))
    return blurred * jnp.fft.rfftn(amounts[0] * lesion + amounts[1] * liver)


def log_doses(unknowns: jax.Array, case: Numbers) -> Doses:
    """The true mean doses; the frame does not matter, so the image's translation is left out."""
    lesion, liver = anatomy(unknowns, case, moved=False)
    amounts = concentrations(unknowns, case)
    dose_gy = dosimetry.convolve_octant(amounts[0] * lesion + amounts[1] * liver, case.kernel) * GY_ML_PER_MBQ
    return Doses(*(jnp.log(jnp.sum(dose_gy * part) / jnp.sum(part)) for part in (lesion, liver)))


def squared_frequencies() -> NDArray[np.float64]:
    axes = [2.0 * np.pi * np.fft.fftfreq(n) for n in SHAPE[:2]] + [2.0 * np.pi * np.fft.rfftfreq(SHAPE[2])]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return np.asarray(x**2 + y**2 + z**2)


def multiplicity() -> NDArray[np.float64]:
    """How often each coefficient of a real transform occurs in the full one; its sum is the number of voxels."""
    found = np.full(squared_frequencies().shape, 2.0)
    found[..., 0] = 1.0
    if SHAPE[2] % 2 == 0:
        found[..., -1] = 1.0
    return found


def noise_spectrum(case: Case) -> NDArray[np.float64]:
    """Eigenvalues of the covariance of the noise, which is periodic on the grid."""
    sigma = case.noise_fwhm_mm / np.sqrt(8.0 * np.log(2.0)) / SPACING_MM
    power = np.exp(-(sigma**2) * squared_frequencies())
    mean = (power * multiplicity()).sum() / np.prod(SHAPE)
    return np.asarray(case.noise**2 * (power / mean + WHITE) / (1.0 + WHITE))


def coloured(white: jax.Array, case: Numbers) -> jax.Array:
    """The discrete Fourier transform of noise, from independent standard normal numbers on the grid."""
    return jnp.fft.rfftn(white) * jnp.sqrt(case.spectrum)


def residuals(unknowns: jax.Array, spectrum: jax.Array, expected: jax.Array, case: Numbers) -> jax.Array:
    """Half of the sum of their squares is minus the logarithm of the posterior density, up to a constant."""
    away = (expected_spectrum(unknowns, case) - spectrum) * jnp.sqrt(
        jnp.asarray(multiplicity()) / case.spectrum / np.prod(SHAPE)
    )
    return jnp.concatenate([away.real.ravel(), away.imag.ravel(), unknowns - expected])
