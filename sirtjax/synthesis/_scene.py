"""A random patient on a grid of points: noise, distances to organs, contents, and the painted image."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Integer, PRNGKeyArray

from sirtjax.ops import map_elements
from sirtjax.synthesis._body import Body
from sirtjax.synthesis._config import SynthesisConfig
from sirtjax.synthesis._fields import doubled, random_field
from sirtjax.synthesis._liver import Contents, draw_contents, inside_liver, real_liver_mm, resected_mm
from sirtjax.synthesis._organs import around_liver, ribs, surfaces, walls_and_liver
from sirtjax.synthesis._paint import Extras, Layers, paint
from sirtjax.synthesis._tissues import Colours
from sirtjax.synthesis._unusual import Unusual, blob_mm, draw_unusual, grown_liver_mm

_FINE_GRAIN_MM, _LOOP_GRAIN_MM, _BROAD_GRAIN_MM = 12.0, 26.0, 48.0


class Grains(NamedTuple):
    """Smooth noise of three grains, each (channels, i + 1, j + 1, k + 1)."""

    fine: Float[jax.Array, "channels a b c"]
    loops: Float[jax.Array, "loops a b c"]
    broad: Float[jax.Array, "broad a b c"]


def draw_grains(key: PRNGKeyArray, grid: tuple[int, ...], config: SynthesisConfig) -> Grains:
    """Returns new smooth noise on a grid of points."""
    fine_key, loop_key, broad_key = jax.random.split(key, 3)

    def knots(grain_mm: float) -> tuple[int, ...]:
        return tuple(int((n - 1) * config.spacing_mm / grain_mm) + 3 for n in grid)

    fine = random_field(fine_key, grid, knots(_FINE_GRAIN_MM), channels=6)
    loops = random_field(loop_key, grid, knots(_LOOP_GRAIN_MM), channels=2)
    return Grains(fine, loops, random_field(broad_key, grid, knots(_BROAD_GRAIN_MM), channels=4))


def half_resolution(body: Body, points: Float[jax.Array, "3 d e f"]) -> dict[str, Float[jax.Array, "d e f"]]:
    """Returns smooth distances (mm) on every second point (3, a, b, c): by name, each (a, b, c).

    Plane by plane on a CPU, which stays in the cache, and because XLA would otherwise compute every surface again for
    each layer that uses it.
    """

    def plane(at: jax.Array) -> dict[str, jax.Array]:
        few = at.reshape(3, -1)
        walls, ellipsoids, simulated = walls_and_liver(body, few)
        liver = blended(body, real_liver_mm(body, few), simulated)
        walls = around_liver(body, walls, few, liver)
        fields = surfaces(body, walls, ellipsoids, few)
        every = {**fields, "simulated": simulated, "liver": liver}
        return {name: field.reshape(at.shape[1:]) for name, field in every.items()}

    fields: dict[str, jax.Array] = map_elements(plane, jnp.moveaxis(points, 1, 0))
    return fields


def blended(
    body: Body, real: Float[jax.Array, "*points"], simulated: Float[jax.Array, "*points"]
) -> Float[jax.Array, "*points"]:
    """Returns the distance to the liver of a patient, between that of the bank and that of the simulator."""
    fraction = jnp.where(body.real, body.simulated_fraction, 1.0)
    # The bank's distances end at 32 mm, which would let the blend reach too far out.
    return (1.0 - fraction) * real + fraction * jnp.minimum(simulated, 60.0)


class Scene(NamedTuple):
    """The parts of a patient that do not depend on the pose.

    Attributes:
      contents: resection, lesions and vessels of the liver.
      extras: structures in addition to body and liver.
      uneven: size of the fine unevenness of the liver's surface in mm.
      unusual: masses, a bulging tumour and the like; None for none.
    """

    contents: Contents
    extras: Extras
    uneven: Float[jax.Array, ""]
    unusual: Unusual | None = None


def draw_scene(
    key: PRNGKeyArray,
    body: Body,
    points: Float[jax.Array, "3 a b c"],
    fields: dict[str, Float[jax.Array, "d e f"]],
    config: SynthesisConfig,
) -> Scene:
    """Returns random contents of a patient.

    Args:
      key: random key.
      body: the patient.
      points: (3, a, b, c) positions of the points of a grid in the patient.
      fields: distances on every second point, from `half_resolution`.
      config: preset.
    """
    keys = jax.random.split(key, 3)
    few = points[:, ::2, ::2, ::2].reshape(3, -1)
    contents = draw_contents(keys[0], body, fields["liver"].reshape(-1), few, config)
    extras, uneven = draw_extras(keys[1], body, config), 0.8 * jax.random.uniform(keys[2])
    if config.unusual is None:
        return Scene(contents, extras, uneven)
    flat = {name: fields[name].reshape(-1) for name in ("liver", "cavity", "above")}
    flat["liver"] = resected_mm(contents, flat["liver"], few)
    unusual_key, core_key = jax.random.split(jax.random.fold_in(key, 1))
    unusual = draw_unusual(unusual_key, few, flat, config.unusual)
    core = jax.random.uniform(core_key, minval=0.2, maxval=1.4)
    extras = extras._replace(
        stomach_mm=unusual.stomach_mm, gap_mm=unusual.gap_mm, core_mm=core * jnp.abs(unusual.tumour.radius_mm)
    )
    return Scene(contents, extras, uneven, unusual)


def painted(
    scene: Scene,
    body: Body,
    points: Float[jax.Array, "3 a b c"],
    grains: Grains,
    fields: dict[str, Float[jax.Array, "d e f"]],
    colours: Colours,
    config: SynthesisConfig,
) -> tuple[
    Float[jax.Array, "i j1 k1"], Float[jax.Array, "i j1 k1"], Integer[jax.Array, "i j1 k1"], Float[jax.Array, "i j1 k1"]
]:
    """Returns values, mottle, labels and distances to the liver, each (i, j + 1, k + 1).

    Two planes at a time on a CPU, which stay in the cache.

    Args:
      scene: contents of the patient.
      body: the patient.
      points: (3, i + 1, j + 1, k + 1) positions of the points of the grid in the patient.
      grains: smooth noise on these points.
      fields: distances on every second point, from `half_resolution`.
      colours: intensities of the image.
      config: preset.
    """
    contents = scene.contents
    names = [name for name in fields if name != "liver"]
    stacked = jnp.stack([fields[name] for name in names], axis=1)

    def planes(number: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        def here(array: jax.Array, axis: int) -> jax.Array:
            return jax.lax.dynamic_slice_in_dim(array, 2 * number, 2, axis=axis)

        pair = jnp.moveaxis(jax.lax.dynamic_slice_in_dim(stacked, number, 2, axis=0), 0, 1)
        full = doubled(pair)[:, :2]
        organ = dict(zip(names, full, strict=True))
        at, noise = here(points, 1), here(grains.fine, 1)
        liver = blended(body, real_liver_mm(body, at), organ["simulated"]) + scene.uneven * noise[3]
        liver = resected_mm(contents, liver, at)
        masses, tumour = None, None
        if scene.unusual is not None:
            masses = jnp.stack([blob_mm(one, at, noise[n]) for n, one in enumerate(scene.unusual.masses)])
            tumour = blob_mm(scene.unusual.tumour, at, noise[2])
            liver = grown_liver_mm(scene.unusual, liver, masses, tumour, organ, noise[3])
        layers = Layers(
            organ=organ,
            rib=ribs(body, organ["muscle"], at, body.anatomy.rib_phase_mm),
            liver=liver,
            inside=inside_liver(contents, at, noise[2]),
            noise=noise[:4],
            loops=here(grains.loops, 1),
            broad=here(grains.broad, 1),
            depth_mm=at[1],
            extras=scene.extras,
            masses=masses,
            tumour=tumour,
        )
        return *paint(layers, colours, blur_mm=config.spacing_mm, neighbours=config.neighbours), liver

    done = map_elements(planes, jnp.arange(config.shape[0] // 2))
    value, rough, labels, liver_mm = (part.reshape(-1, *part.shape[2:]) for part in done)
    return value, rough, labels, liver_mm


def draw_extras(key: PRNGKeyArray, body: Body, config: SynthesisConfig) -> Extras:
    """Returns random structures in addition to body and liver."""
    keys = jax.random.split(key, 4)
    draw = jax.random.uniform(keys[0], (6,))
    return Extras(
        halo_mm=body.halo_mm,
        diaphragm_mm=body.diaphragm_mm,
        ascites_mm=jnp.where(draw[0] < config.ascites_fraction, 40.0 * draw[1], -1e3),
        effusion_mm=jnp.where(draw[2] < config.effusion_fraction, 50.0 * draw[3] - 25.0, -1e3),
        gas=jax.random.uniform(keys[1], (3,), minval=-1.0, maxval=1.0),
        table_mm=jnp.stack([112.0 * body.scale[1] + 16.0 * draw[4], 4.0 + 20.0 * draw[5]]),
        arms=(jax.random.uniform(keys[2]) < 0.3).astype(jnp.float32),
        branches=jnp.maximum(jax.random.uniform(keys[3], minval=-0.3, maxval=0.9), 0.0),
    )
