"""Metrics of a transform from the guidance masks: overlap, surface and centroid distances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Real
from numpy.typing import NDArray

from sirtjax import metrics, spatial
from sirtjax.registration._pair import LIVER, ImagePair
from sirtjax.registration._prepare import LIVER_NAME, ImageWithMasks, Masks, mask_corners_mm
from sirtjax.spatial import Transform
from sirtjax.typing import Array
from sirtjax.volume import Geometry, Volume, crop_geometry

# Masks are compared within this distance of the reference's liver.
BENCH_MARGIN_MM = 25.0


@dataclass(frozen=True, kw_only=True)
class MaskEvaluator:
    """The lattice around the reference liver, its masks there, and the floating masks, for comparison.

    The floating liver is stored as the occupancy of each node of its own working lattice, which takes a tenth of the
    time of the exact occupancy of a voxel. The other masks, which can have only a few voxels, are unchanged.
    """

    grid: Geometry
    occupancy: Mapping[str, Float[np.ndarray, "i j k"]]
    floating_liver: Volume | None
    floating: Masks

    @cached_property
    def liver_surface(self) -> metrics.SurfaceMesh:
        """The reference liver's, to which three maps are compared."""
        return _surface(self.occupancy[LIVER_NAME], self.grid)


def mask_evaluator(
    sides: tuple[ImageWithMasks, ImageWithMasks], lattice: Geometry, *, pair: ImagePair | None = None
) -> MaskEvaluator:
    """Returns the lattice around the liver, with the extent of `lattice`, and all masks.

    Args:
      sides: both images with the masks to compare, the same names on both.
      lattice: working lattice of the reference.
      pair: result of `prepare_pair` for these sides, if it exists; its livers then need not be resampled again.
    """
    reference, floating = sides
    if not reference.masks:
        return MaskEvaluator(grid=lattice, occupancy={}, floating_liver=None, floating={})
    index = lattice.to_voxel(mask_corners_mm(reference))
    room = BENCH_MARGIN_MM / np.asarray(lattice.spacing_mm)
    low = np.clip(np.floor(index.min(axis=0) - room), 0, None).astype(int)
    high = np.minimum(np.ceil(index.max(axis=0) + room).astype(int) + 1, lattice.shape)
    grid = crop_geometry(lattice, low, high)
    if pair is None:
        moving = _grid_around(mask_corners_mm(floating), lattice.spacing_mm)
        liver = spatial.occupancy(floating.masks[LIVER_NAME], LIVER_NAME, moving)
        occupancy = {LIVER_NAME: np.asarray(spatial.occupancy(reference.masks[LIVER_NAME], LIVER_NAME, grid))}
    else:
        pitch_mm, origin_mm = pair.floating_pitch_mm.tolist(), pair.floating_origin_mm.tolist()
        moving = Geometry.from_axes(pair.floating.shape, spacing_mm=pitch_mm, origin_mm=origin_mm)
        liver = np.ascontiguousarray(pair.floating_masks[..., LIVER])
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        occupancy = {LIVER_NAME: np.asarray(pair.reference_masks[..., LIVER])[box]}
    for name in reference.landmark_names():
        occupancy[name] = np.asarray(spatial.occupancy(reference.masks[name], name, grid))
    return MaskEvaluator(
        grid=grid, occupancy=occupancy, floating_liver=Volume(liver, moving, unit="1"), floating=floating.masks
    )


def _grid_around(points_mm: NDArray[Any], spacing_mm: tuple[float, float, float]) -> Geometry:
    """A grid along the world's axes that holds all points and one voxel more on each side."""
    low, high = points_mm.min(axis=0), points_mm.max(axis=0)
    shape = [int(np.ceil((b - a) / s)) + 3 for a, b, s in zip(low, high, spacing_mm, strict=True)]
    return Geometry.from_axes(shape, spacing_mm=spacing_mm, origin_mm=(low - np.asarray(spacing_mm)).tolist())


def quality_of(transform: Transform, terms: Real[Array, " terms"], evaluator: MaskEvaluator) -> dict[str, float]:
    """Returns overlap and distances of the guidance masks, and the image similarity."""
    figures: dict[str, float] = {"similarity": 0.0 - float(terms[0])}
    spacing_mm, distances = evaluator.grid.spacing_mm, []
    for name, one in evaluator.occupancy.items():
        if name == LIVER_NAME and evaluator.floating_liver is not None:
            two = np.asarray(spatial.resample(evaluator.floating_liver, evaluator.grid, transform=transform).array)
        else:
            two = np.asarray(spatial.occupancy(evaluator.floating[name], name, evaluator.grid, transform=transform))
        inside = one >= 0.5, two >= 0.5
        figures[f"dsc {name}"] = metrics.dice(*inside) if inside[0].any() or inside[1].any() else float("nan")
        if not (inside[0].any() and inside[1].any()):
            distances.append(float("nan"))
            continue
        if name == LIVER_NAME:
            figures[f"msd_mm {name}"] = metrics.mean_surface_distance_mm(
                evaluator.liver_surface, _surface(two, evaluator.grid)
            )
            distances.append(figures[f"msd_mm {name}"])
        else:
            apart_mm = (_centre(one) - _centre(two)) * np.asarray(spacing_mm)
            figures[f"mcd_mm {name}"] = float(np.linalg.norm(apart_mm))
            distances.append(figures[f"mcd_mm {name}"])
    if distances:
        figures["rmsd_mm"] = float(np.sqrt(np.mean(np.square(distances))))
    return figures


def _surface(occupancy: NDArray[np.float32], grid: Geometry) -> metrics.SurfaceMesh:
    return metrics.extract_surface(occupancy, np.diag([*grid.spacing_mm, 1.0]))


def _centre(occupancy: NDArray[np.float32]) -> NDArray[np.float64]:
    total = float(occupancy.sum(dtype=np.float64))
    axes = [occupancy.sum(axis=tuple(b for b in range(3) if b != a), dtype=np.float64) for a in range(3)]
    return np.array([np.dot(axis, np.arange(len(axis))) / total for axis in axes])
