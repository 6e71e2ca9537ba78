from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float

from sirtjax.errors import InputError
from sirtjax.partial_volume._blur import SIGMA_PER_FWHM, blur_unchecked, kernel_peak
from sirtjax.partial_volume._inputs import (
    check_array,
    check_masks,
    check_positive,
    check_same_grid,
    check_spacing,
    known,
)
from sirtjax.typing import Array, Scalar, Vector

# Resolutions that are tried first, then Gauss-Newton steps from the best one.
TRIALS = 24
STEPS = 12
# An edge must exceed its own standard error this many times, and the rounding errors of the image.
CONTRAST_STANDARD_ERRORS = 5.0
CONTRAST_ROUNDING = 1e-5


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class ResolutionEstimate:
    """The resolution of an image from the blurred edge of a region.

    Attributes:
      fwhm_mm: full width at half maximum of the Gaussian point spread function.
      standard_error_mm: standard error of `fwhm_mm`; infinite if the image does not determine it.
      foreground: activity inside the mask.
      background: activity outside the mask.
      residual_sd: standard deviation of image minus model, in the unit of the image.
    """

    fwhm_mm: Float[Array, "*batch"]
    standard_error_mm: Float[Array, "*batch"]
    foreground: Float[Array, "*batch"]
    background: Float[Array, "*batch"]
    residual_sd: Float[Array, "*batch"]


class _Edge(NamedTuple):
    image: jax.Array
    mask: jax.Array
    weight: jax.Array
    spacing_mm: jax.Array


class _Fit(NamedTuple):
    residual: jax.Array
    contrast: jax.Array
    background: jax.Array
    # Derivative of the blurred mask by the logarithm of the FWHM, orthogonal to the other parameters, and the reverse.
    widening: jax.Array
    blurred: jax.Array


def resolution_fwhm(
    image: Float[Array, "i j k"],
    mask: Float[Array, "i j k"],
    spacing_mm: Vector,
    *,
    margin_mm: Scalar = 20.0,
    noise_fwhm_mm: Scalar = 0.0,
    min_fwhm_mm: float = 2.0,
    max_fwhm_mm: float = 30.0,
    weights: Float[Array, "i j k"] | None = None,
) -> ResolutionEstimate:
    """Estimates the resolution of an image from its edge around a mask, with a standard error.

    Fits `background + (foreground - background) blur(mask, fwhm)` to the image by least squares over FWHM, foreground
    and background, in the mask and up to `margin_mm` around it. Mask, foreground and background must be those of a
    uniform region in uniform surroundings, such as a sphere of a phantom. Misaligned or inaccurate masks and motion
    widen the estimate: it is the width of the image around this mask, not only of the scanner.

    The standard error follows from the residuals and the curvature of the fit. It is infinite if the FWHM cannot be
    determined: the contrast is below 5 of its own standard errors (a flat edge), or the estimate is at a limit of the
    search. Then ignore `fwhm_mm`. Noise of reconstructed images is correlated: state its correlation in
    `noise_fwhm_mm`, otherwise the standard error is too small. It does not include errors of the mask.

    Differentiable with respect to the image and the mask, by the implicit derivative of the optimum.

    Args:
      image: (i, j, k) measured concentration.
      mask: (i, j, k) occupancy of the region, 0 to 1.
      spacing_mm: (3,) voxel spacing.
      margin_mm: approximate distance from the mask to the farthest voxel that is used.
      noise_fwhm_mm: FWHM of the Gaussian filter that correlates the noise; 0 for independent voxels.
      min_fwhm_mm: smallest FWHM of the search.
      max_fwhm_mm: largest FWHM of the search.
      weights: (i, j, k) weights of the voxels instead of the margin, such as 0 in other lesions.

    Raises:
      InputError: an empty mask, another grid, values that are not finite, or a range that is not positive and rising.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import partial_volume
      >>> mask = np.zeros((24, 24, 24), np.float32)
      >>> mask[8:16, 8:16, 8:16] = 1.0
      >>> image = partial_volume.gaussian_blur(1.0 + 3.0 * mask, (3.0, 3.0, 3.0), 9.0)
      >>> found = partial_volume.resolution_fwhm(image, mask, (3.0, 3.0, 3.0))
      >>> round(float(found.fwhm_mm), 2), round(float(found.foreground), 2), round(float(found.background), 2)
      (9.0, 4.0, 1.0)
      >>> float(partial_volume.resolution_fwhm(np.ones_like(mask), mask, (3.0, 3.0, 3.0)).standard_error_mm)
      inf
    """
    _check(image, mask, spacing_mm, margin_mm, noise_fwhm_mm, (min_fwhm_mm, max_fwhm_mm), weights)
    dtype = jnp.result_type(image, mask, jnp.float32)
    region = jnp.asarray(mask, dtype)
    used = _near(region, spacing_mm, margin_mm) if weights is None else jnp.asarray(weights, dtype)
    edge = _Edge(jnp.asarray(image, dtype), region, used, jnp.asarray(spacing_mm, dtype))
    low, high = math.log(min_fwhm_mm), math.log(max_fwhm_mm)
    found = _implicit(_search(edge, low, high), edge)
    fit = _fit(found, edge)
    error, contrast_error = _standard_errors(fit, edge, noise_fwhm_mm)
    largest = jnp.max(jnp.abs(edge.image) * (used > 0))
    needed = jnp.maximum(CONTRAST_STANDARD_ERRORS * contrast_error, CONTRAST_ROUNDING * largest)
    inside = (found > low + 1e-3) & (found < high - 1e-3)
    determined = inside & (jnp.abs(fit.contrast) > needed) & jnp.isfinite(error)
    return ResolutionEstimate(
        fwhm_mm=jnp.exp(found),
        standard_error_mm=jnp.where(determined, jnp.exp(found) * error, jnp.inf),
        foreground=fit.background + fit.contrast,
        background=fit.background,
        residual_sd=_residual_sd(fit, edge),
    )


def _check(
    image: Array,
    mask: Array,
    spacing_mm: Vector,
    margin_mm: Scalar,
    noise_fwhm_mm: Scalar,
    limits_mm: tuple[float, float],
    weights: Array | None,
) -> None:
    check_array("image", image, axes=3)
    check_array("mask", mask, axes=3)
    check_masks(mask[None], disjoint=False)
    check_same_grid(image, mask[None])
    check_spacing(spacing_mm)
    check_positive("margin_mm", margin_mm)
    if not 0 < limits_mm[0] < limits_mm[1] < math.inf:
        raise InputError(f"min_fwhm_mm, max_fwhm_mm: expected a rising range above 0, got {limits_mm}")
    if known(noise_fwhm_mm) and not 0 <= float(noise_fwhm_mm) < math.inf:
        raise InputError(f"noise_fwhm_mm: expected a number of at least 0, got {noise_fwhm_mm}")
    if weights is not None:
        check_array("weights", weights, axes=3)
        check_same_grid(image, weights[None])


def _near(mask: jax.Array, spacing_mm: Vector, margin_mm: Scalar) -> jax.Array:
    # A Gaussian of a third of the margin: three standard deviations from a flat face 0.00135 is left.
    blurred = blur_unchecked(mask, spacing_mm, jnp.asarray(margin_mm) / (3.0 * SIGMA_PER_FWHM))
    return jax.lax.stop_gradient((blurred > 0.00135).astype(mask.dtype))


def _fit(log_fwhm: jax.Array, edge: _Edge) -> _Fit:
    """Fits foreground and background at one FWHM; both are linear."""

    def model(t: jax.Array) -> jax.Array:
        return blur_unchecked(edge.mask, edge.spacing_mm, jnp.exp(t))

    blurred, widening = jax.jvp(model, (log_fwhm,), (jnp.ones_like(log_fwhm),))
    total = edge.weight.sum()

    def centre(array: jax.Array) -> tuple[jax.Array, jax.Array]:
        mean = jnp.sum(edge.weight * array) / total
        return array - mean, mean

    y, mean_y = centre(edge.image)
    b, mean_b = centre(blurred)
    d, _ = centre(widening)
    contrast = _dot(edge, b, y) / _dot(edge, b, b)
    return _Fit(
        residual=y - contrast * b,
        contrast=contrast,
        background=mean_y - contrast * mean_b,
        widening=d - _dot(edge, b, d) / _dot(edge, b, b) * b,
        blurred=b - _dot(edge, b, d) / _dot(edge, d, d) * d,
    )


def _dot(edge: _Edge, a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.sum(edge.weight * a * b)


def _search(edge: _Edge, low: float, high: float) -> jax.Array:
    """Returns the logarithm of the best FWHM, without derivatives."""
    edge = jax.lax.stop_gradient(edge)

    def cost(log_fwhm: jax.Array) -> jax.Array:
        residual = _fit(log_fwhm, edge).residual
        return _dot(edge, residual, residual)

    trials = jnp.linspace(low, high, TRIALS, dtype=edge.image.dtype)
    start = trials[jnp.argmin(jax.lax.map(cost, trials))]

    def step(log_fwhm: jax.Array, _: None) -> tuple[jax.Array, None]:
        fit = _fit(log_fwhm, edge)
        change = _dot(edge, fit.widening, fit.residual) / (fit.contrast * _dot(edge, fit.widening, fit.widening))
        # Without an edge the change is not a number; the estimate then stays, with an infinite standard error.
        change = jnp.where(jnp.isfinite(change), jnp.clip(change, -0.3, 0.3), 0.0)
        return jnp.clip(log_fwhm + change, low, high), None

    return jax.lax.stop_gradient(jax.lax.scan(step, start, None, length=STEPS)[0])


def _implicit(log_fwhm: jax.Array, edge: _Edge) -> jax.Array:
    """Adds the derivative of the optimum with respect to the data, by the implicit function theorem."""

    def score(t: jax.Array) -> jax.Array:
        fit = _fit(t, edge)
        return fit.contrast * _dot(edge, fit.widening, fit.residual)

    value, curvature = jax.jvp(score, (log_fwhm,), (jnp.ones_like(log_fwhm),))
    curvature = jax.lax.stop_gradient(curvature)
    usable = curvature < 0.0
    step = jnp.where(usable, value / jnp.where(usable, curvature, 1.0), 0.0)
    # The step is 0 at the optimum except for rounding: only its derivative is used.
    return log_fwhm - (step - jax.lax.stop_gradient(step))


def _residual_sd(fit: _Fit, edge: _Edge) -> jax.Array:
    used = jnp.sum(edge.weight > 0)
    return jnp.sqrt(_dot(edge, fit.residual, fit.residual) / edge.weight.sum() * used / jnp.maximum(used - 3, 1))


def _standard_errors(fit: _Fit, edge: _Edge, noise_fwhm_mm: Scalar) -> tuple[jax.Array, jax.Array]:
    """Returns the standard errors of the logarithm of the FWHM and of the contrast."""
    noise = jnp.asarray(noise_fwhm_mm, edge.image.dtype)
    # Filtered noise is correlated by the filter convolved with itself.
    correlation_mm = math.sqrt(2.0) * noise
    peak = kernel_peak(edge.spacing_mm, correlation_mm)

    def error(direction: jax.Array) -> jax.Array:
        # Weights are inverse variances, so the noise of a weighted voxel is that of weight 1.
        influence = jnp.sqrt(edge.weight) * direction / _dot(edge, direction, direction)
        related = blur_unchecked(influence, edge.spacing_mm, correlation_mm) / peak
        return _residual_sd(fit, edge) * jnp.sqrt(jnp.maximum(jnp.sum(influence * related), 0.0))

    return error(fit.widening) / jnp.abs(fit.contrast), error(fit.blurred)
