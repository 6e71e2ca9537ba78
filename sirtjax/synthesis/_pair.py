"""Random pairs for registration: one digital phantom in two poses, with the exact displacement between them."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Integer, PRNGKeyArray

from sirtjax import spatial
from sirtjax.ops import full_precision, sample_linear
from sirtjax.phantom import ELLIPSOID_NAMES
from sirtjax.synthesis._acquire import acquire
from sirtjax.synthesis._body import Body, draw_body, window_points_mm
from sirtjax.synthesis._config import SynthesisConfig
from sirtjax.synthesis._intensity import scale_sample
from sirtjax.synthesis._pair_config import PairConfig
from sirtjax.synthesis._pose import draw_pose_mm
from sirtjax.synthesis._sample import field_of_view
from sirtjax.synthesis._scene import Grains, Scene, draw_grains, draw_scene, half_resolution, painted
from sirtjax.synthesis._shape_bank import ShapeBank
from sirtjax.synthesis._tissues import Colours, draw_colours, draw_native_colours

# Parts of the body that a meal fills.
_STOMACH = tuple(n for n, name in enumerate(ELLIPSOID_NAMES) if name.startswith("stomach"))


class Pair(NamedTuple):
    """Two images of one patient, scaled as a network receives them.

    Attributes:
      reference: (i, j, k) low-dose CT without contrast.
      floating: (i, j, k) diagnostic image.
      reference_labels, floating_labels: (i, j, k) 0 elsewhere, 1 liver, 2 lesion in it.
      displacement_mm: (i, j, k, 3) displacement u along the axes of the grid: the reference shows at x what the
        floating image shows at x + u(x).
      seen: (i, j, k) whether both images show the point.
    """

    reference: Float[jax.Array, "i j k"]
    floating: Float[jax.Array, "i j k"]
    reference_labels: Integer[jax.Array, "i j k"]
    floating_labels: Integer[jax.Array, "i j k"]
    displacement_mm: Float[jax.Array, "i j k 3"]
    seen: Bool[jax.Array, "i j k"]


def random_pair(key: PRNGKeyArray, bank: ShapeBank, *, config: SynthesisConfig, pair: PairConfig) -> Pair:
    """Returns a new digital phantom in two poses, a pair for registration with a known displacement.

    The floating image is a random diagnostic image as `random_sample` draws it. The reference is a low-dose CT without
    contrast medium of the same patient in another pose. Its tissues are those that the displacement finds in the
    floating pose. Contents of stomach and bowel, gas, mottle, noise and fields of view are drawn separately.
    The stomach differs in size, so that the displacement is not exact next to it. Pure and jittable with static
    configs.

    Args:
      key: random key.
      bank: liver shapes, on the device.
      config: grid and contents of the floating image, which shows the patient and not only the liver.
      pair: pose and acquisition of the reference.

    Raises:
      ValueError: the config shows only the liver.
    """
    if config.inside is not None:
        raise ValueError("config.inside must be None: pairs show the patient around the liver")
    keys = jax.random.split(key, 12)
    body = draw_body(keys[0], bank, config)
    points = window_points_mm(keys[1], body, config)
    grains = draw_grains(keys[2], points.shape[1:], config)
    fields = half_resolution(body, points[:, ::2, ::2, ::2])
    scene = draw_scene(keys[3], body, points, fields, config)
    displacement = draw_pose_mm(keys[4], fields["liver"], config, pair.pose)
    colours = draw_colours(keys[5], config)
    floating = _image(keys[6], scene, body, points, grains, fields, colours, config)

    moved, moved_grains = _moved(points, grains, displacement, body, config)
    moved_grains = _other_mottle(keys[7], moved_grains, config)
    filled = _other_filling(keys[8], body, pair.stomach)
    moved_fields = half_resolution(filled, moved[:, ::2, ::2, ::2])
    gas = jax.random.uniform(keys[9], (3,), minval=-1.0, maxval=1.0)
    other = scene._replace(extras=scene.extras._replace(gas=gas))
    native = draw_native_colours(keys[5], keys[10], config, lesion_contrast=pair.lesion_contrast)
    low_dose = config.model_copy(update={"noise_hu": pair.noise_hu, "slice_mm": pair.slice_mm})
    reference = _image(keys[11], other, filled, moved, moved_grains, moved_fields, native, low_dose)

    u = jnp.moveaxis(displacement, 0, -1)[:-1, :-1, :-1]
    places = spatial.grid_positions(u, (config.spacing_mm,) * 3)
    seen = reference.seen & (sample_linear(floating.seen.astype(jnp.float32), places) > 0.5)
    return Pair(reference.image, floating.image, reference.labels, floating.labels, u, seen)


class _Scan(NamedTuple):
    image: jax.Array
    labels: jax.Array
    seen: jax.Array


def _image(
    key: PRNGKeyArray,
    scene: Scene,
    body: Body,
    points: jax.Array,
    grains: Grains,
    fields: dict[str, jax.Array],
    colours: Colours,
    config: SynthesisConfig,
) -> _Scan:
    """One image of the patient, scaled for a network, with its labels."""
    acquire_key, view_key, gain_key = jax.random.split(key, 3)
    value, rough, labels, _ = painted(scene, body, points, grains, fields, colours, config)
    mottle = jnp.stack([grains.fine[4], grains.fine[5], grains.broad[3]])[:, :-1]
    image = acquire(acquire_key, value, rough, mottle, colours.kind, config)
    _, j, k = config.shape
    image, labels = image[:, :j, :k], labels[:, :j, :k]
    seen = field_of_view(view_key, labels > 0, config)
    gain = jax.random.uniform(gain_key, minval=0.85, maxval=1.15)
    image = scale_sample(image, seen, labels == 1, config, ct=colours.kind == 0, gain=gain)
    return _Scan(image, jnp.where(seen, labels, 0), seen)


@full_precision
def _moved(
    points: jax.Array, grains: Grains, displacement: jax.Array, body: Body, config: SynthesisConfig
) -> tuple[jax.Array, Grains]:
    """Positions in the patient and noise of the displaced points x + u(x).

    The map of the floating grid is affine plus a smooth deformation. The affine part goes on outside the grid.
    """
    spacing_mm = (config.spacing_mm,) * 3
    u = jnp.moveaxis(displacement, 0, -1)
    last = (jnp.asarray(points.shape[1:], jnp.float32) - 1.0).reshape(1, 1, 1, 3)

    def affine(u: jax.Array) -> jax.Array:
        at = config.spacing_mm * (spatial.grid_positions(u, spacing_mm) - last / 2)
        placed: jax.Array = at @ body.patient_from_window.T + body.centre_mm.reshape(1, 1, 1, 3)
        return placed

    deformed = jnp.moveaxis(points, 0, -1) - affine(jnp.zeros_like(u))
    noise = [jnp.moveaxis(part, 0, -1) for part in grains]
    found = spatial.sample_on_grid(jnp.concatenate([deformed, *noise], axis=-1), u, spacing_mm)
    placed = affine(u) + found[..., :3]
    parts, start = [], 3
    for part in grains:
        parts.append(jnp.moveaxis(found[..., start : start + part.shape[0]], -1, 0))
        start += part.shape[0]
    return jnp.moveaxis(placed, -1, 0), Grains(*parts)


def _other_mottle(key: PRNGKeyArray, grains: Grains, config: SynthesisConfig) -> Grains:
    """The noise with new mottle: mottle that moves with the tissue would show the displacement within even tissue."""
    new = draw_grains(key, grains.fine.shape[1:], config)
    return grains._replace(fine=grains.fine.at[4:6].set(new.fine[4:6]), broad=grains.broad.at[3].set(new.broad[3]))


def _other_filling(key: PRNGKeyArray, body: Body, bound: float) -> Body:
    """The patient with a stomach that is filled differently."""
    factor = 1.0 + bound * jax.random.uniform(key, minval=-1.0, maxval=1.0)
    scale = jnp.ones((len(ELLIPSOID_NAMES), 1)).at[jnp.asarray(_STOMACH)].set(factor)
    anatomy = replace(body.anatomy, shape_radii_mm=body.anatomy.shape_radii_mm * scale)
    return body._replace(anatomy=anatomy)
