from __future__ import annotations

import jax
import jax.numpy as jnp

from sirtjax.phantom._random_acquire import acquire, normalised
from sirtjax.phantom._random_body import Body, draw_body, window_points_mm
from sirtjax.phantom._random_config import SynthesisConfig
from sirtjax.phantom._random_fields import doubled, random_field
from sirtjax.phantom._random_liver import inside_liver, real_liver_mm, resected
from sirtjax.phantom._random_organs import around_liver, ribs, surfaces, walls_and_liver
from sirtjax.phantom._random_paint import Scene, paint
from sirtjax.phantom._random_tissues import draw_colours
from sirtjax.phantom._shape_bank import ShapeBank

_FINE_GRAIN_MM, _BROAD_GRAIN_MM = 12.0, 48.0


def random_sample(key: jax.Array, bank: ShapeBank, *, config: SynthesisConfig) -> tuple[jax.Array, jax.Array]:
    """A new digital patient, deformed, seen and painted at random: a training sample that no patient gave.

    Axes are canonical: i grows to the patient's left, j to the back, k to the head (LPS). Pure and jittable with a
    static config; `vmap` over keys draws a batch.

    Args:
      key: where all randomness comes from.
      bank: liver shapes, on the device.
      config: shape, spacing and shares of everything.

    Returns:
      The image (i, j, k) float32 as `normalised` gives it, -1 outside the field of view, and its labels (i, j, k)
      int32: 0 elsewhere, 1 liver, 2 lesion in it.

    Reference:
      Billot et al., SynthSeg: Segmentation of brain MRI scans of any contrast and resolution without retraining,
      Med Image Anal 2023, doi:10.1016/j.media.2023.102789.
    """
    keys = jax.random.split(key, 8)
    body = draw_body(keys[0], bank, config)
    points = window_points_mm(keys[1], body, config)
    grid = points.shape[1:]
    noise, broad = _grains(keys[2], grid, config)
    scene = _scene(keys[3], body, points, noise, broad, config)
    colours = draw_colours(keys[4], config)
    value, rough, labels = paint(scene, colours, blur_mm=config.spacing_mm)
    mottle = jnp.stack([noise[4], noise[5], broad[3]])
    image = acquire(keys[5], value, rough, mottle, colours.kind, config)
    i, j, k = config.shape
    image, labels = image[:i, :j, :k], labels[:i, :j, :k]
    seen = _field_of_view(keys[6], labels > 0, config)
    image = normalised(jnp.where(seen, image, -1000.0), colours.kind == 0)
    return jnp.where(seen, image, -1.0).astype(jnp.float32), jnp.where(seen, labels, 0)


def _grains(key: jax.Array, grid: tuple[int, ...], config: SynthesisConfig) -> tuple[jax.Array, jax.Array]:
    fine_key, broad_key = jax.random.split(key)

    def knots(grain_mm: float) -> tuple[int, ...]:
        return tuple(int((n - 1) * config.spacing_mm / grain_mm) + 3 for n in grid)

    fine = random_field(fine_key, grid, knots(_FINE_GRAIN_MM), channels=6)
    return fine, random_field(broad_key, grid, knots(_BROAD_GRAIN_MM), channels=4)


def _scene(
    key: jax.Array, body: Body, points: jax.Array, noise: jax.Array, broad: jax.Array, config: SynthesisConfig
) -> Scene:
    keys = jax.random.split(key, 8)
    coarse = points[:, ::2, ::2, ::2]
    few = coarse.reshape(3, -1)
    walls, ellipsoids, simulated = walls_and_liver(body, few)
    simulated_full = doubled(simulated.reshape(1, *coarse.shape[1:]))[0]
    share = jnp.where(body.real, body.share, 1.0)
    # The bank's distances end at 32 mm, which would let the blend reach too far out.
    liver = (1.0 - share) * real_liver_mm(body, points) + share * jnp.minimum(simulated_full, 60.0)
    walls = around_liver(body, walls, few, liver[::2, ::2, ::2].reshape(-1))
    fields = surfaces(body, walls, ellipsoids, few)
    full = doubled(jnp.stack(list(fields.values())).reshape(len(fields), *coarse.shape[1:]))
    organ = dict(zip(fields, full, strict=True))
    liver = liver + 0.8 * noise[3] * jax.random.uniform(keys[0])
    liver = resected(keys[1], liver, points, config.resection_share)
    draw = jax.random.uniform(keys[2], (6,))
    return Scene(
        organ=organ,
        rib=ribs(body, organ["muscle"], points, body.anatomy.rib_phase_mm),
        liver=liver,
        inside=inside_liver(keys[3], body, liver, points, noise[2], config),
        noise=noise[:4],
        broad=broad[:3],
        depth_mm=points[1],
        halo_mm=body.halo_mm,
        ascites_mm=jnp.where(draw[0] < config.ascites_share, 40.0 * draw[1], -1e3),
        effusion_mm=jnp.where(draw[2] < config.effusion_share, 50.0 * draw[3] - 25.0, -1e3),
        gas=jax.random.uniform(keys[4], (3,), minval=-1.0, maxval=1.0),
        table_mm=jnp.stack([112.0 * body.scale[1] + 16.0 * draw[4], 4.0 + 20.0 * draw[5]]),
        arms=(jax.random.uniform(keys[5]) < 0.3).astype(jnp.float32),
    )


def _field_of_view(key: jax.Array, liver: jax.Array, config: SynthesisConfig) -> jax.Array:
    keys = jax.random.split(key, 5)
    i, j, k = liver.shape
    at = jnp.arange(k)
    held = jnp.any(liver, axis=(0, 1))
    bottom = jnp.where(jnp.any(held), jnp.argmax(held), 0)
    top = jnp.where(jnp.any(held), k - 1 - jnp.argmax(held[::-1]), k - 1)
    above, below = jax.random.uniform(keys[0], (2,)) * jnp.array([70.0, 110.0]) / config.spacing_mm
    depth = jax.random.uniform(keys[1], minval=0.1, maxval=0.6) * (top - bottom)
    kind = jax.random.uniform(keys[2])
    cut_top, cut_bottom = kind < 0.5 * config.view.cut, (kind >= 0.5 * config.view.cut) & (kind < config.view.cut)
    last = jnp.where(cut_top, top - depth, top + above)
    first = jnp.where(cut_bottom, bottom + depth, bottom - below)
    whole = (kind >= config.view.cut) & (jax.random.uniform(keys[3]) < config.view.whole_grid)
    slices = whole | ((at >= first) & (at <= last))
    # A round or rectangular field in the plane that may cut the sides of the body.
    x = (jnp.arange(i) - (i - 1) / 2)[:, None] * config.spacing_mm
    y = (jnp.arange(j) - (j - 1) / 2)[None, :] * config.spacing_mm
    size = jax.random.uniform(keys[4], (3,), minval=-0.2, maxval=1.0)
    round_mm = 165.0 + 110.0 * size[0]
    circle = x**2 + y**2 < round_mm**2
    box = (jnp.abs(x) < 150.0 + 60.0 * size[1]) & (jnp.abs(y) < 115.0 + 60.0 * size[2])
    plane = jnp.where(size[1] > 0.7, circle, jnp.where(size[1] < 0.0, box, True))
    return plane[:, :, None] & slices[None, None, :]
