from __future__ import annotations

import jax
from jax import lax
from jaxtyping import Float

from sirtjax.ops import namespace, sample_linear
from sirtjax.typing import Array, Vector


def integrate_velocity(
    velocity_mm: Float[Array, "i j k 3"], spacing_mm: Vector, *, squarings: int = 7
) -> Float[Array, "i j k 3"]:
    """Integrates a steady velocity over unit time, on its own grid. Differentiable, not jitted.

    By scaling and squaring: the velocity over two to the power of `squarings` is the displacement of a short
    time, and each squaring `u(x) <- u(x) + u(x + u(x))` doubles the time. Displacement and velocity are linear
    between voxels and zero outside the grid (more than half a voxel beyond the end voxels). A velocity that is
    smooth over a few voxels gives a map that does not fold, and the opposite velocity gives its inverse.

    Args:
      velocity_mm: (i, j, k, 3) velocity in mm per unit time along the grid's axes, which are those of the world.
      spacing_mm: (3,) distance between voxels; may be traced.
      squarings: number of doublings of the time. A step of the shortest time should stay below half a voxel.

    Returns:
      (i, j, k, 3) displacements, mm.

    Raises:
      ValueError: the array is not (i, j, k, 3), or the number of squarings is negative.

    Reference:
      V. Arsigny et al., A log-Euclidean framework for statistics on diffeomorphisms, MICCAI 2006,
      doi:10.1007/11866565_113.
    """
    shape = tuple(velocity_mm.shape)
    if len(shape) != 4 or shape[-1] != 3:
        raise ValueError(f"velocity_mm must have shape (i, j, k, 3), got {shape}")
    if squarings < 0:
        raise ValueError(f"squarings must be 0 or more, got {squarings}")
    xp = namespace(velocity_mm, spacing_mm)
    start = xp.asarray(velocity_mm) / 2**squarings
    per_mm = 1 / xp.asarray(spacing_mm, start.dtype).reshape(1, 1, 1, 3)
    axes = [xp.arange(n, dtype=start.dtype) for n in shape[:3]]
    ijk = xp.stack(xp.meshgrid(*axes, indexing="ij"), axis=-1)

    def twice(u: Array) -> Array:
        return u + sample_linear(u, ijk + u * per_mm)

    if isinstance(start, jax.Array):
        # What the gradient needs of each squaring is computed again: kept, it would be many times the field.
        moved: jax.Array = lax.scan(lambda u, _: (jax.checkpoint(twice)(u), None), start, length=squarings)[0]
        return moved
    for _ in range(squarings):
        start = twice(start)
    displacement: Array = start
    return displacement
