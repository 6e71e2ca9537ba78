from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from sirtjax import losses
from sirtjax.registration._config import AffineLevel, DeformableLevel, RegistrationConfig
from sirtjax.registration._lattice import Triple, blur, node_positions_mm, phase_offset, phases, sample
from sirtjax.registration._pair import Pair, Weights

Array = Any


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Level:
    """Both sides of a pair at one resolution, laid out for sampling.

    A step looks at one of the stride^3 interleaved sub-lattices, and there at the `points` nodes that count.

    Attributes:
      nodes: (phases, points) which nodes of the sub-lattice are looked at, as linear indices.
      kept: (phases, points) 1 for those, 0 for places left over.
      weight: (phases, points) how much each counts in the comparison of images.
      reference: (phases, points, features + masks) their values.
      floating: (i, j, k, features + masks + 1) the floating side, and last where it has been measured.
    """

    nodes: Array
    kept: Array
    weight: Array
    reference: Array
    floating: Array


def prepare_level(pair: Pair, config: RegistrationConfig, level: AffineLevel | DeformableLevel) -> Level:
    """Blur both sides for one resolution, choose the nodes to be looked at, and lay them out."""
    affine = isinstance(level, AffineLevel)
    parts = takes_part(config, affine=affine)
    mask_blur_mm = level.blur_mm if isinstance(level, AffineLevel) else level.mask_blur_mm
    reference, floating = [], []
    if parts.images:
        reference.append(_features(pair.reference, pair.reference_pitch_mm, level.blur_mm, config))
        floating.append(_features(pair.floating, pair.floating_pitch_mm, level.blur_mm, config))
    if parts.masks:
        reference.append(blur(pair.reference_masks, mask_blur_mm / pair.reference_pitch_mm))
        floating.append(blur(pair.floating_masks, mask_blur_mm / pair.floating_pitch_mm))
    floating.append(pair.floating_inside[..., None])
    near = phases(pair.reference_near, level.stride)
    near = near.reshape(near.shape[0], -1)
    nodes, kept = _chosen(near, points_of(config, level))
    weight = phases(pair.reference_weight, level.stride).reshape(near.shape)
    values = phases(jnp.concatenate(reference, axis=-1), level.stride).reshape(*near.shape, -1)
    return Level(
        nodes=nodes,
        kept=kept,
        weight=jnp.take_along_axis(weight, nodes, axis=1) * kept,
        reference=jnp.take_along_axis(values, nodes[..., None], axis=1),
        floating=jnp.concatenate(floating, axis=-1),
    )


@dataclass(frozen=True)
class TakesPart:
    """Whether images and masks are compared in a stage."""

    images: bool
    masks: bool


def takes_part(config: RegistrationConfig, *, affine: bool) -> TakesPart:
    """What a stage compares: the drive decides for the affine one, the guidance for either."""
    guided = config.guidance.masks != "none"
    if not affine:
        return TakesPart(images=True, masks=guided)
    drive = config.affine.drive
    return TakesPart(images=drive != "masks", masks=guided and drive != "image")


def points_of(config: RegistrationConfig, level: AffineLevel | DeformableLevel) -> int:
    """How many nodes a step looks at; local correlation needs the whole sub-lattice, in its order."""
    i, j, k = config.lattice.shape
    whole = (i // level.stride) * (j // level.stride) * (k // level.stride)
    return whole if config.similarity.kind == "lncc" else min(whole, level.points)


def node_places(level: Level, phase: Array, pair: Pair, stride: int) -> tuple[Array, Triple]:
    """The nodes (points,) looked at in one phase and their world coordinates, three arrays (points,)."""
    nodes = jax.lax.dynamic_index_in_dim(level.nodes, phase, keepdims=False)
    offset = phase_offset(phase, stride)
    axes = node_positions_mm(pair.reference_origin_mm, pair.reference_pitch_mm, pair.reference.shape, stride, offset)
    columns, rows = (n // stride for n in pair.reference.shape[1:])
    index = (nodes // (columns * rows), nodes // rows % columns, nodes % rows)
    x, y, z = (axis.ravel()[n] for axis, n in zip(axes, index, strict=True))
    return nodes, (x, y, z)


def compare(
    level: Level, moved_mm: Triple, phase: Array, pair: Pair, config: RegistrationConfig, *, affine: bool, stride: int
) -> tuple[Array, Array]:
    """L_I and L_S with the nodes of one phase moved to these world points of the floating image."""
    index = tuple(
        (x - o) / p for x, o, p in zip(moved_mm, pair.floating_origin_mm, pair.floating_pitch_mm, strict=True)
    )
    warped = sample(level.floating, (index[0], index[1], index[2]))
    reference = jax.lax.dynamic_index_in_dim(level.reference, phase, keepdims=False)
    weight = jax.lax.dynamic_index_in_dim(level.weight, phase, keepdims=False)
    parts = takes_part(config, affine=affine)
    masks = pair.reference_masks.shape[-1] if parts.masks else 0
    features = reference.shape[-1] - masks
    image = loss = jnp.zeros((), jnp.float32)
    if parts.images:
        # What is outside the floating image does not count, and no point gains by leaving it.
        seen = weight * jax.lax.stop_gradient(warped[:, -1])
        image = _image_loss(warped[:, :features], reference[:, :features], seen, pair, config, stride)
    if parts.masks:
        kept = jax.lax.dynamic_index_in_dim(level.kept, phase, keepdims=False)
        loss = _mask_loss(warped[:, features:-1], reference[:, features:], kept, pair.mask_weight)
    return image, loss


def weighted_terms(image: Array, masks: Array, landmarks: Array, weights: Weights) -> Array:
    """w_I L_I + w_S (L_S + w_P L_P): images, masks, landmarks."""
    return weights.image * image + weights.masks * (masks + weights.landmarks * landmarks)


def _image_loss(
    warped: Array, reference: Array, weight: Array, pair: Pair, config: RegistrationConfig, stride: int
) -> Array:
    table = config.similarity
    if table.kind == "descriptor":
        return losses.descriptor_loss(warped, reference, weights=weight)
    if table.kind == "lncc":
        grid = tuple(n // stride for n in pair.reference.shape)
        return losses.lncc_loss(warped.reshape(grid), reference.reshape(grid), weights=weight.reshape(grid))
    warped, reference = warped[:, 0], reference[:, 0]
    if table.kind == "ssd":
        return losses.ssd_loss(warped, reference, weights=weight)
    measure = {
        "mutual_information": losses.mutual_information_loss,
        "normalised_mutual_information": losses.normalised_mutual_information_loss,
        "correlation_ratio": losses.correlation_ratio_loss,
    }[table.kind]
    return measure(warped, reference, bins=table.bins, weights=weight)


def _mask_loss(warped: Array, reference: Array, kept: Array, mask_weight: Array) -> Array:
    # Sums of squared differences over each mask's own sum of squares: lesions count like the liver.
    counted = kept[:, None]
    apart = jnp.sum(counted * (warped - reference) ** 2, axis=0)
    whole = jnp.sum(counted * reference**2, axis=0)
    return jnp.sum(mask_weight * apart / jnp.maximum(whole, 1.0))


def _features(image: Array, pitch_mm: Array, blur_mm: float, config: RegistrationConfig) -> Array:
    blurred = blur(image, blur_mm / pitch_mm)
    if config.similarity.kind == "descriptor":
        return losses.mind_ssc(blurred)
    return blurred[..., None]


def _chosen(weight: Array, count: int) -> tuple[Array, Array]:
    """For each phase `count` of the nodes that have weight, evenly spread, and 1 for those, 0 for places left over."""
    if count == weight.shape[1]:
        nodes = jnp.broadcast_to(jnp.arange(count, dtype=jnp.int32), weight.shape)
        return nodes, jnp.ones_like(weight)

    def of_phase(weight: Array) -> tuple[Array, Array]:
        rank = jnp.cumsum(weight > 0)
        total = rank[-1]
        # The n-th chosen one is the node where the rank first reaches its share of the total.
        wanted = (jnp.arange(count) * jnp.maximum(total, count)) // count
        nodes = jnp.searchsorted(rank, wanted + 1)
        return jnp.minimum(nodes, weight.shape[0] - 1).astype(jnp.int32), (wanted < total).astype(weight.dtype)

    nodes, kept = jax.lax.map(of_phase, weight)
    return nodes, kept
