"""The identity of a dose map: its voxels and its place, so that a verification reads the dose of its plan."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from sirtjax.volume import Geometry, Volume

# The name of the dose in the folder of a plan.
DOSE_FILE = "dose.nii.gz"


@dataclass(frozen=True)
class DoseMapRecord:
    """The dose map of a result.

    Attributes:
      file: file name in the folder of the result.
      sha256: SHA-256 of the voxel values, float32, little-endian, last axis fastest.
      shape: number of voxels along each axis.
      world_from_voxel: rows of the (4, 4) matrix from voxel indices to LPS, mm.
    """

    file: str
    sha256: str
    shape: tuple[int, int, int]
    world_from_voxel: tuple[tuple[float, ...], ...]

    @property
    def geometry(self) -> Geometry:
        """Grid of the dose map."""
        return Geometry.from_affine(self.shape, np.asarray(self.world_from_voxel))


def dose_map_record(dose_gy: Volume) -> DoseMapRecord:
    """Returns the record of a dose map."""
    i, j, k = dose_gy.geometry.shape
    rows = tuple(tuple(float(value) for value in row) for row in np.asarray(dose_gy.geometry.affine))
    return DoseMapRecord(file=DOSE_FILE, sha256=voxels_sha256(dose_gy), shape=(i, j, k), world_from_voxel=rows)


def voxels_sha256(volume: Volume) -> str:
    """Returns the hash of the voxel values, which does not depend on the compression of the file."""
    return hashlib.sha256(np.ascontiguousarray(volume.array, "<f4").tobytes()).hexdigest()
