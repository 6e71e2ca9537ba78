"""Claim: DVHs of a liver and its lesions are several times nearer the truth than NumPy's, at its cost from 192^3 on.

Contenders, on the same dose and occupancies in the same run, interleaved, the best of several repeats each:

  sirtjax    `dvh_from_arrays`, one call per VOI as the workflow calls it: sub-voxel sampling for lesions.
  voxels     `dvh_from_arrays` with one sample a voxel: what the NumPy ways do as well.
  packed     `pack_voi` and the jitted JAX form for all D_x at once: the differentiable way, compiled before.
  histogram  NumPy: mask of the whole grid, weighted `np.histogram` in bins of 0.1 Gy, cumulative sum.
  sort       NumPy: mask of the whole grid, sort, cumulative sum.
  loop       NumPy: for each VOI and each threshold in steps of 1 Gy, count the voxels of the grid above it. It is
             run for one lesion and multiplied by the number of VOIs.

Each gives D2, D50, D70, D95 and D98 of every VOI. Quality is the root-mean-square error of those of the lesions,
spheres in a uniform gradient of 3 Gy/mm, whose DVH is known in closed form.

Predicted before measuring: `histogram` and `sort` read the grid three times per VOI (mask, dose, weight), so 13 x 3
passes; the bounding box reads the weights once, so a third of that for lesions, and less for a sparse mask. The
sort of a liver of n voxels costs n log n in all but `histogram`. Sub-sampling adds some 4096 samples a lesion,
about 2 ms each whatever the grid: slower than NumPy on 128^3, even from about 192^3, faster beyond.

    python benchmarks/dvh.py --sizes 128 192 256 320 --json out.json
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from sirtjax.dosimetry import dose_at_volume_fraction_gy, dvh_from_arrays, pack_voi

Float = NDArray[np.float32]
Result = NDArray[np.float64]
PERCENTS = np.array([2.0, 50.0, 70.0, 95.0, 98.0])
FIELD_MM = 384.0
GRADIENT_GY_PER_MM = np.array([2.0, -1.0, 2.0])
LIVER_MM = 74.0
LESION_ML = (0.1, 0.2, 0.3, 0.5, 0.8, 1.2, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)


def occupancy(size: int, centre_mm: NDArray[np.float64], radius_mm: float) -> Float:
    """Share of each voxel in a sphere, from 8^3 points in the voxels its surface may cross."""
    spacing = FIELD_MM / size
    low = np.floor((centre_mm - radius_mm) / spacing).astype(int) - 1
    high = np.ceil((centre_mm + radius_mm) / spacing).astype(int) + 2
    axes = [np.arange(a, b) * spacing - c for a, b, c in zip(low, high, centre_mm, strict=True)]
    distance = np.sqrt(sum(np.square(a) for a in np.meshgrid(*axes, indexing="ij", sparse=True)))
    share = (distance < radius_mm).astype(np.float32)
    edge = np.argwhere(np.abs(distance - radius_mm) < spacing)
    offsets = ((np.arange(8) + 0.5) / 8 - 0.5) * spacing
    points = np.stack(np.meshgrid(offsets, offsets, offsets, indexing="ij"), -1).reshape(-1, 3)
    for part in np.array_split(edge, max(1, len(edge) // 2000)):
        position = (part + low) * spacing - centre_mm
        inside = np.linalg.norm(position[:, None] + points, axis=-1) < radius_mm
        share[tuple(part.T)] = inside.mean(axis=1)
    weight = np.zeros((size,) * 3, np.float32)
    weight[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = share
    return weight


def scene(size: int) -> tuple[Float, list[Float], Result]:
    """Dose, occupancies of liver and lesions, and the exact D_x of each, (VOIs, percents)."""
    rng = np.random.default_rng(size)
    axes = np.meshgrid(*(np.arange(size) * FIELD_MM / size,) * 3, indexing="ij", sparse=True)
    middle = np.full(3, FIELD_MM / 2)
    dose = 800.0 + sum(g * (a - FIELD_MM / 2) for g, a in zip(GRADIENT_GY_PER_MM, axes, strict=True))
    spheres = [(middle, LIVER_MM)]
    for volume_ml in LESION_ML:
        radius = (volume_ml * 3000 / (4 * math.pi)) ** (1 / 3)
        direction = rng.normal(size=3)
        offset = direction / np.linalg.norm(direction) * rng.uniform(0, LIVER_MM - radius)
        spheres.append((middle + offset, radius))
    exact = [[exact_gy(centre, radius, x / 100) for x in PERCENTS] for centre, radius in spheres]
    return dose.astype(np.float32), [occupancy(size, *sphere) for sphere in spheres], np.array(exact)


def exact_gy(centre_mm: NDArray[np.float64], radius_mm: float, fraction: float) -> float:
    """D_x of a sphere in the gradient: the plane that cuts off a cap of that share of its volume."""

    def excess(height: float) -> float:
        return height**2 * (3 * radius_mm - height) / (4 * radius_mm**3) - fraction

    above_centre = radius_mm - optimize.brentq(excess, 0, 2 * radius_mm)
    at_centre = 800.0 + GRADIENT_GY_PER_MM @ (centre_mm - FIELD_MM / 2)
    return float(at_centre + np.linalg.norm(GRADIENT_GY_PER_MM) * above_centre)


def by_sirtjax(dose: Float, weights: list[Float], voxel_ml: float, *, subsamples: int | None = None) -> Result:
    curves = [dvh_from_arrays(dose, weight, voxel_ml, subsamples=subsamples) for weight in weights]
    return np.array([[curve.dose_at_percent_gy(x) for x in PERCENTS] for curve in curves])


@jax.jit
def _all_percents(dose: jax.Array, weight: jax.Array, fractions: jax.Array) -> jax.Array:
    return jax.vmap(dose_at_volume_fraction_gy, (None, None, 0))(dose, weight, fractions)


def by_packed(dose: Float, weights: list[Float], voxel_ml: float) -> Result:
    fractions = (PERCENTS / 100).astype(np.float32)
    return np.array([_all_percents(*pack_voi(dose, weight), fractions) for weight in weights])


def by_histogram(dose: Float, weights: list[Float], voxel_ml: float) -> Result:
    rows = []
    for weight in weights:
        inside = weight > 0
        values = dose[inside]
        edges = np.arange(0, values.max() + 0.2, 0.1)
        counts, _ = np.histogram(values, edges, weights=weight[inside])
        above = np.cumsum(counts[::-1])[::-1]
        rows.append(np.interp(-PERCENTS / 100, -above / above[0], edges[:-1]))
    return np.array(rows)


def by_sort(dose: Float, weights: list[Float], voxel_ml: float) -> Result:
    rows = []
    for weight in weights:
        inside = weight > 0
        values, share = dose[inside], weight[inside]
        order = np.argsort(values)[::-1]
        reached = np.cumsum(share[order])
        rank = np.searchsorted(reached, PERCENTS / 100 * reached[-1]).clip(0, len(order) - 1)
        rows.append(values[order][rank])
    return np.array(rows)


def by_loop(dose: Float, weights: list[Float], voxel_ml: float) -> Result:
    weight = weights[-1]
    thresholds = np.arange(0.0, float(dose[weight > 0].max()) + 1)
    # Every eighth threshold, to end within the day; the time is multiplied accordingly.
    above = np.array([weight[dose >= t].sum() for t in thresholds[::8]])
    return np.interp(-PERCENTS / 100, -above / above[0], thresholds[::8])[None]


CONTENDERS: dict[str, Callable[[Float, list[Float], float], Result]] = {
    "sirtjax": by_sirtjax,
    "voxels": partial(by_sirtjax, subsamples=1),
    "packed": by_packed,
    "histogram": by_histogram,
    "sort": by_sort,
}


def measure(size: int, repeats: int) -> dict[str, Any]:
    dose, weights, exact = scene(size)
    voxel_ml = (FIELD_MM / size) ** 3 / 1000
    found = {name: run(dose, weights, voxel_ml) for name, run in CONTENDERS.items()}
    best = dict.fromkeys(CONTENDERS, math.inf)
    for _ in range(repeats):
        for name, run in CONTENDERS.items():
            start = time.perf_counter()
            run(dose, weights, voxel_ml)
            best[name] = min(best[name], time.perf_counter() - start)
    start = time.perf_counter()
    by_loop(dose, weights, voxel_ml)
    best["loop"] = (time.perf_counter() - start) * 8 * len(weights)
    small = slice(1, 5)  # 0.1 to 0.5 mL
    return {
        "size": size,
        "liver_voxels": int((weights[0] > 0).sum()),
        "seconds": {name: round(value, 4) for name, value in best.items()},
        "times_as_fast_as": {name: round(best[name] / best["sirtjax"], 2) for name in best if name != "sirtjax"},
        "rms_error_gy_small_lesions": {n: _rms(f[small], exact[small]) for n, f in found.items()},
        "rms_error_gy_all": {n: _rms(f, exact) for n, f in found.items()},
    }


def _rms(found: Result, exact: Result) -> float:
    return round(float(np.sqrt(np.mean(np.square(found - exact)))), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 192, 256, 320])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the results here")
    options = parser.parse_args()
    rows = []
    for size in options.sizes:
        rows.append(measure(size, options.repeats))
        print(json.dumps(rows[-1], indent=1))
    if options.json:
        facts = {"claim": __doc__.split("\n")[0], "python": platform.python_version(), "numpy": np.__version__}
        options.json.write_text(json.dumps({**facts, "jax": jax.__version__, "results": rows}, indent=1))


if __name__ == "__main__":
    main()
