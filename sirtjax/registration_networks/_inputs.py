"""The images of a pair as a registration network receives them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from sirtjax import spatial
from sirtjax.errors import ConfigError
from sirtjax.preprocess import intensity_window, to_grid, to_range
from sirtjax.registration_networks._model import RegistrationModelSpec
from sirtjax.spatial import AffineTransform
from sirtjax.volume import Geometry, LabelMap, Volume

FloatArray = NDArray[np.float32]
LIVER_NAME = "liver"


class NetworkInputs(NamedTuple):
    """Arrays and grid of a pair.

    Attributes:
      grid: the network's grid in the space of the reference image.
      matrix: (4, 4) floating_from_reference before the network.
      offset_mm: (i, j, k, 3) voxels from the centre of the grid.
      reference, floating: (i, j, k, inputs) scaled images, with the liver masks if the network is guided.
      spacing_mm: (3,) distance between voxels.
      start_mm: (i, j, k, 3) displacement of the matrix, relative to the shift of the floating image's grid.
    """

    grid: Geometry
    matrix: Float[np.ndarray, "4 4"]
    offset_mm: Float[np.ndarray, "i j k 3"]
    reference: Float[np.ndarray, "i j k inputs"]
    floating: Float[np.ndarray, "i j k inputs"]
    spacing_mm: Float[np.ndarray, "3"]
    start_mm: Float[np.ndarray, "i j k 3"]


def network_inputs(
    spec: RegistrationModelSpec,
    reference: Volume,
    floating: Volume,
    start: AffineTransform,
    *,
    reference_liver: LabelMap | None,
    floating_liver: LabelMap | None,
) -> NetworkInputs:
    """Resamples a pair to the network's grid.

    The grid is around the liver of the reference, or around the middle of what both images show if it has no mask.

    Args:
      spec: description of the model.
      reference: image whose space stays unchanged.
      floating: image to register to it.
      start: affine floating_from_reference.
      reference_liver: map with the label "liver" that guides, on any grid; None if there is none.
      floating_liver: the same of the floating image.

    Raises:
      ConfigError: an image is neither a CT in HU nor an MR image, or the network takes no masks and there are some.
    """
    matrix = np.asarray(start.floating_from_reference, np.float64)
    centre = _centre_mm(reference, floating, matrix, reference_liver)
    there = matrix[:3, :3] @ centre + matrix[:3, 3]
    grids = [_grid_around(point, spec) for point in (centre, there)]
    one = _side(reference, grids[0], spec, reference_liver)
    two = _side(floating, grids[1], spec, floating_liver)
    # Relative to the shift of the grid, the affine map displaces a point at x by this.
    offset = np.asarray(spatial.voxel_centres_mm(grids[0]), np.float64).reshape(*spec.shape, 3) - centre
    affine = offset @ (matrix[:3, :3] - np.eye(3)).T
    spacing_mm = np.asarray(grids[0].spacing_mm, np.float32)
    return NetworkInputs(grids[0], matrix, offset, one, two, spacing_mm, affine.astype(np.float32))


def _centre_mm(
    reference: Volume, floating: Volume, matrix: NDArray[np.float64], liver: LabelMap | None
) -> NDArray[np.float64]:
    """The middle of the network's grid."""
    if liver is not None:
        voxels = np.argwhere(np.asarray(liver.mask(LIVER_NAME)))
        if len(voxels):
            return np.asarray(liver.geometry.to_world(voxels.mean(axis=0)), np.float64)
    back = np.linalg.inv(matrix)
    own = reference.geometry.corners_mm()
    other = floating.geometry.corners_mm() @ back[:3, :3].T + back[:3, 3]
    low, high = np.maximum(own.min(axis=0), other.min(axis=0)), np.minimum(own.max(axis=0), other.max(axis=0))
    return np.asarray((low + high) / 2, np.float64)


def _grid_around(point_mm: NDArray[np.float64], spec: RegistrationModelSpec) -> Geometry:
    spacing = np.asarray(spec.preprocessing.spacing_mm)
    origin = point_mm - spacing * (np.asarray(spec.shape) - 1) / 2
    return Geometry.from_axes(spec.shape, spacing_mm=spacing.tolist(), origin_mm=origin.tolist())


def _side(volume: Volume, grid: Geometry, spec: RegistrationModelSpec, liver: LabelMap | None) -> FloatArray:
    """One image as the network sees it (i, j, k, inputs): scaled, with the liver next to it."""
    scale = spec.scale_of(volume)
    array = np.asarray(volume.array, np.float32)
    # The window of an MR image is that of the whole image, whatever part of it the grid shows.
    low, high = intensity_window(array, scale)
    image = to_grid(volume, grid, fill=float("nan"))
    seen = np.isfinite(image)
    ends = [np.asarray([float(end)], np.float32) for end in (low, high)]
    scaled = np.asarray(to_range(np.nan_to_num(image)[..., None], *ends, output=scale.output))[..., 0]
    channels = [np.where(seen, scaled, np.float32(scale.unseen))]
    if spec.network.inputs == 2:
        guide = np.zeros(spec.shape, np.float32)
        if liver is not None:
            guide = (np.asarray(spatial.occupancy(liver, LIVER_NAME, grid)) > 0.5).astype(np.float32)
        channels.append(guide)
    elif liver is not None:
        raise ConfigError(f"the network {spec.name} takes no masks; omit them, or choose another network")
    return np.stack(channels, axis=-1).astype(np.float32)
