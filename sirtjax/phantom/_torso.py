from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float

from sirtjax.phantom._parameters import Anatomy
from sirtjax.phantom._shapes import (
    capsule_distance,
    positive_power,
    smooth_max,
    smooth_min,
    smooth_step,
    superellipse_distance,
)
from sirtjax.typing import Scalar

RIB_PITCH_MM = 29.0
VERTEBRA_PITCH_MM = 27.0


class Torso(NamedTuple):
    """Signed distances (mm, (n,)) of the walls that enclose everything else."""

    skin: Float[jax.Array, " n"]
    muscle: Float[jax.Array, " n"]
    cavity: Float[jax.Array, " n"]
    spine_tube: Float[jax.Array, " n"]
    above_diaphragm: Float[jax.Array, " n"]


class Skeleton(NamedTuple):
    """Signed distances (mm, (n,)) of the bones and what they enclose."""

    bone: Float[jax.Array, " n"]
    disc: Float[jax.Array, " n"]
    canal: Float[jax.Array, " n"]
    cartilage: Float[jax.Array, " n"]


def spine_y_mm(z: Float[jax.Array, " n"]) -> Float[jax.Array, " n"]:
    """Computes the centre line of the vertebral bodies: thoracic kyphosis, lumbar lordosis."""
    return 60.0 + 7.0 * jnp.sin((z + 70.0) / 85.0)


def diaphragm_z_mm(anatomy: Anatomy, x: Float[jax.Array, " n"], y: Float[jax.Array, " n"]) -> Float[jax.Array, " n"]:
    """Computes the height of the diaphragm: a higher right and a lower left dome with steep recesses."""

    def dome(x_top: float, z_top: Scalar, width: float, side_drop: float) -> jax.Array:
        along = positive_power(jnp.abs(x - x_top) / width + 1e-6, 2.4)
        back = positive_power(jnp.abs(y + 12.0) / jnp.where(y > -12.0, 98.0, 92.0) + 1e-6, 2.4)
        return jnp.asarray(z_top) - side_drop * along - jnp.where(y > -12.0, 88.0, 42.0) * back

    right = dome(-70.0, anatomy.right_dome_mm, 84.0, 62.0)
    left = dome(72.0, anatomy.left_dome_mm, 84.0, 62.0)
    # The central tendon under the heart joins the two domes.
    tendon = dome(6.0, 0.5 * (anatomy.right_dome_mm + anatomy.left_dome_mm) - 14.0, 84.0, 40.0)
    return -smooth_min(smooth_min(-right, -left, 30.0), -tendon, 24.0)


def torso(anatomy: Anatomy, x: Float[jax.Array, " n"], y: Float[jax.Array, " n"], z: Float[jax.Array, " n"]) -> Torso:
    """Returns body outline, fat layer, muscular wall, the cavity inside, and the diaphragm.

    Args:
      anatomy: the parameters of the patient.
      x: (n,) position towards the patient's left, mm.
      y: (n,) position towards the back, mm.
      z: (n,) position towards the head, mm.
    """
    up = smooth_step(z, 90.0, 260.0)
    a, b = 167.0 - 26.0 * up, 114.0 - 18.0 * up
    skin = superellipse_distance(x, y + 4.0, a, b, 2.35)
    # A shallow furrow along the spine.
    skin = skin + 6.0 * jnp.exp(-((x / 16.0) ** 2)) * smooth_step(y, 60.0, 100.0)
    fat = anatomy.fat_mm * (
        0.75
        - 0.22 * y / 100.0 * (1.0 - smooth_step(z, 0.0, 100.0))
        + 0.25 * smooth_step(jnp.abs(x), 60.0, 140.0)
        - 0.3 * smooth_step(z, -20.0, 120.0)
    )
    muscle = skin + fat
    spine_tube = superellipse_distance(x, y - spine_y_mm(z) - 34.0, 44.0, 46.0, 2.2)
    wall = 14.0 + 7.0 * smooth_step(-y, 40.0, 95.0) * smooth_step(-jnp.abs(x), -70.0, -30.0) * smooth_step(
        -z, -10.0, 60.0
    )
    cavity = smooth_max(muscle + wall, -spine_tube, 14.0)
    above = (z - diaphragm_z_mm(anatomy, x, y)) * 0.62
    return Torso(skin, muscle, cavity, spine_tube, above)


def skeleton(
    anatomy: Anatomy, walls: Torso, x: Float[jax.Array, " n"], y: Float[jax.Array, " n"], z: Float[jax.Array, " n"]
) -> Skeleton:
    """Ribs as slanted rings in the chest wall, sternum, costal cartilage and a column of vertebrae."""
    across = jnp.abs(x)
    slant = z + 0.75 * (80.0 - y)
    to_rib = jnp.mod(slant - anatomy.rib_phase_mm, RIB_PITCH_MM) - RIB_PITCH_MM / 2
    ring = 3.6 * (jnp.sqrt((to_rib * 0.8 / 6.2) ** 2 + ((walls.muscle + 6.5) / 3.8) ** 2 + 1e-6) - 1.0)
    ring = smooth_max(ring, -(slant + 66.0) * 0.8, 3.0)
    # Ribs end short of the midline: at the costal arch in front, at the transverse processes behind.
    arch = 42.0 + 0.62 * jnp.clip(70.0 - z, 0.0, 190.0)
    front = jnp.where(y < 0.0, arch - across, -1e3)
    back = jnp.where(y > 50.0, 26.0 - across, -1e3)
    ribs = jnp.maximum(jnp.maximum(ring, front), back)
    strip = jnp.where(y < 0.0, jnp.maximum(across - arch, 12.0 - across), 1e3)
    cartilage = jnp.maximum(jnp.maximum(ring, strip), (arch - 130.0) * 0.5)
    sternum = superellipse_distance(x, walls.muscle + 7.5, 15.0 + 8.0 * smooth_step(z, 110.0, 150.0), 5.5, 2.6)
    sternum = jnp.maximum(jnp.where(y < 0.0, sternum, 1e3), 38.0 - z)

    vertebra, disc, canal = spine(anatomy, x, y, z)
    bone = jnp.minimum(jnp.minimum(ribs, sternum), jnp.maximum(vertebra, -canal))
    bone = jnp.maximum(bone, walls.skin + 6.0)
    return Skeleton(bone, disc, canal, cartilage)


def spine(
    anatomy: Anatomy, x: Float[jax.Array, " n"], y: Float[jax.Array, " n"], z: Float[jax.Array, " n"]
) -> tuple[Float[jax.Array, " n"], Float[jax.Array, " n"], Float[jax.Array, " n"]]:
    """Returns the distances (n,) in mm to the vertebrae, the discs between them and the canal behind them.

    Args:
      anatomy: the parameters of the patient.
      x: (n,) position towards the patient's left, mm.
      y: (n,) position towards the back, mm.
      z: (n,) position towards the head, mm.
    """
    dy = y - spine_y_mm(z)
    level = jnp.mod(z - anatomy.spine_phase_mm, VERTEBRA_PITCH_MM) - VERTEBRA_PITCH_MM / 2
    lumbar = smooth_step(-z, 0.0, 120.0)
    waist = 1.0 - 0.09 * jnp.cos(jnp.pi * level / 11.5)
    column = superellipse_distance(x, dy, (18.5 + 5.0 * lumbar) * waist, (15.5 + 2.5 * lumbar) * waist, 2.3)
    column = smooth_max(column, dy - 16.0, 5.0)
    body = smooth_max(column, jnp.abs(level) - 11.0, 3.0)
    disc = jnp.maximum(column + 1.0, 10.5 - jnp.abs(level))
    canal = superellipse_distance(x, dy - 24.5, 10.5, 8.0, 2.0)
    near = jnp.stack([jnp.abs(x), dy, level])
    start = jnp.array([[9.0, 18.0, 2.0], [12.0, 30.0, 0.0], [11.0, 27.0, 2.0], [0.0, 34.0, -2.0]])
    end = jnp.array([[12.0, 30.0, 0.0], [0.0, 36.0, -2.0], [36.0, 30.0, 2.0], [0.0, 50.0, -8.0]])
    radius = jnp.array([[4.5, 4.0], [3.6, 3.6], [4.0, 3.0], [3.2, 3.6]])
    arch_parts = jnp.min(capsule_distance(near, start, end, radius), axis=0)
    vertebra = smooth_min(body, arch_parts, 3.0)
    return vertebra, disc, canal
