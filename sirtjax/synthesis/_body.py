from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, PRNGKeyArray

from sirtjax.ops import full_precision
from sirtjax.phantom import ELLIPSOIDS, MAX_LESIONS, Anatomy
from sirtjax.synthesis._config import SynthesisConfig
from sirtjax.synthesis._fields import random_field
from sirtjax.synthesis._lobes import Lobes, draw_lobes
from sirtjax.synthesis._shape_bank import ShapeBank, at_index, between

# The average patient's liver (mm): its right edge, its extent front to back and its height, by which the body
# around a real liver is sized. Evaluated from the simulator's average shapes.
_RIGHT_MM, _DEEP_MM, _HIGH_MM = 132.0, 160.0, 156.0
_KNOTS_COARSE_MM, _KNOTS_FINE_MM = 70.0, 30.0
# Spread of the neighbours of the liver in place (mm), size (fraction) and angle (degrees): between people, as read
# off open scans, not between the simulator's patients, who are far more alike.
_PLACE_MM, _SIZE, _ANGLE_DEG = 8.0, 0.14, 10.0
_LIVER_LOBES = 3


class Body(NamedTuple):
    """One random patient before it is evaluated anywhere.

    Attributes:
      anatomy: the simulator's parameters, without lesions and vessels.
      shape: liver shape of the bank.
      real: whether the liver has that shape; otherwise it is the simulator's.
      simulated_fraction: weight of the simulated liver in the blend with the real one.
      place_mm: (3,) translation from the shape's frame to the patient's.
      scale: (3,) scale of the body around the liver relative to the average body.
      shift_mm: (3,) shift of the average body's origin.
      patient_from_window: (3, 3) rotation, scaling and shear.
      centre_mm: (3,) position of the middle of the window.
      inflate_mm: dilation of the liver's neighbours before the liver pushes them aside.
      halo_mm: mean thickness of the fat around the liver; no fat if negative.
      roof_mm: height of the bowel above the average.
      recess_mm: depth of the lungs behind the liver below the average.
      diaphragm_mm: thickness of the diaphragm.
      sheet_mm: thickness of the fat between the liver and the diaphragm and wall over it.
      lobes: changes of the lobes, for livers of the bank.
    """

    anatomy: Anatomy
    shape: ShapeBank
    real: Bool[jax.Array, ""]
    simulated_fraction: Float[jax.Array, ""]
    place_mm: Float[jax.Array, "3"]
    scale: Float[jax.Array, "3"]
    shift_mm: Float[jax.Array, "3"]
    patient_from_window: Float[jax.Array, "3 3"]
    centre_mm: Float[jax.Array, "3"]
    inflate_mm: Float[jax.Array, ""]
    halo_mm: Float[jax.Array, ""]
    roof_mm: Float[jax.Array, ""]
    recess_mm: Float[jax.Array, ""]
    diaphragm_mm: Float[jax.Array, ""]
    sheet_mm: Float[jax.Array, ""]
    lobes: Lobes


def draw_body(key: PRNGKeyArray, bank: ShapeBank, config: SynthesisConfig) -> Body:
    """Returns a random patient around one of the bank's livers, or around the simulator's."""
    keys = jax.random.split(key, 9)
    shape = _drawn_shape(keys[0], jax.random.fold_in(key, 3), bank, config)
    real = jax.random.uniform(keys[1]) < config.real_fraction
    lowest, highest = shape.box_mm
    extent = highest - lowest
    # A real liver sizes the body around it; the simulator's gets a body of any size.
    fit = jnp.stack(
        [
            0.6 * -lowest[0] / _RIGHT_MM + 0.4 * extent[1] / _DEEP_MM,
            0.25 * -lowest[0] / _RIGHT_MM + 0.75 * extent[1] / _DEEP_MM,
            extent[2] / _HIGH_MM,
        ]
    )
    jitter = 1.0 + 0.05 * jax.random.normal(keys[2], (3,))
    free = jax.random.uniform(keys[3], (3,), minval=0.85, maxval=1.22)
    scale = jnp.clip(jnp.where(real, fit * jitter, free), 0.78, 1.38)
    place = jnp.stack([-_RIGHT_MM * scale[0] - lowest[0], jnp.zeros(()), -highest[2]])
    place = place + jnp.array([3.0, 8.0, 6.0]) * jax.random.normal(keys[4], (3,)) + jnp.array([1.0, 0.0, -5.0])
    simulated_fraction = jnp.maximum(jax.random.uniform(keys[5], minval=-0.5, maxval=0.4), 0.0)
    window, centre = _view(keys[6], extent[2], real, scale, config)
    inflate, halo, roof, recess = (
        low + (high - low) * draw
        for draw, (low, high) in zip(
            jax.random.uniform(keys[7], (4,)), ((0.0, 20.0), (-8.0, 4.0), (0.0, 110.0), (0.0, 60.0)), strict=True
        )
    )
    diaphragm, sheet = jax.random.uniform(jax.random.fold_in(key, 1), (2,))
    lobes, scaled = draw_lobes(jax.random.fold_in(key, 2), jax.random.fold_in(key, 4), config.unusual)
    return Body(
        anatomy=_anatomy(keys[8]),
        shape=shape,
        real=real,
        simulated_fraction=jnp.where(scaled, 0.0, simulated_fraction),
        place_mm=place,
        scale=scale,
        shift_mm=jnp.zeros(3),
        patient_from_window=window,
        centre_mm=centre,
        inflate_mm=inflate,
        halo_mm=halo,
        roof_mm=roof,
        recess_mm=recess,
        diaphragm_mm=1.5 + 5.5 * diaphragm,
        sheet_mm=jnp.maximum(6.0 * sheet - 3.0, 0.0),
        lobes=lobes,
    )


def _drawn_shape(key: PRNGKeyArray, mixing_key: PRNGKeyArray, bank: ShapeBank, config: SynthesisConfig) -> ShapeBank:
    """One of the bank's shapes, or a shape between two of them."""
    shape = at_index(bank, jax.random.randint(key, (), 0, bank.count))
    if not config.mixed_fraction:
        return shape
    other_key, weight_key = jax.random.split(mixing_key)
    other = at_index(bank, jax.random.randint(other_key, (), 0, bank.count))
    chance, weight = jax.random.uniform(weight_key, (2,))
    return between(shape, other, jnp.where(chance < config.mixed_fraction, 0.5 * weight, 0.0))


def window_points_mm(key: PRNGKeyArray, body: Body, config: SynthesisConfig) -> Float[jax.Array, "3 a b c"]:
    """Returns the position in the undeformed patient of each point of the window.

    Shape (3, i + 1, j + 1, k + 1).

    One more point than voxels along each axis, so that every second one is a point of the half resolution too.
    """
    points = tuple(n + 1 for n in config.shape)
    spacing = config.spacing_mm
    axes = [(np.arange(n) - (n - 1) / 2).astype(np.float32) * np.float32(spacing) for n in points]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    m, c = body.patient_from_window, body.centre_mm
    placed = jnp.stack([m[row, 0] * x + m[row, 1] * y + m[row, 2] * z + c[row] for row in range(3)])
    coarse_key, fine_key, size_key = jax.random.split(key, 3)
    size = jax.random.uniform(size_key, (2,)) * jnp.array([config.deformation.coarse_mm, config.deformation.fine_mm])
    for number, (part, apart_mm) in enumerate(((coarse_key, _KNOTS_COARSE_MM), (fine_key, _KNOTS_FINE_MM))):
        knots = tuple(int(np.ceil((n - 1) * spacing / apart_mm)) + 3 for n in points)
        placed = placed + size[number] * random_field(part, points, knots, channels=3)
    return placed


def rotation(angles_rad: Float[jax.Array, "*batch 3"]) -> Float[jax.Array, "*batch 3 3"]:
    """Rotations (..., 3, 3) by angles (..., 3) about x, then y, then z."""
    cx, cy, cz = (jnp.cos(angles_rad[..., axis]) for axis in range(3))
    sx, sy, sz = (jnp.sin(angles_rad[..., axis]) for axis in range(3))
    rows = [
        [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx],
        [sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx],
        [-sy, cy * sx, cy * cx],
    ]
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


@full_precision
def _view(
    key: PRNGKeyArray,
    height_mm: Float[jax.Array, ""],
    real: Bool[jax.Array, ""],
    scale: Float[jax.Array, "3"],
    config: SynthesisConfig,
) -> tuple[Float[jax.Array, "3 3"], Float[jax.Array, "3"]]:
    keys = jax.random.split(key, 7)
    bounds = config.deformation
    turn = jnp.deg2rad(bounds.rotation_deg) * jax.random.uniform(keys[0], (3,), minval=-1.0, maxval=1.0)
    # People lie straight along the table; they turn about it more than they lean.
    turn = turn * jnp.array([0.6, 0.6, 1.0])
    size = 1.0 + bounds.scale * jax.random.uniform(keys[1], (3,), minval=-1.0, maxval=1.0)
    shear = bounds.shear * jax.random.uniform(keys[2], (3, 3), minval=-1.0, maxval=1.0) * (1.0 - jnp.eye(3))
    matrix = (jnp.eye(3) + shear) @ rotation(turn) / size[None, :]
    half = 0.5 * jnp.where(real, height_mm, _HIGH_MM * scale[2])
    kind = jax.random.uniform(keys[3])
    near = jax.random.uniform(keys[4], minval=-80.0, maxval=80.0)
    anywhere = jax.random.uniform(keys[4], minval=-200.0, maxval=200.0)
    far = jnp.where(jax.random.uniform(keys[5]) < 0.5, -1.0, 1.0) * (270.0 + 0.25 * jnp.abs(anywhere))
    view = config.view
    away = jnp.where(kind < view.far, far, jnp.where(kind < view.far + view.anywhere, anywhere, near))
    across = jax.random.normal(keys[6], (2,)) * jnp.array([16.0, 12.0])
    return matrix, jnp.stack([across[0], across[1] - 4.0, away - half])


def _anatomy(key: PRNGKeyArray) -> Anatomy:
    keys = jax.random.split(key, 8)
    count = len(ELLIPSOIDS)
    base = jnp.asarray(ELLIPSOIDS, jnp.float32)
    size = 1.0 + _SIZE * jnp.clip(jax.random.normal(keys[0], (count, 1)), -2.0, 2.0)
    stretch = 1.0 + 0.5 * _SIZE * jnp.clip(jax.random.normal(keys[1], (count, 3)), -2.0, 2.0)
    place = _PLACE_MM * jnp.clip(jax.random.normal(keys[2], (count, 3)), -2.0, 2.0)
    angle = base[:, 6:9] + _ANGLE_DEG * jax.random.normal(keys[3], (count, 3))
    # The lungs follow the chest, and lobes that move apart leave no liver.
    tame = np.array([0.6 if n < _LIVER_LOBES else 0.2 if n >= count - 2 else 1.0 for n in range(count)], np.float32)
    calm = jnp.asarray(tame)[:, None]
    draw = jax.random.uniform(keys[4], (5,))
    return Anatomy(
        scale=jnp.ones(3),
        warp_wave=jnp.zeros((1, 3)),
        warp_phase=jnp.zeros(1),
        warp_size_mm=jnp.zeros((1, 3)),
        fat_mm=5.0 + 33.0 * draw[0] ** 1.6,
        right_dome_mm=6.0 * jax.random.normal(keys[5]),
        left_dome_mm=-14.0 + 9.0 * jax.random.normal(keys[6]),
        rib_phase_mm=29.0 * draw[1],
        spine_phase_mm=27.0 * draw[2],
        shape_centre_mm=base[:, 0:3] + calm * place,
        shape_radii_mm=base[:, 3:6] * (1.0 + calm * (size * stretch - 1.0)),
        shape_rotation=jnp.swapaxes(rotation(jnp.deg2rad(angle)), -1, -2),
        lesion_centre_mm=jnp.full((MAX_LESIONS, 3), 5000.0),
        lesion_radii_mm=jnp.ones((MAX_LESIONS, 3)),
        lesion_rotation=jnp.broadcast_to(jnp.eye(3), (MAX_LESIONS, 3, 3)),
        lesion_lobes=jnp.zeros((MAX_LESIONS, 3)),
        necrosis_scale=jnp.zeros(MAX_LESIONS),
        vessel_field_mm=jnp.full((1, 1, 1, 3), 50.0),
        vessel_origin_mm=jnp.zeros(3),
    )
