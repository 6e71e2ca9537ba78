"""The image of a lesion whose contour, position, resolution and unevenness of uptake are uncertain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64
from numpy.typing import NDArray

from sirtjax.partial_volume import SIGMA_PER_FWHM

# Distance from the contour up to which regions are blurred and up to which voxels are compared, in FWHM.
MARGIN, REACH = 1.75, 1.0
# A random field is represented by its largest modes, from this many voxels, up to this part of its variance.
FIELD_VOXELS, FIELD_VARIANCE, FIELD_MODES = 300, 0.98, 48
# The L of a correlation exp(-d^2 / (2 L^2)) like that of displacements in a case, in its correlation lengths: 0.8 at
# 0.4 lengths, 0.6 at 0.6 and 0.25 at 1.
GAUSSIAN_LENGTH = 0.6
# Correlation of uneven uptake: in the lesion its largest depth, at least one FWHM; around it this many FWHM.
AROUND = 1.5
# A contour with the stated error is at most this many standard deviations from its place.
BAND = 3.0
# Reach of the kernel, in standard deviations.
KERNEL = 4.0
SMALLEST = 1e-6

Array = NDArray[np.float32]
Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class CoreErrors:
    """Standard deviations of everything except a cold core that changes the image of a lesion.

    Attributes:
      noise_fraction: noise where the concentration is the mean of the liver, relative to it. The variance of the noise
        is proportional to the concentration.
      noise_fwhm_mm: width of the filter that correlates the noise (FWHM).
      shift_mm: (3,) translation of the image against the contour along the axes of the grid.
      contour_mm: displacement of the contour.
      contour_correlation_mm: correlation length of the displacement, as `[uncertainty.contours]` defines it.
      resolution: relative error of the resolution.
      texture: relative variation of the uptake within the lesion and of the tissue around it.
    """

    noise_fraction: float
    noise_fwhm_mm: float
    shift_mm: tuple[float, float, float]
    contour_mm: float
    contour_correlation_mm: float
    resolution: float
    texture: float


@dataclass(frozen=True, eq=False)
class CoreScene:
    """A lesion and its surroundings.

    Attributes:
      distance_mm: (i, j, k) signed distance to the contour, negative inside.
      curvature_mm: (i, j, k) difference between the mean distance over a voxel and that of its centre.
      depth_mm: largest depth.
      share: (n, i, j, k) fraction of each other region in the tissue around, continued into the lesion.
      used: (i, j, k) voxels that are compared.
      measured: (v,) image in these voxels over `scale`.
      scale: largest value of the image in these voxels.
      spacing_mm, sigma_mm: (3,) voxel spacing and standard deviation of the point spread function.
      outward_mm: (a, i, j, k) modes of the displacement of the contour.
      within, around: (b, i, j, k) and (c, i, j, k) modes of the relative uptake in the lesion and around it.
      prior: (p,) inverse variances of shift, logarithm of the width, and amplitudes of the modes.
    """

    distance_mm: Float32[np.ndarray, "i j k"]
    curvature_mm: Float32[np.ndarray, "i j k"]
    depth_mm: float
    share: Float32[np.ndarray, "n i j k"]
    used: Bool[np.ndarray, "i j k"]
    measured: Float64[np.ndarray, " v"]
    scale: float
    spacing_mm: Float64[np.ndarray, "3"]
    sigma_mm: Float64[np.ndarray, "3"]
    outward_mm: Float32[np.ndarray, "a i j k"]
    within: Float32[np.ndarray, "b i j k"]
    around: Float32[np.ndarray, "c i j k"]
    prior: Float64[np.ndarray, " p"]

    @property
    def voxel_mm(self) -> float:
        """Edge of a cube with the volume of a voxel."""
        return float(np.cbrt(np.prod(self.spacing_mm)))


def core_scene(
    image: Float[np.ndarray, "i j k"],
    regions: Float[np.ndarray, "r i j k"],
    distance_mm: Float[np.ndarray, "i j k"],
    spacing_mm: Float64[np.ndarray, "3"],
    fwhm_mm: Float64[np.ndarray, "3"],
    errors: CoreErrors,
    *,
    lesion: int,
) -> CoreScene | None:
    """Returns a lesion with its surroundings; None if no voxel is inside it or there is no activity.

    Args:
      image: (i, j, k) measured concentration.
      regions: (r, i, j, k) occupancies that add up to 1.
      distance_mm: (i, j, k) signed distance to the contour of the lesion, negative inside.
      spacing_mm: (3,) voxel spacing.
      fwhm_mm: (3,) resolution of the image.
      errors: standard deviations of the errors.
      lesion: index of the lesion in the regions.
    """
    depth_mm, width_mm = float(-distance_mm.min()), float(fwhm_mm.mean())
    if depth_mm <= 0:
        return None
    box = _box(distance_mm <= MARGIN * width_mm)
    distance = np.asarray(distance_mm[box], np.float32)
    used = distance <= REACH * width_mm
    values = np.asarray(image[box], np.float64)[used]
    parts = np.asarray(regions[(slice(None), *box)], np.float32)
    others = np.delete(parts, lesion, axis=0)
    others = others[[float(part[used].sum()) > 0.5 for part in others]]
    if not len(others) or not float(values.max()) > 0:
        return None
    sigma = fwhm_mm * SIGMA_PER_FWHM
    spread = blurred(blur_kernels(distance.shape, spacing_mm, sigma, np.zeros(3)), others)
    spread = spread / np.maximum(spread.sum(axis=0), SMALLEST)
    free = 1.0 - parts[lesion]
    share = np.where(free > 0.5, others / np.maximum(others.sum(axis=0), SMALLEST), spread).astype(np.float32)
    voxel_mm = float(np.cbrt(np.prod(spacing_mm)))
    near = np.abs(distance) < BAND * errors.contour_mm + 1.5 * voxel_mm
    contour_length_mm = GAUSSIAN_LENGTH * errors.contour_correlation_mm
    outward = errors.contour_mm * smooth_modes(near, spacing_mm, contour_length_mm)
    within = errors.texture * smooth_modes(parts[lesion] > 0.05, spacing_mm, max(depth_mm, width_mm))
    around = errors.texture * smooth_modes(free > 0.05, spacing_mm, AROUND * width_mm)
    tight = np.array([*errors.shift_mm, errors.resolution], np.float64)
    prior = np.concatenate([1.0 / np.maximum(tight, 1e-3) ** 2, np.ones(len(outward) + len(within) + len(around))])
    curvature = sum(_second_difference(distance, axis) for axis in range(3)) / 24.0
    return CoreScene(
        distance_mm=distance,
        curvature_mm=np.asarray(curvature, np.float32),
        depth_mm=depth_mm,
        share=share,
        used=used,
        measured=values / values.max(),
        scale=float(values.max()),
        spacing_mm=spacing_mm,
        sigma_mm=sigma,
        outward_mm=outward.astype(np.float32),
        within=within.astype(np.float32),
        around=around.astype(np.float32),
        prior=prior,
    )


@dataclass(frozen=True, eq=False)
class CoreImage:
    """A lesion at some values of the unknowns, before the blur.

    Attributes:
      occupancies: (n, i, j, k) occupancies of the lesion, of each other region, and of the core if there is one.
      activity: (i, j, k) concentration.
      own: uptake of the lesion.
      tissue: (i, j, k) uptake around the lesion, continued into it.
      kernels: kernels along each axis, as of `blur_kernels`.
    """

    occupancies: Float32[np.ndarray, "n i j k"]
    activity: Float32[np.ndarray, "i j k"]
    own: float
    tissue: Float32[np.ndarray, "i j k"]
    kernels: list[Float32[np.ndarray, "3 n n"]]


def core_image(scene: CoreScene, unknowns: Float64[np.ndarray, " u"], *, core_depth: float) -> CoreImage:
    """Returns a lesion at some values of the unknowns.

    Args:
      scene: the lesion.
      unknowns: (u,) uptake of the lesion, of each other region and of the core relative to the lesion; shift in mm;
        logarithm of the width; amplitudes of the modes.
      core_depth: depth from which tissue counts as core, as a fraction of the largest depth; 0 omits the core.
    """
    count = 1 + len(scene.share) + (core_depth > 0)
    uptake, rest = unknowns[:count].astype(np.float32), unknowns[count:]
    first, second = 4 + len(scene.outward_mm), 4 + len(scene.outward_mm) + len(scene.within)
    distance = scene.distance_mm - _mixed(rest[4:first], scene.outward_mm)
    inside = np.clip(0.5 - (distance + scene.curvature_mm) / scene.voxel_mm, 0.0, 1.0)
    parts = [inside, *((1.0 - inside) * scene.share)]
    if core_depth > 0:
        parts.append(np.clip(0.5 - (distance + core_depth * scene.depth_mm) / scene.voxel_mm, 0.0, 1.0) * inside)
    occupancies = np.stack(parts).astype(np.float32)
    own = max(float(uptake[0]), SMALLEST)
    tissue = np.tensordot(np.maximum(uptake[1 : 1 + len(scene.share)], 0.0), scene.share, axes=1)
    activity = np.tensordot(uptake, occupancies, axes=1)
    activity = activity + np.float32(own) * _mixed(rest[first:second], scene.within) * inside
    activity = activity + _mixed(rest[second:], scene.around) * tissue * (1.0 - inside)
    kernels = blur_kernels(distance.shape, scene.spacing_mm, scene.sigma_mm * math.exp(rest[3]), rest[:3])
    return CoreImage(occupancies, np.asarray(activity, np.float32), own, np.asarray(tissue, np.float32), kernels)


def predicted(scene: CoreScene, image: CoreImage) -> Float64[np.ndarray, " v"]:
    """Returns the blurred activity in the voxels that are compared."""
    found: Values = blurred(image.kernels, image.activity[None])[0][scene.used].astype(np.float64)
    return found


def derivatives(scene: CoreScene, image: CoreImage) -> Float64[np.ndarray, "u v"]:
    """Returns the derivative of the blurred activity by each of the unknowns."""
    inside, activity = image.occupancies[0], image.activity[None]
    at_surface = np.where((inside > 0) & (inside < 1), np.float32(1.0 / scene.voxel_mm), np.float32(0.0))
    fields = np.concatenate(
        [
            image.occupancies,
            scene.outward_mm * (at_surface * (np.float32(image.own) - image.tissue)),
            np.float32(image.own) * scene.within * inside,
            scene.around * (image.tissue * (1.0 - inside)),
        ]
    )
    by_field = blurred(image.kernels, fields)[:, scene.used]
    shifted, widened = (
        [blurred(image.kernels, activity, orders=np.eye(3, dtype=int)[axis] * which)[0] for axis in range(3)]
        for which in (1, 2)
    )
    by_shift = np.stack(shifted)[:, scene.used]
    by_width = np.sum(widened, axis=0)[scene.used][None]
    count = len(image.occupancies)
    return np.concatenate([by_field[:count], by_shift, by_width, by_field[count:]]).astype(np.float64)


def blurred(
    kernels: Sequence[Float32[np.ndarray, "3 n n"]],
    stack: Float32[np.ndarray, "n i j k"],
    *,
    orders: Sequence[int] = (0, 0, 0),
) -> Float32[np.ndarray, "n i j k"]:
    """Returns arrays blurred by a kernel along each axis.

    Args:
      kernels: kernels as of `blur_kernels`.
      stack: (n, i, j, k) arrays.
      orders: along each axis 0 for the kernel, 1 for its derivative by the shift, 2 by the logarithm of its width.
    """
    found = stack
    for axis, order in enumerate(orders):
        found = np.moveaxis(np.tensordot(found, kernels[axis][order], axes=((axis + 1,), (1,))), -1, axis + 1)
    return np.asarray(found, np.float32)


def blur_kernels(
    shape: Sequence[int],
    spacing_mm: Float64[np.ndarray, "3"],
    sigma_mm: Float64[np.ndarray, "3"],
    shift_mm: Float64[np.ndarray, "3"],
) -> list[Float32[np.ndarray, "3 n n"]]:
    """Returns the shifted Gaussian along each axis with its derivatives, as matrices.

    The derivatives are by the shift and by the logarithm of the width. Beyond the faces of the image the values at the
    faces continue.

    Args:
      shape: (3,) shape of the image.
      spacing_mm: (3,) voxel spacing.
      sigma_mm: (3,) standard deviation.
      shift_mm: (3,) translation of the image.
    """
    found = []
    for size, step, sigma, shift in zip(shape, spacing_mm, sigma_mm, shift_mm, strict=True):
        reach = math.ceil((KERNEL * sigma + abs(shift)) / step)
        source = np.arange(-reach, size + reach)
        z = (step * (np.arange(size)[:, None] - source) - shift) / sigma
        kernel = np.exp(-0.5 * z * z)
        kernel /= kernel.sum(axis=1, keepdims=True)
        by_shift, by_width = kernel * z / sigma, kernel * z * z
        by_shift -= kernel * by_shift.sum(axis=1, keepdims=True)
        by_width -= kernel * by_width.sum(axis=1, keepdims=True)
        fold = np.zeros((len(source), size))
        fold[np.arange(len(source)), np.clip(source, 0, size - 1)] = 1.0
        found.append(np.stack([kernel @ fold, by_shift @ fold, by_width @ fold]).astype(np.float32))
    return found


def smooth_modes(
    inside: Bool[np.ndarray, "i j k"], spacing_mm: Float64[np.ndarray, "3"], length_mm: float
) -> Float64[np.ndarray, "m i j k"]:
    """Returns the largest modes of a random field of unit variance, 0 outside some voxels.

    The covariance of the field is exp(-d^2 / (2 L^2)). The modes are those of evenly chosen voxels, continued to all.

    Args:
      inside: (i, j, k) voxels.
      spacing_mm: (3,) voxel spacing.
      length_mm: correlation length L.
    """
    where = np.argwhere(inside) * spacing_mm
    if not len(where) or not length_mm > 0:
        return np.zeros((0, *inside.shape))
    chosen = where[np.linspace(0, len(where) - 1, min(FIELD_VOXELS, len(where))).astype(int)]

    def covariance(points: Values) -> Values:
        squares = (points**2).sum(axis=1)[:, None] + (chosen**2).sum(axis=1) - 2.0 * points @ chosen.T
        found: Values = np.exp(-0.5 * np.maximum(squares, 0.0) / length_mm**2)
        return found

    variance, modes = np.linalg.eigh(covariance(chosen))
    variance, modes = variance[::-1], modes[:, ::-1]
    enough = int(np.searchsorted(np.cumsum(variance) / variance.sum(), FIELD_VARIANCE)) + 1
    count = min(enough, FIELD_MODES, len(chosen))
    found = np.zeros((count, *inside.shape))
    found[:, inside] = (covariance(where) @ (modes[:, :count] / np.sqrt(variance[:count]))).T
    return found


def _mixed(amounts: Float64[np.ndarray, " m"], modes: Float32[np.ndarray, "m i j k"]) -> Array:
    mixed: Array = np.tensordot(amounts.astype(np.float32), modes, axes=1)
    return mixed


def _second_difference(values: Float32[np.ndarray, "i j k"], axis: int) -> Array:
    inner = np.diff(values, n=2, axis=axis)
    found: Array = np.pad(inner, [(1, 1) if other == axis else (0, 0) for other in range(3)])
    return found


def _box(inside: Bool[np.ndarray, "i j k"]) -> tuple[slice, slice, slice]:
    found = []
    for axis in range(3):
        used = np.flatnonzero(inside.any(axis=tuple(other for other in range(3) if other != axis)))
        found.append(slice(int(used[0]), int(used[-1]) + 1))
    i, j, k = found
    return i, j, k
