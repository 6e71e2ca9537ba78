from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from sirtjax.phantom._tissues import MAX_LESIONS
from sirtjax.phantom._vessels import FIELD_SHAPE
from sirtjax.typing import Array, Scalar

FloatArray = NDArray[np.float32]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """Everything that distinguishes one patient from another: a pytree of float32 arrays.

    Lengths are in mm, in the patient frame of the diagnostic CT (LPS; x = 0 in the middle, z = 0 at the top of
    the liver). The shapes live in an average patient's frame, reached by `scale` and a smooth warp.

    Attributes:
      scale: (3,) size of this patient over the average one along x, y, z.
      warp_wave: (m, 3) wave vectors (rad/mm) of the smooth warp.
      warp_phase: (m,) phases of the smooth warp.
      warp_size_mm: (m, 3) amplitudes of the smooth warp.
      fat_mm: thickness of the subcutaneous fat.
      right_dome_mm: height of the right dome of the diaphragm.
      left_dome_mm: height of the left dome.
      rib_phase_mm: position along z at which the ribs begin.
      spine_phase_mm: position along z at which the vertebrae begin.
      shape_centre_mm: (e, 3) centres of the ellipsoids of `_organs.ELLIPSOIDS`.
      shape_radii_mm: (e, 3) semi-axes of the ellipsoids.
      shape_rotation: (e, 3, 3) rotations on their own axes.
      lesion_centre_mm: (12, 3) lesion centres; unused lesions are far outside.
      lesion_radii_mm: (12, 3) semi-axes of the lesions.
      lesion_rotation: (12, 3, 3) rotations on the lesions' own axes.
      lesion_lobes: (12, 3) depths of three kinds of lobulation over the radius.
      necrosis_scale: (12,) size of the necrotic core divided by the lesion's; 0 if there is no core.
      vessel_field_mm: (i, j, k, 3) distance to portal vein, hepatic vein and hepatic artery.
      vessel_origin_mm: (3,) world position of voxel (0, 0, 0) of the vessel field.
    """

    scale: Float[Array, "3"]
    warp_wave: Float[Array, "m 3"]
    warp_phase: Float[Array, " m"]
    warp_size_mm: Float[Array, "m 3"]
    fat_mm: Scalar
    right_dome_mm: Scalar
    left_dome_mm: Scalar
    rib_phase_mm: Scalar
    spine_phase_mm: Scalar
    shape_centre_mm: Float[Array, "e 3"]
    shape_radii_mm: Float[Array, "e 3"]
    shape_rotation: Float[Array, "e 3 3"]
    lesion_centre_mm: Float[Array, "12 3"]
    lesion_radii_mm: Float[Array, "12 3"]
    lesion_rotation: Float[Array, "12 3 3"]
    lesion_lobes: Float[Array, "12 3"]
    necrosis_scale: Float[Array, "12"]
    vessel_field_mm: Float[Array, "i j k 3"]
    vessel_origin_mm: Float[Array, "3"]


def rotation_matrix(angles_rad: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3 3"]:
    """Rotations (..., 3, 3) by angles (..., 3) about x, then y, then z."""
    cx, cy, cz = np.moveaxis(np.cos(angles_rad), -1, 0)
    sx, sy, sz = np.moveaxis(np.sin(angles_rad), -1, 0)
    rows = [
        [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx],
        [sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx],
        [-sy, cy * sx, cy * cx],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def warp_mm(anatomy: Anatomy, points_mm: Float[Array, "3 n"], *, xp: ModuleType = jnp) -> Float[Array, "3 n"]:
    """Computes the smooth displacement (3, n) of this patient's points to the average frame."""
    phase = anatomy.warp_phase[:, None]
    return product(anatomy.warp_size_mm.T, xp.sin(product(anatomy.warp_wave, points_mm, xp=xp) + phase), xp=xp)


def product(matrix: Float[Array, "m k"], points: Float[Array, "k n"], *, xp: ModuleType) -> Float[Array, "m n"]:
    """Multiplies a small matrix with (m, n) points, written out in full float32.

    A matrix product may use fewer bits on an accelerator, and XLA does not fuse it with later operations.
    """
    rows = [
        sum((matrix[row, column] * points[column] for column in range(1, points.shape[0])), matrix[row, 0] * points[0])
        for row in range(matrix.shape[0])
    ]
    stacked: Array = xp.stack(rows)
    return stacked


def draw_anatomy(random: np.random.Generator, shapes: Float[np.ndarray, "e 9"]) -> Anatomy:
    """Samples a random patient without lesions and liver vessels.

    Args:
      random: random number generator.
      shapes: (e, 9) centre (mm), semi-axes (mm) and rotation (degrees) of the average patient's ellipsoids.
    """
    count = len(shapes)
    waves = 6
    direction = random.normal(size=(waves, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    wavelength = random.uniform(110.0, 220.0, waves)
    size = random.normal(1.0, 0.03)
    centre = shapes[:, 0:3] + random.normal(scale=1.5, size=(count, 3))
    radii = shapes[:, 3:6] * random.normal(1.0, 0.025, (count, 3)).clip(0.93, 1.07)
    angles = np.deg2rad(shapes[:, 6:9] + random.normal(scale=3.0, size=(count, 3)))
    lobes = 3  # right lobe, its lower tip and the left lobe, the first of the shapes, vary the most
    radii[:lobes] *= random.normal(1.0, 0.035, (lobes, 1)).clip(0.92, 1.08)
    arrays = {
        "scale": np.clip(size * random.normal(1.0, [0.02, 0.025, 0.015]), 0.92, 1.07),
        "warp_wave": direction * (2 * np.pi / wavelength)[:, None],
        "warp_phase": random.uniform(0, 2 * np.pi, waves),
        "warp_size_mm": random.normal(scale=1.6, size=(waves, 3)),
        "fat_mm": random.uniform(12.0, 26.0),
        "right_dome_mm": random.normal(0.0, 3.0),
        "left_dome_mm": random.normal(-14.0, 3.0),
        "rib_phase_mm": random.uniform(0.0, 29.0),
        "spine_phase_mm": random.uniform(0.0, 27.0),
        "shape_centre_mm": centre,
        "shape_radii_mm": radii,
        "shape_rotation": np.swapaxes(rotation_matrix(angles), -1, -2),
        "lesion_centre_mm": np.full((MAX_LESIONS, 3), 5000.0),
        "lesion_radii_mm": np.ones((MAX_LESIONS, 3)),
        "lesion_rotation": np.broadcast_to(np.eye(3), (MAX_LESIONS, 3, 3)),
        "lesion_lobes": np.zeros((MAX_LESIONS, 3)),
        "necrosis_scale": np.zeros(MAX_LESIONS),
        "vessel_field_mm": np.full((*FIELD_SHAPE, 3), 50.0),
        "vessel_origin_mm": np.zeros(3),
    }
    return Anatomy(**{name: np.asarray(value, np.float32) for name, value in arrays.items()})
