"""Image pairs of files on the network's grid, prepared once and kept in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from sirtjax import formats, registration, spatial
from sirtjax.errors import ConfigError, InputError
from sirtjax.io import Image
from sirtjax.preprocess import FixedPreprocessing, IntensityScale, intensity_window, to_grid, to_range, working_grid
from sirtjax.train._pair_table import FilePair
from sirtjax.volume import Geometry, LabelMap, Volume

# Scaled images are from -1 (air) to 1.
_AIR = -0.98


class PreparedSide(NamedTuple):
    """One image of a pair on the network's grid.

    Attributes:
      image: (i, j, k) scaled image.
      liver: (i, j, k) occupancy of the liver, zero if there is no mask.
      masked: () whether there is a mask.
      seen: (i, j, k) whether the image shows the point.
      lesions: (i, j, k) occupancy of the lesions of a reference image, zero if there is no mask.
    """

    image: Float[np.ndarray, "i j k"]
    liver: Float[np.ndarray, "i j k"]
    masked: Bool[np.ndarray, ""]
    seen: Bool[np.ndarray, "i j k"]
    lesions: Float[np.ndarray, "i j k"]


class PreparedPair(NamedTuple):
    """Both sides of a pair; the centres of the livers, or of the bodies, are in the centres of the grids."""

    reference: PreparedSide
    floating: PreparedSide


def prepare_pairs(
    pairs: Sequence[FilePair],
    *,
    shape: tuple[int, int, int],
    preprocessing: FixedPreprocessing,
    on_progress: Callable[[str], None] = lambda text: None,
    on_modality: Callable[[str], None] = lambda modality: None,
    on_content: Callable[[str, str], None] = lambda name, content: None,
) -> tuple[PreparedPair, ...]:
    """Reads pairs and resamples them to the network's grid along the patient axes (LPS).

    The grid of an image is centred on its liver. If a mask of the pair is missing, the distance between both grids is
    that between the centres of the bodies.

    Args:
      pairs: files.
      shape: voxels of the grid.
      preprocessing: spacing and scales of intensities.
      on_progress: called with the name of each pair.
      on_modality: called with the modality of each image, "CT" or "MR".
      on_content: called with the name of each pair and a hash of the voxels and positions of its images and masks.

    Raises:
      InputError: an image or mask cannot be used; the message names the row and the file.
    """
    prepared = []
    for number, pair in enumerate(pairs, start=1):
        on_progress(f"reading pair {number} of {len(pairs)}")
        try:
            prepared.append(_prepared(pair, shape, preprocessing, on_modality, on_content))
        except InputError as error:
            raise type(error)(f"{pair.name}: {error}") from error
    return tuple(prepared)


def _prepared(
    pair: FilePair,
    shape: tuple[int, int, int],
    how: FixedPreprocessing,
    on_modality: Callable[[str], None],
    on_content: Callable[[str, str], None],
) -> PreparedPair:
    one, two = (
        registration.read_registration_image(path, series=None, modality=modality, role=role)[0]
        for path, modality, role in zip(pair.images, pair.modalities, ("reference", "floating"), strict=True)
    )
    livers = [
        None if path is None else _organ(path, image, "liver")
        for path, image in zip(pair.livers, (one, two), strict=True)
    ]
    lesions = None if pair.lesions is None else _organ(pair.lesions, one, "lesions")
    on_content(pair.name, _content((one.volume, two.volume, *livers, lesions)))
    scales = [_scale(image.volume, how, path) for image, path in zip((one, two), pair.images, strict=True)]
    for scale in scales:
        on_modality(scale.modality)
    centres = [None if liver is None else _liver_centre_mm(liver) for liver in livers]
    if centres[0] is None or centres[1] is None:
        bodies = [
            _body_centre_mm(image.volume, scale, how, path)
            for image, scale, path in zip((one, two), scales, pair.images, strict=True)
        ]
        shift = bodies[1] - bodies[0]
        if centres[0] is not None:
            centres[1] = centres[0] + shift
        elif centres[1] is not None:
            centres[0] = centres[1] - shift
        else:
            centres = [bodies[0], bodies[1]]
    sides = [
        _side(image.volume, scale, liver, own_lesions, _grid(centre, shape, how))
        for image, scale, liver, own_lesions, centre in zip(
            (one, two), scales, livers, (lesions, None), centres, strict=True
        )
        if centre is not None
    ]
    return PreparedPair(*sides)


def _content(parts: Sequence[Volume | LabelMap | None]) -> str:
    """A hash of voxels and positions, which does not change if the files are moved or compressed again."""
    digest = hashlib.sha256()
    for part in parts:
        if part is None:
            digest.update(b"none")
            continue
        array = np.ascontiguousarray(part.array)
        unit = part.unit if isinstance(part, Volume) else ""
        digest.update(f"{array.dtype} {array.shape} {unit} {np.round(part.geometry.affine, 4).tolist()}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:32]


def _organ(path: Path, image: Image, name: str) -> LabelMap:
    """The union of all labels of a mask file."""
    masks = list(formats.read_masks(path, reference=image).values())
    first = masks[0].geometry
    if any(not mask.geometry.matches(first) for mask in masks):
        raise ConfigError(f"{path}: its masks are on different grids; keep only the mask of the {name}")
    inside = np.any([np.asarray(mask.array) > 0 for mask in masks], axis=0)
    if not inside.any():
        raise ConfigError(f"{path}: the mask is empty; correct it, or leave the cell empty")
    return LabelMap.from_mask(inside, first, name=name)


def _scale(volume: Volume, how: FixedPreprocessing, path: Path) -> IntensityScale:
    modality = {"HU": "CT", "1": "MR"}.get(volume.unit)
    scale = None if modality is None else how.scale_of(modality)
    if scale is None:
        raise ConfigError(f"{path}: has the unit {volume.unit}; expected a CT in HU or an MR image")
    return scale


def _liver_centre_mm(liver: LabelMap) -> NDArray[np.float64]:
    return np.asarray(liver.geometry.to_world(np.argwhere(np.asarray(liver.array) > 0).mean(axis=0)), np.float64)


def _body_centre_mm(volume: Volume, scale: IntensityScale, how: FixedPreprocessing, path: Path) -> NDArray[np.float64]:
    """The centre of everything brighter than air."""
    grid = working_grid(volume.geometry, spacing_mm=how.spacing_mm, axes=how.axes)
    image, seen = _scaled(volume, scale, grid)
    inside = np.argwhere(seen & (image > _AIR))
    if not len(inside):
        raise ConfigError(f"{path}: no voxel is brighter than air; choose another image, or check its modality")
    return np.asarray(grid.to_world(inside.mean(axis=0)), np.float64)


def _grid(centre_mm: NDArray[np.float64], shape: tuple[int, int, int], how: FixedPreprocessing) -> Geometry:
    origin = centre_mm - np.asarray(how.spacing_mm) * (np.asarray(shape) - 1) / 2
    return Geometry.from_axes(shape, spacing_mm=how.spacing_mm, origin_mm=origin.tolist())


def _scaled(volume: Volume, scale: IntensityScale, grid: Geometry) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """An image on a grid, scaled by the intensities of the whole image, and where it shows the grid."""
    ends = intensity_window(np.asarray(volume.array, np.float32), scale)
    image = to_grid(volume, grid, fill=float("nan"))
    seen = np.isfinite(image)
    low, high = (np.asarray([float(end)], np.float32) for end in ends)
    scaled = np.asarray(to_range(np.nan_to_num(image)[..., None], low, high, output=scale.output))[..., 0]
    return np.where(seen, scaled, np.float32(scale.unseen)).astype(np.float32), seen


def _side(
    volume: Volume, scale: IntensityScale, liver: LabelMap | None, lesions: LabelMap | None, grid: Geometry
) -> PreparedSide:
    image, seen = _scaled(volume, scale, grid)
    inside, within = (_occupied(mask, grid) for mask in (liver, lesions))
    return PreparedSide(image, inside, np.asarray(liver is not None), seen, within)


def _occupied(mask: LabelMap | None, grid: Geometry) -> NDArray[np.float32]:
    if mask is None:
        return np.zeros(grid.shape, np.float32)
    ((_, name),) = mask.names
    return np.asarray(spatial.occupancy(mask, name, grid), np.float32)
