"""Anatomy that liver networks get wrong: masses next to the liver, bulging tumours, nodular livers, full stomachs."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, PRNGKeyArray

from sirtjax.phantom import smooth_max, smooth_min
from sirtjax.synthesis._config import UnusualAnatomy

MASSES = 2
_FAR_MM = 1e3
# The distances of the bank end at 32 mm: a centre cannot be placed farther from the surface of the liver.
_FARTHEST_MM = 29.0
# Masses and tumours keep this distance to the wall of the cavity and to the diaphragm.
_WALL_MM = 1.5


class Blob(NamedTuple):
    """One uneven ellipsoid.

    Attributes:
      centre_mm: (3,) position in the patient.
      radius_mm: radius; negative if there is none.
      stretch: (3,) stretch of the axes.
    """

    centre_mm: Float[jax.Array, "3"]
    radius_mm: Float[jax.Array, ""]
    stretch: Float[jax.Array, "3"]


class Unusual(NamedTuple):
    """The unusual structures of one patient.

    Attributes:
      masses: masses next to the liver.
      dent_mm: (masses,) depth from the surface of each mass at which the liver yields to it; large if it does not.
      gap_mm: fat between masses and liver.
      tumour: tumour of the liver that bulges out of its surface.
      nodules_mm: standard deviation of the nodular surface of the liver.
      stomach_mm: growth of a full stomach in every direction.
    """

    masses: tuple[Blob, ...]
    dent_mm: Float[jax.Array, " masses"]
    gap_mm: Float[jax.Array, ""]
    tumour: Blob
    nodules_mm: Float[jax.Array, ""]
    stomach_mm: Float[jax.Array, ""]


def draw_unusual(
    key: PRNGKeyArray,
    points_mm: Float[jax.Array, "3 n"],
    fields: dict[str, Float[jax.Array, " n"]],
    config: UnusualAnatomy,
) -> Unusual:
    """Returns random unusual structures of a patient.

    Masses arise anywhere around the liver, in any organ of the abdomen: their centre is outside the liver, by 35 to
    95 % of their radius. The centre of a bulging tumour is from 50 % of its radius inside the liver to 35 % outside.

    Args:
      key: random key.
      points_mm: (3, n) positions all over the grid.
      fields: distances (n,) at these positions; "liver", "cavity" and "above" are used.
      config: fractions of patients with each structure.
    """
    keys = jax.random.split(key, 8)
    liver_mm = fields["liver"]
    abdomen = (fields["cavity"] < -6.0) & (fields["above"] < -4.0)
    shares = jax.random.uniform(keys[0], (MASSES + 1,))
    depths = jax.random.uniform(keys[1], (MASSES,), minval=0.35, maxval=0.95)
    many = jnp.array([1.0, 0.35])  # a second mass is less frequent
    has_mass = shares[0] < config.mass_fraction * many
    masses, dents = [], []
    for n, one in enumerate(jax.random.split(keys[2], MASSES)):
        radius_key, place_key, dent_key = jax.random.split(one, 3)
        radius = _log_uniform(radius_key, config.mass_radius_mm)
        away = jnp.minimum(depths[n] * radius, _FARTHEST_MM)
        blob, found = _blob(place_key, points_mm, liver_mm - away, abdomen, radius)
        masses.append(blob._replace(radius_mm=jnp.where(has_mass[n] & found, radius, -_FAR_MM)))
        # Soft masses lie on the liver; firm ones dent it, at most to 15 mm.
        firm, most = jax.random.uniform(dent_key, (2,))
        dents.append(jnp.where(firm < 0.5, jnp.maximum(radius - away - 15.0 * most, 0.0), _FAR_MM))
    tumour_key, inside_key, place_key = jax.random.split(keys[3], 3)
    radius = _log_uniform(tumour_key, config.bulging_radius_mm)
    depth = jax.random.uniform(inside_key, minval=-0.5, maxval=0.35) * radius
    tumour, found = _blob(
        place_key, points_mm, liver_mm - jnp.clip(depth, -_FARTHEST_MM, _FARTHEST_MM), abdomen, radius
    )
    has_tumour = (shares[MASSES] < config.bulging_fraction) & found
    nodular, full, gap = jax.random.uniform(keys[4], (3,))
    size = jax.random.uniform(keys[5], (3,))
    return Unusual(
        masses=tuple(masses),
        dent_mm=jnp.stack(dents),
        gap_mm=jnp.where(gap < 0.3, 5.0 * size[2], 0.0),
        tumour=tumour._replace(radius_mm=jnp.where(has_tumour, radius, -_FAR_MM)),
        nodules_mm=jnp.where(nodular < config.nodular_fraction, 1.2 + 2.3 * size[0], 0.0),
        stomach_mm=jnp.where(full < config.full_stomach_fraction, 8.0 + 27.0 * size[1], 0.0),
    )


def blob_mm(
    blob: Blob, points_mm: Float[jax.Array, " 3 *points"], noise: Float[jax.Array, "*points"]
) -> Float[jax.Array, "*points"]:
    """Returns the distance (mm) to an ellipsoid at points (3, ...); smooth noise makes it uneven."""
    squared = sum(((points_mm[axis] - blob.centre_mm[axis]) * blob.stretch[axis]) ** 2 for axis in range(3))
    return jnp.sqrt(squared + 1e-6) - blob.radius_mm * (1.0 + jnp.clip(0.14 * noise, -0.35, 0.35))


def grown_liver_mm(
    unusual: Unusual,
    liver_mm: Float[jax.Array, "*points"],
    masses_mm: Float[jax.Array, " masses *points"],
    tumour_mm: Float[jax.Array, "*points"],
    organ: dict[str, Float[jax.Array, "*points"]],
    noise: Float[jax.Array, "*points"],
) -> Float[jax.Array, "*points"]:
    """Returns the liver (...) with its nodules and its bulging tumour, dented by firm masses.

    Args:
      unusual: structures of the patient.
      liver_mm: (...) distance to the liver.
      masses_mm: (masses, ...) distance to each mass.
      tumour_mm: (...) distance to the bulging tumour.
      organ: distances by name; "cavity" and "above" are used.
      noise: (...) smooth noise of variance 1, the nodules.
    """
    liver = liver_mm + unusual.nodules_mm * noise
    liver = smooth_min(liver, in_abdomen_mm(tumour_mm, organ), 4.0)
    for n in range(MASSES):
        liver = smooth_max(liver, -(masses_mm[n] + unusual.dent_mm[n]), 3.0)
    return liver


def in_abdomen_mm(
    distance_mm: Float[jax.Array, "*points"], organ: dict[str, Float[jax.Array, "*points"]]
) -> Float[jax.Array, "*points"]:
    """Returns a structure (...) without what would be outside the cavity or above the diaphragm."""
    wall = jnp.maximum(organ["cavity"], organ["above"]) + _WALL_MM
    return smooth_max(distance_mm, wall, 3.0)


def _blob(
    key: PRNGKeyArray,
    points_mm: Float[jax.Array, "3 n"],
    offset_mm: Float[jax.Array, " n"],
    allowed: Bool[jax.Array, " n"],
    radius_mm: Float[jax.Array, ""],
) -> tuple[Blob, Bool[jax.Array, ""]]:
    """Returns an ellipsoid around a random allowed point whose offset is about 0, and whether there is such a point."""
    place_key, stretch_key = jax.random.split(key)
    possible = allowed & (jnp.abs(offset_mm) < 5.0)
    chance = jax.random.uniform(place_key, offset_mm.shape)
    index = jnp.argmax(jnp.where(possible, chance, -1.0))
    stretch = jnp.exp(0.22 * jax.random.normal(stretch_key, (3,)))
    return Blob(points_mm[:, index], radius_mm, stretch), jnp.any(possible)


def _log_uniform(key: PRNGKeyArray, bounds: tuple[float, float]) -> Float[jax.Array, ""]:
    low, high = (float(np.log(bound)) for bound in bounds)
    return jnp.exp(jax.random.uniform(key, minval=low, maxval=high))
