from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float16, Float32
from numpy.typing import NDArray
from scipy import ndimage

from sirtjax import spatial
from sirtjax.errors import SirtjaxError
from sirtjax.registration import RegistrationConfig, Status
from sirtjax.segmentation._atlas import Atlas, AtlasOutcome
from sirtjax.segmentation._fuse import local_similarity
from sirtjax.volume import Geometry, Volume, bounding_box, reorient

# The soft tissue of a CT: bones, lungs and air would outweigh it in a correlation.
_CT_WINDOW_HU = (-200.0, 300.0)
# Voxels to either side of the warped liver's surface in which the images have to resemble one another.
_BAND = 2


# An atlas is another person: the limits of `register` for two images of one patient do not apply to its agreement and
# its field of view. The similarity about the warped liver decides.
USABLE = (Status.SUCCESS, Status.UNCONFIRMED, Status.CROPPED)


class Registered(Protocol):
    """The required fields of a registration's result: its transform and its status."""

    @property
    def transform(self) -> spatial.Transform: ...
    @property
    def status(self) -> Status: ...


@dataclass(frozen=True, kw_only=True)
class WarpedAtlas:
    """The warped liver of one atlas on the working grid, within its bounding box, and image similarity."""

    start: tuple[int, int, int]
    occupancy: Float32[np.ndarray, "i j k"]
    similarity: Float16[np.ndarray, "i j k"]


def warp_atlas(
    image: Volume,
    atlas: Atlas,
    grid: Geometry,
    patient: Float32[np.ndarray, "i j k"],
    *,
    config: RegistrationConfig,
    register: Callable[..., Registered],
    min_similarity: float,
) -> tuple[AtlasOutcome, WarpedAtlas | None]:
    """Registers one atlas and warps its liver to the working grid; None if it cannot be used.

    Args:
      image: image of the patient.
      atlas: the atlas.
      grid: working grid.
      patient: image of the patient on the working grid, from `windowed`.
      config: preset of the registration.
      register: function of (reference, floating, *, config) that returns a result.
      min_similarity: minimum image similarity at the surface of the warped liver; a lower one is not a success.
    """

    def refused(status: str, cause: str, similarity: float | None = None) -> tuple[AtlasOutcome, None]:
        return AtlasOutcome(name=atlas.name, used=False, status=status, cause=cause, similarity=similarity), None

    if _same_image(image, atlas.image):
        return refused("OWN_IMAGE", "it is the patient's own image")
    try:
        result = register(image, atlas.image, config=config)
    except SirtjaxError as error:
        return refused("REFUSED", str(error))
    if result.status not in USABLE:
        return refused(result.status.name, result.status.cause)
    mask = np.asarray(atlas.liver.array) > 0
    occupancy = np.asarray(spatial.mask_occupancy(mask, atlas.liver.geometry, grid, transform=result.transform))
    if not (occupancy >= 0.5).any():
        return refused("OUTSIDE", "its liver is outside the patient's image after registration")
    moved = spatial.resample(atlas.image, grid, transform=result.transform, antialias=True)
    similarity = local_similarity(patient, windowed(moved))
    at_surface = float(similarity[_band(occupancy >= 0.5)].mean())
    if at_surface < min_similarity:
        least = f"expected at least {min_similarity:g}"
        cause = f"the images differ at its liver's surface (similarity {at_surface:.2f}, {least})"
        return refused("LOW_SIMILARITY", cause, at_surface)
    # One empty voxel around, so that the votes fade out when they are interpolated.
    start, stop = bounding_box(occupancy > 0, margin=1)
    i, j, k = (slice(a, b) for a, b in zip(start, stop, strict=True))
    one = WarpedAtlas(start=start, occupancy=occupancy[i, j, k].copy(), similarity=similarity.astype(np.float16))
    return AtlasOutcome(name=atlas.name, used=True, status=result.status.name, similarity=at_surface), one


def atlas_grid(geometry: Geometry, *, spacing_mm: float) -> Geometry:
    """Returns the grid along the same axes and extent with voxels of at least `spacing_mm`."""
    native = np.asarray(geometry.spacing_mm)
    spacing = np.maximum(native, spacing_mm)
    extent = native * geometry.shape
    shape = np.ceil(extent / spacing - 1e-6).astype(int)
    affine = geometry.affine
    affine[:3, :3] = affine[:3, :3] / native * spacing
    # The middles of both grids meet.
    affine[:3, 3] = geometry.centre_mm - affine[:3, :3] @ ((shape - 1) / 2)
    return Geometry.from_affine(tuple(shape.tolist()), affine)


def windowed(volume: Volume) -> Float32[np.ndarray, "i j k"]:
    """Returns the values to compare: of a CT, those of soft tissue."""
    array = np.asarray(volume.array, np.float32)
    return np.clip(array, *_CT_WINDOW_HU) if volume.unit == "HU" else array


def _band(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The voxels near the surface of a mask."""
    start, stop = bounding_box(mask, margin=_BAND)
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    inside = mask[box]
    band = np.zeros_like(mask)
    band[box] = ndimage.binary_dilation(inside, iterations=_BAND) & ~ndimage.binary_erosion(inside, iterations=_BAND)
    return band


def _same_image(one: Volume, other: Volume) -> bool:
    if sorted(one.geometry.shape) != sorted(other.geometry.shape):
        return False
    a, b = reorient(one, "LPS"), reorient(other, "LPS")
    return a.geometry.matches(b.geometry) and np.array_equal(a.array, b.array)
