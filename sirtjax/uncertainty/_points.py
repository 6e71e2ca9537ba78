"""Doses at points within the voxels of a VOI, with sharp edges of activity at the contours."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from sirtjax import dosimetry
from sirtjax.ops import full_precision
from sirtjax.typing import Array, Scalar
from sirtjax.uncertainty._regions import second_difference
from sirtjax.uncertainty._treatment import TreatmentData

# Points of one voxel, in voxels from its centre: every other one of the eight middles of its octants. They have the
# mean and the variance of the whole voxel along each axis, nearly.
POINTS = 0.25 * np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)], np.float32)
# Curvatures beyond these are those of a bend within a voxel, 1/mm.
LEAST_CURVATURE, LARGEST_CURVATURE = -0.1, 0.25
# Smallest dose over that of normal tissue. Reversed averages can otherwise reach 0 next to a steep edge.
DARKEST = 0.05
# Groups of shells of the dose kernel.
SHELLS = 12


class DosePoints(NamedTuple):
    """Doses at points within the voxels of each VOI.

    Attributes:
      dose_gy: (v, points) dose.
      weight: (v, points) part of the point's volume in the VOI, 0 for padding.
    """

    dose_gy: Float[jax.Array, "v points"]
    weight: Float[jax.Array, "v points"]


def kernel_shells(
    radial: dosimetry.RadialKernel | None, medium_density_g_per_ml: float, *, count: int = SHELLS
) -> tuple[Float[np.ndarray, " s"], Float[np.ndarray, " s"]]:
    """Returns radii and energy fractions of a few shells of a dose kernel, for `TreatmentData`.

    Args:
      radial: point kernel; None for local deposition, which is one shell of radius 0.
      medium_density_g_per_ml: density of the tissue.
      count: largest number of shells. They have nearly equal energies.

    Examples:
      >>> from sirtjax import dosimetry, uncertainty
      >>> radius_mm, part = uncertainty.kernel_shells(dosimetry.get_radial_kernel("y90-graves2019-water"), 1.05)
      >>> round(float(radius_mm @ part), 1)  # mean distance between decay and dose
      2.6
    """
    if radial is None:
        return np.zeros(1, np.float32), np.ones(1, np.float32)
    electrons = medium_density_g_per_ml * dosimetry.TISSUE_ELECTRONS_PER_WATER
    radius_mm, part = radial.radius_mm * radial.medium_density_g_per_ml / electrons, radial.fractions
    group = np.minimum(((np.cumsum(part) - 0.5 * part) * count).astype(int), count - 1)
    total = np.bincount(group, part, count)
    middle = np.bincount(group, part * radius_mm, count) / np.maximum(total, 1e-12)
    return middle.astype(np.float32), total.astype(np.float32)


def edge_response(
    distance_mm: Float[Array, "*points"],
    curvature_per_mm: Float[Array, "*points"],
    shell_mm: Float[Array, " s"],
    shell_part: Float[Array, " s"],
) -> Float[jax.Array, "*points"]:
    """Computes the dose near the surface of a uniformly active body, relative to that deep within it.

    A shell of radius s about a point at the distance d from a ball of radius R lies inside the ball to a part of
    (s - d) (2 R + d - s) / (4 s (R + d)). This is exact for balls and for planes, whose curvature 1 / R is 0.

    Args:
      distance_mm: signed distance to the surface, negative inside.
      curvature_per_mm: mean curvature of the surface, above 0 for a ball.
      shell_mm: (s,) radii of the shells of the dose kernel.
      shell_part: (s,) energy fractions of the shells.
    """
    distance, curvature = jnp.asarray(distance_mm), jnp.asarray(curvature_per_mm)
    wide = jnp.maximum(1.0 + curvature * distance, 1e-3)[None]
    distance, curvature = distance[None], curvature[None]
    tail = (-1,) + (1,) * (distance.ndim - 1)
    radius, part = (jnp.asarray(one).reshape(tail) for one in (shell_mm, shell_part))
    radius = jnp.maximum(radius, 1e-3)
    inside = (radius - distance) * (2.0 + curvature * (distance - radius)) / (4.0 * radius * wide)
    found: jax.Array = jnp.sum(part * jnp.clip(inside, 0.0, 1.0), axis=0)
    return found


@full_precision
def dose_points(
    dose_gy: Float[Array, "i j k"],
    lesion_response: Float[Array, "i j k"],
    liver_response: Float[Array, "i j k"],
    lesion_step_gy: Float[Array, "n i j k"],
    tissue_gy: Float[Array, "i j k"],
    regions: Float[Array, "r i j k"],
    distance_mm: Float[Array, "m i j k"],
    data: TreatmentData,
    *,
    kernel: Scalar = 1.0,
) -> DosePoints:
    """Computes doses at four points within each voxel of the VOIs, with sharp edges of activity.

    A voxel at the contour of a lesion has the mean activity of both sides, and its dose is not the one of the lesion's
    part. With voxels of 4 mm the coldest tenth of a lesion then is 20 % too cold. Here the doses of the voxels' smooth
    edges are replaced by the exact ones of an edge with the same distance and curvature:

        dose + step (edge_response - dose of the voxels' occupancy).

    Points whose volume is divided by the contour are moved to the middle of the part that belongs to the VOI.

    Args:
      dose_gy: (i, j, k) dose of the activity of the voxels, without their averages.
      lesion_response: (i, j, k) dose of unit activity in the lesions, computed in the same way.
      liver_response: (i, j, k) dose of unit activity in the liver with its lesions, computed in the same way.
      lesion_step_gy: (n, i, j, k) local dose of each lesion minus that of normal tissue.
      tissue_gy: (i, j, k) local dose of normal tissue.
      regions: (r, i, j, k) occupancies as of `regions_of`.
      distance_mm: (m, i, j, k) signed distances as in `regions_of`.
      data: constants of the patient.
      kernel: factor on the range of the dose kernel.
    """
    n, shape = data.lesions, dose_gy.shape
    distance, spacing = jnp.asarray(distance_mm), jnp.asarray(data.spacing_mm)
    fields = jnp.stack([dose_gy, lesion_response, liver_response, distance[-1], *distance[:n]])
    flat = fields.reshape(len(fields), -1)
    others = jnp.stack([tissue_gy, *lesion_step_gy]).reshape(n + 1, -1)
    tissue = jnp.asarray(regions)[n:-1].reshape(len(regions) - n - 1, -1)
    curved = [second_difference(fields[3:], axis + 1) / spacing[axis] ** 2 for axis in range(3)]
    bends = (curved[0] + curved[1] + curved[2]).reshape(n + 1, -1)
    shell_mm, shell_part = jnp.asarray(data.shell_mm) * kernel, jnp.asarray(data.shell_part)
    cell_mm = 0.5 * jnp.cbrt(jnp.prod(spacing))

    def of_voi(row: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        near, members = row
        used = jnp.maximum(near, 0)
        place = jnp.unravel_index(used, shape)
        value = flat[:, used]
        slopes = []
        for axis in range(3):
            ends = [
                jnp.ravel_multi_index(
                    tuple(jnp.clip(p + step, 0, shape[a] - 1) if a == axis else p for a, p in enumerate(place)),
                    shape,
                    mode="clip",
                )
                for step in (-1, 1)
            ]
            slopes.append(0.5 * (flat[:, ends[1]] - flat[:, ends[0]]))
        rise = jnp.stack(slopes)  # per voxel
        bend, other = bends[:, used], others[:, used]
        rest = members[n:] @ tissue[:, used]
        whole_rest = jnp.maximum(jnp.sum(tissue[:, used], axis=0), 1e-6)
        only_lesions = jnp.sum(members[n:]) == 0
        no_lesions = jnp.sum(members[:n]) == 0
        nearest = jnp.argmin(value[4:], axis=0)
        normal = jnp.take_along_axis(rise[:, 4:], nearest[None, None], axis=1)[:, 0] / spacing[:, None]
        normal = normal / jnp.maximum(jnp.sqrt(jnp.sum(normal**2, axis=0, keepdims=True)), 0.5)
        turned = jnp.take_along_axis(bend[1:], nearest[None], axis=0)[0]
        step_gy = jnp.take_along_axis(other[1:], nearest[None], axis=0)[0]

        def at(point: jax.Array) -> tuple[jax.Array, jax.Array]:
            # A quarter of a voxel along each axis: the mean curvature adds a third of the squared distance over 2.
            away2 = jnp.sum((point * spacing) ** 2) / 6.0
            distances = value[3:] + jnp.tensordot(point, rise[:, 3:], axes=1) + away2 * bend
            lesions = jnp.clip(0.5 - distances[1:] / cell_mm, 0.0, 1.0)
            covered = jnp.minimum(jnp.sum(lesions, axis=0), 1.0)
            liver = jnp.clip(0.5 - distances[0] / cell_mm, 0.0, 1.0)
            weight = members[:n] @ lesions + rest / whole_rest * jnp.maximum(liver - covered, 0.0)
            edge = jnp.take_along_axis(distances[1:], nearest[None], axis=0)[0]
            inward = jnp.where(only_lesions, 1.0, jnp.where(no_lesions, -1.0, 0.0))
            part = jnp.clip(0.5 + inward * edge / cell_mm, 0.0, 1.0)  # of the point's volume beyond the contour
            move_mm = -inward * 0.5 * part * cell_mm
            moved = point[:, None] + normal * move_mm[None] / spacing[:, None]
            smooth = value[:4] + jnp.sum(moved[:, None] * rise[:, :4], axis=0)
            edge = edge + move_mm
            response = edge_response(edge, _at_surface(turned, edge), shell_mm, shell_part)
            outside = smooth[3] + away2 * bend[0]
            body = edge_response(outside, _at_surface(bend[0], outside), shell_mm, shell_part)
            dose = smooth[0] + step_gy * (response - smooth[1]) + other[0] * (body - smooth[2])
            return jnp.maximum(dose, DARKEST * other[0]), jnp.where(near < 0, 0.0, weight)

        doses, weights = jax.vmap(at)(jnp.asarray(POINTS))
        return doses.ravel(), weights.ravel()

    return DosePoints(*jax.lax.map(of_voi, (jnp.asarray(data.near), jnp.asarray(data.members))))


def _at_surface(bend: jax.Array, distance_mm: jax.Array) -> jax.Array:
    """Curvature of the surface from the Laplacian of its distance, which is that of the parallel surface."""
    parallel = 0.5 * bend
    found = parallel / jnp.maximum(1.0 - parallel * distance_mm, 0.2)
    return jnp.clip(found, LEAST_CURVATURE, LARGEST_CURVATURE)
