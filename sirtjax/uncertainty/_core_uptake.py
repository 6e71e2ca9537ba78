"""The uptake in the core of a lesion relative to its rim, fitted to the activity image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Float32, Float64
from numpy.typing import NDArray

from sirtjax.errors import InputError
from sirtjax.partial_volume import SIGMA_PER_FWHM
from sirtjax.uncertainty._core_model import (
    CoreErrors,
    CoreScene,
    core_image,
    core_scene,
    derivatives,
    predicted,
)

# Depths from which tissue counts as core, as fractions of the largest depth.
DEPTHS = (0.35, 0.5, 0.65)
# Steps of the fit without a core, and of each fit with one, which starts from it.
STEPS, CORE_STEPS = 5, 8
# A step is shortened to these changes: mm of shift, relative width, standard deviations of the contour.
LONGEST_SHIFT_MM, LONGEST_WIDTH, LONGEST_CONTOUR = 3.0, 0.2, 1.0
# A smaller core is not fitted, in voxels.
SMALLEST_CORE = 0.5
# A step that improves the objective by less ends the fit: a third of a standard deviation.
SMALLEST_GAIN = 0.1
# Relative error of the model in each voxel, for images with little noise.
MODEL_ERROR = 0.01
# A contrast below the first and this many standard errors below 0 is a cold core. Both were chosen on digital phantoms
# (benchmarks/necrosis_check.py, development seeds).
COLD_CONTRAST, COLD_ERRORS = -0.25, 2.5

Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class CoreUptake:
    """The uptake in the core of a lesion.

    Attributes:
      contrast: uptake of the core divided by that of the rim, minus 1: 0 for even uptake, -1 for a core without uptake.
      standard_error: standard error of `contrast`.
      depth: depth from which tissue counts as core, as a fraction of the largest depth.
      volume_fraction: fraction of the volume of the lesion in this core.
      profile: pairs of a depth and the change of the uptake beyond it, relative to the rim. It is the mean over the
        fitted depths, weighted by their likelihoods; no fit counts with a contrast below -1.
    """

    contrast: float
    standard_error: float
    depth: float
    volume_fraction: float
    profile: tuple[tuple[float, float], ...]

    @property
    def cold(self) -> bool:
        """Whether the core has significantly and relevantly less uptake than the rim."""
        return self.contrast < COLD_CONTRAST and self.contrast < -COLD_ERRORS * self.standard_error


@dataclass(frozen=True, eq=False)
class _Fit:
    """A fit: unknowns, their covariance, objective, and volumes of lesion and core in voxels."""

    unknowns: Float64[np.ndarray, " u"]
    covariance: Float64[np.ndarray, "u u"]
    objective: float
    lesion_voxels: float
    core_voxels: float


def core_uptake(
    image: Float[np.ndarray, "i j k"],
    regions: Float[np.ndarray, "r i j k"],
    distance_mm: Float[np.ndarray, "i j k"],
    spacing_mm: Sequence[float],
    fwhm_mm: float | Sequence[float],
    errors: CoreErrors,
    *,
    lesion: int,
    liver_mean: float,
) -> CoreUptake | None:
    """Fits the uptake in the core of a lesion, relative to its rim, to an activity image.

    The image near the lesion is compared with blurred regions of even uptake and a blurred core. The core is the tissue
    beyond a fraction of the largest depth; of three fractions the one that fits best is returned. Contour,
    translation, resolution and smooth uneven uptake are fitted with their stated sizes as normal priors, so that errors
    of these sizes do not look like a core. The fit takes Gauss-Newton steps with the blurred model. The standard error
    is that of the last step.

    Args:
      image: (i, j, k) measured concentration, in any unit.
      regions: (r, i, j, k) occupancies that add up to 1, such as lesions, normal tissue of territories, and the rest.
      distance_mm: (i, j, k) signed distance to the contour of the lesion, negative inside.
      spacing_mm: (3,) voxel spacing.
      fwhm_mm: resolution of the image (FWHM), one number or one per axis.
      errors: standard deviations of the errors.
      lesion: index of the lesion in `regions`.
      liver_mean: mean concentration of the liver, to which the noise is relative.

    Returns:
      Contrast of core and rim; None if the lesion has no voxel or no uptake.

    Raises:
      InputError: shapes that differ, or values that are not finite.

    Examples:
      >>> import numpy as np
      >>> from scipy import ndimage
      >>> from sirtjax import uncertainty
      >>> r = np.linalg.norm(np.indices((30, 30, 30)) - 14.5, axis=0) * 4.0  # mm
      >>> lesion = np.clip(0.5 - (r - 24.0) / 4.0, 0.0, 1.0)
      >>> truth = 1.0 + 4.0 * lesion - 4.5 * np.clip(0.5 - (r - 13.0) / 4.0, 0.0, 1.0)
      >>> image = ndimage.gaussian_filter(truth, 12.0 / 2.355 / 4.0)
      >>> errors = uncertainty.CoreErrors(
      ...     noise_fraction=0.1, noise_fwhm_mm=6.0, shift_mm=(2.0, 2.0, 2.0), contour_mm=1.5,
      ...     contour_correlation_mm=20.0, resolution=0.1, texture=0.15,
      ... )
      >>> found = uncertainty.core_uptake(
      ...     image, np.stack([lesion, 1.0 - lesion]), r - 24.0, (4.0, 4.0, 4.0), 12.0, errors, lesion=0, liver_mean=1.2
      ... )
      >>> found.cold
      True
    """
    values, parts, distance = (np.asarray(one) for one in (image, regions, distance_mm))
    if parts.shape[1:] != values.shape or distance.shape != values.shape:
        raise InputError(f"regions and distance_mm: expected the shape of the image {values.shape}")
    if not all(np.isfinite(one).all() for one in (values, parts, distance)):
        raise InputError("image, regions and distance_mm: some values are NaN or infinite; replace them")
    spacing = np.asarray(spacing_mm, np.float64)
    width = np.broadcast_to(np.asarray(fwhm_mm, np.float64), 3).copy()
    scene = core_scene(values, parts, distance, spacing, width, errors, lesion=lesion)
    if scene is None:
        return None
    weight = _weights(scene, errors, liver_mean / scene.scale)
    even = _fit(scene, weight, _start(scene, weight), core_depth=0.0, steps=STEPS)
    position = 1 + len(scene.share)
    found: list[CoreUptake] = []
    objectives, likelihoods = [], []
    for depth in DEPTHS:
        fit = _fit(scene, weight, np.insert(even.unknowns, position, 0.0), core_depth=depth, steps=CORE_STEPS)
        rim = float(fit.unknowns[0])
        if rim <= 0 or fit.core_voxels < SMALLEST_CORE:
            continue
        contrast = float(fit.unknowns[position]) / rim
        error = math.sqrt(float(fit.covariance[position, position])) / rim
        # A contrast is at least -1. The objective at this limit follows from the curvature.
        impossible = min(contrast + 1.0, 0.0) / max(error, 1e-6)
        objectives.append(fit.objective)
        likelihoods.append(fit.objective + impossible**2)
        part = fit.core_voxels / fit.lesion_voxels
        found.append(
            CoreUptake(
                contrast=contrast,
                standard_error=error,
                depth=depth,
                volume_fraction=part,
                profile=((depth, max(contrast, -1.0)),),
            )
        )
    if not found:
        return None
    weight = np.exp(-0.5 * (np.array(likelihoods) - min(likelihoods)))
    weight /= weight.sum()
    profile = tuple((one.depth, w * one.profile[0][1]) for one, w in zip(found, weight.tolist(), strict=True))
    return replace(found[int(np.argmin(objectives))], profile=profile)


def relative_core_uptake(
    distance_mm: Float[np.ndarray, "i j k"], core: CoreUptake, *, spacing_mm: float
) -> Float32[np.ndarray, "i j k"]:
    """Returns the uptake within a lesion relative to that of its rim, 1 in the rim.

    Args:
      distance_mm: (i, j, k) signed distance to the contour of the lesion, negative inside.
      core: fitted core.
      spacing_mm: edge of a voxel.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import uncertainty
      >>> core = uncertainty.CoreUptake(
      ...     contrast=-0.8, standard_error=0.1, depth=0.5, volume_fraction=0.12, profile=((0.5, -0.8),)
      ... )
      >>> distance_mm = np.abs(np.arange(-30.0, 31.0, 4.0))[:, None, None] - 20.0  # a slab of 40 mm
      >>> shape = uncertainty.relative_core_uptake(distance_mm, core, spacing_mm=4.0)
      >>> np.round(shape[[4, 7], 0, 0], 1)  # 14 and 2 mm from the middle
      array([1. , 0.2], dtype=float32)
    """
    distance = np.asarray(distance_mm, np.float32)
    largest_mm = float(-distance.min())
    found = np.ones(distance.shape, np.float32)
    for depth, change in core.profile:
        found += np.float32(change) * np.clip(0.5 - (distance + depth * largest_mm) / spacing_mm, 0.0, 1.0)
    return np.asarray(np.maximum(found, 0.0), np.float32)


def _start(scene: CoreScene, weight: Values) -> Values:
    """Even uptake that fits best, without errors."""
    count = 1 + len(scene.share)
    unknowns = np.zeros(count + len(scene.prior))
    unknowns[0] = 1.0
    rows = derivatives(scene, core_image(scene, unknowns, core_depth=0.0))[:count]
    unknowns[:count] = np.linalg.solve(_regular((rows * weight) @ rows.T, count), rows @ (weight * scene.measured))
    return unknowns


def _weights(scene: CoreScene, errors: CoreErrors, liver_mean: float) -> Values:
    """Inverse variances of the voxels, from the concentrations that fit best with even weights."""
    start = _start(scene, np.ones(len(scene.measured)))
    image = core_image(scene, start, core_depth=0.0)
    concentration = np.maximum(predicted(scene, image), 0.02 * float(scene.measured.max()))
    # Blurred patterns change over more than the correlation of the noise, so a voxel counts as its part of a cell of
    # noise: the integral of its correlation, that of a filter twice.
    cell_mm3 = (4.0 * math.pi) ** 1.5 * (errors.noise_fwhm_mm * SIGMA_PER_FWHM) ** 3
    cells = cell_mm3 / float(np.prod(scene.spacing_mm))
    variance = errors.noise_fraction**2 * concentration * liver_mean * cells + (MODEL_ERROR * concentration) ** 2
    found: Values = 1.0 / variance
    return found


def _fit(scene: CoreScene, weight: Values, start: Values, *, core_depth: float, steps: int) -> _Fit:
    """Fits all unknowns by Gauss-Newton steps, each shortened until the objective is lower."""
    linear = len(start) - len(scene.prior)
    prior = np.concatenate([np.zeros(linear), scene.prior])
    contour = slice(linear + 4, linear + 4 + len(scene.outward_mm))

    def objective(values: Values) -> float:
        residual = scene.measured - predicted(scene, core_image(scene, values, core_depth=core_depth))
        return float(weight @ residual**2 + prior @ values**2)

    unknowns, lowest = start, objective(start)
    covariance: Values = np.zeros((len(start), len(start)))
    for _ in range(steps):
        image = core_image(scene, unknowns, core_depth=core_depth)
        rows = derivatives(scene, image)
        curvature = _regular((rows * weight) @ rows.T, linear) + np.diag(prior)
        covariance = np.asarray(np.linalg.inv(curvature), np.float64)
        residual = scene.measured - predicted(scene, image)
        change = covariance @ (rows @ (weight * residual) - prior * unknowns)
        longest = max(
            float(np.abs(change[linear : linear + 3]).max()) / LONGEST_SHIFT_MM,
            abs(float(change[linear + 3])) / LONGEST_WIDTH,
            float(np.abs(change[contour]).max(initial=0.0)) / LONGEST_CONTOUR,
            1.0,
        )
        for part in (1.0, 1 / 3, 1 / 9, 1 / 27):
            there = unknowns + change * (part / longest)
            reached = objective(there)
            if reached < lowest:
                break
        else:
            break
        gain, lowest, unknowns = lowest - reached, reached, there
        if gain < SMALLEST_GAIN:
            break
    volumes = core_image(scene, unknowns, core_depth=core_depth).occupancies.sum(axis=(1, 2, 3), dtype=np.float64)
    return _Fit(unknowns, covariance, lowest, float(volumes[0]), float(volumes[-1]) if core_depth > 0 else 0.0)


def _regular(products: Values, linear: int) -> Values:
    """Products with a ridge on the uptakes far below their rounding, for regions that can hardly be told apart."""
    found = products.copy()
    diagonal = np.arange(linear)
    found[diagonal, diagonal] *= 1.0 + 1e-8
    found[diagonal, diagonal] += 1e-12 * np.trace(products)
    return found
