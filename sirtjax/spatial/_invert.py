from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float, Integer

from sirtjax.compilation_cache import cached_jit
from sirtjax.errors import ComputationError
from sirtjax.ops import FlatGrid, sample_flat_linear
from sirtjax.spatial._affine import AffineTransform, checked_matrix
from sirtjax.spatial._displacement import DisplacementField
from sirtjax.spatial._kernel import MEAN_CHUNK, Triple, apply_matrix, field_on_device, reference_index, run_chunks
from sirtjax.spatial._transform import Transform, affine_part, transformed_geometry
from sirtjax.typing import Array
from sirtjax.volume import Geometry

# Points that miss by less have arrived.
ARRIVED_MM = 0.01
# Newton steps after the half steps; below this volume ratio, or further than this, they are not to be trusted.
NEWTON_STEPS, MIN_DETERMINANT, MAX_STEP_MM = 20, 0.02, 20.0


@dataclass(frozen=True, kw_only=True)
class Inversion:
    """An inverted displacement field and how well it inverts.

    Attributes:
      field: the inverse, from the floating image's space to the reference's.
      residual_mm: largest distance by which a voxel centre of the inverse's grid misses itself after going
        through the inverse and then the field.
    """

    field: DisplacementField
    residual_mm: float


def invert(
    transform: Transform, *, geometry: Geometry | None = None, tolerance_mm: float = 0.1, iterations: int = 50
) -> Transform:
    """Returns the inverse of a transform, from the floating image's space to the reference's.

    Args:
      transform: an affine transform, inverted exactly, or a field, inverted by `invert_field`.
      geometry: grid of an inverse field; by default the field's own, transformed by the affine map that follows it.
      tolerance_mm: largest residual accepted for a field.
      iterations: fixed-point steps for a field.

    Raises:
      GeometryError: the affine transform is singular.
      ComputationError: the field's residual is above the tolerance, as for a field that folds or is truncated.
    """
    if isinstance(transform, AffineTransform):
        return AffineTransform(np.linalg.inv(checked_matrix(transform.floating_from_reference)))
    found = invert_field(transform, geometry=geometry, iterations=iterations)
    if not found.residual_mm <= tolerance_mm:
        raise ComputationError(
            f"the displacement field could not be inverted: after {iterations} steps the inverse misses by "
            f"{found.residual_mm:.3g} mm, {tolerance_mm:g} mm are accepted; check that the field does not "
            "fold (jacobian_determinant above 0) and fades out at the faces of its grid"
        )
    return found.field


def invert_field(field: DisplacementField, *, geometry: Geometry | None = None, iterations: int = 50) -> Inversion:
    """Inverts a displacement field by fixed-point iteration, with its residual. On the host.

    Iterates `v <- -u(y + v)` at each voxel centre y; it converges where the displacement changes by less than
    its distance (gradient of u below 1 in norm). Where it does not, Newton steps go on.

    A field followed by an affine map A has an inverse of the same kind: `A (x + u(x))` is undone by
    `A^-1 (y + w(y))`, where w(y) is A's linear part times v(A^-1 y).

    Args:
      field: the field u, from the reference's space to the floating image's.
      geometry: grid of the inverse. Default: grid of the field, transformed by A (sheared if A shears).
      iterations: fixed-point steps.

    Reference:
      M. Chen et al., A simple fixed-point approach to invert a deformation field, Med. Phys. 35 (2008) 81,
      doi:10.1118/1.2816107.
    """
    after = affine_part(field)
    back = np.linalg.inv(after)
    target = transformed_geometry(field.geometry, after) if geometry is None else geometry
    flat = field_on_device(field)
    world = (back @ target.affine).astype(np.float32)
    linear = after[:3, :3].astype(np.float32)
    field_from_world = field.geometry.voxel_from_world.astype(np.float32)
    shape = np.asarray(target.shape, np.int32)
    steps = np.int32(iterations)
    count = int(np.prod(target.shape))
    found = run_chunks(
        lambda start: _invert_chunk(flat, world, field_from_world, linear, shape, start, steps, chunk=MEAN_CHUNK),
        count,
        MEAN_CHUNK,
        np.float32,
        channels=4,
    )
    followed = None if field.floating_from_displaced is None else back
    inverse = DisplacementField(found[:, :3].reshape(*target.shape, 3), target, followed)
    return Inversion(field=inverse, residual_mm=float(found[:, 3].max()))


def fixed_point(
    field: FlatGrid, field_from_world: Float[Array, "4 4"], points_mm: Triple, steps: Integer[Array, ""]
) -> tuple[Triple, Triple]:
    """Returns displacements v with v = -u(y + v) at points y in three arrays, and their residual.

    Where the plain iteration does not arrive at some point, because the field stretches or squeezes too much, all are
    taken there by Newton steps.
    """
    # Stacked, (3, *points): with three arrays, XLA would sample the field again for each of them.
    points = jnp.stack(points_mm)

    def missed(v: Array) -> Array:
        place = points + v
        u = sample_flat_linear(field, apply_matrix(field_from_world, (place[0], place[1], place[2])), fill=0.0)
        return v + jnp.moveaxis(u, -1, 0)

    start = jnp.zeros_like(points)
    found = lax.fori_loop(0, steps, lambda _, v: v - missed(v), start)
    left = missed(found)
    arrived = jnp.max(_square(left)) <= ARRIVED_MM**2
    found, left = lax.cond(arrived, lambda: (found, left), lambda: _newton(missed, start, steps))
    return (found[0], found[1], found[2]), (left[0], left[1], left[2])


def _newton(missed: Callable[[Array], Array], start: Array, steps: Array) -> tuple[Array, Array]:
    """Returns the best of a few half steps along the residual, which converge without folds, and of Newton steps."""

    def step(_: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        v, best, least = state
        left = missed(v)
        closer = _square(left) < _square(least)
        best, least = jnp.where(closer[None], v, best), jnp.where(closer[None], left, least)
        columns = [jax.jvp(missed, (v,), (jnp.zeros_like(v).at[axis].set(1.0),))[1] for axis in range(3)]
        return v - _solved(columns, left), best, least

    half = lax.fori_loop(0, steps, lambda _, v: v - 0.5 * missed(v), start)
    last, best, least = lax.fori_loop(0, NEWTON_STEPS, step, (half, half, missed(half)))
    left = missed(last)
    closer = _square(left) < _square(least)
    return jnp.where(closer[None], last, best), jnp.where(closer[None], left, least)


def _solved(columns: list[Array], left: Array) -> Array:
    """Returns the Newton step by Cramer's rule; half the residual if the field nearly folds or the step is long."""
    a, b, c = columns
    determinant = _dot(a, _cross(b, c))
    safe = jnp.where(jnp.abs(determinant) > MIN_DETERMINANT, determinant, 1.0)
    step = jnp.stack([_dot(left, _cross(b, c)), _dot(a, _cross(left, c)), _dot(a, _cross(b, left))]) / safe[None]
    good = (determinant > MIN_DETERMINANT) & (_square(step) < MAX_STEP_MM**2)
    return jnp.where(good[None], step, 0.5 * left)


def _dot(a: Any, b: Any) -> Array:
    product: Array = a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
    return product


def _square(a: Any) -> Array:
    return _dot(a, a)


def _cross(a: Any, b: Any) -> Any:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@partial(cached_jit, static_argnames=("chunk",))
def _invert_chunk(
    field: FlatGrid,
    world_from_voxel: Array,
    field_from_world: Array,
    linear: Array,
    shape: Array,
    start: Array,
    steps: Array,
    *,
    chunk: int,
) -> jax.Array:
    points = apply_matrix(world_from_voxel, reference_index(shape, start, chunk))
    found, missed = fixed_point(field, field_from_world, points, steps)
    found, missed = (tuple(sum(a * x for a, x in zip(row, v, strict=True)) for row in linear) for v in (found, missed))
    return jnp.stack([*found, jnp.sqrt(sum(x**2 for x in missed))], axis=-1)
