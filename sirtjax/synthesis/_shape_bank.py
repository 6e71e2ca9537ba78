from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Integer
from numpy.typing import NDArray
from scipy import ndimage

from sirtjax.errors import ImageFormatError, InputError
from sirtjax.io import atomic_path, read_nifti_array
from sirtjax.ops import distance_mm, signed_distance_mm
from sirtjax.typing import Array
from sirtjax.volume import LabelMap, reorient

# NumPy on the host, jax.Array inside a transformation.

# The grid of the bank (LPS): x from the middle of the image, y from the middle of the liver, z from its top.
BANK_SHAPE = (88, 64, 72)
BANK_SPACING_MM = 4.0
BANK_ORIGIN_MM = (-204.0, -126.0, -256.0)
STEP_MM = 0.25  # of the stored distances; they end at +-127 steps
# The second has tops where livers end, the first had those of voxels.
FORMAT = "sirtjax liver shapes 2"
# Kept back for choosing checkpoints and settings: every ninth name of the collection.
VALIDATION_SHAPES = (
    "segmentation-9",
    "segmentation-18",
    "segmentation-27",
    "segmentation-56",
    "segmentation-65",
    "segmentation-74",
    "segmentation-83",
    "segmentation-92",
    "segmentation-101",
    "segmentation-110",
)
_FINE = 2  # how many times finer the distances are computed than stored


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class ShapeBank:
    """Liver shapes of people on one coarse grid: a pytree whose first axis is the shape.

    Attributes:
      distance_step: (n, i, j, k) int8 signed distance to the liver's surface in steps of 0.25 mm, negative inside.
      top_mm: (n, i, j) int16 height of the liver's upper surface, continued smoothly beside the liver.
      beside_mm: (n, i, j) int16 distance in the plane from the columns that hold liver.
      box_mm: (n, 2, 3) float32 lowest and highest corner of the liver.
    """

    distance_step: Integer[Array, "*shapes i j k"]
    top_mm: Integer[Array, "*shapes i j"]
    beside_mm: Integer[Array, "*shapes i j"]
    box_mm: Float[Array, "*shapes 2 3"]

    @property
    def count(self) -> int:
        """The number of shapes."""
        return int(self.distance_step.shape[0])


def build_shape_bank(
    paths: Sequence[Path], *, report: Callable[[str], None] | None = None
) -> tuple[ShapeBank, tuple[str, ...]]:
    """Returns liver label maps (any value above 0 is liver) as a bank, and its names in order.

    Args:
      paths: NIfTI label maps, each with the whole liver.
      report: called with the name of each as it begins.

    Raises:
      ImageFormatError: a file holds no liver, or one larger than the bank's grid.
      InputError: there are no paths.
    """
    if not paths:
        raise InputError("a shape bank needs at least one label map; got none")
    tell = report or (lambda name: None)
    names, shapes = [], []
    for path in paths:
        name = Path(path).name.removesuffix(".gz").removesuffix(".nii")
        tell(name)
        names.append(name)
        shapes.append(_shape(Path(path)))
    return jax.tree.map(lambda *parts: np.stack(parts), *shapes), tuple(names)


def split_bank(bank: ShapeBank, names: Sequence[str], *, validation: bool = False) -> ShapeBank:
    """Returns the shapes to train with or, with `validation`, those held out (`VALIDATION_SHAPES`).

    Raises:
      InputError: no shapes remain.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import synthesis
      >>> names = ("person-a", synthesis.VALIDATION_SHAPES[0], "person-b")
      >>> bank = synthesis.ShapeBank(
      ...     distance_step=np.zeros((3, 4, 4, 4), np.int8),
      ...     top_mm=np.zeros((3, 4, 4), np.int16),
      ...     beside_mm=np.zeros((3, 4, 4), np.int16),
      ...     box_mm=np.zeros((3, 2, 3), np.float32),
      ... )
      >>> synthesis.split_bank(bank, names).count, synthesis.split_bank(bank, names, validation=True).count
      (2, 1)
    """
    chosen = [number for number, name in enumerate(names) if (name in VALIDATION_SHAPES) == validation]
    if not chosen:
        kind = "kept back for validation" if validation else "to train with"
        raise InputError(f"the shape bank holds none {kind}; it has {', '.join(names) or 'no shapes'}")
    split: ShapeBank = jax.tree.map(lambda array: array[np.array(chosen)], bank)
    return split


def save_shape_bank(path: Path, bank: ShapeBank, names: Sequence[str], *, licence: str, force: bool = False) -> None:
    """Writes a bank as one compressed file.

    Args:
      path: path that ends in .npz.
      bank: the shapes.
      names: one name per shape.
      licence: licence of the label maps, stored with the shapes.
      force: replace an existing file.

    Raises:
      OutputError: the file exists and `force` is not given.
    """
    with atomic_path(path, force=force) as fresh, fresh.open("wb") as stream:
        np.savez_compressed(
            stream,
            format=FORMAT,
            names=np.array(names),
            licence=licence,
            distance_step=bank.distance_step,
            top_mm=bank.top_mm,
            beside_mm=bank.beside_mm,
            box_mm=bank.box_mm,
        )


def load_shape_bank(path: Path) -> tuple[ShapeBank, tuple[str, ...]]:
    """Returns a bank written by `save_shape_bank`, and its names.

    Raises:
      ImageFormatError: the file is not a shape bank.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            if str(stored["format"]) != FORMAT:
                raise KeyError("format")
            fields = {name: stored[name] for name in ("distance_step", "top_mm", "beside_mm", "box_mm")}
            names = tuple(str(name) for name in stored["names"])
    except FileNotFoundError:
        raise ImageFormatError(f"{path}: no such file; create a shape bank from liver label maps first") from None
    except (KeyError, ValueError, OSError, EOFError) as error:
        raise ImageFormatError(f"{path}: not a shape bank ({FORMAT}); create it again from liver label maps") from error
    return ShapeBank(**fields), names


def _shape(path: Path) -> ShapeBank:
    array, geometry = read_nifti_array(path)
    image = reorient(LabelMap((array > 0).astype(np.uint8), geometry, names=((1, "liver"),)), "LPS")
    mask, spacing = np.asarray(image.array), np.asarray(image.geometry.spacing_mm)
    if not mask.any():
        raise ImageFormatError(f"{path}: the label map is empty, expected a liver")
    across = [np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    low, high = np.array([(a[0], a[-1]) for a in across], np.float64).T
    zero = np.array([(mask.shape[0] - 1) / 2, (low[1] + high[1]) / 2, high[2] + 0.5])
    box = (np.stack([low - 0.5, high + 0.5]) - zero) * spacing
    end = np.asarray(BANK_ORIGIN_MM) + BANK_SPACING_MM * (np.asarray(BANK_SHAPE) - 1)
    if (box[0] < np.asarray(BANK_ORIGIN_MM) + BANK_SPACING_MM).any() or (box[1] > end - BANK_SPACING_MM).any():
        found = " x ".join(f"{a:.0f}" for a in box[1] - box[0])
        raise ImageFormatError(f"{path}: a liver of {found} mm does not fit the bank's grid; check that it is a liver")
    # Only the box of the liver, with a margin for the smoothing, is worth filtering.
    start = np.maximum(low.astype(int) - 8, 0)
    part = mask[tuple(slice(a, int(b) + 9) for a, b in zip(start, high, strict=True))]
    fine = _fine_mask(part, spacing, zero - start)
    distance = _stored(signed_distance_mm(fine, [BANK_SPACING_MM / _FINE] * 3))
    top, beside = _top(distance)
    steps = np.clip(np.round(distance / STEP_MM), -127, 127).astype(np.int8)
    return ShapeBank(distance_step=steps, top_mm=top, beside_mm=beside, box_mm=box.astype(np.float32))


def _fine_mask(mask: NDArray[np.uint8], spacing: NDArray[np.float64], zero: NDArray[np.float64]) -> NDArray[np.bool_]:
    step = BANK_SPACING_MM / _FINE
    # The fine voxels whose mean is one stored voxel lie around its centre.
    origin = np.asarray(BANK_ORIGIN_MM) - step * (_FINE - 1) / 2
    smooth = ndimage.gaussian_filter(mask.astype(np.float32), 0.4 * step / spacing)
    values: NDArray[np.float32] = ndimage.affine_transform(
        smooth,
        step / spacing,
        origin / spacing + zero,
        output_shape=tuple(_FINE * n for n in BANK_SHAPE),
        order=1,
    )
    return values > 0.5


def _stored(fine: NDArray[np.float32]) -> NDArray[np.float32]:
    # Voxel-centre distances jump by a whole voxel across the surface; half a voxel from each side closes the gap.
    centred = fine - np.sign(fine) * np.float32(BANK_SPACING_MM / _FINE / 2)
    blocks = centred.reshape(BANK_SHAPE[0], _FINE, BANK_SHAPE[1], _FINE, BANK_SHAPE[2], _FINE)
    mean: NDArray[np.float32] = blocks.mean(axis=(1, 3, 5))
    return mean


def _top(distance: NDArray[np.float32]) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    inside = distance < 0
    column = np.asarray(inside.any(axis=2))
    last = BANK_SHAPE[2] - 1 - np.argmax(inside[:, :, ::-1], axis=2)
    # Between the last voxel inside and the next one up the distance passes zero.
    within = np.take_along_axis(distance, last[..., None], 2)[..., 0]
    beyond = np.take_along_axis(distance, np.minimum(last + 1, BANK_SHAPE[2] - 1)[..., None], 2)[..., 0]
    share = np.where(beyond > 0, -within / np.maximum(beyond - within, 1e-6), 0)
    height = BANK_ORIGIN_MM[2] + BANK_SPACING_MM * (last + share).astype(np.float32)
    beside = distance_mm(column[:, :, None], [BANK_SPACING_MM] * 3)[:, :, 0]
    nearest: NDArray[np.int32] = ndimage.distance_transform_edt(~column, return_distances=False, return_indices=True)
    filled = ndimage.gaussian_filter(height[nearest[0], nearest[1]], 2.0, mode="nearest")
    top = np.where(column, height, filled - 0.5 * beside)
    return np.round(top).astype(np.int16), np.round(beside).astype(np.int16)


def at_index(bank: ShapeBank, index: Integer[Array, ""]) -> ShapeBank:
    """Returns one shape of the bank (no first axis), by an index that may be traced."""
    shape: ShapeBank = jax.tree.map(lambda array: jnp.asarray(array)[index], bank)
    return shape


def between(one: ShapeBank, two: ShapeBank, weight: Float[Array, ""]) -> ShapeBank:
    """Returns the shape whose distances to the surface are the weighted mean of those of two shapes.

    Args:
      one: first shape, without the axis of shapes.
      two: second shape.
      weight: weight of the second shape, 0 to 1.
    """

    def mean(first: Array, second: Array) -> Array:
        value = (1.0 - weight) * first + weight * second
        return value if jnp.issubdtype(first.dtype, jnp.floating) else jnp.round(value).astype(first.dtype)

    mixed: ShapeBank = jax.tree.map(mean, one, two)
    return mixed
