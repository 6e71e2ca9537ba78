from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from sirtjax.errors import InputError
from sirtjax.partial_volume._blur import blur_unchecked
from sirtjax.partial_volume._inputs import check_array, check_fwhm, check_positive, check_spacing
from sirtjax.typing import Array, Scalar, Vector


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Deconvolution:
    """A deconvolved image and how the iteration stopped.

    Attributes:
      image: (i, j, k) deconvolved image, not negative.
      iterations: number of iterations.
      relative_change: norm of the last change divided by the norm of the image before it.
    """

    image: Float[Array, "*batch i j k"]
    iterations: Int[Array, "*batch"]
    relative_change: Float[Array, "*batch"]


def richardson_lucy(
    image: Float[Array, "i j k"],
    spacing_mm: Vector,
    fwhm_mm: Scalar | Vector,
    *,
    max_iterations: int = 30,
    relative_change: Scalar = 0.01,
) -> Deconvolution:
    """Deconvolves an image by the Richardson-Lucy iteration until it changes little.

    `x <- x * blur(image / blur(x))`, started from the image with negative voxels set to 0, as in PETPVC. It stops when
    the norm of a change divided by the norm of x is below `relative_change`, or after `max_iterations`. PETPVC stops
    after a number of iterations (10 by default). No masks are needed. The image is never negative, and its total is
    preserved. Each iteration amplifies noise and, at edges, overshoots inside and undershoots outside (Gibbs artefact),
    so stop early.

    Not differentiable in reverse mode: use `richardson_lucy_fixed`. Under `vmap` each image stops on its own.

    Args:
      image: (i, j, k) measured concentration.
      spacing_mm: (3,) voxel spacing.
      fwhm_mm: resolution of the image, one number or one per axis.
      max_iterations: largest number of iterations, static.
      relative_change: change at which the iteration stops.

    Raises:
      InputError: `max_iterations` is below 1, values that are not finite, or a spacing, FWHM or change that is not
        positive.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import partial_volume
      >>> truth = np.ones((20, 20, 20), np.float32)
      >>> truth[6:14, 6:14, 6:14] = 4.0
      >>> image = partial_volume.gaussian_blur(truth, (3.0, 3.0, 3.0), 9.0)
      >>> result = partial_volume.richardson_lucy(image, (3.0, 3.0, 3.0), 9.0)
      >>> bool(result.relative_change < 0.01), round(float(result.image.sum() / image.sum()), 4)
      (True, 1.0)
      >>> inside = truth > 1.0
      >>> round(float(image[inside].mean()), 2), round(float(result.image[inside].mean()), 2)
      (3.04, 3.5)

    Reference:
      Richardson, J Opt Soc Am 62:55-59, 1972; Lucy, Astron J 79:745-754, 1974; Tohka and Reilhac, NeuroImage
      39:1570-1584, 2008 (for PET); Thomas et al., Phys Med Biol 61:7975-7993, 2016.
    """
    _check(image, spacing_mm, fwhm_mm, max_iterations, name="max_iterations")
    check_positive("relative_change", relative_change)
    measured = _non_negative(image)
    start = (measured, jnp.zeros((), jnp.int32), jnp.asarray(jnp.inf, measured.dtype))

    def unfinished(state: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        _, count, change = state
        return (count < max_iterations) & (change >= relative_change)

    def step(state: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        before, count, _ = state
        after = _iterate(before, measured, spacing_mm, fwhm_mm)
        # A floor for an image of zeros, which does not change.
        size = jnp.maximum(jnp.linalg.norm(before.ravel()), 1e-30)
        return after, count + 1, jnp.linalg.norm((after - before).ravel()) / size

    deconvolved, count, change = jax.lax.while_loop(unfinished, step, start)
    return Deconvolution(image=deconvolved, iterations=count, relative_change=change)


def richardson_lucy_fixed(
    image: Float[Array, "i j k"], spacing_mm: Vector, fwhm_mm: Scalar | Vector, *, iterations: int
) -> Float[jax.Array, "i j k"]:
    """Deconvolves an image by a fixed number of Richardson-Lucy iterations, with reverse-mode gradients.

    The same iteration as in `richardson_lucy`, without its criterion. Each iteration is computed again for the
    gradient, so memory is one image per iteration.

    Args:
      image: (i, j, k) measured concentration.
      spacing_mm: (3,) voxel spacing.
      fwhm_mm: resolution of the image, one number or one per axis.
      iterations: number of iterations, static; PETPVC's default is 10.

    Returns:
      (i, j, k) deconvolved image, not negative, with the total of the image's voxels above 0.

    Raises:
      InputError: `iterations` is below 1, values that are not finite, or a spacing or FWHM that is not positive.
    """
    _check(image, spacing_mm, fwhm_mm, iterations, name="iterations")
    measured = _non_negative(image)

    @jax.checkpoint
    def step(estimate: jax.Array, _: None) -> tuple[jax.Array, None]:
        return _iterate(estimate, measured, spacing_mm, fwhm_mm), None

    return jax.lax.scan(step, measured, None, length=iterations)[0]


def _check(image: Array, spacing_mm: Vector, fwhm_mm: Scalar | Vector, count: int, *, name: str) -> None:
    check_array("image", image, axes=3)
    check_spacing(spacing_mm)
    check_fwhm("fwhm_mm", fwhm_mm)
    if count < 1:
        raise InputError(f"{name}: expected at least 1, got {count}")


def _non_negative(image: Array) -> jax.Array:
    return jnp.maximum(jnp.asarray(image, jnp.result_type(image, jnp.float32)), 0.0)


def _iterate(estimate: jax.Array, measured: jax.Array, spacing_mm: Vector, fwhm_mm: Scalar | Vector) -> jax.Array:
    blurred = blur_unchecked(estimate, spacing_mm, fwhm_mm)
    # Where the blurred estimate is 0 the image is 0 too, because the iteration starts from it.
    usable = blurred > 0.0
    ratio = jnp.where(usable, measured / jnp.where(usable, blurred, 1.0), 0.0)
    # The reflecting blur is its own transpose.
    return estimate * blur_unchecked(ratio, spacing_mm, fwhm_mm)
