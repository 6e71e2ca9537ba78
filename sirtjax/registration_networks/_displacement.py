"""The displacement that a registration network predicts from an affine map, as a start of the deformable stage."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from sirtjax import networks, spatial
from sirtjax.compilation_cache import cached_jit
from sirtjax.errors import ConfigError
from sirtjax.networks import CascadeConfig, Variables
from sirtjax.preprocess import intensity_window, to_grid, to_range
from sirtjax.registration_networks._model import RegistrationModel, RegistrationModelSpec
from sirtjax.spatial import AffineTransform, DisplacementField
from sirtjax.volume import Geometry, LabelMap, Volume

FloatArray = NDArray[np.float32]
LIVER_NAME = "liver"
# Over this distance from the faces of the network's grid the displacement fades.
FADE_MM = 30.0


def network_displacement(
    model: RegistrationModel,
    reference: Volume,
    floating: Volume,
    start: AffineTransform,
    *,
    reference_liver: LabelMap | None = None,
    floating_liver: LabelMap | None = None,
) -> DisplacementField:
    """Predicts the transform from the reference to the floating image with a network.

    The network compares both images on a grid of fixed shape around the liver of the reference, or around the middle
    of what both images show if it has no mask. Outside this grid the start applies. A second pair compiles nothing.

    Args:
      model: result of `load_registration_model`.
      reference: image whose space stays unchanged.
      floating: image to register to it.
      start: affine floating_from_reference, correct within about 20 mm and 10 degrees.
      reference_liver: map with the label "liver" that guides, on any grid; None if there is none.
      floating_liver: the same of the floating image.

    Returns:
      The field, followed by the start.

    Raises:
      ConfigError: an image is neither a CT in HU nor an MR image, or the network takes no masks and there are some.
    """
    spec = model.spec
    matrix = np.asarray(start.floating_from_reference, np.float64)
    centre = _centre_mm(reference, floating, matrix, reference_liver)
    there = matrix[:3, :3] @ centre + matrix[:3, 3]
    grids = [_grid_around(point, spec) for point in (centre, there)]
    one = _side(reference, grids[0], spec, reference_liver)
    two = _side(floating, grids[1], spec, floating_liver)
    # Relative to the shift of the grid, the affine map displaces a point at x by this.
    nodes = np.asarray(spatial.voxel_centres_mm(grids[0]), np.float64).reshape(*spec.shape, 3)
    affine = (nodes - centre) @ (matrix[:3, :3] - np.eye(3)).T
    spacing_mm = np.asarray(grids[0].spacing_mm, np.float32)
    found = last_displacement(model.variables, one, two, spacing_mm, affine.astype(np.float32), config=spec.network)
    # A (x + u) is where the network sees x: u = inv(A) (x - c + v) - (x - c), with v without the shift of the grid.
    offset = nodes - centre
    u = (offset + np.asarray(found, np.float64)) @ np.linalg.inv(matrix[:3, :3]).T - offset
    return DisplacementField((u * _fade(grids[0])[..., None]).astype(np.float32), grids[0], matrix)


@partial(cached_jit, static_argnames=("config",))
def last_displacement(
    variables: Variables,
    reference: Float[jax.Array, "i j k inputs"],
    floating: Float[jax.Array, "i j k inputs"],
    spacing_mm: Float[jax.Array, "3"],
    start_mm: Float[jax.Array, "i j k 3"],
    *,
    config: CascadeConfig,
) -> Float[jax.Array, "i j k 3"]:
    """Returns the displacement after the last cascade; arguments of `networks.cascade_displacements`."""
    fields = networks.cascade_displacements(config, variables, reference, floating, spacing_mm, start_mm=start_mm)
    return jnp.asarray(fields[-1])


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
    modality = "CT" if volume.unit == "HU" else "MR"
    scale = spec.preprocessing.scale_of(modality)
    if scale is None or volume.unit not in ("HU", "1"):
        raise ConfigError(
            f"the network {spec.name} compares CT and MR images, this one has the unit {volume.unit}; "
            "choose another preset"
        )
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


def _fade(grid: Geometry) -> NDArray[np.float64]:
    """1 inside the grid (i, j, k), decreasing to 0 at its faces."""
    ramps = []
    for n, spacing in zip(grid.shape, grid.spacing_mm, strict=True):
        index = np.arange(n)
        depth = np.minimum(index, n - 1 - index) * spacing / FADE_MM
        ramps.append(0.5 - 0.5 * np.cos(np.pi * np.clip(depth, 0.0, 1.0)))
    a, b, c = ramps
    return np.asarray(a[:, None, None] * b[None, :, None] * c[None, None, :])
