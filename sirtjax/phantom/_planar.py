from __future__ import annotations

import numpy as np
from jaxtyping import Float

from sirtjax.phantom._acquire import blur
from sirtjax.volume import Geometry


def planar_views(
    activity: Float[np.ndarray, "i j k"],
    attenuation_per_mm: Float[np.ndarray, "i j k"],
    geometry: Geometry,
    *,
    fwhm_mm: float,
    attenuation_corrected: bool,
) -> tuple[Float[np.ndarray, "i 1 k"], Float[np.ndarray, "i 1 k"]]:
    """Computes the expected anterior and posterior views along the grid's axes: (i, 1, k) each.

    Each view adds up the activity along y, weakened by values between it and the detector (narrow beam, no
    scatter). With correction, each view is divided by the square root of the transmission through the body, as
    a transmission scan allows; without, the geometric mean exaggerates the lungs, through which more gets out.

    Args:
      activity: (i, j, k) activity or concentration; j runs from front to back.
      attenuation_per_mm: (i, j, k) attenuation at 140 keV.
      geometry: the grid.
      fwhm_mm: resolution of the camera.
      attenuation_corrected: whether the views are corrected by the transmission.
    """
    step = np.float32(geometry.spacing_mm[1])
    through = np.cumsum(attenuation_per_mm, axis=1, dtype=np.float32) * step
    total = through[:, -1:, :]
    in_front = through - attenuation_per_mm * (step / 2)
    correction = np.exp(total / 2) if attenuation_corrected else np.float32(1.0)
    views = []
    for path in (in_front, total - in_front):
        seen = (activity * np.exp(-path)).sum(axis=1, keepdims=True) * correction
        views.append(blur(seen, planar_geometry(geometry), fwhm_mm=fwhm_mm))
    return views[0], views[1]


def planar_geometry(geometry: Geometry) -> Geometry:
    """Returns the grid of a view: the volume's i and k, and one voxel along j."""
    affine = geometry.affine
    middle = geometry.to_world([0.0, (geometry.shape[1] - 1) / 2, 0.0])
    affine[:3, 1] *= geometry.shape[1]
    affine[:3, 3] = middle
    return Geometry.from_affine((geometry.shape[0], 1, geometry.shape[2]), affine)
