from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Bool, Float, Integer
from numpy.typing import NDArray

from sirtjax.errors import InputError
from sirtjax.spatial import DisplacementField, Transform, occupancy
from sirtjax.volume import Geometry, LabelMap, bounding_box, crop_geometry

# More voxels than any organ needs on any image; only a transform that blows a label up asks for them.
_MAX_VOXELS = 2**27


@dataclass(frozen=True, kw_only=True)
class WarpedLabel:
    """A floating label warped to the reference lattice, on a box that can extend beyond the image.

    Attributes:
      occupancy: (i, j, k) fraction of each voxel inside the label; zero everywhere if no point comes from it.
      start: index in the reference lattice of the box's first voxel; may be negative.
      geometry: the box.
    """

    occupancy: Float[np.ndarray, "i j k"]
    start: Integer[np.ndarray, "3"]
    geometry: Geometry

    @property
    def volume_ml(self) -> float:
        """Volume of the warped label."""
        return float(self.occupancy.sum(dtype=np.float64)) * self.geometry.voxel_volume_ml

    def overlap(self, mask: Bool[np.ndarray, "a b c"]) -> int:
        """Returns the number of voxels of a reference mask in which the occupancy is at least 0.5."""
        first = np.maximum(self.start, 0)
        last = np.minimum(self.start + self.occupancy.shape, mask.shape)
        if (last <= first).any():
            return 0
        here = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
        own = tuple(slice(a, b) for a, b in zip(first - self.start, last - self.start, strict=True))
        return int(((self.occupancy[own] >= 0.5) & mask[here]).sum())


def warp_label(labels: LabelMap, name: str, reference: Geometry, transform: Transform) -> WarpedLabel:
    """Warps a floating label to the lattice of `reference`, extended beyond its faces if needed.

    Nothing is truncated at the edge of the reference grid, which may be as small as the mask.

    Args:
      labels: the floating label map.
      name: the label; not empty.
      reference: the lattice.
      transform: pull, from the reference's space to the floating image's.

    Raises:
      InputError: the transform makes the label so large that it can't be right.
    """
    start, stop = bounding_box(labels.mask(name))
    low, high = _reach(crop_geometry(labels.geometry, start, stop), reference, transform)
    size = (high - low).astype(np.float64)
    if not np.prod(size) <= _MAX_VOXELS:
        shape = "x".join(f"{n:.0f}" for n in size)
        raise InputError(
            f"the transform may spread {name!r} over {shape} voxels of the reference; check that it is in mm, "
            "LPS, and maps the reference to the floating image"
        )
    geometry = crop_geometry(reference, low.tolist(), high.tolist())
    inside = np.asarray(occupancy(labels, name, geometry, transform=transform))
    return WarpedLabel(occupancy=inside, start=low, geometry=geometry)


def _reach(label: Geometry, reference: Geometry, transform: Transform) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices in the reference lattice, first and after the last, of all voxels that a label may come to."""
    corners = label.corners_mm()
    shifts = np.zeros((1, 3))
    if isinstance(transform, DisplacementField):
        matrix = np.eye(4) if transform.floating_from_displaced is None else transform.floating_from_displaced
        parts = np.moveaxis(np.asarray(transform.array), -1, 0)
        # A point x goes to A(x + u), and u is zero beyond the field.
        shifts = np.asarray(list(product(*((min(u.min(), 0), max(u.max(), 0)) for u in parts))), np.float64)
    else:
        matrix = transform.floating_from_reference
    back = np.linalg.inv(np.asarray(matrix, np.float64))
    origins = corners @ back[:3, :3].T + back[:3, 3]
    voxels = reference.to_voxel((origins[:, None] - shifts).reshape(-1, 3))
    limit = 2.0**30
    low, high = np.clip([voxels.min(axis=0), voxels.max(axis=0)], -limit, limit)
    return np.floor(low).astype(np.int64) - 1, np.ceil(high).astype(np.int64) + 2
