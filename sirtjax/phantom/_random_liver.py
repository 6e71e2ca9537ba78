from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sirtjax.phantom._random_body import Body
from sirtjax.phantom._random_config import SynthesisConfig
from sirtjax.phantom._shape_bank import BANK_ORIGIN_MM, BANK_SHAPE, BANK_SPACING_MM, STEP_MM

LESIONS = 8
_VESSELS = 4  # of each tree
_FAR_MM = 1e3
# Where the vessel trees begin, in the average body's frame (mm): hilum, confluence of the hepatic veins.
_HILUM_MM = (-30.0, -8.0, -80.0)
_CONFLUENCE_MM = (-21.0, 14.0, -18.0)


class Inside(NamedTuple):
    """What lies in the liver, on the grid of the distances.

    Attributes:
      lesion_mm: (lesions, ...) distance to each lesion.
      core_mm: (lesions, ...) to its core; far where there is none.
      portal_mm: (...) to the portal branches.
      hepatic_mm: (...) to the hepatic veins.
    """

    lesion_mm: jax.Array
    core_mm: jax.Array
    portal_mm: jax.Array
    hepatic_mm: jax.Array


def real_liver_mm(body: Body, points_mm: jax.Array) -> jax.Array:
    """Signed distance (mm) to the bank's liver at points (3, ...), linear between its voxels; capped at 32 mm."""
    at = [(points_mm[a] - body.place_mm[a] - BANK_ORIGIN_MM[a]) / BANK_SPACING_MM for a in range(3)]
    at = [jnp.clip(value, 0.0, size - 1.001) for value, size in zip(at, BANK_SHAPE, strict=True)]
    low = [jnp.floor(value).astype(jnp.int32) for value in at]
    t = [value - index for value, index in zip(at, low, strict=True)]
    base = (low[0] * BANK_SHAPE[1] + low[1]) * BANK_SHAPE[2] + low[2]
    flat = body.shape.distance_step.reshape(-1).astype(jnp.float32)
    total = jnp.zeros(points_mm.shape[1:])
    for corner in range(8):
        i, j, k = corner & 1, (corner >> 1) & 1, corner >> 2
        weight = (t[0] if i else 1 - t[0]) * (t[1] if j else 1 - t[1]) * (t[2] if k else 1 - t[2])
        total = total + weight * flat[base + (i * BANK_SHAPE[1] + j) * BANK_SHAPE[2] + k]
    return total * STEP_MM


def resected(key: jax.Array, liver_mm: jax.Array, points_mm: jax.Array, share: float) -> jax.Array:
    """The liver with, in `share` of cases, the part beyond a plane cut away."""
    keys = jax.random.split(key, 4)
    # Left and right parts are taken, seldom upper or lower ones.
    normal = jax.random.normal(keys[0], (3,)) * jnp.array([1.0, 0.5, 0.4])
    normal = normal / jnp.sqrt(jnp.sum(normal**2) + 1e-6)
    inside = (liver_mm < 0).astype(jnp.float32)
    volume = jnp.maximum(jnp.sum(inside), 1.0)
    offset = [points_mm[axis] - jnp.sum(inside * points_mm[axis]) / volume for axis in range(3)]
    height = normal[0] * offset[0] + normal[1] * offset[1] + normal[2] * offset[2]
    spread = jnp.sqrt(jnp.sum(inside * height**2) / volume)
    cut = height - spread * jax.random.uniform(keys[1], minval=0.3, maxval=1.5)
    done = jax.random.uniform(keys[2]) < share
    return jnp.where(done, jnp.maximum(liver_mm, cut), liver_mm)


def inside_liver(
    key: jax.Array,
    body: Body,
    liver_mm: jax.Array,
    points_mm: jax.Array,
    noise: jax.Array,
    config: SynthesisConfig,
) -> Inside:
    """Lesions and vessels at random places of the liver.

    Args:
      key: where the randomness comes from.
      body: the patient.
      liver_mm: (a, b, c) distance to its surface.
      points_mm: (3, a, b, c) positions.
      noise: (a, b, c) smooth noise that makes surfaces uneven.
      config: the preset.
    """
    keys = jax.random.split(key, 3)
    places = _places(keys[0], liver_mm, points_mm, LESIONS + 2 * _VESSELS)
    lesion, core = _lesions(keys[1], places[:LESIONS], points_mm, noise, config)
    start = [jnp.asarray(point) * body.scale for point in (_HILUM_MM, _CONFLUENCE_MM)]
    radius = jax.random.uniform(keys[2], (2,), minval=3.0, maxval=7.5)
    ends = places[LESIONS:].reshape(2, _VESSELS, 3)
    portal, hepatic = (_branches(points_mm, start[n], ends[n], radius[n]) + 1.5 * noise for n in range(2))
    return Inside(lesion_mm=lesion, core_mm=core, portal_mm=portal, hepatic_mm=hepatic)


def _places(key: jax.Array, liver_mm: jax.Array, points_mm: jax.Array, count: int) -> jax.Array:
    """`count` positions (count, 3) in the liver drawn at random; anywhere where there is no liver."""
    chance = jax.random.uniform(key, liver_mm[::3, ::3, ::3].shape)
    inside = liver_mm[::3, ::3, ::3] < -3.0
    _, index = jax.lax.top_k(jnp.where(inside, chance, chance - 1.0).ravel(), count)
    return points_mm[:, ::3, ::3, ::3].reshape(3, -1)[:, index].T


def _lesions(
    key: jax.Array, places_mm: jax.Array, points_mm: jax.Array, noise: jax.Array, config: SynthesisConfig
) -> tuple[jax.Array, jax.Array]:
    keys = jax.random.split(key, 5)
    low, high = (float(np.log(value)) for value in config.lesion_radius_mm)
    # Small ones are the more frequent: the mean of two draws, bent towards the lower bound.
    draw = jax.random.uniform(keys[0], (LESIONS,)) ** 1.5
    radius = jnp.exp(low + (high - low) * draw)
    ill = jax.random.uniform(keys[1]) < config.lesion_share
    count = jnp.where(ill, jax.random.randint(keys[2], (), 1, LESIONS + 1), 0)
    stretch = jnp.exp(0.2 * jax.random.normal(keys[3], (LESIONS, 3)))
    core_draw = jax.random.uniform(keys[4], (LESIONS,))
    lesion, core = [], []
    for n in range(LESIONS):
        squared = sum(((points_mm[axis] - places_mm[n, axis]) * stretch[n, axis]) ** 2 for axis in range(3))
        distance = jnp.sqrt(squared + 1e-6) - radius[n] * (1.0 + 0.18 * noise)
        distance = jnp.where(n < count, distance, _FAR_MM)
        lesion.append(distance)
        core.append(jnp.where(core_draw[n] < 0.35, distance + radius[n] * (0.25 + core_draw[n]), _FAR_MM))
    return jnp.stack(lesion), jnp.stack(core)


def _branches(points_mm: jax.Array, start_mm: jax.Array, ends_mm: jax.Array, radius_mm: jax.Array) -> jax.Array:
    """Distance to cones from one point to each of the ends, to a third of their radius."""
    nearest = jnp.full(points_mm.shape[1:], _FAR_MM)
    offset = [points_mm[axis] - start_mm[axis] for axis in range(3)]
    for n in range(_VESSELS):
        axis = ends_mm[n] - start_mm
        length2 = jnp.maximum(jnp.sum(axis**2), 1.0)
        t = jnp.clip((offset[0] * axis[0] + offset[1] * axis[1] + offset[2] * axis[2]) / length2, 0.0, 1.0)
        squared = sum((offset[a] - t * axis[a]) ** 2 for a in range(3))
        nearest = jnp.minimum(nearest, jnp.sqrt(squared + 1e-6) - radius_mm * (1.0 - 0.7 * t))
    return nearest
