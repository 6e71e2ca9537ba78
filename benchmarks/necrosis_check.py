"""Claim: the check of cold cores marks more than 90 % of necrotic lesions from 15 mm radius, and at most 2 % of others.

    OPENBLAS_NUM_THREADS=1 python benchmarks/necrosis_check.py --first 1300 --patients 30 \
        --json benchmarks/results/necrosis_check.json

Digital phantoms with a SPECT of 99mTc-MAA with Poisson noise (`sirtjax simulate`, preset `default`), without the rest
of a plan: 2 s per patient. Errors are added with SciPy and have the sizes of `case-uncertainty.toml`: contours of liver
and lesions 1.6 mm with a correlation of 20 mm, surface between the territories 5 mm, stated resolution 10 %. All masks
are translated by 1.5, 1.5 and 2.5 mm (standard deviations). The check receives these sizes and the noise that
`image_noise` measures. It uses the grid and the signed distances of the intervals. Lesions whose drawn radius is below
6 mm are counted apart, because they have no interval. Plans do not examine lesions with a radius below the FWHM; here
they are examined.

With `--smallest-core` every lesion above 1 mL may have a necrotic core, instead of those above 15 mL.

The thresholds were chosen with the seeds 1200 to 1219 and 10000 to 10079.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from uncertainty_phantoms import Floats, dividing_surface_mm, smooth

from sirtjax import phantom, uncertainty
from sirtjax.errors import ComputationError
from sirtjax.workflows._uncertainty_grid import PARTS, engine_grid, signed_distance_mm

Array = NDArray[np.float32]
Row = dict[str, Any]
CONTOUR_MM, CONTOUR_LENGTH_MM = 1.6, 20.0
TERRITORY_MM, TERRITORY_LENGTH_MM = 5.0, 30.0
RESOLUTION, TEXTURE = 0.1, 0.15
SHIFT_MM = (1.5, 1.5, 2.5)
# Resolution of the SPECT of the preset. Plans do not examine lesions with a smaller radius.
SMALLEST_RADIUS_MM, FWHM_MM = 6.0, 12.0
# Limits of the groups of lesions, and of the cores.
RADII_MM = (6.0, 10.0, 15.0, 20.0, 30.0)
CORES = (0.2, 0.4, 0.6, 0.8, 1.0, 1.6)


def config_of(smallest_core: bool) -> phantom.PhantomConfig:
    found = phantom.load_preset("default")
    if not smallest_core:
        return found
    return found.model_copy(update={"lesions": found.lesions.model_copy(update={"necrotic_above_ml": 1.0})})


def signed_mm(mask: NDArray[np.bool_], spacing_mm: Floats) -> Floats:
    """Returns the distance to the surface of a mask, positive inside."""
    inside = ndimage.distance_transform_edt(mask, sampling=spacing_mm)
    found: Floats = inside - ndimage.distance_transform_edt(~mask, sampling=spacing_mm)
    return found


def moved(mask: NDArray[np.bool_], spacing: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Returns the signed distance to a mask, and a random displacement of its surface."""
    distance = ndimage.gaussian_filter(signed_mm(mask, spacing), 0.6)
    return distance, CONTOUR_MM * smooth(rng, mask.shape, spacing, CONTOUR_LENGTH_MM)


def rows_of(seed: int, config: phantom.PhantomConfig) -> list[Row]:
    """Returns one row per lesion of a patient."""
    patient = phantom.simulate_patient(seed, config, sessions=("spect",))
    labels, spect = patient.labels["spect"], patient.images["spect"]
    drawn = labels["lesions"].geometry
    spacing = np.asarray(drawn.spacing_mm)
    numbers = np.asarray(labels["lesions"].array)
    cold, territories = np.asarray(labels["necrosis"].array) > 0, np.asarray(labels["territories"].array)
    liver, lungs = np.asarray(labels["liver"].array) > 0, np.asarray(labels["lungs"].array) > 0
    rng = np.random.default_rng([seed, 1])
    shift_mm = rng.normal(size=3) * SHIFT_MM
    # The dose grid: halves of the voxels of the image around the liver, with copied counts.
    at = spect.geometry.to_voxel(drawn.to_world(np.argwhere(liver).astype(np.float64)))
    low = np.maximum(np.floor(at.min(axis=0)).astype(int) - 6, 0)
    high = np.minimum(np.ceil(at.max(axis=0)).astype(int) + 7, spect.geometry.shape)
    counts = np.asarray(spect.array, np.float32)[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    counts = counts.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    fine_mm = np.asarray(spect.geometry.spacing_mm) / 2.0
    index = np.meshgrid(
        *(first + (np.arange(n) + 0.5) / 2.0 - 0.5 for first, n in zip(low, counts.shape, strict=True)), indexing="ij"
    )
    points = drawn.to_voxel(spect.geometry.to_world(np.stack(index, axis=-1)) - shift_mm)
    points = np.moveaxis(points, -1, 0)

    def warped(values: Floats) -> Floats:
        found: Floats = ndimage.map_coordinates(values, points, order=1, mode="nearest")
        return found

    def occupancy(inside_mm: Floats) -> Array:
        return np.clip(0.5 + inside_mm / fine_mm.mean(), 0.0, 1.0).astype(np.float32)

    def contour(mask: NDArray[np.bool_]) -> Array:
        # Interpolation shrinks small masks: the volume is restored before the contour is displaced.
        distance, outward = (warped(one) for one in moved(mask, spacing, rng))
        wanted = float(mask.sum()) * float(np.prod(spacing)) / float(np.prod(fine_mm))
        near, bounds = distance[distance > -8.0], [-4.0, 4.0]
        for _ in range(12):
            middle = float(np.mean(bounds))
            bounds[int(float(occupancy(near + middle).sum(dtype=np.float64)) >= wanted)] = middle
        return occupancy(distance + bounds[0] + outward)

    lesions = [contour(numbers == k + 1) for k in range(len(patient.numbers["lesions"]))]
    whole = contour(liver)
    values = np.unique(territories[territories > 0])
    parts = [whole]
    if len(values) == 2:
        level = -dividing_surface_mm(territories, values, np.asarray(spacing, np.float64))
        level = level + TERRITORY_MM * smooth(rng, territories.shape, spacing, TERRITORY_LENGTH_MM)
        first = occupancy(warped(level))
        parts = [whole * first, whole * (1.0 - first)]
    regions, free = [], np.ones(counts.shape, np.float32)
    for weight in (*lesions, *parts, whole, occupancy(warped(signed_mm(lungs, spacing)))):
        part = np.minimum(weight, free)
        free = free - part
        regions.append(part)
    in_liver = np.maximum.reduce([whole, *lesions])
    normal = np.stack(regions[len(lesions) : len(lesions) + len(parts)])
    fwhm_mm = config.spect.fwhm_mm
    try:
        noise = uncertainty.image_noise(counts, normal, in_liver, fine_mm, fwhm_mm=fwhm_mm)
    except ComputationError as error:
        return [{"seed": seed, "lesion": -1, "reason": str(error)}]
    grid = engine_grid(in_liver > 0, fine_mm, margin_mm=12.0)
    image, tissue = grid.means(counts), grid.means(in_liver)
    on_grid = np.stack([grid.means(part) for part in (*regions, np.maximum(free, 0.0))])
    # Voxels of the image, and their copies.
    width_mm = np.sqrt(fwhm_mm**2 + 8.0 * np.log(2.0) * 2.0 * float(spect.geometry.spacing_mm[0]) ** 2 / 12.0)
    errors = uncertainty.CoreErrors(
        noise_fraction=noise.fraction,
        noise_fwhm_mm=noise.correlation_fwhm_mm,
        shift_mm=SHIFT_MM,
        contour_mm=CONTOUR_MM,
        contour_correlation_mm=CONTOUR_LENGTH_MM,
        resolution=RESOLUTION,
        texture=TEXTURE,
    )
    stated_mm = float(width_mm * np.exp(RESOLUTION * np.random.default_rng([seed, 2]).normal()))
    rows = []
    voxel_ml, fine_ml = float(np.prod(spacing)) / 1000.0, float(np.prod(fine_mm)) / 1000.0
    for k, (weight, facts) in enumerate(zip(lesions, patient.numbers["lesions"], strict=True)):
        drawn_ml = float(weight.sum(dtype=np.float64)) * fine_ml
        distance = signed_distance_mm(grid.means(weight, parts=PARTS), grid.spacing_mm, volume_ml=drawn_ml)
        start = time.perf_counter()
        found = uncertainty.core_uptake(
            image,
            on_grid,
            distance,
            (grid.spacing_mm,) * 3,
            stated_mm,
            errors,
            lesion=k,
            liver_mean=float(np.vdot(image, tissue)) / float(tissue.sum(dtype=np.float64)),
        )
        seconds = time.perf_counter() - start
        inside_ml = float((numbers == k + 1).sum()) * voxel_ml
        core_ml = float((cold & (numbers == k + 1)).sum()) * voxel_ml
        rows.append(
            {
                "seed": seed,
                "lesion": k,
                "necrotic": bool(facts["necrotic_core"]),
                "radius_mm": round(float(np.cbrt(750.0 * inside_ml / np.pi)), 2),
                "drawn_radius_mm": round(float(np.cbrt(750.0 * drawn_ml / np.pi)), 2),
                "core_radius_over_fwhm": round(float(np.cbrt(750.0 * core_ml / np.pi)) / fwhm_mm, 3),
                "contrast": None if found is None else round(found.contrast, 3),
                "standard_error": None if found is None else round(found.standard_error, 3),
                "flagged": found is not None and found.cold,
                "seconds": round(seconds, 3),
            }
        )
    return rows


def summary(rows: list[Row]) -> list[Row]:
    """Returns the numbers of lesions that are marked, by radius and by radius of the core."""
    rows = [row for row in rows if row["lesion"] >= 0]
    tested = [row for row in rows if row["drawn_radius_mm"] >= SMALLEST_RADIUS_MM]
    groups: list[tuple[str, list[Row]]] = []
    for necrotic in (True, False):
        name = "necrotic" if necrotic else "not necrotic"
        some = [row for row in tested if row["necrotic"] == necrotic]
        groups.append((name, some))
        for low, high in itertools.pairwise(RADII_MM):
            part = [row for row in some if (low <= row["radius_mm"] or low == RADII_MM[0]) and row["radius_mm"] < high]
            groups.append((f"{name}, radius {low:g} to {high:g} mm", part))
    for low, high in itertools.pairwise(CORES):
        part = [row for row in tested if row["necrotic"] and low <= row["core_radius_over_fwhm"] < high]
        groups.append((f"core radius {low:g} to {high:g} FWHM", part))
    for necrotic in (True, False):
        part = [row for row in tested if row["necrotic"] == necrotic and row["drawn_radius_mm"] < FWHM_MM]
        groups.append((f"{'necrotic' if necrotic else 'not necrotic'}, drawn radius 6 mm to FWHM", part))
    small = [row for row in rows if row["drawn_radius_mm"] < SMALLEST_RADIUS_MM]
    groups.append(("drawn radius below 6 mm, not examined", small))
    return [
        {"group": name, "lesions": len(part), "flagged": sum(row["flagged"] for row in part)}
        for name, part in groups
        if part
    ]


def main() -> None:
    """Examines the lesions of all patients and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=1200, help="first seed")
    parser.add_argument("--patients", type=int, default=20, help="number of patients")
    parser.add_argument("--smallest-core", action="store_true", help="cores in lesions above 1 mL")
    parser.add_argument("--json", type=Path, help="file of results")
    arguments = parser.parse_args()
    config, start, rows = config_of(arguments.smallest_core), time.perf_counter(), []
    for seed in range(arguments.first, arguments.first + arguments.patients):
        rows += rows_of(seed, config)
    table = summary(rows)
    for row in table:
        print(f"{row['group']:45}{row['flagged']:5} of {row['lesions']}")
    wall_s = round(time.perf_counter() - start, 1)
    seconds = float(np.median([row["seconds"] for row in rows if row["lesion"] >= 0]))
    print(f"{arguments.patients} patients in {wall_s} s; {seconds:.2f} s per lesion")
    if arguments.json:
        known = json.loads(arguments.json.read_text()) if arguments.json.exists() else {}
        name = f"seeds {arguments.first} to {arguments.first + arguments.patients - 1}"
        name += ", cores above 1 mL" if arguments.smallest_core else ""
        known[name] = {"wall_s": wall_s, "seconds_per_lesion": seconds, "summary": table, "rows": rows}
        arguments.json.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
