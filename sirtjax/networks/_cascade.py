"""Cascades of networks that register two images: each predicts a displacement of the image that is left unaligned."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float, Integer, PyTree

from sirtjax import spatial
from sirtjax.networks._blocks import block_spline_matrix, channels_to_voxels, voxels_to_channels
from sirtjax.networks._build import Variables, apply, initialise
from sirtjax.networks._cascade_config import AXES, CascadeConfig
from sirtjax.networks._correlation import block_means, matched_blocks
from sirtjax.networks._demons import demons_forces
from sirtjax.typing import Array, Vector

# Scaling and squaring of a velocity: the shortest step is 1/64 of the displacement.
SQUARINGS = 6


class CascadeOutput(NamedTuple):
    """Output of one cascade, or of several along a first axis.

    Attributes:
      displacement_mm: (..., 3) displacement after the cascade, with that of the cascades before it.
      liver: (...) probability that a voxel of the reference image is liver; None if the network does not segment.
    """

    displacement_mm: Float[jax.Array, "... 3"]
    liver: Float[jax.Array, "..."] | None


def initialise_cascades(config: CascadeConfig, *, seed: int) -> Variables:
    """Draws the variables of all cascades: random features, and an output layer of zeros.

    A new network therefore returns the identity, or half the displacement of the correlation layer.

    Args:
      config: the network.
      seed: seed of the random features.

    Returns:
      Variables as for one network, with the cascades along a new first axis of each array.
    """
    each = [initialise(config.network, seed=seed + number) for number in range(config.cascades)]
    stacked: Variables = jax.tree.map(lambda *parts: jnp.stack(parts), *each)
    heads = stacked["params"]["decoder"]["heads"]
    stacked["params"]["decoder"]["heads"] = jax.tree.map(jnp.zeros_like, heads)
    return stacked


def cascade_displacements(
    config: CascadeConfig,
    variables: Variables,
    reference: Float[Array, "i j k inputs"],
    floating: Float[Array, "i j k inputs"],
    spacing_mm: Vector,
    *,
    start_mm: Float[Array, "i j k 3"] | None = None,
) -> Float[jax.Array, "cascades i j k 3"]:
    """Computes the displacement after each cascade: `cascade_outputs` without the segmentation.

    The reference at x corresponds to the floating image at x + u(x).

    Pure and differentiable; memory for the gradient is that of one cascade.

    Args:
      config: the network.
      variables: variables of all cascades.
      reference: (i, j, k, inputs) reference image, scaled for the network, and its liver if the network is guided.
        Each side is a multiple of the block and of the strides.
      floating: (i, j, k, inputs) floating image and liver on the same grid.
      spacing_mm: (3,) distance between voxels; may be traced.
      start_mm: (i, j, k, 3) smooth displacement of an alignment before the first cascade, mm. Default: none.

    Returns:
      (cascades, i, j, k, 3) displacements along the axes of the grid, mm. Each contains the start.

    Raises:
      ValueError: the image is not a multiple of the block along every axis, or has other channels.
    """
    return cascade_outputs(config, variables, reference, floating, spacing_mm, start_mm=start_mm).displacement_mm


def cascade_outputs(
    config: CascadeConfig,
    variables: Variables,
    reference: Float[Array, "i j k inputs"],
    floating: Float[Array, "i j k inputs"],
    spacing_mm: Vector,
    *,
    start_mm: Float[Array, "i j k 3"] | None = None,
) -> CascadeOutput:
    """Computes the displacement and the liver in the reference image after each cascade.

    Pure and differentiable; memory for the gradient is that of one cascade.

    Args:
      config: the network.
      variables: variables of all cascades.
      reference: (i, j, k, inputs) reference image, and its liver if the network is guided.
      floating: (i, j, k, inputs) floating image and liver on the same grid.
      spacing_mm: (3,) distance between voxels; may be traced.
      start_mm: (i, j, k, 3) smooth displacement of an alignment before the first cascade, mm. Default: none.

    Returns:
      Displacements (cascades, i, j, k, 3) and probabilities (cascades, i, j, k).

    Raises:
      ValueError: the image is not a multiple of the block along every axis, or has other channels.
    """

    def one(total: jax.Array, own: Variables) -> tuple[jax.Array, CascadeOutput]:
        after = next_output(config, own, reference, floating, spacing_mm, total)
        return after.displacement_mm, after

    first = first_displacement(config, reference, start_mm=start_mm)
    coarse: CascadeOutput = lax.scan(jax.checkpoint(one), first, variables)[1]
    return coarse._replace(displacement_mm=lax.map(lambda total: on_voxels(config, total), coarse.displacement_mm))


def first_displacement(
    config: CascadeConfig, reference: Float[Array, "i j k inputs"], *, start_mm: Float[Array, "i j k 3"] | None = None
) -> Float[jax.Array, "a b c 3"]:
    """Returns the displacement before the first cascade at the centres of the blocks of an image.

    Args:
      config: the network.
      reference: (i, j, k, inputs) reference image.
      start_mm: (i, j, k, 3) displacement of an earlier alignment, mm. Default: zero.

    Raises:
      ValueError: the image is not a multiple of the block along every axis.
    """
    shape, block = tuple(reference.shape[:AXES]), config.block
    if any(n % block for n in shape):
        raise ValueError(f"an image of {shape} voxels is not a multiple of the block of {block}")
    if start_mm is None:
        return jnp.zeros((*(n // block for n in shape), AXES), jnp.float32)
    return block_means(start_mm, block)


def next_output(
    config: CascadeConfig,
    own: Variables,
    reference: Float[Array, "i j k inputs"],
    floating: Float[Array, "i j k inputs"],
    spacing_mm: Vector,
    total_mm: Float[Array, "a b c 3"],
) -> CascadeOutput:
    """Computes the output of one more cascade.

    The displacement is at the centres of the blocks, the probability of the liver on all voxels.

    Args:
      config: the network.
      own: variables of this cascade.
      reference: (i, j, k, inputs) reference image, scaled for the network, and its liver if the network is guided.
      floating: (i, j, k, inputs) floating image and liver on the same grid.
      spacing_mm: (3,) distance between voxels; may be traced.
      total_mm: (a, b, c, 3) displacement so far at the centres of the blocks, mm.

    Raises:
      ValueError: an image has other channels than the network takes.
    """
    if not reference.shape[AXES:] == floating.shape[AXES:] == (config.inputs,):
        raise ValueError(
            f"each side must be (i, j, k, {config.inputs}), got {tuple(reference.shape)} and {tuple(floating.shape)}"
        )
    # The weights are float32, and so is the displacement, whatever the precision of the images.
    reference, floating = (jnp.asarray(image, jnp.float32) for image in (reference, floating))
    block_mm = config.block * jnp.asarray(spacing_mm, jnp.float32)
    warped = spatial.sample_on_grid(floating, on_voxels(config, total_mm), spacing_mm)
    seen = [voxels_to_channels(jnp.concatenate([reference, warped], axis=-1), config.block)]
    if config.forces:
        pulls = demons_forces(block_means(reference, config.block), block_means(warped, config.block), block_mm)
        seen.append(pulls / config.unit_mm)
    matched = None
    if config.correlation is not None:
        matched = matched_blocks(reference, warped, spacing_mm, block=config.block, config=config.correlation)
        seen.append(matched.channels)
    found = apply(config.network, own, jnp.concatenate(seen, axis=-1)[None])[0]
    field = config.unit_mm * found[..., :AXES]
    if matched is not None:
        field = field + jax.nn.sigmoid(found[..., AXES : AXES + 1]) * matched.displacement_mm
    if config.output == "velocity":
        field = jnp.asarray(spatial.integrate_velocity(field, block_mm, squarings=SQUARINGS))
    liver = None
    if config.segmentation:
        liver = jax.nn.sigmoid(channels_to_voxels(found[..., -(config.block**AXES) :], config.block)[..., 0])
    return CascadeOutput(spatial.compose_displacements(total_mm, field, block_mm), liver)


def on_voxels(config: CascadeConfig, field_mm: Float[Array, "a b c 3"]) -> Float[jax.Array, "i j k 3"]:
    """Interpolates a displacement at the centres of the blocks on all voxels, by cubic splines.

    Args:
      config: the network.
      field_mm: (a, b, c, 3) displacement at the centres of the blocks, mm.
    """
    a, b, c = (jnp.asarray(block_spline_matrix(config.block * n, config.block)) for n in field_mm.shape[:AXES])
    return jnp.asarray(spatial.bspline_field(jnp.asarray(field_mm), (a, b, c)))


def cascade_of(variables: Variables, number: Integer[Array, ""] | int) -> Variables:
    """Returns the variables of one cascade, whose number may be traced."""
    found: Variables = jax.tree.map(lambda x: lax.dynamic_index_in_dim(x, number, keepdims=False), variables)
    return found


def with_cascade(variables: PyTree, number: Integer[Array, ""] | int, own: PyTree) -> PyTree:
    """Returns the variables with those of one cascade replaced."""

    def put(all_: jax.Array, one: jax.Array) -> jax.Array:
        return jnp.asarray(lax.dynamic_update_index_in_dim(all_, one, number, axis=0))

    replaced: Any = jax.tree.map(put, variables, own)
    return replaced
