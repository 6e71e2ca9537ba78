"""Claim: a Monte Carlo with electron transport agrees with the cone method within 3 % in the lung next to the liver.

`dose_cone.py` judges the cone method by straight rays, which share its idealisation. Here betas are slowed down and
scattered (`electron_transport.py`), so the judge knows the physics of electrons at the interface.

`uniform`: the Monte Carlo against published data in one medium: radial kernel in water (Graves et al. 2019) and voxel S
values in soft tissue (Lanconelli et al. 2012). No parameter was adjusted to them.
`interfaces`: liver next to lung, flat with three densities of lung and a dome. Errors of the methods of the package and
of straight rays in per cent of the Monte Carlo, mass-weighted mean dose of each region, with its standard error from
batches with different seeds.

    python benchmarks/dose_electrons.py uniform
    python benchmarks/dose_electrons.py interfaces --decays 4e6
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from dose_cone import CONSTANT, GEOMETRIES, KERNEL, doses, patient, transport
from electron_transport import TISSUE_ELECTRONS_PER_WATER, Array, tables, transport_electrons

PUBLISHED = Path(__file__).parents[1] / "tests" / "reference" / "lanconelli2012_y90_soft_near.csv"
ENERGY_MEV, SOFT_TISSUE_G_PER_ML = 0.93311, 1.04
BATCHES = 4
SPACING_MM = (3.0, 3.0, 3.0)
PLAIN = replace(GEOMETRIES["slab"], lesions=())
INTERFACES = {
    "slab 0.26": PLAIN,
    "slab 0.12": replace(PLAIN, lung_g_per_ml=0.12),
    "dome 0.30": replace(GEOMETRIES["dome"], lesions=()),
    "dome 0.16": replace(GEOMETRIES["dome"], lesions=(), lung_g_per_ml=0.16, dome_mm=60.0, shunt=0.08),
    "slab 0.15": replace(PLAIN, lung_g_per_ml=0.15, shunt=0.06, top_mm=57.0),
}


@dataclass(frozen=True)
class Medium:
    """A uniform medium on a grid: g/mL per voxel and the spacing."""

    density: Array
    spacing_mm: tuple[float, float, float]


def point_source(
    density: float, spacing_mm: float, voxels: int, decays: int, *, seed: int, **steps: float
) -> tuple[Array, Array]:
    """Returns the energy per voxel around one radioactive voxel, as a fraction, and the distances of the voxels."""
    medium = Medium(np.full((voxels,) * 3, density), (spacing_mm,) * 3)
    source = np.zeros((voxels,) * 3)
    source[(voxels // 2,) * 3] = 1.0
    absorbed = transport_electrons(source, medium, decays, seed=seed, **steps)
    axis = (np.arange(voxels) - voxels // 2) * spacing_mm
    return absorbed, np.sqrt(axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis**2)


def uniform(decays: int) -> list[dict[str, Any]]:
    """Compares the Monte Carlo in one medium with the published radial kernel and voxel S values."""
    rows: list[dict[str, Any]] = []
    print(f"mean energy of the betas: {tables().mean_mev:.4f} MeV (published {0.9336:.4f}, ICRP 107 {ENERGY_MEV:.4f})")
    water = 1 / TISSUE_ELECTRONS_PER_WATER
    size, half = 0.4, 30
    rng = np.random.default_rng(7)
    shells = np.loadtxt(KERNEL, delimiter=",", comments="#")
    # The published kernel from the same source voxel, by its voxels.
    fractions = shells[:, 1] / shells[:, 1].sum()
    radius = rng.choice(shells[:, 0] - 0.05, 4_000_000, p=fractions) + rng.uniform(-0.05, 0.05, 4_000_000)
    along = rng.normal(size=(radius.size, 3))
    along *= (radius / np.linalg.norm(along, axis=1))[:, None]
    voxel = np.floor((along + rng.uniform(-size / 2, size / 2, along.shape)) / size + 0.5)
    at_voxel = np.linalg.norm(voxel * size, axis=1)
    for label, steps in (("steps", {}), ("half steps", {"fraction": 0.06, "longest_mm": 0.5})):
        found, distance = point_source(water, size, 2 * half + 1, decays, seed=1, **steps)
        total = found.sum()
        for within in (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0):
            row = {"what": f"fraction within {within:g} mm, {label}", "published": float((at_voxel < within).mean())}
            rows.append(row | {"found": float(found[distance < within].sum() / total)})
        for name, power in (("mean radius, mm", 1), ("mean square, mm2", 2), ("mean cube, mm3", 3)):
            row = {"what": f"{name}, {label}", "published": float((at_voxel**power).mean())}
            rows.append(row | {"found": float((found * distance**power).sum() / total)})
    for spacing_mm, *offset, published in np.loadtxt(PUBLISHED, delimiter=","):
        if offset == [0, 0, 0]:
            found, _ = point_source(SOFT_TISSUE_G_PER_ML, spacing_mm, 9, decays, seed=2)
        a, b, c = (int(n) for n in offset)
        # The mean over all voxels with this offset up to sign and order.
        index = np.sort(np.abs(np.indices(found.shape) - 4), axis=0)
        same = (index == np.sort([a, b, c])[:, None, None, None]).all(axis=0)
        mass_kg = SOFT_TISSUE_G_PER_ML * spacing_mm**3 * 1e-6
        value = float(found[same].mean()) * ENERGY_MEV * 1.602176634e-13 / mass_kg * 1e9
        rows.append({"what": f"S {a}{b}{c}, {spacing_mm:g} mm", "published": float(published), "found": value})
    for row in rows:
        row["difference_percent"] = 100 * (row["found"] / row["published"] - 1)
        print(f"{row['what']:36}{row['published']:10.4g}{row['found']:10.4g}{row['difference_percent']:+8.2f} %")
    return rows


def interfaces(decays: int, names: list[str]) -> list[dict[str, Any]]:
    """Compares the methods of the package and straight rays with the Monte Carlo next to the lung."""
    rows: list[dict[str, Any]] = []
    for name in names:
        case = patient(INTERFACES[name], SPACING_MM)
        mass = case.density * float(np.prod(SPACING_MM)) * 1e-3
        batches = [
            transport_electrons(case.activity, case, decays // BATCHES, seed=10 + n) / mass for n in range(BATCHES)
        ]
        true = np.mean(batches, axis=0)
        found = doses(case) | {"straight rays": transport(case.activity, case, decays, seed=5) / mass}
        weights = {region: weight * mass for region, weight in case.regions.items()}
        row: dict[str, Any] = {"geometry": name, "method": "Monte Carlo, Gy"}
        for region, weight in weights.items():
            row[region] = CONSTANT * float((true * weight).sum() / weight.sum())
        rows.append(row)
        row = {"geometry": name, "method": "standard error, %"}
        for region, weight in weights.items():
            parts = [float((one * weight).sum()) for one in batches]
            row[region] = 100 * float(np.std(parts, ddof=1) / np.mean(parts)) / BATCHES**0.5
        rows.append(row)
        for method, dose in found.items():
            row = {"geometry": name, "method": method}
            for region, weight in weights.items():
                row[region] = 100 * (float((dose * weight).sum() / (true * weight).sum()) - 1)
            rows.append(row)
        for row in rows[-len(found) - 2 :]:
            print(name, row["method"], {r: round(row[r], 2) for r in weights}, flush=True)
    return rows


def main() -> None:
    """Runs one subcommand; with --json, its rows replace those of that subcommand in the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["uniform", "interfaces"])
    parser.add_argument("--decays", type=float, default=1e6, help="betas per medium or geometry")
    parser.add_argument("--geometries", nargs="+", choices=list(INTERFACES), default=list(INTERFACES))
    parser.add_argument("--json", type=Path, help="file of results, by subcommand")
    options = parser.parse_args()
    decays = int(options.decays)
    rows = uniform(decays) if options.what == "uniform" else interfaces(decays, options.geometries)
    if options.json:
        known = json.loads(options.json.read_text()) if options.json.exists() else {}
        options.json.write_text(json.dumps(known | {options.what: rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
