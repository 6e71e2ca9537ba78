"""Activity and masks on the dose grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from sirtjax import spatial
from sirtjax.errors import InputError
from sirtjax.ops import full_precision, namespace
from sirtjax.pipeline._records import GridArray, MaskConfig, Sampling, Shape, Warp
from sirtjax.typing import Array
from sirtjax.volume import Geometry, Volume


def place_mask(
    mask: GridArray,
    world_from_dose_voxel: Float[Array, "4 4"],
    shape: Shape,
    *,
    warp: Warp | None = None,
    config: MaskConfig,
    interpolation: str = "linear",
) -> Float[Array, "I J K"]:
    """Returns the fraction of each dose voxel inside a mask.

    NumPy arrays are handled on the host, where no program is compiled for a new shape; traced arrays give a
    differentiable function of the same definition.

    Args:
      mask: the mask on its own grid.
      world_from_dose_voxel: affine of the dose grid.
      shape: voxels of the dose grid.
      warp: transform to the frame of the mask; the identity by default.
      config: settings of the mask: whether its values are logits, and the averaging of traced ones.
      interpolation: "linear", or "cubic" (traced arrays only).
    """
    if not spatial.is_traced(mask, world_from_dose_voxel, warp) and interpolation == "linear":
        drawn = np.asarray(mask.values)
        if config.logits:
            drawn = np.asarray(jax.nn.sigmoid(jnp.asarray(drawn)))
        floating = Geometry.from_affine(drawn.shape, np.asarray(mask.world_from_voxel, np.float64))
        reference = Geometry.from_affine(shape, np.asarray(world_from_dose_voxel, np.float64))
        found: Array = spatial.mask_occupancy(drawn, floating, reference, transform=_transform(warp))
        return found
    values = jnp.asarray(mask.values, jnp.float32)
    used = warp or Warp()
    return spatial.traced_occupancy(
        jax.nn.sigmoid(values) if config.logits else values,
        inverse_affine(mask.world_from_voxel),
        world_from_dose_voxel,
        shape,
        parts=config.sampling.parts,
        blocks=config.sampling.blocks,
        order="cubic" if interpolation == "cubic" else "linear",
        floating_from_displaced=used.floating_from_displaced,
        field_mm=used.field_mm,
        field_from_world=None if used.world_from_node is None else inverse_affine(used.world_from_node),
    )


def place_counts(
    counts: GridArray,
    world_from_dose_voxel: Float[Array, "4 4"],
    shape: Shape,
    *,
    sampling: Sampling,
    unit: str = "counts",
) -> Float[Array, "I J K"]:
    """Returns the activity image on the dose grid.

    Args:
      counts: the activity image.
      world_from_dose_voxel: affine of the dose grid.
      shape: voxels of the dose grid.
      sampling: averaging of a traced image, which on the host follows from the grids; or that voxels are copied.
      unit: unit of the image. A traced image keeps its total only to about 1 %, on which the patient-relative
        calibration does not depend.

    Raises:
      InputError: an image on the host has negative voxels, or voxels that are not finite.
    """
    if sampling.copied is not None:
        return _copied_counts(counts, world_from_dose_voxel, shape, sampling.copied, unit)
    if not spatial.is_traced(counts, world_from_dose_voxel):
        seen = np.asarray(counts.values, np.float32)
        image = Volume(seen, Geometry.from_affine(seen.shape, np.asarray(counts.world_from_voxel)), unit=unit)
        reference = Geometry.from_affine(shape, np.asarray(world_from_dose_voxel, np.float64))
        return spatial.resample_activity(image, reference).array
    # The image falls to zero over one voxel beyond its outermost voxels.
    values = jnp.asarray(counts.values, jnp.float32)
    blocks = np.asarray(sampling.blocks)
    missing = -(np.asarray(values.shape) + 2) % blocks
    padded = jnp.pad(values, [(1, int(1 + m)) for m in missing])
    shifted = spatial.traced_shift(inverse_affine(counts.world_from_voxel), -np.ones(3), sampling.blocks)
    path = spatial.voxel_path(shifted, world_from_dose_voxel)
    grid = spatial.traced_grid(spatial.block_means(padded, sampling.blocks))
    half = jnp.full(3, 0.5, jnp.float32)
    return spatial.traced_means(grid, path, shape, parts=sampling.parts, half_width=half, fill=0.0)


@full_precision
def _copied_counts(
    counts: GridArray, world_from_dose_voxel: Float[Array, "4 4"], shape: Shape, axes: Shape, unit: str
) -> Float[Array, "I J K"]:
    """Each dose voxel has the value of the image voxel around it; counts of the host in proportion to its volume."""
    traced = spatial.is_traced(counts, world_from_dose_voxel)
    xp: Any = jnp if traced else np
    values = xp.asarray(counts.values, xp.float32)
    if not traced and (not np.isfinite(values).all() or values.min() < 0):
        raise InputError("the activity image has voxels that are negative or not finite; correct or mask them first")
    place = inverse_affine(counts.world_from_voxel) @ xp.asarray(world_from_dose_voxel)
    rows, inside = [], []
    for axis, (along, size) in enumerate(zip(axes, values.shape, strict=True)):
        index = xp.round(place[axis, along] * np.arange(shape[along]) + place[axis, 3]).astype(xp.int32)
        rows.append(xp.clip(index, 0, size - 1))
        inside.append((index >= 0) & (index < size))
    found = values[xp.ix_(*rows)]
    for axis, within in enumerate(inside):
        found = found * xp.expand_dims(within, [a for a in range(3) if a != axis])
    if not traced and unit == "counts":
        found = found * np.float32(abs(np.linalg.det(place[:3, :3])))
    ordered: Array = xp.transpose(found, [axes.index(axis) for axis in range(3)])
    return ordered


@full_precision
def field_of_view(
    counts_shape: Shape, world_from_voxel: Float[Array, "4 4"], world_from_dose_voxel: Float[Array, "4 4"], shape: Shape
) -> Bool[Array, "I J K"]:
    """Returns which dose voxels have their centre in the activity image, (I, J, K) bool.

    The other voxels have no counts.

    Args:
      counts_shape: voxels of the activity image.
      world_from_voxel: affine of the activity image.
      world_from_dose_voxel: affine of the dose grid.
      shape: voxels of the dose grid.
    """
    traced = spatial.is_traced(world_from_voxel, world_from_dose_voxel)
    xp: Any = jnp if traced else np
    place = inverse_affine(world_from_voxel) @ xp.asarray(world_from_dose_voxel)
    i, j, k = np.ogrid[tuple(slice(n) for n in shape)]
    inside: Array = xp.ones(shape, bool)
    for row, size in zip(place[:3], counts_shape, strict=True):
        index = row[0] * i + row[1] * j + row[2] * k + row[3]
        inside = inside & (index >= -0.5) & (index <= size - 0.5)
    return inside


def derived_weights(
    liver: Float[Array, "I J K"],
    territories: Mapping[str, Float[Array, "I J K"]],
    lesions: Sequence[Float[Array, "I J K"]],
) -> dict[str, Float[Array, "I J K"]]:
    """Returns the VOIs derived from the masks, by name: all lesions together, and the normal tissue.

    Args:
      liver: occupancy of the liver.
      territories: occupancy of each territory that is injected.
      lesions: occupancy of each lesion.
    """
    xp = namespace(liver, *territories.values(), *lesions)
    tumour = lesions[0] if lesions else xp.zeros_like(liver)
    for lesion in lesions[1:]:
        tumour = xp.maximum(tumour, lesion)
    normal = {f"normal {name}": xp.clip(weight - tumour, 0.0, 1.0) for name, weight in territories.items()}
    return {"lesions": tumour, "normal liver": xp.clip(liver - tumour, 0.0, 1.0)} | normal


def inverse_affine(affine: Float[Array, "4 4"]) -> Float[Array, "4 4"]:
    """Returns the inverse of an affine map, in double precision unless it is traced."""
    if spatial.is_traced(affine):
        result: Float[Array, "4 4"] = jnp.linalg.inv(jnp.asarray(affine, jnp.float32))
        return result
    return np.linalg.inv(np.asarray(affine, np.float64))


def warp_of(transform: spatial.Transform | None) -> Warp | None:
    """Returns a transform of known geometry as a `Warp`."""
    if transform is None:
        return None
    if isinstance(transform, spatial.AffineTransform):
        return Warp(floating_from_displaced=transform.floating_from_reference)
    return Warp(
        floating_from_displaced=transform.floating_from_displaced,
        field_mm=transform.array,
        world_from_node=transform.geometry.affine,
    )


def _transform(warp: Warp | None) -> spatial.Transform | None:
    if warp is None:
        return None
    matrix = warp.floating_from_displaced
    if warp.field_mm is None or warp.world_from_node is None:
        return spatial.identity() if matrix is None else spatial.AffineTransform(matrix)
    field = np.asarray(warp.field_mm, np.float32)
    return spatial.DisplacementField(field, Geometry.from_affine(field.shape[:3], warp.world_from_node), matrix)
