"""Cascades of networks that register two images: each predicts a displacement of the image that is left unaligned."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, Literal, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float, Integer, PyTree
from numpy.typing import NDArray
from pydantic import Field, model_validator

from sirtjax import spatial
from sirtjax.config import Table
from sirtjax.networks._build import Variables, apply, initialise
from sirtjax.networks._config import Count, PlainConvUNetConfig
from sirtjax.networks._correlation import CorrelationConfig, block_means, matched_blocks
from sirtjax.networks._demons import demons_forces
from sirtjax.typing import Array, Vector

# Two images, each voxel of a block as a channel of its own.
IMAGES, AXES = 2, 3
# Scaling and squaring of a velocity: the shortest step is 1/64 of the displacement.
SQUARINGS = 6


class CascadeConfig(Table):
    """A registration network: equal U-Nets in a row; each sees the image that the earlier ones warped.

    Each U-Net works on blocks of voxels and predicts one displacement per block, which cubic splines interpolate.

    After RegSegNet (three cascades, a U-Net on the pair of images). The paper leaves open, chosen here: features;
    blocks of two voxels, which make a step several times faster and prevent noise in the field.

    Attributes:
      network: U-Net of each cascade. It has 2 inputs block^3 channels, with forces 3 inputs more, and those of the
        correlation; and 3 classes, with a correlation 4.
      inputs: channels of each side: 1 for only the image, 2 for the image and a liver mask that guides.
      cascades: number of U-Nets.
      block: voxels along each axis of a block.
      output: "displacement", or "velocity" for a steady velocity that is integrated and does not fold.
      unit_mm: displacement of an output of 1.
      forces: whether the U-Net also receives `demons_forces` of each input.
      correlation: a correlation layer, whose displacement the U-Net weights at each point and adds to its own; or none.
    """

    network: PlainConvUNetConfig
    inputs: Count = 1
    cascades: Count = 3
    block: Annotated[int, Field(ge=1, le=4)] = 2
    output: Literal["displacement", "velocity"] = "displacement"
    unit_mm: Annotated[float, Field(gt=0, le=100)] = 10.0
    forces: bool = False
    correlation: CorrelationConfig | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        channels = IMAGES * self.inputs * self.block**AXES + (AXES * self.inputs if self.forces else 0)
        classes = AXES
        if self.correlation is not None:
            channels, classes = channels + self.correlation.channels, AXES + 1
        if self.network.channels != channels or self.network.classes != classes:
            raise ValueError(
                f"the network must have {channels} channels and {classes} classes, "
                f"got {self.network.channels} and {self.network.classes}"
            )
        if self.network.deep_supervision:
            raise ValueError("the network must have deep_supervision = false")
        return self


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
    """Computes the displacement after each cascade.

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

    def one(total: jax.Array, own: Variables) -> tuple[jax.Array, jax.Array]:
        after = next_displacement(config, own, reference, floating, spacing_mm, total)
        return after, after

    coarse = lax.scan(jax.checkpoint(one), first_displacement(config, reference, start_mm=start_mm), variables)[1]
    fields: jax.Array = lax.map(lambda total: on_voxels(config, total), coarse)
    return fields


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


def next_displacement(
    config: CascadeConfig,
    own: Variables,
    reference: Float[Array, "i j k inputs"],
    floating: Float[Array, "i j k inputs"],
    spacing_mm: Vector,
    total_mm: Float[Array, "a b c 3"],
) -> Float[jax.Array, "a b c 3"]:
    """Computes the displacement after one more cascade, at the centres of the blocks.

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
    block_mm = config.block * jnp.asarray(spacing_mm, jnp.float32)
    warped = spatial.sample_on_grid(floating, on_voxels(config, total_mm), spacing_mm)
    seen = [_blocks(jnp.concatenate([jnp.asarray(reference), warped], axis=-1), config.block)]
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
        field = field + jax.nn.sigmoid(found[..., AXES:]) * matched.displacement_mm
    if config.output == "velocity":
        field = jnp.asarray(spatial.integrate_velocity(field, block_mm, squarings=SQUARINGS))
    return spatial.compose_displacements(total_mm, field, block_mm)


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


def _blocks(images: jax.Array, block: int) -> jax.Array:
    """Voxels of each block (i, j, k, channel) as channels (i / block, j / block, k / block, block^3 channel)."""
    i, j, k, channels = images.shape
    a, b, c = i // block, j // block, k // block
    split = images.reshape(a, block, b, block, c, block, channels)
    return split.transpose(0, 2, 4, 1, 3, 5, 6).reshape(a, b, c, block**AXES * channels)


@lru_cache(maxsize=32)
def block_spline_matrix(voxels: int, block: int) -> Float[np.ndarray, "voxels blocks"]:
    """Returns the weights of a cubic interpolation (Catmull-Rom) from the centres of blocks to voxels.

    Rows sum to one. Values beyond the ends repeat the last one.

    Args:
      voxels: voxels along the axis, a multiple of `block`.
      block: voxels of a block.

    Raises:
      ValueError: `voxels` is not a multiple of `block`.
    """
    if voxels % block:
        raise ValueError(f"{voxels} voxels are not a multiple of the block of {block}")
    blocks = voxels // block
    at = (np.arange(voxels) - (block - 1) / 2) / block
    weights = np.zeros((voxels, blocks))
    for knot in range(-2, blocks + 2):
        t = np.abs(at - knot)
        near, far = 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
        weights[:, min(max(knot, 0), blocks - 1)] += np.where(t < 1, near, np.where(t < 2, far, 0.0))
    rounded: NDArray[np.float32] = weights.astype(np.float32)
    return rounded
