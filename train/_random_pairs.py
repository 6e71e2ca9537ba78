"""Random pairs of digital phantoms as a registration network in training receives them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array as JaxArray
from jaxtyping import Float, PRNGKeyArray

from sirtjax import synthesis
from sirtjax.train._joint_loss import JointPair
from sirtjax.train._pairs_config import GuideErrors, RandomPairsConfig, StartErrors

# Keeps the affine fit defined where a pair shows no liver.
_RIDGE = 1.0
# Value of lesions in the labels of random pairs.
LESION = 2
# Livers of two patients differ in length by more than this factor only where one is cut.
_MOST_ZOOM = 1.3


def random_joint_pair(key: PRNGKeyArray, bank: synthesis.ShapeBank, *, config: RandomPairsConfig) -> JointPair:
    """Draws one patient in two poses, with guides and an inexact affine alignment to start from.

    The alignment is the affine map that fits the true displacement of the liver best, with a random error.
    Pure and jittable with static configs.

    Args:
      key: random key.
      bank: liver shapes, on the device.
      config: images, poses, errors of guides and alignments.

    Returns:
      The pair; its displacement is known.
    """
    pair_key, reference_key, floating_key, missing_key, start_key = jax.random.split(key, 5)
    pair = synthesis.random_pair(pair_key, bank, config=config.synthesis, pair=config.pairs)
    reference = (pair.reference_labels > 0).astype(jnp.float32)
    floating = (pair.floating_labels > 0).astype(jnp.float32)
    spacing_mm, guides = config.synthesis.spacing_mm, config.guides
    present = guides_given(missing_key, guides)
    drawn = [
        there * synthesis.drawn_liver(each, liver, spacing_mm=spacing_mm, error_mm=error)
        for there, each, liver, error in (
            (present[0], reference_key, reference, guides.reference_error_mm),
            (present[1], floating_key, floating, guides.floating_error_mm),
        )
    ]
    weight = reference * pair.seen
    start = _best_affine(pair.displacement_mm, weight, spacing_mm)
    start = start + start_error(start_key, weight, spacing_mm, config.start)
    return JointPair(
        pair.reference, pair.floating, reference, floating, pair.displacement_mm, pair.seen, drawn[0], drawn[1],
        start_mm=start, known=jnp.bool_(True), reference_lesions=(pair.reference_labels == LESION).astype(jnp.float32),
    )  # fmt: skip


def pair_of_two_patients(
    key: PRNGKeyArray, reference: JointPair, floating: JointPair, *, config: RandomPairsConfig
) -> JointPair:
    """Joins the reference image of one pair and the floating image of another one.

    The alignment to start from carries the centre and the size of one liver to the other, with a random error.

    Args:
      key: random key of the error.
      reference: pair whose reference image is used.
      floating: pair of another patient, whose floating image is used.
      config: errors of alignments.

    Returns:
      The pair; its displacement is not known, and all of its grid counts as seen.
    """
    spacing_mm = config.synthesis.spacing_mm
    one, two = jnp.asarray(reference.reference_liver), jnp.asarray(floating.floating_liver)
    x = _positions(one.shape, spacing_mm)

    def centre(liver: jax.Array) -> jax.Array:
        middle = jnp.einsum("ijk,ijkc->c", liver, x) / jnp.maximum(jnp.sum(liver), 1.0)
        return middle[None, None, None]

    zoom = jnp.clip(jnp.cbrt(jnp.sum(two) / jnp.maximum(jnp.sum(one), 1.0)), 1.0 / _MOST_ZOOM, _MOST_ZOOM)
    start = centre(two) + zoom * (x - centre(one)) - x
    return JointPair(
        reference.reference, floating.floating, one, two, jnp.zeros_like(start), jnp.ones(one.shape, bool),
        reference.reference_guide, floating.floating_guide,
        start_mm=start + start_error(key, one, spacing_mm, config.start), known=jnp.bool_(False),
        reference_lesions=reference.reference_lesions,
    )  # fmt: skip


def guides_given(key: PRNGKeyArray, guides: GuideErrors) -> Float[JaxArray, "2"]:
    """Draws whether the guide of the reference and that of the floating image are given (2,), as 0 or 1."""
    both_key, one_key, which_key = jax.random.split(key, 3)
    none = jax.random.uniform(both_key) < guides.missing
    one = jax.random.uniform(one_key) < guides.missing / 2
    which = jnp.arange(2) == jax.random.randint(which_key, (), 0, 2)
    return jnp.where(none | (one & which), 0.0, 1.0)


def _positions(shape: tuple[int, ...], spacing_mm: float) -> Float[JaxArray, "i j k 3"]:
    axes = [spacing_mm * (np.arange(n, dtype=np.float32) - (n - 1) / 2) for n in shape]
    return jnp.stack(jnp.meshgrid(*(jnp.asarray(axis) for axis in axes), indexing="ij"), axis=-1)


def _best_affine(displacement_mm: JaxArray, weight: JaxArray, spacing_mm: float) -> JaxArray:
    """The affine displacement (i, j, k, 3) with the smallest weighted squared distance to a displacement."""
    x = _positions(weight.shape, spacing_mm) / 100.0
    columns = jnp.concatenate([x, jnp.ones_like(x[..., :1])], axis=-1)
    normal = jnp.einsum("ijk,ijka,ijkb->ab", weight, columns, columns) + _RIDGE * jnp.eye(4)
    right = jnp.einsum("ijk,ijka,ijkc->ac", weight, columns, displacement_mm)
    return jnp.tensordot(columns, jnp.linalg.solve(normal, right), axes=1)


def start_error(
    key: PRNGKeyArray, liver: Float[JaxArray, "i j k"], spacing_mm: float, errors: StartErrors
) -> Float[JaxArray, "i j k 3"]:
    """Draws an affine displacement (i, j, k, 3) about the centre of the liver."""
    large_key, shift_key, turn_key, scale_key, shear_key = jax.random.split(key, 5)
    large = jnp.where(jax.random.uniform(large_key) < errors.large_fraction, errors.large_factor, 1.0)
    x = _positions(liver.shape, spacing_mm)
    x = x - (jnp.einsum("ijk,ijkc->c", liver, x) / jnp.maximum(jnp.sum(liver), 1.0))[None, None, None]
    a, b, c = jnp.deg2rad(errors.rotation_deg) * jax.random.normal(turn_key, (3,))
    turn = jnp.array([[0.0, -c, b], [c, 0.0, -a], [-b, a, 0.0]])
    d, e, f = errors.scale * jax.random.normal(shear_key, (3,)) / 2.0
    shear = jnp.array([[0.0, d, e], [d, 0.0, f], [e, f, 0.0]])
    linear = turn + shear + jnp.diag(errors.scale * jax.random.normal(scale_key, (3,)))
    shift = errors.translation_mm * jax.random.normal(shift_key, (3,))
    return jnp.asarray(large * (x @ linear.T + shift[None, None, None]))
