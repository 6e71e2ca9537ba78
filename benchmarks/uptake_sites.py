"""Measures detections and false positives of the search for extrahepatic uptake on digital phantoms.

A deposit is a sphere in stomach, bowel or pancreas of the phantom, added to its true activity before blur and noise.
With --automatic, sites are named after organs that the bundled liver model segments on the CT of the SPECT/CT.
Usage: python benchmarks/uptake_sites.py --preset small --seeds 200:210 [--automatic] [--threshold 0.1]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from sirtjax import ops, spatial
from sirtjax.io import Image, Source
from sirtjax.phantom import Patient, load_preset, simulate_patient
from sirtjax.phantom import _acquire as acquire
from sirtjax.phantom._tissues import Organ
from sirtjax.workflows import automatic_hooks, find_uptake

ORGANS = {"stomach": Organ.STOMACH, "bowel": Organ.BOWEL, "pancreas": Organ.PANCREAS}
RADIUS_MM = 12.0
# Distances of the centre from the liver: the wall of the stomach and the duodenum are next to it.
DISTANCE_MM = (25.0, 60.0)
FRACTIONS = (0.0, 0.002, 0.005, 0.01, 0.02, 0.05)


def main() -> None:
    """Prints one line per phantom and fraction, and the counts of detections and false positives."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--preset", default="small")
    parser.add_argument("--seeds", default="100:110")
    parser.add_argument("--threshold", type=float, default=0.2)
    parser.add_argument("--margin-fwhm", type=float, default=1.0)
    parser.add_argument("--min-ml", type=float, default=2.0)
    parser.add_argument("--automatic", action="store_true", help="organs of the bundled liver model")
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    first, last = (int(part) for part in options.seeds.split(":"))
    rows = []
    for seed in range(first, last):
        rows += measured(seed, options)
    summary = [summarised(rows, fraction) for fraction in FRACTIONS]
    for row in summary:
        print(json.dumps(row))
    if options.write is not None:
        named = {key: str(value) for key, value in vars(options).items() if key != "write"}
        options.write.write_text(json.dumps({"options": named, "summary": summary, "rows": rows}, indent=1) + "\n")


def measured(seed: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Returns one row per fraction of the activity in the deposit; 0 for no deposit."""
    patient = simulate_patient(seed, load_preset(options.preset), sessions=("spect",))
    truth, config = patient.activity["spect"], patient.config.spect
    grid = truth.geometry
    liver = inside(patient, "liver")
    random = np.random.default_rng([seed, 1])
    deposit, centre_mm, organ = sphere(patient, liver, random)
    found_rows: list[dict[str, Any]] = []
    masks = automatic(patient) if options.automatic else contoured(patient)
    for fraction in FRACTIONS:
        activity = np.asarray(truth.array, np.float64)
        activity = activity * (1 - fraction) + fraction * activity.sum() * deposit / deposit.sum()
        seen = acquire.blur(activity.astype(np.float32), grid, fwhm_mm=config.fwhm_mm)
        counts = acquire.poisson_counts(np.random.default_rng([seed, 2]), seen, counts=config.counts)
        margin_mm = options.margin_fwhm * config.fwhm_mm
        regions = find_uptake(
            counts,
            grid,
            liver=liver,
            excluded=inside(patient, "lungs"),
            organs=masks,
            threshold_fraction=options.threshold,
            margin_mm=margin_mm,
            min_ml=options.min_ml,
        )
        searched = (ops.distance_mm(liver, grid.spacing_mm) > margin_mm) & ~inside(patient, "lungs")
        near = [one for one in regions if np.linalg.norm(np.asarray(one.centroid_mm) - centre_mm) <= RADIUS_MM + 8.0]
        found_rows.append(
            {
                "seed": seed,
                "fraction": fraction,
                "detected": len(near) if fraction > 0 else 0,
                "false": len(regions) - (len(near) if fraction > 0 else 0),
                "largest_ratio": round(float(counts[searched].max() / counts[liver].mean()), 4),
                "found_fraction": round(sum(one.counts_fraction for one in near), 5) if fraction > 0 else None,
                "error_mm": min(
                    (round(float(np.linalg.norm(np.asarray(one.centroid_mm) - centre_mm)), 1) for one in near),
                    default=None,
                ),
                "organ": organ,
                "named": [one.organ for one in near],
                "sites": [one.site for one in regions],
            }
        )
        print(json.dumps(found_rows[-1]))
    return found_rows


def contoured(patient: Patient) -> dict[str, np.ndarray]:
    """Returns the true organs on the grid of the SPECT."""
    organs = np.asarray(patient.labels["spect"]["organs"].array)
    return {name: on_grid(patient, organs == value) for name, value in ORGANS.items()}


def automatic(patient: Patient) -> dict[str, np.ndarray]:
    """Returns the organs that a plan segments automatically, on the grid of the SPECT."""
    ct, grid = patient.images["spect_ct"], patient.activity["spect"].geometry
    segment = automatic_hooks().segment_organs
    assert segment is not None
    found = segment(Image(ct, Source(path=Path("simulated"), format="nifti", modality="CT")))
    return {name: np.asarray(spatial.occupancy(one.labels, name, grid)) >= 0.5 for name, one in found.items()}


def inside(patient: Patient, name: str) -> np.ndarray:
    """Returns the voxels of the SPECT that are inside an organ by at least half."""
    labels = patient.labels["spect"][name]
    (label,) = [label for _, label in labels.names]
    return np.asarray(spatial.occupancy(labels, label, patient.activity["spect"].geometry)) >= 0.5


def on_grid(patient: Patient, mask: np.ndarray) -> np.ndarray:
    """Returns a mask on the grid of the organs on the grid of the SPECT."""
    from sirtjax.volume import LabelMap

    labels = LabelMap.from_mask(mask, patient.labels["spect"]["organs"].geometry, name="organ")
    return np.asarray(spatial.occupancy(labels, "organ", patient.activity["spect"].geometry)) >= 0.5


def sphere(patient: Patient, liver: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, str]:
    """Returns a sphere in stomach, bowel or pancreas near the liver, its centre in LPS mm and the organ."""
    grid = patient.activity["spect"].geometry
    organs = np.asarray(patient.labels["spect"]["organs"].array)
    far = ops.distance_mm(liver, grid.spacing_mm)
    allowed = (far >= DISTANCE_MM[0]) & (far <= DISTANCE_MM[1])
    masks = {name: allowed & on_grid(patient, organs == value) for name, value in ORGANS.items()}
    names = [name for name, mask in masks.items() if mask.any()]
    organ = names[int(random.integers(len(names)))]
    places = np.argwhere(masks[organ])
    centre = np.asarray(grid.to_world(places[int(random.integers(len(places)))].astype(float)), float)
    index = np.stack(np.meshgrid(*(np.arange(n, dtype=float) for n in grid.shape), indexing="ij"), -1)
    # Voxels are cut into 5 x 5 x 5 parts, so that the sphere has its volume.
    parts = (np.arange(5) - 2) / 5
    weight = np.zeros(grid.shape)
    for offset in np.stack(np.meshgrid(parts, parts, parts, indexing="ij"), -1).reshape(-1, 3):
        world = np.asarray(grid.to_world((index + offset).reshape(-1, 3))).reshape(*grid.shape, 3)
        weight += np.linalg.norm(world - centre, axis=-1) <= RADIUS_MM
    return weight / 125, centre, organ


def summarised(rows: list[dict[str, Any]], fraction: float) -> dict[str, object]:
    """Returns the number of phantoms with a detection, a false positive, a right or a wrong name, for a fraction."""
    chosen = [row for row in rows if row["fraction"] == fraction]
    return {
        "fraction": fraction,
        "phantoms": len(chosen),
        "with_detection": sum(bool(row["detected"]) for row in chosen),
        "with_false_positive": sum(bool(row["false"]) for row in chosen),
        "named_right": sum(row["organ"] in row["named"] for row in chosen),
        "named_wrong": sum(bool({*row["named"]} - {row["organ"], None}) for row in chosen),
    }


if __name__ == "__main__":
    main()
