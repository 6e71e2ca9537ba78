from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Integer, Shaped
from numpy.typing import DTypeLike, NDArray
from scipy import ndimage

from sirtjax.errors import GeometryError, InputError
from sirtjax.spatial._affine import identity
from sirtjax.spatial._displacement import DisplacementField
from sirtjax.spatial._kernel import (
    MEAN_CHUNK,
    POINT_CHUNK,
    field_on_device,
    mean_chunk,
    plan_path,
    run_chunks,
    sample_chunk,
)
from sirtjax.spatial._source import SourceGrid, block_mean, crop_to_box, reached_box, shifted, to_device
from sirtjax.spatial._traced import (
    Parts,
    block_means,
    is_traced,
    known_affine,
    traced_grid,
    traced_means,
    traced_samples,
    transform_path,
)
from sirtjax.spatial._transform import Transform, affine_part
from sirtjax.spatial._warp import Order
from sirtjax.typing import Array
from sirtjax.volume import Geometry, LabelMap, Volume

# Voxels kept around the reached part: what interpolation needs, and what the spline filter needs to settle.
_MARGIN = {"linear": 2, "nearest": 2, "cubic": 16}


def resample(
    volume: Volume,
    geometry: Geometry,
    *,
    order: Order = "linear",
    fill: float | None = None,
    transform: Transform | None = None,
    antialias: bool = False,
) -> Volume:
    """Returns an image on another grid, through an optional transform.

    On the host no program is compiled for a new shape. If the image or the transform is traced by JAX, the result is a
    pure, differentiable function of both. Its derivative in the transform is one-sided where a sampled point is on a
    voxel centre of the image, for order "linear"; "cubic" has a continuous one, "nearest" has none.

    By default each voxel of the result is the image at its centre, as in SimpleITK's `Resample`: going to a
    grid of much larger voxels then skips voxels and keeps the noise of single ones. With `antialias` it is
    the mean of the linearly interpolated image over the voxel instead, which is what a CT needs on a dose
    grid; an image at least three times finer is averaged over whole blocks of voxels first. Outside (more
    than half a voxel beyond the outermost voxel centres) the result is `fill`.

    Args:
      volume: the floating image.
      geometry: the reference grid.
      order: "linear", "nearest" or "cubic" (B-spline; may overshoot).
      fill: value outside the image; without it -1024 for an image in HU and 0 for any other.
      transform: pull, from `geometry`'s space to the image's; identity by default.
      antialias: average over each voxel of the result; for order "linear".

    Returns:
      The image on `geometry`, float32, in the same unit.

    Raises:
      InputError: unknown order, or `antialias` with another order than linear.
      GeometryError: the transform is not usable.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import spatial
      >>> from sirtjax.volume import Geometry, Volume
      >>> coarse = Geometry.from_axes((3, 1, 1), spacing_mm=(10.0, 10.0, 10.0))
      >>> fine = Geometry.from_axes((5, 1, 1), spacing_mm=(5.0, 10.0, 10.0))
      >>> image = Volume(np.array([0.0, 10.0, 20.0], np.float32).reshape(coarse.shape), coarse, unit="counts")
      >>> np.asarray(spatial.resample(image, fine).array).round(3).ravel().tolist()
      [0.0, 5.0, 10.0, 15.0, 20.0]
    """
    if order not in _MARGIN:
        raise InputError(f"order must be 'linear', 'nearest' or 'cubic', got {order!r}")
    if antialias and order != "linear":
        raise InputError(f"antialias averages a linearly interpolated image; it cannot go with order {order!r}")
    transform = identity() if transform is None else transform
    fill = default_fill(volume.unit) if fill is None else fill
    if is_traced(volume.array, transform):
        traced = _traced_resample(volume, geometry, transform, order=order, fill=fill, antialias=antialias)
        return Volume(traced, geometry, unit=volume.unit)
    array = np.asarray(volume.array)
    if antialias:
        values = mean_on_grid(array, volume.geometry, geometry, transform, fill=fill)
    else:
        values = sample_on_grid(array, volume.geometry, geometry, transform, order=order, fill=fill)
    return Volume(values, geometry, unit=volume.unit)


def resample_labels(labels: LabelMap, geometry: Geometry, *, transform: Transform | None = None) -> LabelMap:
    """Resamples a label map by nearest neighbour; background outside. On the host.

    For the fraction of each voxel inside a label, as small lesions need it, use `occupancy`.

    Args:
      labels: the floating label map.
      geometry: the reference grid.
      transform: pull, from `geometry`'s space to the map's; identity by default.

    Returns:
      The labels on `geometry`, of the same type and names.

    Raises:
      InputError: a label value does not fit in 32 bits.
      GeometryError: the transform is not usable.
    """
    array = np.asarray(labels.array)
    if array.size and (int(array.max()) > 2**31 - 1 or int(array.min()) < -(2**31)):
        raise InputError(f"label values must fit in 32 bits, the map holds up to {int(array.max())}")
    transform = identity() if transform is None else transform
    values = sample_on_grid(
        array.astype(np.int32, copy=False), labels.geometry, geometry, transform, order="nearest", fill=0
    )
    return LabelMap(values.astype(array.dtype), geometry, names=labels.names)


def _traced_resample(
    volume: Volume, geometry: Geometry, transform: Transform, *, order: Order, fill: float, antialias: bool
) -> Shaped[Array, "i j k"]:
    image = jnp.asarray(volume.array, jnp.float32)
    if not antialias:
        path = transform_path(transform, volume.geometry.voxel_from_world, geometry)
        return traced_samples(image, path, geometry.shape, order=order, fill=fill)
    steps = voxel_steps(volume.geometry, geometry, known_affine(transform))
    blocks = block_factors(steps, 1.5)
    missing = [(0, -n % f) for n, f in zip(image.shape, blocks, strict=True)]
    averaged = block_means(jnp.pad(image, missing, mode="edge"), blocks)
    path = transform_path(transform, shifted(volume.geometry.voxel_from_world, np.zeros(3), blocks), geometry)
    # The blocks do not move the faces of the image.
    shift, size = (np.asarray(blocks) - 1) / 2, np.asarray(volume.geometry.shape)
    grid = traced_grid(averaged, low=(-0.5 - shift) / blocks, high=(size - 0.5 - shift) / blocks)
    i, j, k = parts_per_voxel(steps / np.asarray(blocks)[:, None], 1.0).tolist()
    half = jnp.full(3, 0.5, jnp.float32)
    return traced_means(grid, path, geometry.shape, parts=(i, j, k), half_width=half, fill=fill)


def default_fill(unit: str) -> float:
    """Returns the value outside an image of this unit: air (-1024) for HU, otherwise 0."""
    return -1024.0 if unit == "HU" else 0.0


def sample_on_grid(
    array: Shaped[np.ndarray, "a b c"],
    floating: Geometry,
    reference: Geometry,
    transform: Transform,
    *,
    order: Order,
    fill: float,
) -> Shaped[np.ndarray, "i j k"]:
    """Samples `array` at the voxel centres of `reference`; int32 labels remain int32, others float32."""
    dtype = np.int32 if array.dtype == np.int32 and order == "nearest" else np.float32
    source = _prepare(array, floating, reference, transform, order=order, dtype=dtype)
    if source is None:
        return np.full(reference.shape, fill, dtype)
    path = plan_path(source, reference, transform, field_on_device(transform))
    outside = dtype(fill)
    values = run_chunks(
        lambda start: sample_chunk(source.grid, path, start, outside, order=order),
        int(np.prod(reference.shape)),
        POINT_CHUNK,
        dtype,
    )
    return values.reshape(reference.shape)


def mean_on_grid(
    array: Shaped[np.ndarray, "a b c"],
    floating: Geometry,
    reference: Geometry,
    transform: Transform,
    *,
    fill: float,
    conserve: bool = False,
) -> Float[np.ndarray, "i j k"]:
    """Means of the linearly interpolated `array` over the voxels of `reference`.

    Each is cut into one part for each voxel of `array` that it spans (two along each axis with `conserve` and a
    field), and the image is sampled at the centre of each part. A voxel that spans one voxel of `array` has the value
    at its centre. With `conserve` the values are multiplied by the local volume ratio of the transform.
    """
    steps = voxel_steps(floating, reference, transform)
    factors = block_factors(steps, 1.5)
    source = _prepare(array, floating, reference, transform, order="linear", dtype=np.float32, factors=factors)
    if source is None:
        return np.full(reference.shape, fill, np.float32)
    path = plan_path(source, reference, transform, field_on_device(transform))
    steps = steps / np.asarray(factors)[:, None]
    # A field stretches: samples on some voxel centres and between others do not keep the activity of a small lesion.
    stretched = conserve and isinstance(transform, DisplacementField)
    counts = parts_per_voxel(steps, 2.0 if stretched else 1.0)
    half = np.full(3, 0.5, np.float32)
    values = run_chunks(
        lambda start: mean_chunk(source.grid, path, start, np.float32(fill), half, counts, conserve=conserve),
        int(np.prod(reference.shape)),
        MEAN_CHUNK,
        np.float32,
    )
    if conserve:
        values *= np.float32(abs(np.linalg.det(affine_part(transform)[:3, :3])))
    return values.reshape(reference.shape)


def voxel_steps(floating: Geometry, reference: Geometry, transform: Transform) -> Float[np.ndarray, "3 3"]:
    """Returns (3, 3): column b is the step of a reference voxel along axis b, in floating voxels."""
    steps = floating.voxel_from_world @ affine_part(transform) @ reference.affine
    return np.asarray(steps[:3, :3], np.float64)


def block_factors(steps: Float[np.ndarray, "3 3"], coarsest: float) -> tuple[int, int, int]:
    """Returns integer factors for averaging a fine image first: blocks of at most 1/`coarsest` voxel."""
    # Floating voxels along each of their axes that span one reference voxel, in the reference's own measure.
    span = 1 / np.linalg.norm(np.linalg.inv(steps), axis=0)
    i, j, k = (max(1, int(np.floor(x / coarsest + 1e-6))) for x in span)
    return i, j, k


def parts_per_voxel(steps: Float[np.ndarray, "3 3"], density: float) -> Integer[np.ndarray, "3"]:
    """Parts into which a reference voxel is cut: at least `density` for each floating voxel that it spans."""
    wanted = np.ceil(density * np.linalg.norm(steps, axis=0) - 1e-6)
    counts: NDArray[np.int32] = np.clip(wanted, 1, 64).astype(np.int32)
    return counts


def image_sampling(floating: Geometry, reference: Geometry) -> tuple[Parts, Parts]:
    """Returns the parts per voxel and the blocks of image voxels with which `resample_activity` averages.

    Args:
      floating: grid of the image.
      reference: the grid of the result.
    """
    steps = voxel_steps(floating, reference, identity())
    blocks = block_factors(steps, 1.5)
    i, j, k = parts_per_voxel(steps / np.asarray(blocks)[:, None], 1.0).tolist()
    return (i, j, k), blocks


def half_width(steps: Float[np.ndarray, "3 3"], counts: Integer[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    """Returns half the extent of a reference sub-voxel along each floating axis, at most 0.5.

    A part that is turned against those axes is a box no more; one with the same spread (root of the summed
    squares) along each axis stands for it.
    """
    spread = np.sqrt(((steps / counts) ** 2).sum(axis=1))
    half: NDArray[np.float32] = np.clip(spread / 2, 1e-3, 0.5).astype(np.float32)
    return half


def _prepare(
    array: NDArray[Any],
    floating: Geometry,
    reference: Geometry,
    transform: Transform,
    *,
    order: Order,
    dtype: DTypeLike,
    factors: tuple[int, int, int] = (1, 1, 1),
) -> SourceGrid | None:
    if array.shape != floating.shape:
        raise GeometryError(f"one image at a time: array of shape {array.shape} on {floating.shape} voxels")
    low, high = reached_box(floating.voxel_from_world @ affine_part(transform), reference, transform)
    box = crop_to_box(floating, low, high, margin=_MARGIN[order] * max(factors))
    if box is None:
        return None
    part = array[box]
    start = np.asarray([s.start for s in box])
    if order == "cubic":
        part = ndimage.spline_filter(part, order=3, output=np.float32, mode="mirror")
    blocks = np.asarray(factors)
    if blocks.max() > 1:
        part = block_mean(part, factors, mode="edge")
    # Crop and blocks do not move the faces of the image: inside is still inside of the whole image.
    shift = start + (blocks - 1) / 2
    inside = (np.full(3, -0.5) - shift) / blocks, (np.asarray(floating.shape) - 0.5 - shift) / blocks
    grid = to_device(part.astype(dtype, copy=False), low=inside[0], high=inside[1])
    return SourceGrid(grid=grid, voxel_from_world=shifted(floating.voxel_from_world, start, factors))
