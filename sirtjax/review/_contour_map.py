"""The effect of contours on the dose, for the page: a coarse lattice of the map that the plan wrote."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np

from sirtjax import io, spatial
from sirtjax.review._request_error import RequestError
from sirtjax.review._scene import ReviewScene
from sirtjax.volume import Geometry

# Distance between points of the lattice; the map is smooth over about 10 mm.
LATTICE_MM = 4.0
STEPS = 127


def contour_map(folder: Path, scene: ReviewScene, pull: spatial.Transform | None) -> dict[str, object]:
    """Returns the map of a plan on a lattice of the scene: Gy if a patch moves outward by 1 mm.

    Args:
      folder: folder of the plan.
      scene: scene of the page.
      pull: pull transform from the frame of the scene to that of the activity image; None if they are the same.

    Returns:
      `shape` of the lattice; `voxels` of the scene per step of it along each axis; `step_gy_per_mm`; `values` as
      base64 of one signed byte per point, the first axis fastest.

    Raises:
      RequestError: (404) the plan has no map.
    """
    from sirtjax.workflows import CONTOUR_FILE

    path = folder / CONTOUR_FILE
    if not path.is_file():
        raise RequestError(404, "this plan has no map of its contours; plan with [uncertainty] in the case")
    image = io.read_nifti(path, unit="Gy/mm").volume
    shape, spacing = np.asarray(scene.geometry.shape), np.asarray(scene.geometry.spacing_mm)
    counts = np.maximum(np.ceil((shape - 1) * spacing / LATTICE_MM).astype(int) + 1, 2)
    voxels = (shape - 1) / (counts - 1)
    affine = scene.geometry.affine @ np.diag([*voxels, 1.0])
    i, j, k = (int(count) for count in counts)
    lattice = Geometry.from_affine((i, j, k), affine)
    values = np.asarray(spatial.resample(image, lattice, fill=0.0, transform=pull).array)
    step = max(float(np.abs(values).max()), 1e-9) / STEPS
    packed = np.rint(values / step).astype(np.int8).tobytes(order="F")
    return {
        "shape": counts.tolist(),
        "voxels": np.round(voxels, 6).tolist(),
        "step_gy_per_mm": step,
        "values": base64.b64encode(packed).decode("ascii"),
    }
