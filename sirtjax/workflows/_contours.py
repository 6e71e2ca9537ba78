"""The derivatives of the doses of lesions with respect to contours, for a plan or verification."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float32, Float64
from numpy.typing import NDArray

from sirtjax import uncertainty
from sirtjax.volume import Geometry, Volume
from sirtjax.workflows._contour_record import (
    ContourDependence,
    ContourMetricName,
    RegionDependence,
    WhereToCheck,
)
from sirtjax.workflows._uncertainty_grid import ENGINE_SHAPE, EngineGrid
from sirtjax.workflows._uncertainty_inputs import SimulationInputs
from sirtjax.workflows._uncertainty_record import UncertaintySource

Array = NDArray[np.float32]

METRICS: dict[ContourMetricName, float | None] = {"mean": None, "D70": 0.7}
# A point belongs to the region around a lesion up to this distance from its contour.
AROUND_MM = 15.0
# The contours far from lesions, in parts of equal height.
PARTS = ("in the upper third of the liver", "in the middle third of the liver", "in the lower third of the liver")
HELD_FIXED = (
    "The derivatives include partial-volume correction and calibration, which depend on the contours. They hold fixed: "
    "the activity image, its resolution, the activity, the lung shunt and the calibration factor."
)


def where_to_check(
    dose_grid: Geometry,
    inputs: SimulationInputs,
    sources: tuple[UncertaintySource, ...],
    *,
    shown_metric: ContourMetricName = "D70",
) -> tuple[WhereToCheck | None, Volume | None]:
    """Returns the dependence of lesion doses on contours, and its map; None without a lesion.

    Args:
      dose_grid: dose grid of the case.
      inputs: image, signed distances and constants on the grid of the simulations.
      sources: stated sources of uncertainty; that of the registration weights the regions.
      shown_metric: metric of the map.

    Returns:
      The record, and the map of `shown_metric`: near the contour of each lesion the change of its dose in Gy if a patch
      around that point moves outward by 1 mm; 0 elsewhere.
    """
    count = len(inputs.lesions)
    if count == 0:
        return None, None
    geometry = engine_geometry(dose_grid, inputs.grid)
    names, weights = _regions(inputs, geometry)
    # As many rows as there are places for lesions: patients with few more or fewer share a program.
    places = inputs.data.lesions
    metrics = [
        uncertainty.ContourMetric(voi=min(i, count - 1), contour=min(i, count - 1), volume_fraction=fraction)
        for fraction in METRICS.values()
        for i in range(places)
    ]
    found = uncertainty.treatment_contour_sensitivity(
        inputs.image, inputs.distance_mm, inputs.lung_shunt_fraction, inputs.data, metrics, regions=weights
    )
    size_mm = next((source.sizes for source in sources if source.name == "registration"), None)
    rows = []
    for number, metric in enumerate(METRICS):
        for index, name in enumerate(inputs.lesions):
            row = number * places + index
            rows.append(_row(found, row, index, name, metric, names, geometry, size_mm, inputs))
    first = list(METRICS).index(shown_metric) * places
    shown = _combined(found.patch_gy_per_mm[first : first + count], inputs.distance_mm[:count])
    record = WhereToCheck(
        shown_metric=shown_metric, patch_cm2=found.patch_mm2 / 100.0, held_fixed=HELD_FIXED, rows=tuple(rows)
    )
    return record, Volume(shown, geometry, unit="Gy/mm")


def engine_geometry(dose_grid: Geometry, grid: EngineGrid) -> Geometry:
    """Returns the grid of the simulations in the patient.

    Args:
      dose_grid: dose grid of the case, which has the same axes.
      grid: grid of the simulations, relative to it.
    """
    step = grid.spacing_mm / np.asarray(grid.dose_spacing_mm)
    # Positions count from the first face, voxel indices from the first centre.
    centre = np.asarray(grid.first) + 0.5 * step - 0.5
    origin = dose_grid.to_world(centre)
    spacing = (grid.spacing_mm,) * 3
    return Geometry.from_axes(
        ENGINE_SHAPE, spacing_mm=spacing, origin_mm=np.asarray(origin).tolist(), direction=dose_grid.direction
    )


def _regions(inputs: SimulationInputs, geometry: Geometry) -> tuple[tuple[str, ...], Float32[np.ndarray, "q i j k"]]:
    """Regions that divide space: around each lesion, and three parts of the rest from feet to head."""
    count = len(inputs.lesions)
    outlines = np.asarray(inputs.distance_mm[:count])
    nearest = outlines.argmin(axis=0)
    near = outlines.min(axis=0) <= AROUND_MM
    index = np.stack(np.meshgrid(*(np.arange(n) for n in ENGINE_SHAPE), indexing="ij"), axis=-1)
    height_mm = np.asarray(geometry.to_world(index.reshape(-1, 3)))[:, 2].reshape(ENGINE_SHAPE)
    inside = height_mm[np.asarray(inputs.distance_mm[-1]) < 0]
    low, high = (inside.min(), inside.max()) if inside.size else (height_mm.min(), height_mm.max())
    third = np.clip(np.floor(3.0 * (high - height_mm) / max(high - low, 1e-6)), 0, 2)
    parts = [(nearest == lesion) & near for lesion in range(count)]
    # Places of lesions that the patient does not have keep the shapes, without any voxel.
    parts += [np.zeros(ENGINE_SHAPE, bool)] * (inputs.data.lesions - count)
    parts += [~near & (third == part) for part in range(3)]
    parts.append(np.ones(ENGINE_SHAPE, bool))
    empty = [""] * (inputs.data.lesions - count)
    names = (*(f"around {name}" for name in inputs.lesions), *empty, *PARTS, "all contours")
    return names, np.stack(parts).astype(np.float32)


def _row(
    found: uncertainty.ContourSensitivity,
    row: int,
    lesion: int,
    name: str,
    metric: ContourMetricName,
    names: tuple[str, ...],
    geometry: Geometry,
    size_mm: tuple[float, ...] | None,
    inputs: SimulationInputs,
) -> ContourDependence:
    whole = np.asarray(found.contour_gy_per_mm[row], np.float64)
    lesions = inputs.data.lesions
    regions = [
        _region(title, found.region_gy_per_mm[row, place], geometry, size_mm)
        for place, title in enumerate(names)
        if title
    ]
    *parts, everything = regions
    on_it = np.abs(np.asarray(inputs.distance_mm[lesion])) <= inputs.grid.spacing_mm / 2
    patch = np.asarray(found.patch_gy_per_mm[row])[on_it]
    return ContourDependence(
        voi=name,
        metric=metric,
        value_gy=float(found.value_gy[row]),
        own_gy_per_mm=float(whole[lesion]),
        liver_gy_per_mm=float(whole[-1]),
        others_gy_per_mm=float(whole[:lesions].sum() - whole[lesion]),
        territories_gy_per_mm=_grown_territory(whole[lesions:-1], inputs, lesion),
        largest_patch_gy_per_mm=float(patch[np.abs(patch).argmax()]) if patch.size else math.nan,
        half_area_fraction=float(found.half_area_fraction[row]),
        half_gy_per_mm=float(found.half_gy_per_mm[row]),
        translation=everything,
        regions=tuple(sorted(parts, key=_effect, reverse=True)),
    )


def _grown_territory(gy_per_mm: Float64[np.ndarray, " t"], inputs: SimulationInputs, lesion: int) -> float:
    """The change if the territory of a lesion grows by 1 mm and the others shrink by it.

    The dividing surface of two territories moves only if both of its sides do.
    """
    count = inputs.data.lesions
    inside = np.asarray(inputs.distance_mm[lesion]) < 0
    if not inside.any() or not gy_per_mm.size:
        return 0.0
    depth_mm = [float(np.asarray(one)[inside].mean()) for one in inputs.distance_mm[count:-1]]
    own = int(np.argmin(depth_mm))
    if depth_mm[own] >= 0:  # it is in tissue that was not injected, and all others shrink
        return float(-gy_per_mm.sum())
    return float(2.0 * gy_per_mm[own] - gy_per_mm.sum())


def _region(
    name: str, by_axis: NDArray[np.floating], geometry: Geometry, size_mm: tuple[float, ...] | None
) -> RegionDependence:
    # x, y and z of LPS increase towards left, back and head.
    left, back, head = (float(value) for value in np.asarray(geometry.direction) @ np.asarray(by_axis, np.float64))
    spread = None
    if size_mm is not None:
        sizes = np.broadcast_to(np.asarray(size_mm, np.float64), (3,))
        spread = float(np.sqrt(((sizes * np.array([left, back, head])) ** 2).sum()))
    return RegionDependence(name, left, back, head, spread)


def _effect(region: RegionDependence) -> float:
    if region.spread_gy is not None:
        return region.spread_gy
    return math.hypot(region.left_gy_per_mm, region.back_gy_per_mm, region.head_gy_per_mm)


def _combined(patch: Float32[np.ndarray, "n i j k"], outlines_mm: Float32[np.ndarray, "n i j k"]) -> Array:
    """One map for all lesions: that of the nearest contour."""
    nearest = np.abs(outlines_mm).argmin(axis=0)
    found: Array = np.take_along_axis(patch, nearest[None], axis=0)[0].astype(np.float32)
    return found
