"""Random patients for uncertainty_coverage.py, in NumPy and SciPy without code of the intervals under test.

A patient is an ellipsoid liver with two injected territories and three ellipsoid lesions on a grid of 2 mm: one of 6 to
10 mm radius and two of 10 to 26 mm; in random order one below the dome, one at the border of the territories and one
inside a territory. The activity varies by 15 % within each region. The doses of lesions are computed on voxels of 1 mm.
The image is blurred, displaced and noisy on voxels of 4 mm. Contours and dividing surface are displaced by smooth
random fields, and each lesion as a whole. Calibration, residuals and shunt have errors.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import resources

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.signal import fftconvolve

Array = NDArray[np.float32]
Floats = NDArray[np.float64]
FINE_MM, IMAGE_MM, SHAPE = 2.0, 4.0, (112, 96, 104)
# Voxels of the true doses of lesions, and the distance from which activity contributes to them.
TRUE_MM, AROUND_MM = 1.0, 14.0
COARSE = (SHAPE[0] // 2, SHAPE[1] // 2, SHAPE[2] // 2)
FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))
RADII_MM = ((6.0, 10.0), (10.0, 18.0), (16.0, 26.0))
PLACES = ("dome", "border", "inside")
CONSTANT_GY_G_PER_MBQ, DENSITY_G_PER_ML, LUNG_G, TARGET_GY = 49.67, 1.05, 1000.0, 120.0
# Electrons per gram of tissue, relative to water.
ELECTRONS = 0.991


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Standard deviations of the errors of a measurement; those of factors are relative.

    `uptake` is the uneven uptake within each region, with a correlation of `uptake_length_mm`. `lesion_shift_mm`
    displaces each lesion, `dome_shift_mm` one below the dome along the body; `resolution_factor` is true over stated
    resolution without the random error.
    """

    fwhm_mm: float = 12.0
    resolution: float = 0.1
    resolution_factor: float = 1.0
    shift_mm: float = 3.0
    lesion_shift_mm: float = 1.0
    dome_shift_mm: float = 3.0
    boundary_mm: float = 1.5
    boundary_length_mm: float = 20.0
    territory_mm: float = 3.0
    calibration: float = 0.05
    residual: float = 0.02
    shunt: float = 0.1
    noise: float = 0.12
    noise_fwhm_mm: float = 8.0
    uptake: float = 0.15
    uptake_length_mm: float = 15.0
    perfused: str = "whole"


@dataclass(frozen=True, eq=False, kw_only=True)
class Patient:
    """One patient: true doses and the measurement.

    Attributes:
      radius_mm, places: radius of the sphere with the volume of each lesion, and where it is.
      mean_gy, d70_gy, v_fraction: true doses of the lesions, and the fraction of each that receives `TARGET_GY`.
      histogram_gy: true doses of the points of each lesion, ascending.
      normal_gy, lung_gy: true mean doses of normal liver and lungs.
      image: (i, j, k) measured counts.
      distance_mm: (6, i, j, k) signed distance to the drawn contours: lesions, both territories, liver.
      activity_mbq: (2,) measured activity of each injection.
      shunt: measured lung shunt.
    """

    radius_mm: Floats
    places: list[str]
    mean_gy: Floats
    d70_gy: Floats
    v_fraction: Floats
    histogram_gy: list[Floats]
    normal_gy: float
    lung_gy: float
    image: Array
    distance_mm: Array
    activity_mbq: Floats
    shunt: float


@dataclass(eq=False)
class _Anatomy:
    semi_mm: Floats
    normal: Floats
    offset_mm: float
    centres: list[Floats] = field(default_factory=list)
    axes_mm: list[Floats] = field(default_factory=list)
    radii: list[float] = field(default_factory=list)


def patient(seed: int, errors: Errors) -> Patient:
    """Returns the patient of a seed with errors of the given sizes."""
    rng = np.random.default_rng(seed)
    places = [PLACES[k] for k in rng.permutation(3)]
    anatomy = _anatomy(rng, places)
    fine, coarse = _points(SHAPE, FINE_MM), _points(COARSE, IMAGE_MM)
    liver = _level(fine, np.zeros(3), anatomy.semi_mm) < 1
    near = [_box(c, a) for c, a in zip(anatomy.centres, anatomy.axes_mm, strict=True)]
    occupied = np.zeros((3, *SHAPE))
    for number, (box, centre, axes) in enumerate(zip(near, anatomy.centres, anatomy.axes_mm, strict=True)):
        inside = _level(_points_in(box), centre, axes) < 1
        occupied[number][box] = _blocks(inside, int(FINE_MM / TRUE_MM))
    # The dividing surface is a plane with smooth bumps; the same field in both resolutions.
    bumps = 3.0 * _smooth(rng, COARSE, IMAGE_MM, 40.0)
    injected_mbq, shunt = rng.uniform(700.0, 1500.0, 2), rng.uniform(0.03, 0.1)
    field = errors.uptake * _smooth(rng, COARSE, IMAGE_MM, errors.uptake_length_mm)
    ratios = rng.uniform(2.0, 6.0, 3)
    right = fine @ anatomy.normal - anatomy.offset_mm - _fine(bumps) < 0
    concentration = liver * np.exp(_fine(field)) * (1 + np.tensordot(ratios - 1, occupied, axes=1))
    if errors.perfused == "half":
        concentration[fine[..., 2] < 0] = 0.0
    scale = [activity * (1 - shunt) / concentration[side].sum() for side, activity in
             zip((right, ~right), injected_mbq, strict=True)]  # fmt: skip
    concentration *= np.where(right, *scale)
    dose_gy = _dose(concentration, FINE_MM)
    doses = []
    for number, box in enumerate(near):
        points = _points_in(box)
        levels = [_level(points, c, a) < 1 for c, a in zip(anatomy.centres, anatomy.axes_mm, strict=True)]
        true = (_level(points, np.zeros(3), anatomy.semi_mm) < 1) * np.exp(_at(field, points))
        for inside, ratio in zip(levels, ratios, strict=True):
            true[inside] *= ratio
        if errors.perfused == "half":
            true[points[..., 2] < 0] = 0.0
        true *= np.where(points @ anatomy.normal - anatomy.offset_mm - _at(bumps, points) < 0, *scale)
        doses.append(np.sort(_dose(true, TRUE_MM, FINE_MM)[levels[number]]))
    image = _image(rng, concentration, liver, errors)
    contours = []
    for place, centre, axes in zip(places, anatomy.centres, anatomy.axes_mm, strict=True):
        size = np.array([1.0, 1.0, errors.dome_shift_mm / errors.lesion_shift_mm if place == "dome" else 1.0])
        moved = centre + rng.normal(size=3) * errors.lesion_shift_mm * size
        contours.append(_distance(coarse, moved, axes))
    contours.append(_distance(coarse, np.zeros(3), anatomy.semi_mm))
    for contour in contours:
        contour -= errors.boundary_mm * _smooth(rng, COARSE, IMAGE_MM, errors.boundary_length_mm)
    divide = coarse @ anatomy.normal - anatomy.offset_mm - bumps
    divide -= errors.territory_mm * _smooth(rng, COARSE, IMAGE_MM, errors.boundary_length_mm)
    calibration = np.exp(rng.normal() * errors.calibration)
    return Patient(
        radius_mm=np.array(anatomy.radii),
        places=places,
        mean_gy=np.array([d.mean() for d in doses]),
        d70_gy=np.array([np.quantile(d, 0.3) for d in doses]),
        v_fraction=np.array([np.mean(d >= TARGET_GY) for d in doses]),
        histogram_gy=doses,
        normal_gy=float(np.average(dose_gy, weights=liver * (1 - occupied.sum(axis=0)))),
        lung_gy=float(injected_mbq.sum() * shunt * CONSTANT_GY_G_PER_MBQ / LUNG_G),
        image=image,
        distance_mm=np.stack([*contours[:3], divide, -divide, contours[3]]).astype(np.float32),
        activity_mbq=injected_mbq * calibration * np.exp(rng.normal(size=2) * errors.residual),
        shunt=float(shunt * np.exp(rng.normal() * errors.shunt)),
    )


def _image(rng: np.random.Generator, concentration: Floats, liver: NDArray[np.bool_], errors: Errors) -> Array:
    shift_mm = rng.normal(size=3) * errors.shift_mm
    factor = errors.resolution_factor * np.exp(rng.normal() * errors.resolution)
    blurred = ndimage.gaussian_filter(concentration, errors.fwhm_mm * factor / FWHM_PER_SIGMA / FINE_MM)
    image = _coarse(ndimage.shift(blurred, shift_mm / FINE_MM, order=3))
    white = _smooth(rng, COARSE, IMAGE_MM, errors.noise_fwhm_mm)
    level = image[_coarse(liver) > 0.5].mean()
    image = image + errors.noise * np.sqrt(np.maximum(image, 0.0) * level) * white
    found: Array = (image / level).astype(np.float32)
    return found


def _anatomy(rng: np.random.Generator, places: list[str]) -> _Anatomy:
    """Liver, dividing plane and lesions that do not touch."""
    while True:
        normal = np.array([1.0, *rng.uniform(-0.4, 0.4, 2)])
        found = _Anatomy(
            semi_mm=np.array([85.0, 65.0, 70.0]) * rng.uniform(0.9, 1.08, 3),
            normal=normal / np.linalg.norm(normal),
            offset_mm=rng.uniform(-20.0, 20.0),
        )
        if all(_place(rng, place, *radii, found) for place, radii in zip(places, RADII_MM, strict=True)):
            return found


def _place(rng: np.random.Generator, place: str, low: float, high: float, anatomy: _Anatomy) -> bool:
    """Adds a lesion inside the liver, at least 4 mm from the others, if there is room."""
    radius = rng.uniform(low, high)
    shape = rng.uniform(0.85, 1.15, 3)
    for _ in range(200):
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction)
        if place == "dome":
            direction = np.array([0.0, 0.0, 1.0]) + 0.4 * direction
            direction /= np.linalg.norm(direction)
        depth = radius + (rng.uniform(1.0, 5.0) if place == "dome" else rng.uniform(5.0, 50.0))
        centre = direction * np.maximum(anatomy.semi_mm - depth, 0.0)
        away = float(centre @ anatomy.normal) - anatomy.offset_mm
        if place == "border":  # onto the dividing plane, give or take two thirds of the radius
            centre = centre + (rng.uniform(-0.66, 0.66) * radius - away) * anatomy.normal
        inside = np.sqrt((centre**2 / (anatomy.semi_mm - radius) ** 2).sum()) < 1
        clear = place != "inside" or abs(away) > radius + 8.0
        others = zip(anatomy.centres, anatomy.radii, strict=True)
        if inside and clear and all(np.linalg.norm(centre - c) > radius + r + 4 for c, r in others):
            anatomy.centres.append(centre)
            anatomy.radii.append(radius)
            anatomy.axes_mm.append(radius * shape / np.cbrt(shape.prod()))
            return True
    return False


def _points(shape: tuple[int, int, int], spacing_mm: float) -> Floats:
    axes = [(np.arange(n) - (n - 1) / 2) * spacing_mm for n in shape]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def _level(points: Floats, centre: Floats, axes_mm: Floats) -> Floats:
    found: Floats = np.linalg.norm((points - centre) / axes_mm, axis=-1)
    return found


def _distance(points: Floats, centre: Floats, axes_mm: Floats) -> Floats:
    """Signed distance to an ellipsoid, exact to first order at its surface."""
    level = _level(points, centre, axes_mm)
    slope = np.maximum(np.linalg.norm((points - centre) / axes_mm**2, axis=-1), 1e-9)
    return np.where(level > 1e-6, level * (level - 1) / slope, -axes_mm.min())


def _smooth(rng: np.random.Generator, shape: tuple[int, ...], spacing_mm: float, length_mm: float) -> Floats:
    found = ndimage.gaussian_filter(rng.normal(size=shape), length_mm / FWHM_PER_SIGMA / spacing_mm, mode="wrap")
    return np.asarray(found / found.std())


def _fine(values: Floats) -> Floats:
    """Linear interpolation of a field to the grid of half the spacing."""
    for axis, size in enumerate(values.shape):
        at = np.clip((np.arange(2 * size) - 0.5) / 2, 0, size - 1)
        low = np.minimum(at.astype(int), size - 2)
        part = (at - low).reshape([-1 if k == axis else 1 for k in range(3)])
        values = np.take(values, low, axis) * (1 - part) + np.take(values, low + 1, axis) * part
    return values


def _coarse(values: Floats | NDArray[np.bool_]) -> Floats:
    return _blocks(values, int(IMAGE_MM / FINE_MM))


def _blocks(values: Floats | NDArray[np.bool_], factor: int) -> Floats:
    blocks = [part for n in values.shape for part in (n // factor, factor)]
    found: Floats = values.reshape(blocks).mean(axis=(1, 3, 5), dtype=np.float64)
    return found


def _box(centre: Floats, axes_mm: Floats) -> tuple[slice, ...]:
    """The voxels of the fine grid from which activity contributes to the dose of a lesion."""
    middle, reach = centre / FINE_MM + (np.array(SHAPE) - 1) / 2, (axes_mm + AROUND_MM) / FINE_MM
    low, high = np.maximum(np.floor(middle - reach), 0), np.minimum(np.ceil(middle + reach) + 1, SHAPE)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def _points_in(box: tuple[slice, ...]) -> Floats:
    """Points of the true doses within a box of voxels of the fine grid."""
    factor = int(FINE_MM / TRUE_MM)
    axes = [
        (np.arange(factor * part.start, factor * part.stop) - (factor * n - 1) / 2) * TRUE_MM
        for part, n in zip(box, SHAPE, strict=True)
    ]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def _at(values: Floats, points: Floats) -> Floats:
    """Linear interpolation of a field of the image's grid at points."""
    index = np.moveaxis(points / IMAGE_MM, -1, 0) + (np.array(COARSE).reshape(3, 1, 1, 1) - 1) / 2
    found: Floats = ndimage.map_coordinates(values, index, order=1, mode="nearest")
    return found


def _dose(activity: Floats, spacing_mm: float, voxel_mm: float | None = None) -> Floats:
    """Dose of the activity per voxel of `voxel_mm`, on voxels of `spacing_mm`."""
    volume_ml = (voxel_mm or spacing_mm) ** 3 / 1000
    found: Floats = fftconvolve(activity, _kernel(spacing_mm), mode="same")
    return found * CONSTANT_GY_G_PER_MBQ / (DENSITY_G_PER_ML * volume_ml)


_KERNELS: dict[float, Floats] = {}


def _kernel(spacing_mm: float, samples: int = 4_000_000) -> Floats:
    """The dose kernel on voxels, sampled from the radial table."""
    half = round(12.0 / spacing_mm)
    if spacing_mm not in _KERNELS:
        table = resources.files("sirtjax.dosimetry") / "data" / "y90_graves2019_water.csv"
        lines = table.read_text(encoding="utf-8").splitlines()
        outer, energy = np.loadtxt(lines, delimiter=",", comments="#").T
        inner, rng = np.r_[0.0, outer[:-1]], np.random.default_rng(0)
        shell = rng.choice(len(energy), samples, p=energy / energy.sum())
        radius = (inner[shell] + (outer - inner)[shell] * rng.random(samples)) / (DENSITY_G_PER_ML * ELECTRONS)
        direction = rng.normal(size=(samples, 3))
        direction /= np.linalg.norm(direction, axis=1)[:, None]
        ends = (rng.random((samples, 3)) - 0.5) * spacing_mm + direction * radius[:, None]
        edges = (np.arange(2 * half + 2) - half - 0.5) * spacing_mm
        _KERNELS[spacing_mm] = np.histogramdd(ends, bins=[edges] * 3)[0] / samples
    return _KERNELS[spacing_mm]
