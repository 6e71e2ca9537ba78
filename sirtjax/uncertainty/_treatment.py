"""The data of one patient for dose estimates, and the doses that are estimated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Integer

from sirtjax.typing import Array, Scalar

# Voxels reserved for the histogram of a VOI: 4096 of 4 mm are a sphere of 40 mm radius.
CAPACITY = 4096
# Voxels up to this distance outside a contour can belong to a sampled contour.
REACH_MM = 8.0


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True, eq=False)
class TreatmentData:
    """Constants of the dose estimates of one patient with n lesions and t injected territories.

    The regions are the lesions, the normal tissue of each territory, the other liver, and everything outside.

    Attributes:
      spacing_mm: (3,) voxel spacing.
      fwhm_mm: (3,) stated resolution of the image on this grid (FWHM).
      activity_mbq: (t,) activity of each injection that enters the patient.
      image_mbq_per_unit: MBq/mL per unit of the image; 0 for a relative calibration, which scales the image of each
        territory to its activity.
      gy_ml_per_mbq: dose of 1 MBq/mL by local deposition.
      lung_gy_per_mbq: mean lung dose of 1 MBq in the lungs.
      octant: first octant of the dose kernel; one element of 1 for local deposition.
      octant_slope: derivative of `octant` with respect to a factor on the range of the kernel.
      shell_mm, shell_part: (s,) radii and energy fractions of the dose kernel, from `kernel_shells`.
      members: (v, n + t + 1) composition of each VOI: 1 for a region inside the liver that belongs to it, otherwise 0.
      near: (v, capacity) flat indices of the voxels that can belong to each VOI; -1 for padding.
      fractions: (k,) volume fractions of the doses D_x.
      threshold_gy: (v,) dose of the volume V of each VOI.
      bed_per_gy: (v,) factor of the squared dose in the BED, 1/Gy; 0 gives the dose.
      normal_of: (n,) index of the VOI of normal tissue to which T/N of each lesion refers in `dose_metrics` without
        `shares`.
      lattice_nodes: (2, 3) number of nodes that the displacements of contours and of dividing surfaces use, on lattices
        of a fixed shape; None uses all of them.
    """

    spacing_mm: Float[Array, "3"]
    fwhm_mm: Float[Array, "3"]
    activity_mbq: Float[Array, " t"]
    image_mbq_per_unit: Scalar
    gy_ml_per_mbq: Scalar
    lung_gy_per_mbq: Scalar
    octant: Float[Array, "a b c"]
    octant_slope: Float[Array, "a b c"]
    shell_mm: Float[Array, " s"]
    shell_part: Float[Array, " s"]
    members: Float[Array, "v members"]
    near: Integer[Array, "v capacity"]
    fractions: Float[Array, " k"]
    threshold_gy: Float[Array, " v"]
    bed_per_gy: Float[Array, " v"]
    normal_of: Integer[Array, " n"]
    lattice_nodes: Float[Array, "2 3"] | None = None

    @property
    def lesions(self) -> int:
        """Number of lesions."""
        return int(np.shape(self.normal_of)[0])


class DoseMetrics(NamedTuple):
    """Doses of a treatment; with a leading axis those of many simulations.

    Attributes:
      mean_gy: (v,) mean dose of each VOI.
      d_gy: (v, k) dose that each volume fraction receives at least.
      v_fraction: (v,) fraction of the VOI that receives at least its threshold dose.
      bed_gy: (v,) mean BED.
      tn_ratio: (n,) concentration of each lesion over that of the normal tissue of its territories.
      lung_gy: (t,) mean lung dose of each injection.
    """

    mean_gy: Float[Array, "*count v"]
    d_gy: Float[Array, "*count v k"]
    v_fraction: Float[Array, "*count v"]
    bed_gy: Float[Array, "*count v"]
    tn_ratio: Float[Array, "*count n"]
    lung_gy: Float[Array, "*count t"]


def near_voxels(
    distance_mm: Float[np.ndarray, "v i j k"], *, capacity: int = CAPACITY
) -> Integer[np.ndarray, "v capacity"]:
    """Returns the voxels that can belong to each VOI, for `TreatmentData.near`.

    A VOI with more voxels than the capacity is represented by evenly chosen ones.

    Args:
      distance_mm: (v, i, j, k) signed distance to the surface of each VOI, negative inside; 0 for every voxel of a VOI
        without a distance.
      capacity: number of voxels to reserve for each VOI.
    """
    rows = []
    for one in np.asarray(distance_mm):
        found = np.flatnonzero(one.ravel() < REACH_MM)
        if found.size > capacity:
            found = found[np.linspace(0, found.size - 1, capacity).astype(int)]
        rows.append(np.pad(found, (0, capacity - found.size), constant_values=-1))
    return np.stack(rows).astype(np.int32)
