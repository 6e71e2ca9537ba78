"""Energy along straight rays through the patient's densities: the sums behind the cone method."""

from __future__ import annotations

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from sirtjax.dosimetry._local import AIR_DENSITY_G_PER_ML
from sirtjax.dosimetry._radial import TISSUE_ELECTRONS_PER_WATER, RadialKernel
from sirtjax.typing import Array

Frame = tuple[jax.Array, jax.Array, jax.Array]
Frames = tuple[jax.Array, jax.Array, jax.Array, jax.Array]
Step = tuple[jax.Array, jax.Array, Frames]

# Numbers of steps along a ray, short near the source where its dose varies fastest. They reach 48 mm and, for light
# lung, 75 mm.
STEP_COUNTS = (9, 12)

# Directions of half a sphere; each is followed both ways.
_HALF_DIRECTIONS = 12
_DEGREE = 10

# A point of a ray next to an interface averages two tissues. Mean activity over mean density is too high there and the
# mean of activity over density too low; this weight of the second was fitted to a Monte Carlo of a slab.
_WEIGHT_OF_RATIO = 0.2


def step_lengths_mm(steps: int) -> tuple[float, ...]:
    """Returns the lengths of the steps of a ray."""
    return tuple(min(1.5**n, 9.0) for n in range(steps))


@partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def ray_sum(
    activity: Float[Array, "i j k"],
    density_g_per_ml: Float[Array, "i j k"],
    spacing_mm: Float[Array, "3"],
    radial: RadialKernel,
    reach_voxels: int,
    steps: int,
) -> Float[jax.Array, "i j k"]:
    """Computes the energy per mass that reaches each voxel from all sources along straight rays.

    Dose is collected (gathered) from the sources of 24 directions, each with the water-equivalent depth between source
    and voxel. Energy of a shell of the radial kernel between two depths goes to the mass between them, so it is divided
    by the density at the source's end of the ray, where the step is.

    Args:
      activity: (i, j, k) energy or activity emitted per voxel.
      density_g_per_ml: (i, j, k) mass density; air is counted with a floor.
      spacing_mm: (3,) voxel spacing along i, j, k, on orthogonal axes.
      radial: point kernel in water.
      reach_voxels: static number of voxels that the steps span on the finest axis.
      steps: static number of steps along a ray, of `STEP_COUNTS`.

    Returns:
      (i, j, k) emitted units per voxel divided by g/mL. The gradient in activity is the adjoint sum, which costs about
      as much as the sum; the gradients in density and spacing recompute each direction.
    """
    return _gather(activity, density_g_per_ml, spacing_mm, radial, reach_voxels, steps)


def _gather(
    activity: Array, density: Array, spacing_mm: Array, radial: RadialKernel, reach: int, steps: int
) -> jax.Array:
    shape = activity.shape
    heavy = jnp.maximum(jnp.asarray(density, jnp.float32), AIR_DENSITY_G_PER_ML)
    padded = jnp.pad(heavy, reach, mode="edge")
    sources = jnp.pad(activity, reach), jnp.pad(activity / heavy, reach)

    @jax.checkpoint
    def direction(total: jax.Array, unit: jax.Array) -> tuple[jax.Array, None]:
        def step(carry: Frame, along: jax.Array) -> tuple[Frame, None]:
            depth, before, collected = carry
            offset = -along[1] * unit / spacing_mm
            local = _shifted(padded, offset, shape, reach)
            depth = depth + TISSUE_ELECTRONS_PER_WATER * along[0] * local
            absorbed = _cumulative(depth, radial)
            mean, ratio = (_shifted(source, offset, shape, reach) for source in sources)
            source = (1.0 - _WEIGHT_OF_RATIO) * mean / local + _WEIGHT_OF_RATIO * ratio
            return (depth, absorbed, collected + (absorbed - before) * source), None

        nothing = jnp.zeros(shape, jnp.float32)
        (_, _, total), _ = jax.lax.scan(step, (nothing, nothing, total), _steps(steps))
        return total, None

    total, _ = jax.lax.scan(direction, jnp.zeros(shape, jnp.float32), _directions())
    return total / (2 * _HALF_DIRECTIONS)


def _scatter(
    given: Array, density: Array, spacing_mm: Array, radial: RadialKernel, reach: int, steps: int
) -> jax.Array:
    """Computes the adjoint of `_gather` in the activity: each voxel returns what it collected to the sources."""
    shape = given.shape
    heavy = jnp.maximum(jnp.asarray(density, jnp.float32), AIR_DENSITY_G_PER_ML)
    padded = jnp.pad(heavy, reach, mode="edge")
    frame = jnp.zeros([n + 2 * reach for n in shape], jnp.float32)

    def direction(carry: Frames, unit: jax.Array) -> tuple[Frames, None]:
        def step(carry: Step, along: jax.Array) -> tuple[Step, None]:
            depth, before, (mean, ratio, first, second) = carry
            offset = -along[1] * unit / spacing_mm
            local = _shifted(padded, offset, shape, reach)
            depth = depth + TISSUE_ELECTRONS_PER_WATER * along[0] * local
            absorbed = _cumulative(depth, radial)
            share = (absorbed - before) * given
            # The frame's border stays zero, so only its inside is written in every step.
            first = jax.lax.dynamic_update_slice(first, share / local, (reach,) * 3)
            second = jax.lax.dynamic_update_slice(second, share, (reach,) * 3)
            mean = mean + _shifted(first, -offset, shape, reach)
            ratio = ratio + _shifted(second, -offset, shape, reach)
            return (depth, absorbed, (mean, ratio, first, second)), None

        nothing = jnp.zeros(shape, jnp.float32)
        (_, _, carry), _ = jax.lax.scan(step, (nothing, nothing, carry), _steps(steps))
        return carry, None

    nothing = jnp.zeros(shape, jnp.float32)
    (mean, ratio, _, _), _ = jax.lax.scan(direction, (nothing, nothing, frame, frame), _directions())
    both = (1.0 - _WEIGHT_OF_RATIO) * mean + _WEIGHT_OF_RATIO * ratio / heavy
    return both / (2 * _HALF_DIRECTIONS)


def _forward(
    activity: Array, density: Array, spacing_mm: Array, radial: RadialKernel, reach: int, steps: int
) -> tuple[jax.Array, tuple[Array, Array, Array]]:
    return _gather(activity, density, spacing_mm, radial, reach, steps), (activity, density, spacing_mm)


def _backward(
    radial: RadialKernel, reach: int, steps: int, saved: tuple[Array, Array, Array], given: jax.Array
) -> tuple[jax.Array, ...]:
    activity, density, spacing_mm = saved
    in_activity = _scatter(given, density, spacing_mm, radial, reach, steps)
    # Where only the gradient in activity is used, the compiler removes the rest.
    _, pull = jax.vjp(lambda rho, step: _gather(activity, rho, step, radial, reach, steps), density, spacing_mm)
    return (in_activity, *pull(given))


ray_sum.defvjp(_forward, _backward)


def _shifted(padded: Array, offset: jax.Array, shape: tuple[int, ...], reach: int) -> jax.Array:
    """Interpolates a padded volume linearly at every voxel plus an offset in voxels."""
    low = jnp.floor(offset)
    upper = offset - low
    start = low.astype(jnp.int32) + reach
    total = jnp.zeros(shape, jnp.float32)
    for corner in np.ndindex(2, 2, 2):
        weight = jnp.prod(jnp.where(np.asarray(corner) == 1, upper, 1.0 - upper))
        total = total + weight * jax.lax.dynamic_slice(padded, start + np.asarray(corner), shape)
    return total


def _cumulative(depth_mm: jax.Array, radial: RadialKernel) -> jax.Array:
    """Computes the fraction of the energy absorbed within a depth of water, as a polynomial (off by 5e-4)."""
    u = jnp.clip(depth_mm / radial.range_mm, 0.0, 1.0)
    inner = jnp.zeros_like(u)
    for coefficient in _polynomial(radial)[::-1]:
        inner = (inner + coefficient) * u
    return u + (1.0 - u) * inner


@cache
def _polynomial(radial: RadialKernel) -> tuple[float, ...]:
    # F(u) = u + (1 - u) (c1 u + c2 u^2 + ..) is 0 and 1 at the ends whatever the coefficients.
    u = np.asarray((0.0, *radial.outer_radius_mm)) / radial.range_mm
    cumulative = np.concatenate([[0.0], np.cumsum(radial.fractions)])
    basis = (1 - u)[:, None] * u[:, None] ** np.arange(1, _DEGREE)
    fitted = np.linalg.lstsq(basis, cumulative - u, rcond=None)[0]
    return tuple(float(c) for c in fitted)


def _directions() -> jax.Array:
    # A Fibonacci lattice: directions along a lattice of the voxels repeat the same voxels and err by more.
    index = np.arange(_HALF_DIRECTIONS)
    cosine = (index + 0.5) / _HALF_DIRECTIONS
    azimuth = np.pi * (1 + np.sqrt(5)) * index
    sine = np.sqrt(1 - cosine**2)
    half = np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), cosine], axis=-1)
    return jnp.asarray(np.concatenate([half, -half]), jnp.float32)


def _steps(steps: int) -> jax.Array:
    """Returns (steps, 2): length and distance of the middle of each step, mm."""
    length = np.asarray(step_lengths_mm(steps))
    return jnp.asarray(np.stack([length, np.cumsum(length) - length / 2], axis=-1), jnp.float32)
