"""A pair on a small lattice, changes of all it depends on, and one number that depends on its registration."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from small_patient import LESION_MM, LIVER_MM, grid, image, masks, preset

from sirtjax.registration._ready import make_ready

REFERENCE, FLOATING = grid((30, 26, 24), (4.5, 5.0, 5.5)), grid((28, 30, 22), (5.0, 4.5, 6.0))
COMMON = {
    "lattice": {"shape": [24, 24, 24], "min_spacing_mm": 4.0},
    "regularisation": {"stride": 3},
    "similarity": {"interpolation": "cubic"},
    "weights": {"image": 30.0, "masks": 3.0, "regularisation": 20.0},
}
ONE_LEVEL = {"control_points": [4, 4, 4], "blur_mm": 6.0, "mask_blur_mm": 6.0, "step_mm": 0.5}
DEFORMABLE = preset(
    **COMMON,
    affine={"model": "none"},
    deformable={"sample_stride": 3, "samples": 512, "steps": 40, "levels": [ONE_LEVEL]},
)
AFFINE = preset(
    **COMMON,
    # Stiff, as a roundish liver alone leaves stretches almost free, along which Newton steps wander.
    affine={
        "match": "both",
        "stiffness": 10.0,
        "sample_stride": 4,
        "samples": 256,
        "steps": 12,
        "levels": [{"blur_mm": 8.0, "step_mm": 0.5}],
    },
    deformable={"model": "none"},
)
CHANGES = (
    "brightness",
    "ripple of the image",
    "ripple of the mask",
    "weights.image",
    "weights.masks",
    "regularisation",
)
# Along which the lesion's place is measured.
PROBE = np.array([0.6, -0.5, 0.62], np.float32)


def bend(points_mm):
    """A smooth deformation of up to 7 mm."""
    away = (points_mm - LIVER_MM) / 40
    waves = [5 * np.sin(away[..., 1]) + 2, 4 * np.cos(away[..., 2]) - 3, 5 * np.sin(away[..., 0]) - 2]
    return points_mm + np.stack(waves, axis=-1)


@cache
def pair():
    """Reference bent against the floating image, on the lattices of both presets."""
    ready = make_ready(
        image(REFERENCE, bend),
        image(FLOATING),
        config=DEFORMABLE,
        reference_masks=masks(REFERENCE, bend, lesion=False),
        floating_masks=masks(FLOATING, lesion=False),
    )
    return jax.tree.map(jnp.asarray, ready.pair)


def inner_pair():
    """The pair with its images compared away from the borders.

    How much a node counts that comes to lie near the border of the floating image is held in a derivative.
    """
    whole, inner = pair(), np.zeros(DEFORMABLE.lattice.shape, np.float32)
    inner[5:-5, 5:-5, 5:-5] = 1
    return replace(whole, reference_weight=whole.reference_weight * inner, reference_near=whole.reference_near * inner)


def changed(theta, pair, weights):
    """ImagePair and weights with each of `CHANGES` made by its share."""
    i, j, k = np.indices(pair.floating.shape).astype(np.float32)
    ripple = jnp.asarray(np.sin(i / 4) * np.cos(j / 5) * np.sin(k / 6 + 1))
    altered = replace(
        pair,
        floating=pair.floating * (1 + theta[0]) + theta[1] * ripple,
        floating_masks=pair.floating_masks + theta[2] * ripple[..., None],
    )
    heavier = replace(
        weights,
        image=weights.image * (1 + theta[3]),
        masks=weights.masks * (1 + theta[4]),
        regularisation=weights.regularisation * (1 + theta[5]),
    )
    return altered, heavier


def lesion_place(affine, displacement_mm, pair):
    """Where the tissue around the lesion goes, in mm along the probe."""
    nodes = jnp.asarray(np.stack(np.indices(pair.reference.shape), axis=-1), jnp.float32)
    every = (None, None, None)
    at_mm = pair.reference_origin_mm[every] + nodes * pair.reference_pitch_mm[every]
    share = jnp.exp(-0.5 * jnp.sum((at_mm - jnp.asarray(LESION_MM, jnp.float32)[every]) ** 2, axis=-1) / 12.0**2)
    mean = jnp.sum(share[..., None] * (at_mm + displacement_mm), axis=(0, 1, 2)) / jnp.sum(share)
    return (affine[:3, :3] @ mean + affine[:3, 3]) @ PROBE


def differences(function, *, h):
    """Central differences at zero along each change, each with a step of its own."""
    ways = np.diag(np.asarray(h, np.float32))
    return np.array([(float(function(way)) - float(function(-way))) / (2 * way.sum()) for way in ways])
