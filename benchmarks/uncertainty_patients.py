"""Random patients for uncertainty_coverage.py, in NumPy and SciPy without code of the intervals under test.

A patient is an ellipsoid liver with three ellipsoid lesions of 6 to 11, 10 to 18 and 16 to 30 mm radius on a grid of
2 mm. The activity varies by 15 % within each region. The image is blurred, displaced and noisy on voxels of 4 mm, the
contours are displaced by a smooth random field, and calibration and shunt have errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.signal import fftconvolve

Array = NDArray[np.float32]
FINE_MM, IMAGE_MM, SHAPE = 2.0, 4.0, (112, 96, 104)
FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))
RADII_MM = ((6.0, 11.0), (10.0, 18.0), (16.0, 30.0))
CONSTANT_GY_G_PER_MBQ, DENSITY_G_PER_ML, LUNG_G, INJECTED_MBQ = 49.67, 1.05, 1000.0, 2000.0
# Electrons per gram of tissue, relative to water.
ELECTRONS = 0.991


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Standard deviations of the errors of a measurement; those of factors are relative."""

    fwhm_mm: float = 12.0
    resolution: float = 0.1
    shift_mm: float = 3.0
    boundary_mm: float = 1.5
    boundary_length_mm: float = 20.0
    calibration: float = 0.05
    shunt: float = 0.1
    noise: float = 0.12
    noise_fwhm_mm: float = 8.0
    perfused: str = "whole"


@dataclass(frozen=True, eq=False, kw_only=True)
class Patient:
    """One patient: true doses in Gy (means of lesions and normal liver, D70 of lesions, lungs) and the measurement.

    Attributes:
      radius_mm: radius of the sphere with the volume of each lesion.
      truth_gy: true doses, in the order of `uncertainty_coverage.in_order`.
      image: (i, j, k) measured counts.
      distance_mm: (m, i, j, k) signed distance to the drawn contours of the lesions and, last, of the liver.
      shift_mm: true displacement of the image.
      calibration: measured over true activity.
      shunt: measured lung shunt.
    """

    radius_mm: NDArray[np.float64]
    truth_gy: NDArray[np.float64]
    image: Array
    distance_mm: Array
    shift_mm: NDArray[np.float64]
    calibration: float
    shunt: float


def patient(seed: int, errors: Errors) -> Patient:
    """Returns the patient of a seed with errors of the given sizes."""
    rng = np.random.default_rng(seed)
    axes = [(np.arange(n) - (n - 1) / 2) * FINE_MM for n in SHAPE]
    points = list(np.meshgrid(*axes, indexing="ij"))
    semi_mm = np.array([85.0, 65.0, 70.0]) * rng.uniform(0.9, 1.08, 3)
    liver = _ellipsoid(points, np.zeros(3), semi_mm)
    lesions: list[NDArray[np.bool_]] = []
    centres: list[NDArray[np.float64]] = []
    radii: list[float] = []
    for low, high in RADII_MM:
        radius, centre = _place(rng, low, high, semi_mm, centres, radii)
        shape = rng.uniform(0.85, 1.15, 3)
        lesions.append(_ellipsoid(points, centre, radius * shape / np.cbrt(shape.prod())))
        centres.append(centre)
        radii.append(radius)
    concentration = liver.astype(np.float64)
    if errors.perfused == "half":
        concentration[points[0] < 0] = 0.0
    for mask, ratio in zip(lesions, rng.uniform(2.0, 6.0, 3), strict=True):
        concentration[mask] *= ratio
    concentration *= np.exp(_smooth(rng, SHAPE, FINE_MM, 15.0, 0.15))
    true_shunt = rng.uniform(0.03, 0.1)
    truth_gy = _doses(concentration, liver, lesions, true_shunt)
    shift_mm = rng.normal(size=3) * errors.shift_mm
    sigma = errors.fwhm_mm * np.exp(rng.normal() * errors.resolution) / FWHM_PER_SIGMA / FINE_MM
    blurred = ndimage.shift(ndimage.gaussian_filter(concentration, sigma), shift_mm / FINE_MM, order=3)
    image = _coarse(blurred)
    white = ndimage.gaussian_filter(rng.normal(size=image.shape), errors.noise_fwhm_mm / FWHM_PER_SIGMA / IMAGE_MM)
    level = image[_coarse(liver) > 0.5].mean()
    image = image + errors.noise * np.sqrt(np.maximum(image, 0.0) * level) * white / white.std()
    drawn = [
        _coarse(_distance(mask) - _smooth(rng, SHAPE, FINE_MM, errors.boundary_length_mm, errors.boundary_mm))
        for mask in (*lesions, liver)
    ]
    return Patient(
        radius_mm=np.array(radii),
        truth_gy=truth_gy,
        image=image.astype(np.float32),
        distance_mm=np.stack(drawn).astype(np.float32),
        shift_mm=shift_mm,
        calibration=float(np.exp(rng.normal() * errors.calibration)),
        shunt=float(true_shunt * np.exp(rng.normal() * errors.shunt)),
    )


def _place(
    rng: np.random.Generator,
    low: float,
    high: float,
    semi_mm: NDArray[np.float64],
    centres: list[NDArray[np.float64]],
    radii: list[float],
) -> tuple[float, NDArray[np.float64]]:
    """A sphere inside the liver, at least 4 mm from the others."""
    while True:
        radius = rng.uniform(low, high)
        direction = rng.normal(size=3)
        centre = direction / np.linalg.norm(direction) * (semi_mm - radius) * rng.uniform(0.2, 1.0)
        inside = np.sqrt((centre**2 / (semi_mm - radius) ** 2).sum()) < 1
        if inside and all(np.linalg.norm(centre - c) > radius + r + 4 for c, r in zip(centres, radii, strict=True)):
            return radius, centre


def _ellipsoid(
    points: list[NDArray[np.float64]], centre: NDArray[np.float64], semi_mm: NDArray[np.float64]
) -> NDArray[np.bool_]:
    square = np.sum([((p - c) / s) ** 2 for p, c, s in zip(points, centre, semi_mm, strict=True)], axis=0)
    inside: NDArray[np.bool_] = square < 1
    return inside


def _smooth(
    rng: np.random.Generator, shape: tuple[int, ...], spacing_mm: float, length_mm: float, deviation: float
) -> NDArray[np.float64]:
    field = ndimage.gaussian_filter(rng.normal(size=shape), length_mm / FWHM_PER_SIGMA / spacing_mm, mode="wrap")
    found: NDArray[np.float64] = deviation * field / field.std()
    return found


def _coarse(values: NDArray[np.float64] | NDArray[np.bool_]) -> NDArray[np.float64]:
    factor = int(IMAGE_MM / FINE_MM)
    blocks = [part for n in values.shape for part in (n // factor, factor)]
    found: NDArray[np.float64] = values.reshape(blocks).mean(axis=(1, 3, 5), dtype=np.float64)
    return found


def _distance(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = FINE_MM * (
        ndimage.distance_transform_edt(~mask) - ndimage.distance_transform_edt(mask)
    )
    return found


def _doses(
    concentration: NDArray[np.float64], liver: NDArray[np.bool_], lesions: list[NDArray[np.bool_]], shunt: float
) -> NDArray[np.float64]:
    """True doses by a kernel whose voxel weights are sampled from the radial table."""
    mbq = concentration * liver
    mbq *= INJECTED_MBQ * (1 - shunt) / mbq.sum()
    voxel_g = DENSITY_G_PER_ML * FINE_MM**3 / 1000
    dose = fftconvolve(mbq, _kernel(), mode="same") * CONSTANT_GY_G_PER_MBQ / voxel_g
    tumour = np.logical_or.reduce(lesions)
    means = [dose[mask].mean() for mask in lesions] + [dose[liver & ~tumour].mean()]
    d70 = [np.quantile(dose[mask], 0.3) for mask in lesions]
    return np.array([*means, *d70, INJECTED_MBQ * shunt * CONSTANT_GY_G_PER_MBQ / LUNG_G])


_KERNELS: dict[float, NDArray[np.float64]] = {}


def _kernel(samples: int = 4_000_000, half: int = 6) -> NDArray[np.float64]:
    if FINE_MM not in _KERNELS:
        table = resources.files("sirtjax.dosimetry") / "data" / "y90_graves2019_water.csv"
        lines = table.read_text(encoding="utf-8").splitlines()
        outer, energy = np.loadtxt(lines, delimiter=",", comments="#").T
        inner, rng = np.r_[0.0, outer[:-1]], np.random.default_rng(0)
        shell = rng.choice(len(energy), samples, p=energy / energy.sum())
        radius = (inner[shell] + (outer - inner)[shell] * rng.random(samples)) / (DENSITY_G_PER_ML * ELECTRONS)
        direction = rng.normal(size=(samples, 3))
        direction /= np.linalg.norm(direction, axis=1)[:, None]
        ends = (rng.random((samples, 3)) - 0.5) * FINE_MM + direction * radius[:, None]
        edges = (np.arange(2 * half + 2) - half - 0.5) * FINE_MM
        _KERNELS[FINE_MM] = np.histogramdd(ends, bins=[edges] * 3)[0] / samples
    return _KERNELS[FINE_MM]
