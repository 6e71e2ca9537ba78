from __future__ import annotations

from itertools import product
from typing import Any, Literal

import jax.numpy as jnp

from sirtjax.losses._differences import Offset, check_field, has_pairs, pair, pair_mean, scaled

Array = Any

# Spring constants along edges, face diagonals and body diagonals. On a cubic lattice of pitch h the moduli are
# C11 = (k1 + 2 k2 + 4/3 k3) / h and C12 = C44 = (k2 + 4/3 k3) / h. It is isotropic for k1 = k2 + 8/3 k3, which 18 and
# 26 neighbours fulfil here, with the same moduli; 6 neighbours resist no shear.
CONSTANTS = {6: (1.0, 0.0, 0.0), 18: (1.0, 1.0, 0.0), 26: (1.5, 0.5, 0.375)}
# One of each two opposite directions, so that every pair of voxels is connected once.
DIRECTIONS: tuple[Offset, ...] = tuple((i, j, k) for i, j, k in product((-1, 0, 1), repeat=3) if (i, j, k) > (0, 0, 0))
# Two voxels that coincide are held this far apart, in parts of their distance at rest: a length has no slope at zero.
LEAST_STRETCH = 1e-4


def spring_energy(
    displacement_mm: Array,
    spacing_mm: Array,
    *,
    rigidity: Array | None = None,
    neighbours: Literal[6, 18, 26] = 18,
) -> Array:
    """Energy per voxel of springs between neighbouring voxels that oppose a change of their distance.

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
      ValueError: another number of neighbours, or shapes that do not belong together.

    Reference:
      The model is described in De Moor et al., IEEE NSS/MIC 2006; the formula here is a reconstruction of it. Moduli:
      Born and Huang, Dynamical Theory of Crystal Lattices, 1954.
    """
    check_field(displacement_mm, rigidity)
    if neighbours not in CONSTANTS:
        raise ValueError(f"neighbours must be 6, 18 or 26, got {neighbours}")
    spacing = jnp.asarray(spacing_mm, displacement_mm.dtype)
    total: Array = jnp.zeros((), displacement_mm.dtype)
    for offset in DIRECTIONS:
        constant = CONSTANTS[neighbours][sum(map(abs, offset)) - 1]
        if constant and has_pairs(displacement_mm, offset):
            energy = jnp.square(_elongation(displacement_mm, offset, spacing))
            total = total + 0.5 * constant * jnp.mean(scaled(energy, pair_mean(rigidity, offset)))
    return total


def _elongation(displacement_mm: Array, offset: Offset, spacing: Array) -> Array:
    first, last = pair(displacement_mm, offset)
    step = [o * spacing[axis] for axis, o in enumerate(offset)]
    rest = sum(s * s for s in step)
    # |r + d|^2 - |r|^2 = d (2 r + d): the difference of the two lengths without cancellation.
    growth: Array = 0.0
    for axis in range(3):
        change = last[..., axis] - first[..., axis]
        growth = growth + change * (2 * step[axis] + change)
    length = jnp.sqrt(jnp.maximum(rest + growth, LEAST_STRETCH**2 * rest))
    return growth / (length + jnp.sqrt(rest))
