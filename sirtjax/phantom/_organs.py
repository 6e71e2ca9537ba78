from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Integer

from sirtjax.phantom._parameters import Anatomy
from sirtjax.phantom._shapes import (
    ellipsoid_distance,
    smooth_max,
    smooth_min,
    superellipse_distance,
    tube_distance,
)
from sirtjax.phantom._torso import Torso

# The average patient's ellipsoids: centre (mm LPS), semi-axes (mm), rotation about x, y, z (degrees).
_NAMED_ELLIPSOIDS: tuple[tuple[str, tuple[float, ...]], ...] = (
    ("liver_right", (-70, 0, -72, 76, 86, 82, 0, 0, 0)),
    ("liver_tip", (-102, 18, -114, 34, 48, 50, 0, 8, 0)),
    ("liver_left", (4, -46, -50, 80, 38, 34, 0, 12, 8)),
    ("visceral_hollow", (4, 38, -148, 84, 82, 80, 0, 0, 0)),
    ("umbilical_fissure", (4, -74, -104, 4, 34, 34, 0, 0, 12)),
    ("caudate", (-4, 20, -62, 24, 22, 36, 0, 0, 0)),
    ("gallbladder", (-38, -52, -122, 14, 32, 16, 24, 0, -10)),
    ("spleen", (109, 38, -58, 35, 56, 62, -18, 16, 24)),
    ("kidney_right", (-60, 50, -142, 29.5, 30, 59, 12, 12, 0)),
    ("kidney_left", (62, 50, -126, 29.5, 30, 59, 12, -12, 0)),
    ("sinus_right", (-42, 42, -142, 17, 12, 30, 12, 12, 0)),
    ("sinus_left", (44, 42, -126, 17, 12, 30, 12, -12, 0)),
    ("stomach_fundus", (62, 14, -42, 34, 36, 34, 0, 0, 0)),
    ("stomach_body", (66, -28, -84, 30, 34, 52, 0, 12, 0)),
    ("stomach_antrum", (26, -50, -122, 46, 22, 20, 0, -18, 0)),
    ("pancreas_tail", (48, 16, -96, 46, 11, 14, 0, -16, 14)),
    ("pancreas_head", (-14, 2, -124, 19, 14, 26, 0, 0, 0)),
    ("heart", (26, -38, 46, 60, 50, 52, 20, 32, -34)),
    ("left_ventricle", (42, -36, 36, 30, 20, 20, 20, 32, -34)),
    ("right_ventricle", (8, -60, 42, 32, 16, 26, 20, 32, -24)),
    ("right_atrium", (-16, -30, 52, 20, 24, 28, 0, 0, 0)),
    ("left_atrium", (14, 0, 64, 26, 17, 22, 0, 0, 0)),
    ("psoas_right", (-36, 66, -215, 17, 19, 88, 0, -4, 0)),
    ("psoas_left", (36, 66, -215, 17, 19, 88, 0, 4, 0)),
    ("lung_right", (-66, 4, 28, 81, 101, 142, 0, 0, 0)),
    ("lung_left", (66, 4, 28, 76, 101, 140, 0, 0, 0)),
)
ELLIPSOIDS = np.array([values for _, values in _NAMED_ELLIPSOIDS], np.float64)
ELLIPSOID_NAMES = tuple(name for name, _ in _NAMED_ELLIPSOIDS)

# Tubes that every patient has: start, end (mm), radius at start and end (mm).
ARTERIES = np.array(
    [
        [4, -22, 72, -6, -18, 118, 15, 15],
        [-6, -18, 118, 4, 14, 138, 15, 13],
        [4, 14, 138, 14, 42, 124, 13, 12],
        [14, 42, 124, 15, 42, 40, 12, 12],
        [15, 42, 40, 5, 36, -40, 12, 11],
        [5, 36, -40, 5, 30, -240, 11, 9],
        [5, 26, -78, 6, 4, -80, 4.5, 3.5],  # coeliac trunk
        [6, 4, -80, 80, 26, -64, 3.5, 2.5],  # splenic artery
        [5, 26, -92, 6, -4, -170, 4.0, 3.2],  # superior mesenteric artery
    ],
    np.float32,
)
VEINS = np.array(
    [
        [-24, 34, -240, -24, 32, -100, 11, 12],
        [-24, 32, -100, -20, 22, -12, 12, 13],
        [-20, 22, -12, -18, -8, 30, 13, 13],
        [-22, -20, 70, -24, -14, 150, 10, 9],  # superior vena cava
        [-24, 32, -138, -44, 40, -140, 5.5, 5.0],  # renal veins
        [-22, 30, -124, 44, 40, -126, 5.0, 5.0],
    ],
    np.float32,
)
AIRWAYS = np.array(
    [
        [0, 10, 240, 2, 12, 108, 9, 8.5],
        [2, 12, 108, -34, 14, 82, 7, 6],
        [2, 12, 108, 38, 16, 80, 6.5, 5.5],
        [-34, 14, 82, -66, 22, 50, 5, 3],
        [38, 16, 80, 66, 22, 50, 5, 3],
        [-34, 14, 82, -62, -14, 96, 4.5, 3],
        [38, 16, 80, 62, -14, 96, 4.5, 3],
    ],
    np.float32,
)


class Organs(NamedTuple):
    """Signed distances (mm, (n,)) of the soft organs."""

    lung_right: Float[jax.Array, " n"]
    lung_left: Float[jax.Array, " n"]
    airway: Float[jax.Array, " n"]
    heart: Float[jax.Array, " n"]
    left_heart: Float[jax.Array, " n"]
    right_heart: Float[jax.Array, " n"]
    artery: Float[jax.Array, " n"]
    vein: Float[jax.Array, " n"]
    liver: Float[jax.Array, " n"]
    caudate: Float[jax.Array, " n"]
    gallbladder: Float[jax.Array, " n"]
    spleen: Float[jax.Array, " n"]
    kidney_right: Float[jax.Array, " n"]
    kidney_left: Float[jax.Array, " n"]
    renal_sinus: Float[jax.Array, " n"]
    stomach: Float[jax.Array, " n"]
    pancreas: Float[jax.Array, " n"]
    psoas: Float[jax.Array, " n"]


def organ_ellipsoids(anatomy: Anatomy, points_mm: Float[jax.Array, "3 n"]) -> dict[str, Float[jax.Array, " n"]]:
    """Returns the signed distance (n,) in mm of points (3, n) to each ellipsoid of the organs, by name."""
    distance = ellipsoid_distance(points_mm, anatomy.shape_centre_mm, anatomy.shape_radii_mm, anatomy.shape_rotation)
    return {name: distance[number] for number, (name, _) in enumerate(_NAMED_ELLIPSOIDS)}


def organs(anatomy: Anatomy, walls: Torso, points_mm: Float[jax.Array, "3 n"]) -> Organs:
    """Computes the soft organs at points (3, n) of the average patient's frame."""
    d = organ_ellipsoids(anatomy, points_mm)
    x, y, z = points_mm
    below = walls.above_diaphragm
    vein = tube_distance(points_mm, VEINS)
    artery = tube_distance(points_mm, ARTERIES)
    airway = tube_distance(points_mm, AIRWAYS)
    stomach = smooth_min(smooth_min(d["stomach_fundus"], d["stomach_body"], 30.0), d["stomach_antrum"], 24.0)
    stomach = smooth_max(smooth_max(stomach, below + 4.0, 8.0), walls.cavity + 6.0, 6.0)
    kidney_right, kidney_left = (
        smooth_max(smooth_max(d[f"kidney_{side}"], -d[f"sinus_{side}"], 6.0), walls.cavity + 4.0, 6.0)
        for side in ("right", "left")
    )
    liver = _liver(d, walls, vein)
    stomach = smooth_max(stomach, -liver + 2.5, 5.0)
    spleen = smooth_max(smooth_max(d["spleen"], walls.cavity + 3.0, 6.0), below + 4.0, 6.0)
    spleen = smooth_max(spleen, -jnp.minimum(stomach, d["kidney_left"]) + 3.0, 8.0)
    gallbladder = jnp.maximum(d["gallbladder"], -liver + 0.5)
    heart = smooth_max(d["heart"], -below + 3.0, 10.0)
    hila = superellipse_distance(x, y - 6.0, 20.0 + 8.0 * jnp.exp(-(((z - 80.0) / 40.0) ** 2)), 96.0, 2.0)
    middle = smooth_min(smooth_min(heart - 7.0, hila, 18.0), walls.spine_tube, 10.0)
    middle = smooth_min(middle, jnp.minimum(artery, vein) - 5.0, 8.0)
    chest = smooth_max(smooth_max(walls.cavity + 2.5, -below + 2.0, 4.0), -middle, 6.0)
    return Organs(
        lung_right=smooth_max(smooth_max(chest, x, 4.0), d["lung_right"], 16.0),
        lung_left=smooth_max(smooth_max(chest, -x, 4.0), d["lung_left"], 16.0),
        airway=airway,
        heart=heart,
        left_heart=jnp.minimum(d["left_ventricle"], d["left_atrium"]),
        right_heart=jnp.minimum(d["right_ventricle"], d["right_atrium"]),
        artery=artery,
        vein=vein,
        liver=liver,
        caudate=d["caudate"],
        gallbladder=gallbladder,
        spleen=spleen,
        kidney_right=kidney_right,
        kidney_left=kidney_left,
        renal_sinus=jnp.minimum(d["sinus_right"], d["sinus_left"]),
        stomach=stomach,
        pancreas=smooth_min(d["pancreas_tail"], d["pancreas_head"], 16.0),
        psoas=jnp.minimum(d["psoas_right"], d["psoas_left"]),
    )


def _liver(d: dict[str, jax.Array], walls: Torso, vein: jax.Array) -> jax.Array:
    # Three lobes run together, then pressed under the diaphragm, against the wall and onto the neighbours.
    lobes = smooth_min(smooth_min(d["liver_right"], d["liver_tip"], 24.0), d["liver_left"], 34.0)
    lobes = smooth_max(lobes, walls.above_diaphragm + 2.3, 4.0)
    lobes = smooth_max(lobes, walls.cavity + 1.8, 6.0)
    lobes = smooth_max(lobes, -d["visceral_hollow"], 16.0)
    lobes = smooth_max(lobes, -(walls.spine_tube - 10.0), 14.0)
    lobes = smooth_max(lobes, -(d["kidney_right"] - 5.0), 12.0)
    lobes = smooth_max(lobes, -d["umbilical_fissure"], 6.0)
    lobes = smooth_max(lobes, -(d["gallbladder"] - 1.0), 5.0)
    # The vena cava is painted over the rim that reaches into it.
    return jnp.maximum(lobes, -(vein + 1.5))


def segment_number(caudate: Float[jax.Array, " n"], points_mm: Float[jax.Array, "3 n"]) -> Integer[jax.Array, " n"]:
    """Returns the Couinaud segment (1 to 8) of each point (3, n), also outside the liver.

    The bounds are the gently curved surfaces of the three hepatic veins, all through the confluence at the
    vena cava, and the plane of the portal bifurcation.
    """
    x, y, z = points_mm
    east, south = x + 20.0, y - 24.0
    bend = 5.0 * jnp.sin(z / 34.0)

    def side(direction: tuple[float, float]) -> jax.Array:
        length = float(np.hypot(*direction))
        distance: jax.Array = (east * direction[1] - south * direction[0]) / length + bend
        return distance

    # Positive on the patient's right of (or behind) the vertical plane from the confluence along `direction`.
    right_of_middle = side((-26.0, -110.0)) > 0
    behind_right_vein = side((-110.0, -38.0)) > 0
    left_of_fissure = side((30.0, -100.0)) < 0
    upper = z > -74.0 + 0.18 * x + 4.0 * jnp.sin(y / 30.0)
    right = jnp.where(behind_right_vein, jnp.where(upper, 7, 6), jnp.where(upper, 8, 5))
    left = jnp.where(left_of_fissure, jnp.where(upper, 2, 3), 4)
    number = jnp.where(right_of_middle, right, left)
    return jnp.where((caudate < 0) & ~right_of_middle, 1, number)
