from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Shaped
from numpy.typing import NDArray

from sirtjax.errors import InputError
from sirtjax.spatial._affine import identity
from sirtjax.spatial._displacement import DisplacementField
from sirtjax.spatial._kernel import MEAN_CHUNK, SMALL_CHUNK, field_on_device, mean_chunk, plan_path, run_chunks
from sirtjax.spatial._resample import block_factors, half_width, parts_per_voxel, voxel_steps
from sirtjax.spatial._source import (
    SourceGrid,
    block_mean,
    crop_to_box,
    displacement_bounds_mm,
    shifted,
    to_device,
)
from sirtjax.spatial._traced import Parts, is_traced, known_affine, traced_occupancy
from sirtjax.spatial._transform import Transform, affine_part
from sirtjax.spatial._warp import Order
from sirtjax.typing import Array
from sirtjax.volume import Geometry, LabelMap, bounding_box, crop_geometry

Slices = tuple[slice, slice, slice]


def occupancy(
    labels: LabelMap, name: str, geometry: Geometry, *, transform: Transform | None = None
) -> Float[Array, "i j k"]:
    """Returns the fraction of each voxel of a grid inside a label.

    On the host no program is compiled for a new shape. If the map or the transform is traced by JAX, the result is a
    pure function of both, as `mask_occupancy` describes.

    Each voxel is cut into parts no larger than half a voxel of the label map, and each part is looked up over
    its own size, so that the label's volume is kept for lesions of a few voxels too. Only the part of the
    grid that the label can reach is computed.

    Args:
      labels: the floating label map.
      name: the label.
      geometry: the reference grid.
      transform: pull, from `geometry`'s space to the map's; identity by default.

    Returns:
      (i, j, k) fractions from 0 to 1, float32; zero everywhere for an empty label.

    Raises:
      GeometryError: no label has that name, or the transform is not usable.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import spatial
      >>> from sirtjax.volume import Geometry, LabelMap
      >>> fine = Geometry.from_axes((4, 4, 4), spacing_mm=(5.0, 5.0, 5.0), origin_mm=(2.5, 2.5, 2.5))
      >>> coarse = Geometry.from_axes((2, 2, 2), spacing_mm=(10.0, 10.0, 10.0), origin_mm=(5.0, 5.0, 5.0))
      >>> lesion = LabelMap.from_mask(np.arange(4)[:, None, None] < np.full(fine.shape, 3), fine, name="lesion")
      >>> spatial.occupancy(lesion, "lesion", coarse).round(3)[:, 0, 0].tolist()  # 15 of 20 mm along i
      [1.0, 0.5]
    """
    value = labels.value(name)
    mask = labels.array == value if is_traced(labels.array) else labels.mask(name)
    return mask_occupancy(mask, labels.geometry, geometry, transform=transform)


def mask_occupancy(
    mask: Shaped[Array, "a b c"],
    floating: Geometry,
    geometry: Geometry,
    *,
    transform: Transform | None = None,
    order: Order = "linear",
) -> Float[Array, "i j k"]:
    """Returns the `occupancy` of a mask on the grid `floating`.

    If the mask or the transform is traced by JAX, the result is differentiable in both, and a mask may hold
    probabilities. The derivative in the transform is one-sided where a sampled point is on a voxel centre of the mask;
    order "cubic" has a continuous one (for traced arrays; the surface is then blurred by about one voxel of the mask).
    The host samples small masks that are at least twice as fine as the grid more finely, so that the two forms differ
    by up to 1 % of a voxel at their surface. `traced_occupancy` with the result of `mask_sampling(mask=...)` does not.

    Args:
      mask: (i, j, k) values on `floating`.
      floating: grid of the mask.
      geometry: reference grid.
      transform: pull, from `geometry`'s space to the mask's; identity by default.
      order: interpolation of the mask; "cubic" is for traced arrays.

    Raises:
      InputError: order "cubic" on the host.
    """
    transform = identity() if transform is None else transform
    if is_traced(mask, transform):
        return _traced_mask(mask, floating, geometry, transform, order)
    if order != "linear":
        raise InputError(f"order {order!r} of an occupancy is for arrays that JAX traces; use 'linear' on the host")
    result = np.zeros(geometry.shape, np.float32)
    mask = np.asarray(mask)
    sampled = _sampling(mask, floating, geometry, transform)
    if sampled is None:
        return result
    box, blocks, counts, steps = sampled
    reference = crop_geometry(geometry, [s.start for s in box], [s.stop for s in box])
    voxels = int(np.prod(reference.shape))
    source = _prepare_mask(mask, floating, blocks)
    path = plan_path(source, reference, transform, field_on_device(transform))
    half = half_width(steps, counts)
    chunk = SMALL_CHUNK if voxels <= SMALL_CHUNK else MEAN_CHUNK
    values = run_chunks(
        lambda begin: mean_chunk(source.grid, path, begin, np.float32(0), half, counts, conserve=False, chunk=chunk),
        voxels,
        chunk,
        np.float32,
    )
    # Rounding must not leave a trace of the label in voxels that only touch it.
    values[values < 1e-5] = 0
    result[box] = np.minimum(values, 1).reshape(reference.shape)
    return result


def mask_sampling(
    floating: Geometry,
    geometry: Geometry,
    *,
    transform: Transform | None = None,
    mask: Shaped[Array, "a b c"] | None = None,
) -> tuple[Parts, Parts]:
    """Returns the parts per voxel and the blocks of mask voxels with which `traced_occupancy` averages.

    With a mask they are those of `mask_occupancy` on the host, which samples small masks more finely. The host starts
    its blocks at the bounding box of the mask: crop the mask to it for the same occupancies.

    Args:
      floating: grid of the mask.
      geometry: the reference grid.
      transform: pull, from `geometry`'s space to the mask's; only its affine part counts, identity by default.
      mask: (i, j, k) values on `floating`.
    """
    transform = identity() if transform is None else transform
    sampled = None if mask is None else _sampling(np.asarray(mask), floating, geometry, transform)
    if sampled is not None:
        _, blocks, counts, _ = sampled
    else:
        blocks, counts, _ = _blocks_and_parts(voxel_steps(floating, geometry, known_affine(transform)), 1.5)
    i, j, k = counts.tolist()
    return (i, j, k), blocks


def _sampling(
    mask: NDArray[Any], floating: Geometry, geometry: Geometry, transform: Transform
) -> tuple[Slices, Parts, NDArray[np.int32], NDArray[np.float64]] | None:
    """The voxels of `geometry` that a mask can reach, its blocks, parts per voxel and the size of a voxel in blocks."""
    if not mask.any():
        return None
    box = _reached_by_label(crop_geometry(floating, *bounding_box(mask)), geometry, transform)
    if box is None:
        return None
    # Finer blocks for a lesion, whose surface is most of it, than for an organ, whose size would cost time.
    small = np.prod([s.stop - s.start for s in box]) <= MEAN_CHUNK
    return box, *_blocks_and_parts(voxel_steps(floating, geometry, transform), 2.0 if small else 1.5)


def _blocks_and_parts(
    steps: NDArray[np.float64], coarsest: float
) -> tuple[Parts, NDArray[np.int32], NDArray[np.float64]]:
    blocks = block_factors(steps, coarsest)
    steps = steps / np.asarray(blocks)[:, None]
    # One part more than two for each voxel of the map: turned grids need it to keep the volume.
    return blocks, parts_per_voxel(steps, 2.0) + np.int32(1), steps


def _traced_mask(
    mask: Shaped[Array, "a b c"], floating: Geometry, geometry: Geometry, transform: Transform, order: Order
) -> Float[jax.Array, "i j k"]:
    parts, blocks = mask_sampling(floating, geometry, transform=transform)
    field: DisplacementField | None = None
    if isinstance(transform, DisplacementField):
        field, affine = transform, transform.floating_from_displaced
    else:
        affine = transform.floating_from_reference
    return traced_occupancy(
        mask,
        floating.voxel_from_world,
        geometry.affine,
        geometry.shape,
        parts=parts,
        blocks=blocks,
        order=order,
        floating_from_displaced=affine,
        field_mm=None if field is None else field.array,
        field_from_world=None if field is None else field.geometry.voxel_from_world,
    )


def _reached_by_label(label: Geometry, geometry: Geometry, transform: Transform) -> Slices | None:
    """The voxels of `geometry` that the (cropped) grid of a label can overlap."""
    back = np.linalg.inv(affine_part(transform))
    corners = label.corners_mm() @ back[:3, :3].T + back[:3, 3]
    if isinstance(transform, DisplacementField):
        low, high = displacement_bounds_mm(transform)
        # A point x goes to x + u: the label's points come from no further than the largest displacements.
        corners = np.concatenate([corners + a for a in _corners(-high, -low)])
    voxels = geometry.to_voxel(corners)
    return crop_to_box(geometry, voxels.min(axis=0), voxels.max(axis=0), margin=1)


def _corners(low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    ends = np.meshgrid(*zip(low, high, strict=True), indexing="ij")
    corners: NDArray[np.float64] = np.stack(ends, axis=-1).reshape(8, 3)
    return corners


def _prepare_mask(mask: NDArray[Any], floating: Geometry, factors: Parts) -> SourceGrid:
    # One block of background all round, so that a part at the label's edge finds it.
    start, stop = bounding_box(mask)
    blocks = np.asarray(factors)
    inner = mask[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))].astype(np.float32)
    missing = -np.asarray(inner.shape) % blocks
    padded = np.pad(inner, [(int(f), int(f + m)) for f, m in zip(blocks, missing, strict=True)])
    part = block_mean(padded, factors, mode="constant")
    grid = to_device(part, low=np.full(3, -0.5), high=np.asarray(part.shape) - 0.5)
    return SourceGrid(
        grid=grid, voxel_from_world=shifted(floating.voxel_from_world, np.asarray(start) - blocks, factors)
    )
