from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from sirtjax.synthesis._body import Body
from sirtjax.synthesis._config import SynthesisConfig
from sirtjax.synthesis._lobes import shape_points_mm
from sirtjax.synthesis._shape_bank import BANK_ORIGIN_MM, BANK_SHAPE, BANK_SPACING_MM, STEP_MM

LESIONS = 8
_VESSELS = 5  # of each tree
_FAR_MM = 1e3
# Where the vessel trees begin, in the average body's frame (mm): hilum, confluence of the hepatic veins.
_HILUM_MM = (-30.0, -8.0, -80.0)
_CONFLUENCE_MM = (-21.0, 14.0, -18.0)


class Inside(NamedTuple):
    """The structures in the liver, on the grid of the distances.

    Attributes:
      lesion_mm: (lesions, ...) distance to each lesion.
      core_mm: (lesions, ...) distance to the core of each lesion; large if there is none.
      portal_mm: (...) distance to the portal branches.
      hepatic_mm: (...) distance to the hepatic veins.
    """

    lesion_mm: Float[jax.Array, " lesions *points"]
    core_mm: Float[jax.Array, " lesions *points"]
    portal_mm: Float[jax.Array, "*points"]
    hepatic_mm: Float[jax.Array, "*points"]


def real_liver_mm(body: Body, points_mm: Float[jax.Array, " 3 *points"]) -> Float[jax.Array, "*points"]:
    """Returns the signed distance (mm) to the bank's liver at points (3, ...).

    It is linear between voxels and capped at 32 mm.
    """
    placed = points_mm - body.place_mm.reshape(3, *(1,) * (points_mm.ndim - 1))
    inside = shape_points_mm(body.lobes, body.shape.box_mm, placed)
    at = [(value - origin) / BANK_SPACING_MM for value, origin in zip(inside, BANK_ORIGIN_MM, strict=True)]
    at = [jnp.clip(value, 0.0, size - 1.001) for value, size in zip(at, BANK_SHAPE, strict=True)]
    low = [jnp.floor(value).astype(jnp.int32) for value in at]
    t = [value - index for value, index in zip(at, low, strict=True)]
    base = (low[0] * BANK_SHAPE[1] + low[1]) * BANK_SHAPE[2] + low[2]
    flat = body.shape.distance_step.reshape(-1)
    total = jnp.zeros(points_mm.shape[1:])
    for corner in range(8):
        i, j, k = corner & 1, (corner >> 1) & 1, corner >> 2
        weight = (t[0] if i else 1 - t[0]) * (t[1] if j else 1 - t[1]) * (t[2] if k else 1 - t[2])
        step = flat[base + (i * BANK_SHAPE[1] + j) * BANK_SHAPE[2] + k]
        total = total + weight * step.astype(jnp.float32)
    return total * STEP_MM


class Contents(NamedTuple):
    """The positions of resection, lesions and vessels of one liver.

    Attributes:
      cut: (4,) plane of the resection: unit normal and offset; far away if the liver is whole.
      bridge: (6,) plane in the middle of a narrow bridge (unit normal and offset), depth by which the surface retreats
        there, and width of the bridge (standard deviation); depth 0 if there is none.
      lesion_mm: (lesions, 3) centres of the lesions.
      stretch: (lesions, 3) stretch of the axes.
      radius_mm: (lesions,) radii; negative for lesions that are not there.
      core: (lesions,) depth at which the core begins, over the radius; above 1 for none.
      start_mm: (2, 3) start of the portal and of the hepatic veins.
      end_mm: (2, branches, 3) ends of their branches.
      trunk_mm: (2,) radius at the start of the portal and of the hepatic veins.
    """

    cut: Float[jax.Array, "4"]
    bridge: Float[jax.Array, "6"]
    lesion_mm: Float[jax.Array, "lesions 3"]
    stretch: Float[jax.Array, "lesions 3"]
    radius_mm: Float[jax.Array, " lesions"]
    core: Float[jax.Array, " lesions"]
    start_mm: Float[jax.Array, "2 3"]
    end_mm: Float[jax.Array, "2 branches 3"]
    trunk_mm: Float[jax.Array, "2"]


def draw_contents(
    key: PRNGKeyArray,
    body: Body,
    liver_mm: Float[jax.Array, " n"],
    points_mm: Float[jax.Array, "3 n"],
    config: SynthesisConfig,
) -> Contents:
    """Returns a random resection, lesions and vessels of a liver.

    Args:
      key: random key.
      body: the patient.
      liver_mm: (n,) distance to the liver's surface at some points all over the grid.
      points_mm: (3, n) positions of these points.
      config: the preset.
    """
    keys = jax.random.split(key, 8)
    chance = jax.random.uniform(keys[0], liver_mm.shape)
    _, index = jax.lax.top_k(jnp.where(liver_mm < -3.0, chance, chance - 1.0), LESIONS + 2 * _VESSELS)
    places = points_mm[:, index].T
    low, high = (float(np.log(value)) for value in config.lesion_radius_mm)
    # Small lesions are more frequent.
    radius = jnp.exp(low + (high - low) * jax.random.uniform(keys[1], (LESIONS,)) ** 1.5)
    ill = jax.random.uniform(keys[2]) < config.lesion_fraction
    count = jnp.where(ill, jax.random.randint(keys[3], (), 1, LESIONS + 1), 0)
    core = jax.random.uniform(keys[4], (LESIONS,))
    return Contents(
        cut=_cut(keys[5], liver_mm, points_mm, config.resection_fraction),
        bridge=_bridge(jax.random.fold_in(key, 1), liver_mm, points_mm, config),
        lesion_mm=places[:LESIONS],
        stretch=jnp.exp(0.2 * jax.random.normal(keys[6], (LESIONS, 3))),
        radius_mm=jnp.where(jnp.arange(LESIONS) < count, radius, -_FAR_MM),
        core=jnp.where(core < 0.35, 0.25 + core, _FAR_MM),
        start_mm=jnp.array([_HILUM_MM, _CONFLUENCE_MM]) * body.scale[None],
        end_mm=places[LESIONS:].reshape(2, _VESSELS, 3),
        trunk_mm=jax.random.uniform(keys[7], (2,), minval=4.0, maxval=8.0),
    )


def resected_mm(
    contents: Contents, liver_mm: Float[jax.Array, "*points"], points_mm: Float[jax.Array, " 3 *points"]
) -> Float[jax.Array, "*points"]:
    """Returns the liver (...) without the values beyond its plane of resection, narrowed at its bridge."""
    depth, width = contents.bridge[4], contents.bridge[5]
    liver_mm = liver_mm + depth * jnp.exp(-0.5 * (_height_mm(contents.bridge, points_mm) / width) ** 2)
    return jnp.maximum(liver_mm, _height_mm(contents.cut, points_mm))


def _height_mm(
    plane: Float[jax.Array, " plane"], points_mm: Float[jax.Array, " 3 *points"]
) -> Float[jax.Array, "*points"]:
    return plane[0] * points_mm[0] + plane[1] * points_mm[1] + plane[2] * points_mm[2] - plane[3]


def inside_liver(
    contents: Contents, points_mm: Float[jax.Array, " 3 *points"], noise: Float[jax.Array, "*points"]
) -> Inside:
    """Distances (...) to lesions and vessels at points (3, ...); smooth noise (...) makes them uneven."""
    lesion, core = [], []
    for n in range(LESIONS):
        squared = sum(
            ((points_mm[axis] - contents.lesion_mm[n, axis]) * contents.stretch[n, axis]) ** 2 for axis in range(3)
        )
        radius = contents.radius_mm[n]
        distance = jnp.sqrt(squared + 1e-6) - radius * (1.0 + jnp.clip(0.18 * noise, -0.5, 0.5))
        lesion.append(distance)
        core.append(distance + radius * contents.core[n])
    portal, hepatic = (
        _branches(points_mm, contents.start_mm[n], contents.end_mm[n], contents.trunk_mm[n]) + 1.5 * noise
        for n in range(2)
    )
    # A lesion that is not there has a negative radius, and its core must not come near either.
    absent = (contents.radius_mm < 0).reshape(-1, *(1,) * noise.ndim)
    return Inside(
        lesion_mm=jnp.stack(lesion),
        core_mm=jnp.where(absent, _FAR_MM, jnp.stack(core)),
        portal_mm=portal,
        hepatic_mm=hepatic,
    )


def _cut(
    key: PRNGKeyArray, liver_mm: Float[jax.Array, " n"], points_mm: Float[jax.Array, "3 n"], fraction: float
) -> Float[jax.Array, "4"]:
    keys = jax.random.split(key, 3)
    # Left and right parts are taken, seldom upper or lower ones.
    normal = _unit(jax.random.normal(keys[0], (3,)) * jnp.array([1.0, 0.5, 0.4]))
    mean, spread = _extent_mm(normal, liver_mm, points_mm)
    offset = mean + spread * jax.random.uniform(keys[1], minval=0.3, maxval=1.5)
    done = jax.random.uniform(keys[2]) < fraction
    return jnp.concatenate([normal, jnp.where(done, offset, 10.0 * _FAR_MM)[None]])


def _bridge(
    key: PRNGKeyArray, liver_mm: Float[jax.Array, " n"], points_mm: Float[jax.Array, "3 n"], config: SynthesisConfig
) -> Float[jax.Array, "6"]:
    fraction = 0.0 if config.unusual is None else config.unusual.narrowed_fraction
    if not fraction:
        return jnp.array([1.0, 0.0, 0.0, 0.0, 0.0, 1.0])
    tilt_key, size_key = jax.random.split(key)
    # Between right and left, from the middle of the liver to the beginning of the left lobe.
    normal = _unit(jnp.array([1.0, 0.0, 0.0]) + 0.35 * jax.random.normal(tilt_key, (3,)))
    mean, spread = _extent_mm(normal, liver_mm, points_mm)
    chance, place, depth, width = jax.random.uniform(size_key, (4,))
    sizes = jnp.stack(
        [
            mean + spread * (-0.2 + 1.6 * place),
            jnp.where(chance < fraction, 4.0 + 14.0 * depth, 0.0),
            5.0 + 15.0 * width,
        ]
    )
    return jnp.concatenate([normal, sizes])


def _unit(vector: Float[jax.Array, "3"]) -> Float[jax.Array, "3"]:
    unit: jax.Array = vector / jnp.sqrt(jnp.sum(vector**2) + 1e-6)
    return unit


def _extent_mm(
    normal: Float[jax.Array, "3"], liver_mm: Float[jax.Array, " n"], points_mm: Float[jax.Array, "3 n"]
) -> tuple[Float[jax.Array, ""], Float[jax.Array, ""]]:
    """Mean and standard deviation of the liver along a direction."""
    inside = (liver_mm < 0).astype(jnp.float32)
    volume = jnp.maximum(jnp.sum(inside), 1.0)
    height = normal[0] * points_mm[0] + normal[1] * points_mm[1] + normal[2] * points_mm[2]
    mean = jnp.sum(inside * height) / volume
    return mean, jnp.sqrt(jnp.sum(inside * (height - mean) ** 2) / volume)


def _branches(
    points_mm: Float[jax.Array, " 3 *points"],
    start_mm: Float[jax.Array, "3"],
    ends_mm: Float[jax.Array, "branches 3"],
    radius_mm: Float[jax.Array, ""],
) -> Float[jax.Array, "*points"]:
    """Distance to cones from one point to each of the ends, to less than half of their radius."""
    nearest = jnp.full(points_mm.shape[1:], _FAR_MM)
    offset = [points_mm[axis] - start_mm[axis] for axis in range(3)]
    for n in range(_VESSELS):
        axis = ends_mm[n] - start_mm
        length2 = jnp.maximum(jnp.sum(axis**2), 1.0)
        t = jnp.clip((offset[0] * axis[0] + offset[1] * axis[1] + offset[2] * axis[2]) / length2, 0.0, 1.0)
        squared = sum((offset[a] - t * axis[a]) ** 2 for a in range(3))
        nearest = jnp.minimum(nearest, jnp.sqrt(squared + 1e-6) - radius_mm * (1.0 - 0.6 * t))
    return nearest
