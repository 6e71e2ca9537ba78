from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from sirtjax.errors import ComputationError
from sirtjax.phantom._parameters import Anatomy, rotation_matrix
from sirtjax.phantom._shapes import ellipsoid_coordinates, ellipsoid_distance
from sirtjax.phantom._tissues import MAX_LESIONS
from sirtjax.typing import Array

# Gap (mm) kept between two lesions and between a lesion and the liver's surface.
_GAP_MM = 3.0
_ROUNDS = 20
_ATTEMPTS = 8


def lesion_distance(
    anatomy: Anatomy, points_mm: Float[jax.Array, "3 n"]
) -> tuple[Float[jax.Array, "lesions n"], Float[jax.Array, "lesions n"]]:
    """Computes signed distances (12, n) in mm to each lesion and to its necrotic core."""
    shape = (points_mm, anatomy.lesion_centre_mm, anatomy.lesion_radii_mm, anatomy.lesion_rotation)
    u, v, w = ellipsoid_coordinates(*shape)
    length = jnp.sqrt(u**2 + v**2 + w**2)
    u, v, w = u / length, v / length, w / length
    weight = anatomy.lesion_lobes[:, :, None]
    # Three low harmonics of the direction from the centre, each between -1 and 1.
    lobes = weight[:, 0] * (u**2 - v**2) + weight[:, 1] * 5.19 * u * v * w + weight[:, 2] * 2.59 * w * (u**2 - v**2)
    radius = jnp.mean(anatomy.lesion_radii_mm, axis=1)[:, None]
    lesion = ellipsoid_distance(*shape) + radius * lobes
    # The core is the lesion shrunk about its centre; without one it is far away.
    core = lesion + radius * (1.0 - anatomy.necrosis_scale)[:, None]
    return lesion, jnp.where(anatomy.necrosis_scale[:, None] > 0, core, 1e3)


def place_lesions(
    random: np.random.Generator,
    anatomy: Anatomy,
    liver_distance: Callable[[Float[np.ndarray, "3 n"]], Float[np.ndarray, " n"]],
    *,
    volumes_ml: Float[np.ndarray, " lesions"],
    necrotic: Bool[np.ndarray, " lesions"],
) -> tuple[Anatomy, Float[np.ndarray, " lesions"]]:
    """Places lesions of these volumes in the liver, largest first, without contact.

    If they do not all fit into the liver, all are made a tenth smaller until they do.

    Args:
      random: random number generator.
      anatomy: the patient so far.
      liver_distance: signed distance (mm) to the liver's surface of points (3, n).
      volumes_ml: requested volumes; lobulation changes them by a few per cent.
      necrotic: whether each lesion has a necrotic core.

    Returns:
      The patient with lesions, and the final volumes (mL).

    Raises:
      ComputationError: even much smaller lesions do not fit into the liver.
    """
    count = len(volumes_ml)
    stretch = np.exp(random.normal(scale=0.08, size=(count, 3)).clip(-0.15, 0.15))
    stretch /= np.cbrt(stretch.prod(axis=1, keepdims=True))
    lobes = random.normal(scale=0.035, size=(count, 3)).clip(-0.07, 0.07)
    candidates = random.uniform([-165, -115, -190], [115, 95, 12], (16384, 3)).astype(np.float32)
    depth = -liver_distance(np.ascontiguousarray(candidates.T))
    candidates, depth = candidates[depth > 0], depth[depth > 0]
    volumes_ml = np.array(volumes_ml, np.float64)
    for _ in range(_ROUNDS):
        radius = np.cbrt(3000.0 * volumes_ml / (4 * np.pi))
        reach = radius * stretch.max(axis=1) * (1.0 + np.abs(lobes).sum(axis=1))
        for _ in range(_ATTEMPTS):
            centres = _centres(random, candidates, depth, reach)
            if centres is not None:
                return _with_lesions(random, anatomy, centres, radius[:, None] * stretch, lobes, necrotic), volumes_ml
        volumes_ml = volumes_ml * 0.9
    raise ComputationError(
        f"the liver has no room for {count} lesions of {volumes_ml.sum():.0f} mL together; "
        "use another seed, or fewer or smaller lesions"
    )


def _centres(
    random: np.random.Generator,
    candidates_mm: NDArray[np.float32],
    depth_mm: NDArray[np.float32],
    reach_mm: NDArray[np.float64],
) -> NDArray[np.float64] | None:
    centres = np.full((len(reach_mm), 3), np.nan)
    for number in np.argsort(-reach_mm, kind="stable"):
        placed = np.isfinite(centres[:, 0])
        distance = np.linalg.norm(candidates_mm[:, None] - centres[None, placed], axis=2)
        apart = distance - reach_mm[placed] - reach_mm[number]
        free = (depth_mm > reach_mm[number] + _GAP_MM) & (apart > _GAP_MM).all(axis=1)
        if not free.any():
            return None
        centres[number] = candidates_mm[np.flatnonzero(free)[random.integers(free.sum())]]
    return centres


def _with_lesions(
    random: np.random.Generator,
    anatomy: Anatomy,
    centres_mm: NDArray[np.float64],
    radii_mm: NDArray[np.float64],
    lobes: NDArray[np.float64],
    necrotic: NDArray[np.bool_],
) -> Anatomy:
    count = len(centres_mm)
    rotation = rotation_matrix(random.uniform(0, np.pi, (count, 3)))
    core = np.where(necrotic, random.uniform(0.45, 0.65, count), 0.0)

    def filled(old: Array, new: NDArray[np.float64]) -> NDArray[np.float32]:
        array = np.array(old)
        array[:count] = new
        return array

    return replace(
        anatomy,
        lesion_centre_mm=filled(anatomy.lesion_centre_mm, centres_mm),
        lesion_radii_mm=filled(anatomy.lesion_radii_mm, radii_mm),
        lesion_rotation=filled(anatomy.lesion_rotation, rotation),
        lesion_lobes=filled(anatomy.lesion_lobes, lobes),
        necrosis_scale=filled(anatomy.necrosis_scale, core),
    )


def draw_volumes_ml(
    random: np.random.Generator, *, count: int, smallest_ml: float, largest_ml: float
) -> Float[np.ndarray, " count"]:
    """Samples log-uniform lesion volumes between two bounds, for up to `MAX_LESIONS` lesions."""
    if not 0 <= count <= MAX_LESIONS:
        raise ComputationError(f"a patient has 0 to {MAX_LESIONS} lesions, got {count}")
    return np.exp(random.uniform(np.log(smallest_ml), np.log(largest_ml), count))
