from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Float, Integer

from sirtjax import losses
from sirtjax.registration._config import RegistrationConfig, SimilarityTable
from sirtjax.registration._lattice import Triple, blur, node_positions_mm, phase_offset, phases, sample, sample_smooth
from sirtjax.registration._pair import ImagePair, Weights
from sirtjax.typing import Array, Scalar


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The comparison and the sampling of a stage; static.

    Attributes:
      stride: a step looks at one of the stride^3 interleaved sub-lattices.
      points: number of nodes of the sub-lattice that are sampled.
      images: whether images are compared.
      masks: whether masks and landmarks are.
      similarity: similarity measure of the images.
    """

    stride: int
    points: int
    images: bool
    masks: bool
    similarity: SimilarityTable

    @property
    def phases(self) -> int:
        """The number of sub-lattices."""
        return self.stride**3


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class View:
    """Both sides of a pair at one resolution, laid out for sampling.

    Attributes:
      nodes: (phases, points) linear indices of the sampled nodes of each sub-lattice.
      kept: (phases, points) 1 for those, 0 for places left over.
      weight: (phases, points) weight of each node in the comparison of images.
      reference: (phases, points, features + masks) values at the nodes.
      floating: (i, j, k, features + masks + 1) values of the floating side; the last channel is 1 in measured voxels.
    """

    nodes: Integer[Array, "phases points"]
    kept: Float[Array, "phases points"]
    weight: Float[Array, "phases points"]
    reference: Float[Array, "phases points values"]
    floating: Float[Array, "i j k channels"]


def plan_of(config: RegistrationConfig, *, affine: bool) -> Plan:
    """Returns the plan of a stage.

    Guidance decides whether masks take part; in the affine stage its `match` decides too.
    """
    guided, table = config.guidance.masks != "none", config.affine if affine else config.deformable
    i, j, k = (n // table.sample_stride for n in config.lattice.shape)
    # Local correlation needs the whole sub-lattice in its order.
    points = i * j * k if config.similarity.kind == "lncc" else min(i * j * k, table.samples)
    return Plan(
        stride=table.sample_stride,
        points=points,
        images=not (affine and config.affine.match == "masks"),
        masks=guided and not (affine and config.affine.match == "image"),
        similarity=config.similarity,
    )


def prepare_view(pair: ImagePair, plan: Plan, *, blur_mm: Scalar, mask_blur_mm: Scalar) -> View:
    """Blurs both sides, selects the nodes to sample, and arranges them.

    Args:
      pair: both images on their lattices.
      plan: settings of the stage; static.
      blur_mm: standard deviation of the blur of the images; may be traced.
      mask_blur_mm: standard deviation of the blur of the masks; may be traced.
    """
    reference, floating = [], []
    if plan.images:
        reference.append(_features(pair.reference, blur_mm / pair.reference_pitch_mm, plan))
        floating.append(_features(pair.floating, blur_mm / pair.floating_pitch_mm, plan))
    if plan.masks:
        reference.append(blur(pair.reference_masks, mask_blur_mm / pair.reference_pitch_mm))
        floating.append(blur(pair.floating_masks, mask_blur_mm / pair.floating_pitch_mm))
    floating.append(pair.floating_inside[..., None])
    near = phases(pair.reference_near, plan.stride)
    near = near.reshape(near.shape[0], -1)
    nodes, kept = _chosen(near, plan.points)
    weight = phases(pair.reference_weight, plan.stride).reshape(near.shape)
    values = phases(jnp.concatenate(reference, axis=-1), plan.stride).reshape(*near.shape, -1)
    return View(
        nodes=nodes,
        kept=kept,
        weight=jnp.take_along_axis(weight, nodes, axis=1) * kept,
        reference=jnp.take_along_axis(values, nodes[..., None], axis=1),
        floating=jnp.concatenate(floating, axis=-1),
    )


def node_places(
    view: View, phase: Integer[Array, ""], pair: ImagePair, plan: Plan
) -> tuple[Integer[Array, " points"], Triple]:
    """Returns the nodes (points,) sampled in one phase, and three arrays (points,) of their coordinates."""
    nodes = jax.lax.dynamic_index_in_dim(view.nodes, phase, keepdims=False)
    offset, stride = phase_offset(phase, plan.stride), plan.stride
    axes = node_positions_mm(pair.reference_origin_mm, pair.reference_pitch_mm, pair.reference.shape, stride, offset)
    i, j, k = node_index(nodes, pair, plan)
    return nodes, (axes[0].ravel()[i], axes[1].ravel()[j], axes[2].ravel()[k])


def node_index(nodes: Integer[Array, " points"], pair: ImagePair, plan: Plan) -> Triple:
    """Returns linear indices on a sub-lattice as three indices."""
    columns, rows = (n // plan.stride for n in pair.reference.shape[1:])
    return nodes // (columns * rows), nodes // rows % columns, nodes % rows


def compare(
    view: View, moved_mm: Triple, phase: Integer[Array, ""], pair: ImagePair, plan: Plan
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Returns L_I and L_S with the nodes of one phase moved to these world points of the floating image."""
    read = sample_smooth if plan.similarity.interpolation == "cubic" else sample
    warped = read(view.floating, floating_index(moved_mm, pair))
    reference, weight, kept = (
        jax.lax.dynamic_index_in_dim(array, phase, keepdims=False) for array in (view.reference, view.weight, view.kept)
    )
    features = reference.shape[-1] - (pair.reference_masks.shape[-1] if plan.masks else 0)
    image: Array = jnp.zeros((), jnp.float32)
    masks = image
    if plan.images:
        # Points outside the floating image do not count, and no point reduces the loss by leaving it.
        seen = weight * jax.lax.stop_gradient(warped[:, -1])
        image = _image_loss(warped[:, :features], reference[:, :features], seen, pair, plan)
    if plan.masks:
        masks = _mask_loss(warped[:, features:-1], reference[:, features:], kept, pair.mask_weight)
    return image, masks


def floating_index(moved_mm: Triple, pair: ImagePair) -> Triple:
    """Returns world points of the floating image as fractional indices on its lattice."""
    x, y, z = (
        (at - origin) / pitch
        for at, origin, pitch in zip(moved_mm, pair.floating_origin_mm, pair.floating_pitch_mm, strict=True)
    )
    return x, y, z


def weighted_terms(image: Scalar, masks: Scalar, landmarks: Scalar, weights: Weights) -> Float[Array, ""]:
    """Returns w_I L_I + w_S (L_S + w_P L_P): images, masks, landmarks."""
    return jnp.asarray(weights.image * image + weights.masks * (masks + weights.landmarks * landmarks))


def _image_loss(warped: Array, reference: Array, weight: Array, pair: ImagePair, plan: Plan) -> Array:
    table = plan.similarity
    if table.kind == "descriptor":
        return losses.descriptor_loss(warped, reference, weights=weight)
    if table.kind == "lncc":
        grid = tuple(n // plan.stride for n in pair.reference.shape)
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
    apart = jnp.sum(kept[:, None] * (warped - reference) ** 2, axis=0)
    whole = jnp.sum(kept[:, None] * reference**2, axis=0)
    return jnp.sum(mask_weight * apart / jnp.maximum(whole, 1.0))


def _features(image: Array, sigma_nodes: Array, plan: Plan) -> Array:
    blurred = blur(image, sigma_nodes)
    if plan.similarity.kind == "descriptor":
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
        # The n-th chosen one is the node where the rank first reaches n parts of the total.
        wanted = (jnp.arange(count) * jnp.maximum(total, count)) // count
        nodes = jnp.searchsorted(rank, wanted + 1)
        return jnp.minimum(nodes, weight.shape[0] - 1).astype(jnp.int32), (wanted < total).astype(weight.dtype)

    nodes, kept = jax.lax.map(of_phase, weight)
    return nodes, kept
