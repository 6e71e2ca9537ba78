from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from sirtjax.phantom import (
    AIRWAYS,
    ARTERIES,
    VEINS,
    Anatomy,
    Torso,
    ellipsoid_distance,
    organ_ellipsoids,
    smooth_max,
    smooth_min,
    smooth_step,
    spine,
    superellipse_distance,
    torso,
    tube_distance,
)
from sirtjax.synthesis._body import Body
from sirtjax.synthesis._lobes import diaphragm_height_mm, shape_points_mm
from sirtjax.synthesis._shape_bank import BANK_ORIGIN_MM, BANK_SHAPE, BANK_SPACING_MM
from sirtjax.typing import Scalar

# Bowel that touches the liver or lies near it, in the average patient's frame: start, end (mm), radii (mm).
_COLON = np.array(
    [
        [-96, 12, -250, -96, 0, -150, 26, 24],  # ascending
        [-96, 0, -150, -70, -46, -140, 24, 22],  # hepatic flexure
        [-70, -46, -140, 0, -72, -168, 22, 20],  # transverse, two pieces
        [0, -72, -168, 78, -40, -118, 20, 20],
        [78, -40, -118, 112, 26, -104, 20, 18],  # splenic flexure
        [112, 26, -104, 108, 24, -250, 18, 18],  # descending
    ],
    np.float32,
)
_DUODENUM = np.array(
    [
        [-4, -44, -116, -36, -20, -116, 15, 15],
        [-36, -20, -116, -42, 8, -136, 15, 14],
        [-42, 8, -136, -34, 14, -190, 14, 14],
    ],
    np.float32,
)
_PORTAL = np.array([[16, 2, -140, -8, -2, -104, 7, 7], [-8, -2, -104, -30, -8, -80, 7, 6]], np.float32)
# Wings of the pelvis (ellipsoidal shells) and heads of the femora: centre, semi-axes.
_PELVIS = np.array([[-78, 36, -300, 58, 56, 74], [78, 36, -300, 58, 56, 74]], np.float32)
_FEMORA = np.array([[-92, 6, -382, 26, 26, 26], [92, 6, -382, 26, 26, 26]], np.float32)
_BLADDER = np.array([[0, -20, -370, 42, 38, 36]], np.float32)
# `Torso.above_diaphragm` for a millimetre up, and where the diaphragm's upper side is in it.
_STEEPNESS, _DIAPHRAGM_TOP = 0.62, 1.4


def body_points_mm(body: Body, points_mm: Float[jax.Array, " 3 *points"]) -> Float[jax.Array, " 3 *points"]:
    """Returns points (3, ...) of the patient in the average body's frame."""
    wide = (3,) + (1,) * (points_mm.ndim - 1)
    return (points_mm - body.shift_mm.reshape(wide)) / body.scale.reshape(wide)


def walls_and_liver(
    body: Body, points_mm: Float[jax.Array, "3 n"]
) -> tuple[Torso, dict[str, Float[jax.Array, " n"]], Float[jax.Array, " n"]]:
    """Returns the average walls, the distances to the simulator's ellipsoids, and its liver.

    At points (3, n).
    """
    mean = body_points_mm(body, points_mm)
    walls = torso(body.anatomy, *mean)
    d = organ_ellipsoids(body.anatomy, mean)
    lobes = smooth_min(smooth_min(d["liver_right"], d["liver_tip"], 24.0), d["liver_left"], 34.0)
    lobes = smooth_max(lobes, walls.above_diaphragm + 2.3, 4.0)
    lobes = smooth_max(lobes, walls.cavity + 1.8, 6.0)
    lobes = smooth_max(lobes, -d["visceral_hollow"], 16.0)
    lobes = smooth_max(lobes, -(walls.spine_tube - 10.0), 14.0)
    lobes = smooth_max(lobes, -(d["kidney_right"] - 5.0), 12.0)
    lobes = smooth_max(lobes, -d["umbilical_fissure"], 6.0)
    lobes = smooth_max(lobes, -(d["gallbladder"] - 1.0), 5.0)
    return walls, d, jnp.maximum(lobes, -(tube_distance(mean, VEINS) - 1.0))


def around_liver(
    body: Body, walls: Torso, points_mm: Float[jax.Array, "3 n"], liver_mm: Float[jax.Array, " n"]
) -> Torso:
    """Returns the walls moved so that the liver is inside them, with the diaphragm on top of it."""
    x, y, z = points_mm
    top, weight = _liver_top(body, x, y)
    high = body.scale[2]
    usual = z - walls.above_diaphragm / _STEEPNESS * high
    # The lung may hang down in front of the liver, but not far below the height it usually ends at.
    upon = top + body.sheet_mm + body.diaphragm_mm - _DIAPHRAGM_TOP / _STEEPNESS
    over = jnp.maximum(upon, usual - 45.0)
    beside = usual - body.recess_mm * smooth_step(y, 15.0, 75.0)
    dome = jnp.where(body.real, weight * over + (1.0 - weight) * beside, usual)
    # The wall follows the liver's right and front: where the two are near each other, it comes nearer still.
    hug = 13.0 * jnp.maximum(1.0 - jnp.abs(liver_mm - 17.0) / 15.0, 0.0) * smooth_step(-x, -30.0, 25.0)
    gap = jnp.clip(0.5 * body.halo_mm, -3.5, 1.5) + body.sheet_mm
    return Torso(
        skin=smooth_min(walls.skin + hug, liver_mm - 16.0, 10.0),
        muscle=smooth_min(walls.muscle + hug, liver_mm - 11.0, 10.0),
        cavity=smooth_min(walls.cavity + hug, liver_mm - gap, 6.0),
        spine_tube=walls.spine_tube,
        above_diaphragm=(z - dome) * _STEEPNESS,
    )


def diaphragm_mm(
    above: Float[jax.Array, "*points"], cavity_mm: Float[jax.Array, "*points"], thickness_mm: Float[jax.Array, ""]
) -> Float[jax.Array, "*points"]:
    """Returns the distance to the diaphragm.

    From `Torso.above_diaphragm`, the distance to the cavity and its thickness.
    """
    below = _DIAPHRAGM_TOP - _STEEPNESS * thickness_mm
    return jnp.maximum(jnp.maximum(above - _DIAPHRAGM_TOP, below - above), cavity_mm)


def surfaces(
    body: Body, walls: Torso, ellipsoids: dict[str, Float[jax.Array, " n"]], points_mm: Float[jax.Array, "3 n"]
) -> dict[str, Float[jax.Array, " n"]]:
    """Returns signed distances (mm) at points (3, n) of everything except the liver and the ribs.

    Neighbours of the liver are swollen by `body.inflate_mm` and not yet pushed aside. Organs that are painted later
    cover the earlier ones.
    """
    mean = body_points_mm(body, points_mm)
    x, y, z = mean
    d, below, swell = ellipsoids, walls.above_diaphragm, body.inflate_mm
    inside = walls.cavity + 3.0
    vein, artery, airway = (tube_distance(mean, table) for table in (VEINS, ARTERIES, AIRWAYS))

    def abdominal(distance: jax.Array) -> jax.Array:
        return smooth_max(smooth_max(distance, below + 3.0, 6.0), inside, 6.0)

    stomach = smooth_min(smooth_min(d["stomach_fundus"], d["stomach_body"], 30.0), d["stomach_antrum"], 24.0)
    heart = smooth_max(d["heart"] - 4.0, -below + 2.0, 8.0)
    hila = superellipse_distance(x, y - 6.0, 20.0 + 8.0 * jnp.exp(-(((z - 80.0) / 40.0) ** 2)), 96.0, 2.0)
    middle = smooth_min(smooth_min(heart - 5.0, hila, 18.0), walls.spine_tube, 10.0)
    middle = smooth_min(middle, jnp.minimum(artery, vein) - 5.0, 8.0)
    chest = smooth_max(smooth_max(walls.cavity + 2.0, -below + 1.5, 4.0), -middle, 6.0)
    # The ellipsoids only round off the tops of the lungs.
    right = smooth_max(smooth_max(chest, x, 4.0), jnp.where(z > 20.0, d["lung_right"], -50.0), 16.0)
    left = smooth_max(smooth_max(chest, -x, 4.0), jnp.where(z > 20.0, d["lung_left"], -50.0), 16.0)
    vertebra, disc, canal = spine(body.anatomy, x, y, z)
    sinus = jnp.minimum(d["sinus_right"], d["sinus_left"])
    # Highest on the left, under the diaphragm.
    roof = -128.0 + body.roof_mm - 0.25 * jnp.abs(x) + 40.0 * smooth_step(x, 0.0, 60.0)
    kidneys = smooth_max(jnp.minimum(d["kidney_right"] - 0.35 * swell, d["kidney_left"]), -sinus, 6.0)
    return {
        "skin": walls.skin,
        "muscle": walls.muscle,
        "cavity": walls.cavity,
        "above": below,
        "lung": jnp.minimum(right, left),
        "airway": airway,
        "heart": heart,
        "right_heart": jnp.minimum(d["right_ventricle"], d["right_atrium"]),
        "left_heart": jnp.minimum(d["left_ventricle"], d["left_atrium"]),
        "artery": artery,
        "vein": vein,
        "portal": tube_distance(mean, _PORTAL),
        "gallbladder": abdominal(d["gallbladder"] - 0.4 * swell),
        "spleen": abdominal(d["spleen"] - 0.5 * swell),
        "kidney": abdominal(kidneys),
        "sinus": sinus,
        "stomach": abdominal(stomach - 0.8 * swell),
        "pancreas": smooth_min(d["pancreas_tail"], d["pancreas_head"], 16.0) - 0.3 * swell,
        "psoas": jnp.minimum(d["psoas_right"], d["psoas_left"]),
        "colon": abdominal(tube_distance(mean, _COLON) - 0.6 * swell + 6.0),
        "bowel_roof": (z - roof) * 0.8,
        "duodenum": abdominal(tube_distance(mean, _DUODENUM) - 0.5 * swell + 3.0),
        "spine": jnp.maximum(jnp.maximum(vertebra, -canal), walls.skin + 6.0),
        "disc": disc,
        "canal": canal,
        **_limbs(body.anatomy, walls, mean),
    }


def ribs(
    body: Body, muscle_mm: Float[jax.Array, "*points"], points_mm: Float[jax.Array, " 3 *points"], phase_mm: Scalar
) -> Float[jax.Array, "*points"]:
    """Returns the distance (mm) to slanted bone rings in the chest wall and to the sternum.

    At points (3, ...).
    """
    x, y, z = body_points_mm(body, points_mm)
    slant = z + 0.75 * (80.0 - y)
    pitch = 29.0
    level = jnp.mod(slant - phase_mm, pitch) - pitch / 2
    ring = 3.8 * (jnp.sqrt((level * 0.8 / 6.4) ** 2 + ((muscle_mm + 6.5) / 4.2) ** 2 + 1e-6) - 1.0)
    ring = jnp.maximum(ring, -(slant + 66.0) * 0.8)
    across = jnp.abs(x)
    front = jnp.where(y < 0.0, 42.0 + 0.62 * jnp.clip(70.0 - z, 0.0, 190.0) - across, -1e3)
    back = jnp.where(y > 50.0, 26.0 - across, -1e3)
    sternum = jnp.maximum(jnp.maximum(jnp.abs(muscle_mm + 7.5) - 5.0, across - 19.0), jnp.maximum(38.0 - z, y))
    return jnp.minimum(jnp.maximum(ring, jnp.maximum(front, back)), sternum)


def _limbs(anatomy: Anatomy, walls: Torso, mean: Float[jax.Array, "3 n"]) -> dict[str, Float[jax.Array, " n"]]:
    eye = jnp.eye(3)[None]

    def blobs(table: np.ndarray) -> jax.Array:
        turned = jnp.broadcast_to(eye, (len(table), 3, 3))
        return jnp.min(ellipsoid_distance(mean, jnp.asarray(table[:, :3]), jnp.asarray(table[:, 3:]), turned), axis=0)

    x, y, z = mean
    wing = jnp.maximum(jnp.abs(blobs(_PELVIS)) - 4.0, jnp.maximum(-y - 20.0, jnp.abs(x) - 118.0))
    wing = jnp.maximum(wing, walls.muscle + 4.0)
    side = jnp.abs(x)
    # The arm hangs next to the body: soft tissue around one bone.
    away = jnp.sqrt((side - 205.0) ** 2 + (y - 20.0 - 0.06 * z) ** 2 + 1e-6)
    return {
        "pelvis": jnp.minimum(wing, blobs(_FEMORA)),
        "bladder": blobs(_BLADDER),
        "arm": jnp.maximum(away - 40.0, z - 160.0),
        "arm_bone": jnp.maximum(away - 11.0, z - 150.0),
    }


def _liver_top(
    body: Body, x: Float[jax.Array, " n"], y: Float[jax.Array, " n"]
) -> tuple[Float[jax.Array, " n"], Float[jax.Array, " n"]]:
    shape = body.shape
    x, y = x - body.place_mm[0], y - body.place_mm[1]
    across, back, _ = shape_points_mm(body.lobes, shape.box_mm, jnp.stack([x, y, jnp.full_like(x, 1e3)]))
    i = (across - BANK_ORIGIN_MM[0]) / BANK_SPACING_MM
    j = (back - BANK_ORIGIN_MM[1]) / BANK_SPACING_MM
    i, j = jnp.clip(i, 0, BANK_SHAPE[0] - 1.001), jnp.clip(j, 0, BANK_SHAPE[1] - 1.001)
    low_i, low_j = jnp.floor(i).astype(jnp.int32), jnp.floor(j).astype(jnp.int32)
    s, t = i - low_i, j - low_j
    both = jnp.stack([shape.top_mm, shape.beside_mm], axis=-1).astype(jnp.float32).reshape(-1, 2)
    value = jnp.zeros((*x.shape, 2))
    for a, b in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weight = (s if a else 1 - s) * (t if b else 1 - t)
        value = value + weight[:, None] * both[(low_i + a) * BANK_SHAPE[1] + low_j + b]
    top = diaphragm_height_mm(body.lobes, shape.box_mm, x, value[:, 0]) + body.place_mm[2]
    return top, jnp.exp(-((value[:, 1] / 24.0) ** 2))
