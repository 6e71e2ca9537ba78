from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float

from sirtjax.ops import full_precision
from sirtjax.partial_volume._blur import blur_unchecked, kernel_peak
from sirtjax.partial_volume._inputs import (
    check_array,
    check_fwhm,
    check_masks,
    check_positive,
    check_same_grid,
    check_spacing,
)
from sirtjax.typing import Array, Scalar, Vector

STEPS = 10
# A longer step would leave the region in which the blurred masks are nearly linear in the shift.
LONGEST_STEP_MM = 6.0
# FWHM of the kernel over which the errors of neighbouring voxels count as related, in FWHM of the image.
REACH_IN_FWHM = 3.0
# Factor on the standard error of that estimator: 16 phantoms with uneven uptake (benchmarks/mask_alignment.py, seeds 0
# to 7) had errors 1.2 to 2.6 times as large, because a gradient of uptake looks like a shift.
INFLATION = 2.0
SMALLEST = 1e-30
# Errors of the largest voxel in single precision, as seen in images without noise.
ROUNDING = 1e-5


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class MaskAlignment:
    """The translation of masks that fits them to an activity image, with its uncertainty.

    Attributes:
      shift_mm: translation of the masks along the three axes of the grid, in mm.
      covariance_mm2: covariance of `shift_mm`. Without an edge in the image it is that of the prior.
      concentrations: activity of each region, in the unit of the image.
      residual_sd_before: standard deviation of image minus model with the masks as they are.
      residual_sd: standard deviation of image minus model with the shifted masks.
    """

    shift_mm: Float[Array, "*batch 3"]
    covariance_mm2: Float[Array, "*batch 3 3"]
    concentrations: Float[Array, "*batch n"]
    residual_sd_before: Float[Array, "*batch"]
    residual_sd: Float[Array, "*batch"]

    @property
    def standard_error_mm(self) -> Float[Array, "*batch 3"]:
        """Standard error of the shift along each axis, mm."""
        return jnp.sqrt(jnp.diagonal(jnp.asarray(self.covariance_mm2), axis1=-2, axis2=-1))


class _Scene(NamedTuple):
    image: jax.Array
    masks: jax.Array
    weight: jax.Array
    spacing_mm: jax.Array
    fwhm_mm: jax.Array


class _Fit(NamedTuple):
    residual: jax.Array
    concentrations: jax.Array
    # Change of the model per mm of shift, without what other concentrations could make up for.
    slopes: jax.Array


def align_masks(
    image: Float[Array, "i j k"],
    masks: Float[Array, "n i j k"],
    spacing_mm: Vector,
    fwhm_mm: Scalar | Vector,
    *,
    prior_sd_mm: Scalar = 6.0,
    margin_mm: Scalar = 20.0,
    weights: Float[Array, "i j k"] | None = None,
) -> MaskAlignment:
    """Fits a translation of masks to an activity image through the blur of the scanner.

    Minimises `|image - blur(sum of concentration x mask(x - shift))|^2` over one shift for all masks, by Gauss-Newton
    steps. The concentrations follow by linear least squares. A normal prior keeps the shift near 0 where the image has
    no edge. The standard error is estimated from the residuals, so that uneven uptake and other errors of the model
    widen it.

    Each region must have nearly uniform uptake. Provide perfused and unperfused liver as separate regions: one region
    for a liver of which only a part is perfused would move towards that part. Only a translation is fitted, no rotation
    or deformation. The result is a proposal. Show it to a person before applying it.

    Args:
      image: (i, j, k) measured counts or concentration.
      masks: (n, i, j, k) occupancies that do not overlap, such as lesions, perfused and other liver, and the rest
        (`with_background`).
      spacing_mm: (3,) voxel spacing.
      fwhm_mm: resolution of the image, one number or one per axis.
      prior_sd_mm: standard deviation of the shift that is expected before looking at the image, along each axis.
      margin_mm: distance around all regions but the last up to which voxels are used.
      weights: (i, j, k) weights of the voxels instead of the margin.

    Raises:
      InputError: masks that overlap, are empty, have another grid or values outside 0 to 1; values that are not
        finite; or a spacing, FWHM, margin or prior that is not positive.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import partial_volume
      >>> lesion = np.zeros((1, 24, 24, 24), np.float32)
      >>> lesion[0, 8:16, 8:16, 8:16] = 1.0
      >>> moved = np.roll(1.0 + 4.0 * lesion[0], 1, axis=0)  # by one voxel of 4 mm
      >>> image = partial_volume.gaussian_blur(moved, (4.0, 4.0, 4.0), 12.0)
      >>> regions = partial_volume.with_background(lesion)
      >>> found = partial_volume.align_masks(image, regions, (4.0, 4.0, 4.0), 12.0)
      >>> [round(abs(float(mm)), 1) for mm in found.shift_mm]
      [4.0, 0.0, 0.0]
    """
    check_array("image", image, axes=3)
    check_masks(masks, disjoint=True)
    check_same_grid(image, masks)
    check_spacing(spacing_mm)
    check_fwhm("fwhm_mm", fwhm_mm)
    check_positive("prior_sd_mm", prior_sd_mm)
    check_positive("margin_mm", margin_mm)
    if weights is not None:
        check_array("weights", weights, axes=3)
        check_same_grid(image, weights[None])
    dtype = jnp.result_type(image, masks, jnp.float32)
    regions = jnp.asarray(masks, dtype)
    used = _near(regions, spacing_mm, margin_mm) if weights is None else jnp.asarray(weights, dtype)
    # Scaled, so that counts of any size keep the sums of squares in the range of single precision.
    scale = jnp.maximum(jnp.max(jnp.abs(jnp.asarray(image, dtype)) * (used > 0)), SMALLEST)
    scene = _Scene(
        jnp.asarray(image, dtype) / scale,
        regions,
        used,
        jnp.asarray(spacing_mm, dtype),
        jnp.broadcast_to(jnp.asarray(fwhm_mm, dtype), (3,)),
    )
    known = jnp.eye(3, dtype=dtype) / jnp.asarray(prior_sd_mm, dtype) ** 2

    def step(shift_mm: jax.Array, _: None) -> tuple[jax.Array, None]:
        fit = _fit(shift_mm, scene)
        information, downhill = _information(fit, scene)
        change = jnp.linalg.solve(information + known, downhill - known @ shift_mm)
        length = jnp.linalg.norm(change)
        return shift_mm + change * jnp.minimum(1.0, LONGEST_STEP_MM / jnp.maximum(length, 1e-6)), None

    start = jnp.zeros(3, dtype)
    found, _ = jax.lax.scan(step, start, None, length=STEPS)
    fit = _fit(found, scene)
    information, _ = _information(fit, scene)
    return MaskAlignment(
        shift_mm=found,
        covariance_mm2=jnp.linalg.inv(information + known),
        concentrations=fit.concentrations * scale,
        residual_sd_before=scale * _residual_sd(_fit(start, scene), scene),
        residual_sd=scale * _residual_sd(fit, scene),
    )


def _near(masks: jax.Array, spacing_mm: Vector, margin_mm: Scalar) -> jax.Array:
    # A Gaussian of a third of the margin: three standard deviations from a flat face 0.00135 is left.
    inside = masks[:-1].sum(axis=0) if masks.shape[0] > 1 else masks[0]
    width = jnp.asarray(margin_mm) * math.sqrt(8.0 * math.log(2.0)) / 3.0
    return jax.lax.stop_gradient((blur_unchecked(inside, spacing_mm, width) > 0.00135).astype(masks.dtype))


def _fit(shift_mm: jax.Array, scene: _Scene) -> _Fit:
    """Fits the concentrations at one shift."""

    def shifted(mask: jax.Array, by_mm: jax.Array) -> jax.Array:
        return blur_unchecked(mask, scene.spacing_mm, scene.fwhm_mm, shift_mm=by_mm)

    blurred = jax.lax.map(lambda mask: shifted(mask, shift_mm), scene.masks)
    count = scene.masks.shape[0]
    products = jnp.stack([_sums(blurred, blurred[j], scene) for j in range(count)])
    # A ridge far below the rounding of the sums, for regions whose voxels all have no weight.
    products = products + 1e-7 * jnp.trace(products) / count * jnp.eye(count, dtype=products.dtype)
    concentrations = jnp.linalg.solve(products, _sums(blurred, scene.image, scene))
    activity = _mixed(concentrations, scene.masks)
    _, slopes = jax.lax.map(
        lambda axis: jax.jvp(lambda s: shifted(activity, s), (shift_mm,), (axis,)), jnp.eye(3, dtype=shift_mm.dtype)
    )
    others = jnp.linalg.solve(products, jnp.stack([_sums(blurred, slope, scene) for slope in slopes], axis=1))
    free = slopes - jnp.stack([_mixed(others[:, axis], blurred) for axis in range(3)])
    return _Fit(scene.image - _mixed(concentrations, blurred), concentrations, free)


def _mixed(amounts: jax.Array, arrays: jax.Array) -> jax.Array:
    mixed: jax.Array = jnp.tensordot(amounts, arrays, axes=1, precision=jax.lax.Precision.HIGHEST)
    return mixed


def _sums(arrays: jax.Array, image: jax.Array, scene: _Scene) -> jax.Array:
    sums: jax.Array = jnp.tensordot(arrays, scene.weight * image, axes=3, precision=jax.lax.Precision.HIGHEST)
    return sums


def _residual_sd(fit: _Fit, scene: _Scene) -> jax.Array:
    return jnp.sqrt(jnp.sum(scene.weight * fit.residual**2) / scene.weight.sum())


@full_precision
def _information(fit: _Fit, scene: _Scene) -> tuple[jax.Array, jax.Array]:
    """Returns the inverse covariance of the shift without the prior, and its product with the next step.

    The sandwich estimator: the scores of neighbouring voxels count together, each as large as it is found. Uneven
    uptake in a hot lesion, where the shift is measured best, then widens the standard error as it should.
    """
    curvature = jnp.stack([_sums(fit.slopes, slope, scene) for slope in fit.slopes])
    scores = (scene.weight * fit.residual)[None] * fit.slopes
    reach = REACH_IN_FWHM * scene.fwhm_mm
    peak = kernel_peak(scene.spacing_mm, reach)
    together = [blur_unchecked(score, scene.spacing_mm, reach) / peak for score in scores]
    spread = jnp.stack(
        [jnp.tensordot(scores, other, axes=3, precision=jax.lax.Precision.HIGHEST) for other in together]
    )
    spread = 0.5 * (spread + spread.T)
    # Rounding of an image without noise; also where no image has an edge.
    floor = ROUNDING**2 * jnp.trace(curvature) + SMALLEST
    spread = jax.lax.stop_gradient(spread + floor * jnp.eye(3, dtype=spread.dtype))
    inverse = jnp.linalg.solve(INFLATION**2 * spread, curvature).T
    downhill: jax.Array = inverse @ _sums(fit.slopes, fit.residual, scene)
    return inverse @ curvature, downhill
