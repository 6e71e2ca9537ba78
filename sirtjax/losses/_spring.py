from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Float

from sirtjax.losses._differences import check_field
from sirtjax.typing import Array, Vector

# Spring constants along edges, face diagonals and body diagonals. On a cubic lattice of pitch h the moduli are
# C11 = (k1 + 2 k2 + 4/3 k3) / h and C12 = C44 = (k2 + 4/3 k3) / h. It is isotropic for k1 = k2 + 8/3 k3, which 18 and
# 26 neighbours fulfil here, with the same moduli; 6 neighbours resist no shear.
CONSTANTS = {6: (1.0, 0.0, 0.0), 18: (1.0, 1.0, 0.0), 26: (1.5, 0.5, 0.375)}
# One of each two opposite directions, so that every pair of voxels is connected once.
DIRECTIONS = tuple(direction for direction in product((-1, 0, 1), repeat=3) if direction > (0, 0, 0))
# Voxels added around the grid, where directions reach out of it; the first axis is never followed downwards.
PADDING = ((0, 1), (1, 1), (1, 1))
HOME = (0, 1, 1)
# Two voxels that coincide are held this far apart, in parts of their distance at rest: a length has no slope at zero.
MIN_STRETCH = 1e-4


def spring_energy(
    displacement_mm: Float[Array, "i j k 3"],
    spacing_mm: Vector,
    *,
    rigidity: Float[Array, "i j k"] | None = None,
    neighbours: Literal[6, 18, 26] = 18,
) -> Float[jax.Array, ""]:
    """Computes the energy per voxel of springs between neighbouring voxels that resist stretching.

    `sum over directions of the mean over pairs (a, b) of k_ab / 2 (|r_ab + u_b - u_a| - |r_ab|)^2` in mm^2, each pair
    once, r_ab the step between the voxels in mm. Zero for any rigid motion, large ones included. A length says
    nothing about orientation: inversion needs a penalty of its own (`folding_penalty`). As r is proportional to
    the spacing, the energy of a given strain grows with its square. For a small strain on a cubic grid 18 and 26
    neighbours are the isotropic solid with both Lamé constants equal; 6 neighbours let layers slide.

    Args:
      displacement_mm: (i, j, k, 3) displacement along the grid's axes, which are those of the world.
      spacing_mm: (3,) voxel size; may be traced.
      rigidity: (i, j, k) factor on the spring constants, non-negative; a spring takes the mean of its two ends. All
        one by default.
      neighbours: 6, 18 or 26 neighbours of a voxel; static.

    Returns:
      Scalar in mm^2, at least 0.

    Raises:
      ValueError: the number of neighbours is not supported, or the shapes do not match.

    Reference:
      The model is described in De Moor et al., IEEE NSS/MIC 2006; the formula here is a reconstruction of it. Moduli:
      Born and Huang, Dynamical Theory of Crystal Lattices, 1954.
    """
    check_field(displacement_mm, rigidity)
    if neighbours not in CONSTANTS:
        raise ValueError(f"neighbours must be 6, 18 or 26, got {neighbours}")
    spacing = jnp.asarray(spacing_mm, displacement_mm.dtype)
    if rigidity is None:
        rigidity = jnp.ones(displacement_mm.shape[:3], displacement_mm.dtype)
    energy: jax.Array = _energy(neighbours, displacement_mm, spacing, rigidity)
    return energy


# The slope by the displacement is written out: it takes a quarter more than only the energy, while the gradient of
# eighteen shifted slices takes three times as long, as much memory again per direction, and seconds to compile.
@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _energy(neighbours: int, displacement_mm: Array, spacing: Array, rigidity: Array) -> jax.Array:
    return _sum_over_directions(neighbours, displacement_mm, spacing, rigidity, with_gradient=False)[0]


@partial(_energy.defjvp, symbolic_zeros=True)
def _energy_along(neighbours: int, primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    displacement_mm, spacing, rigidity = primals
    energy, slope = _sum_over_directions(neighbours, *primals, with_gradient=True)
    along = jnp.zeros_like(energy)
    if not isinstance(tangents[0], SymbolicZero):
        along = along + jnp.sum(slope * tangents[0])
    for position in (1, 2):
        if not isinstance(tangents[position], SymbolicZero):

            def alone(value: jax.Array, position: int = position) -> jax.Array:
                others = {1: (displacement_mm, value, rigidity), 2: (displacement_mm, spacing, value)}[position]
                return _sum_over_directions(neighbours, *others, with_gradient=False)[0]

            along = along + jax.jvp(alone, (primals[position],), (tangents[position],))[1]
    return energy, along


class _Padded(NamedTuple):
    """The input of every direction, with the padding around the grid."""

    components: tuple[Array, Array, Array]
    rigidity: Array
    inside: Array


def _sum_over_directions(
    neighbours: int, displacement_mm: Array, spacing: Array, rigidity: Array, *, with_gradient: bool
) -> tuple[jax.Array, jax.Array | None]:
    """Energy, and its slope by the displacement if asked for."""
    shape, dtype = displacement_mm.shape[:3], displacement_mm.dtype
    directions, constants = _directions(neighbours, shape)
    x, y, z = (jnp.pad(displacement_mm[..., axis], PADDING) for axis in range(3))
    padded = _Padded((x, y, z), jnp.pad(rigidity, PADDING), jnp.pad(jnp.ones(shape, dtype), PADDING))

    # Recomputing a direction when the loop is differentiated keeps the memory of all but one free.
    @jax.checkpoint
    def follow(total: tuple[Array, Any], item: tuple[Array, Array]) -> tuple[tuple[Array, Any], None]:
        return _add_direction(total, padded, item[0], item[1], spacing, shape), None

    zeros = tuple(jnp.zeros_like(component) for component in padded.components) if with_gradient else None
    total = (jnp.zeros((), dtype), zeros)
    if len(directions):
        total, _ = lax.scan(follow, total, (jnp.asarray(directions), jnp.asarray(constants, dtype)))
    energy, forces = total
    return energy, None if forces is None else jnp.stack([_at(force, HOME, shape) for force in forces], axis=-1)


def _directions(neighbours: int, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """The directions along which the grid has pairs, and their constants divided by the number of pairs."""
    found = []
    for direction in DIRECTIONS:
        constant = CONSTANTS[neighbours][sum(map(abs, direction)) - 1]
        pairs = np.prod([max(0, n - abs(step)) for n, step in zip(shape, direction, strict=True)])
        if constant and pairs:
            found.append((direction, constant / pairs))
    return np.array([d for d, _ in found], np.int32).reshape(-1, 3), np.array([k for _, k in found])


def _add_direction(
    total: tuple[Array, Any],
    padded: _Padded,
    direction: Array,
    constant: Array,
    spacing: Array,
    shape: tuple[int, ...],
) -> tuple[Array, Any]:
    energy, forces = total
    start = direction + jnp.asarray(HOME, jnp.int32)
    step = direction.astype(spacing.dtype) * spacing
    rest_squared = jnp.sum(jnp.square(step))
    change = [_at(component, start, shape) - _at(component, HOME, shape) for component in padded.components]
    # |r + d|^2 - |r|^2 = d (2 r + d): the difference of the two lengths without cancellation.
    x, y, z = (d * (2 * step[axis] + d) for axis, d in enumerate(change))
    growth = x + y + z
    least = MIN_STRETCH**2 * rest_squared
    length = jnp.sqrt(jnp.maximum(rest_squared + growth, least))
    both = length + jnp.sqrt(rest_squared)
    elongation = growth / both
    ends = 0.5 * (_at(padded.rigidity, start, shape) + _at(padded.rigidity, HOME, shape))
    stiffness = constant * ends * _at(padded.inside, start, shape)
    energy = energy + 0.5 * jnp.sum(stiffness * jnp.square(elongation))
    if forces is None:
        return energy, None
    tension = stiffness * elongation * jnp.where(rest_squared + growth < least, 2 / both, 1 / length)
    pulled = []
    for axis, force in enumerate(forces):
        pull = tension * (step[axis] + change[axis])
        force = lax.dynamic_update_slice(force, _at(force, start, shape) + pull, tuple(start))
        pulled.append(lax.dynamic_update_slice(force, _at(force, HOME, shape) - pull, HOME))
    return energy, tuple(pulled)


def _at(values: Array, start: Any, shape: tuple[int, ...]) -> jax.Array:
    return lax.dynamic_slice(values, tuple(start), shape)
