"""Claim: the derived 166Ho kernel follows from the 90Y kernel; the same derivation predicts 89Sr and 188Re within 2 %.

No radial kernel of 166Ho with an open table was found, so one is derived in two steps.

1. Electrons of any energy E are taken to leave their energy as E f(r / R(E)), with R the range of Katz and Penfold and
   one function f of 40 bins. The bins are fitted to the published radial kernel of 90Y (Graves et al. 2019) with the
   beta spectrum of 90Y: non-negative least squares with a penalty on the second difference.
2. f is folded with the beta spectrum of 166Ho. Conversion and Auger electrons above 5 keV have their own ranges; below,
   their energy stays at the source. Photons are not counted (0.030 MeV per decay, 4 % of the energy, most of which
   leaves the liver), nor is bremsstrahlung.

Evidence: the same f folded with the spectra of 89Sr and 188Re is compared with the voxel S values of Lanconelli et al.
2012, which had no part in the fit. 166Ho has its end point (1.85 MeV) between theirs (1.50 and 2.12 MeV).

Spectra: ICRP Publication 107, as JSON files with the lists `b-spectra` (MeV, 1/MeV per decay), `beta-`, `IE` and
`auger` (MeV, per decay), one file per nuclide.

    python benchmarks/holmium_kernel.py --spectra FOLDER            # prints the evidence
    python benchmarks/holmium_kernel.py --spectra FOLDER --write    # writes the data file of the package
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

Array = NDArray[np.float64]

DATA = Path(__file__).parents[1] / "sirtjax" / "dosimetry" / "data"
TABLES = Path(__file__).parents[1] / "tests" / "reference" / "lanconelli2012_sr89_re188_soft_near.csv"
BINS, LARGEST, SMOOTHNESS = 40, 1.0, 3e-3
SHELL_MM = 0.1
LOCAL_MEV = 0.005
TISSUE_G_PER_ML = 1.04
MEV_TO_MGY_G_PER_MBQ_S = 1.602176634e-13 * 1e6 * 1e3 * 1e3


@dataclass(frozen=True)
class Electrons:
    """Energies of electrons (MeV) and their number per decay; `local_mev` of energy stays at the source."""

    mev: Array
    number: Array
    local_mev: float

    @property
    def total_mev(self) -> float:
        """Energy of all electrons per decay."""
        return float(self.mev @ self.number) + self.local_mev


def electrons(folder: Path, name: str) -> Electrons:
    """Reads the beta spectrum, as 400 energies, and the lines of conversion and Auger electrons."""
    emissions = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["emissions"]
    spectrum = np.asarray(emissions["b-spectra"])
    edges = np.linspace(0, spectrum[-1, 0], 401)
    mev = (edges[1:] + edges[:-1]) / 2
    number = np.interp(mev, spectrum[:, 0], spectrum[:, 1]) * np.diff(edges)
    betas = np.asarray(emissions["beta-"])
    # The tabulated spectrum is rounded; its energy is that of the list of betas.
    number *= float(betas[:, 0] @ betas[:, 1]) / float(mev @ number)
    lines = np.asarray([*emissions.get("IE", []), *emissions.get("auger", [])]).reshape(-1, 2)
    far = lines[:, 0] >= LOCAL_MEV
    near = lines[~far]
    return Electrons(
        np.concatenate([mev, lines[far, 0]]),
        np.concatenate([number, lines[far, 1]]),
        float(near[:, 0] @ near[:, 1]),
    )


def range_mm(mev: Array) -> Array:
    """Computes the range in water, Katz and Penfold, Rev Mod Phys 1952;24:28."""
    result: Array = 4.12 * mev ** (1.265 - 0.0954 * np.log(mev))
    return result


def folded(source: Electrons, radii_mm: Array) -> Array:
    """Computes the energy within each radius per unit of each bin of f, (radii, bins), MeV."""
    edges = np.linspace(0, LARGEST, BINS + 1)
    scaled = radii_mm[:, None] / range_mm(source.mev)[None]
    energy = source.mev * source.number
    # Within a bin the energy per radius is constant, so its cumulative part rises linearly.
    columns = [np.clip((scaled - low) / (high - low), 0, 1) @ energy for low, high in pairwise(edges)]
    return np.stack(columns, axis=1)


def fitted(source: Electrons, outer_mm: Array, shells_mev: Array) -> tuple[Array, float]:
    """Fits f to the shells of a kernel; returns its bins, with the sum 1, and the rms misfit over the largest shell."""
    within = folded(source, outer_mm)
    shells = np.diff(np.concatenate([np.zeros((1, BINS)), within]), axis=0)
    target = shells_mev * (source.total_mev - source.local_mev) / shells_mev.sum()
    curvature = np.diff(np.eye(BINS), n=2, axis=0) * target.max() * SMOOTHNESS * BINS
    total = 1e3 * target.max() * np.ones((1, BINS))
    system = np.concatenate([shells, curvature, total])
    bins, _ = nnls(system, np.concatenate([target, np.zeros(len(curvature)), [1e3 * target.max()]]))
    misfit = float(np.sqrt(np.mean((shells @ bins - target) ** 2)) / target.max())
    result: Array = bins / bins.sum()
    return result, misfit


def kernel_mev(source: Electrons, bins: Array, outer_mm: Array) -> Array:
    """Computes the energy per shell, MeV per decay; local energy is in the first."""
    within = folded(source, outer_mm) @ bins
    shells = np.diff(np.concatenate([[0.0], within]))
    shells[0] += source.local_mev
    result: Array = shells
    return result


def sphere_fraction(outer_mm: Array, shells_mev: Array, radius_mm: float, density: float) -> float:
    """Computes the fraction of the energy that an active sphere absorbs, with radii scaled by electrons per mL."""
    r = (outer_mm - SHELL_MM / 2) / (0.991 * density)
    x = np.minimum(r / radius_mm, 2.0)
    return float((1 - 0.75 * x + x**3 / 16) @ shells_mev / shells_mev.sum())


def voxel_s(outer_mm: Array, shells_mev: Array, voxel_mm: float, offset: tuple[int, int, int]) -> float:
    """Computes a voxel S value, mGy/(MBq.s): the mean over directions of the overlap of two voxels."""
    count = 20000
    cosine = 1 - (2 * np.arange(count) + 1) / count
    azimuth = np.pi * (1 + np.sqrt(5)) * np.arange(count)
    sine = np.sqrt(1 - cosine**2)
    unit = np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), cosine])
    r = (outer_mm - SHELL_MM / 2) / (0.991 * TISSUE_G_PER_ML)
    fraction = 0.0
    for radius, energy in zip(r, shells_mev, strict=True):
        step = radius * unit / voxel_mm
        overlap = np.prod([np.clip(1 - np.abs(step[a] - offset[a]), 0, None) for a in range(3)], axis=0)
        fraction += energy * float(overlap.mean())
    return fraction * MEV_TO_MGY_G_PER_MBQ_S / (TISSUE_G_PER_ML * voxel_mm**3 * 1e-3)


def evidence(folder: Path, bins: Array) -> dict[str, float]:
    """Prints prediction against table; returns the largest error off the centre of each nuclide, per cent."""
    rows = [line.split(",") for line in TABLES.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    outer = np.arange(1, 121) * SHELL_MM
    worst: dict[str, float] = {}
    for nuclide, voxel_mm, i, j, k, s in rows:
        source = electrons(folder, nuclide)
        shells = kernel_mev(source, bins, outer)
        offset = (int(i), int(j), int(k))
        error = 100 * (voxel_s(outer, shells, float(voxel_mm), offset) / float(s) - 1)
        print(f"{nuclide} {voxel_mm:>5} mm {i}{j}{k}: {error:+.2f} %")
        if any(offset):
            worst[nuclide] = max(worst.get(nuclide, 0.0), float(abs(error)))
    print("largest error off the centre:", {name: round(value, 2) for name, value in worst.items()})
    return worst


def write(path: Path, source: Electrons, outer_mm: Array, shells_mev: Array, worst: dict[str, float]) -> None:
    """Writes the data file that `get_radial_kernel` reads."""
    last = int(np.flatnonzero(shells_mev > 1e-6 * shells_mev.max())[-1]) + 1
    header = [
        "Ho-166 dose point kernel in water, derived: energy deposited per decay in spherical shells of 0.1 mm.",
        "Source: derived, not published: from the 90Y kernel of Graves et al. (Med Phys 2019;46:5284, "
        "doi:10.1002/mp.13789) and the electrons of ICRP 107; photons (4 % of the energy) are not counted; "
        f"the same derivation predicts published voxel S values off the centre within {worst['Sr-89']:.1f} % (89Sr) "
        f"and {worst['Re-188']:.1f} % (188Re)",
        "Made by benchmarks/holmium_kernel.py.",
        "medium_density_g_per_ml = 1.0",
        f"total_energy_mev = {source.total_mev:.5f}",
        "shell_outer_radius_mm,energy_mev_per_decay",
    ]
    rows = [f"{r:.1f},{e:.6g}" for r, e in zip(outer_mm[:last], shells_mev[:last], strict=True)]
    path.write_text("\n".join([*(f"# {line}" for line in header), *rows]) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--spectra", type=Path, required=True, help="folder of the ICRP 107 spectra, Y-90.json and so on"
    )
    parser.add_argument("--write", action="store_true", help="write the data file of the package")
    options = parser.parse_args()
    published = np.loadtxt(DATA / "y90_graves2019_water.csv", delimiter=",", comments="#")
    bins, misfit = fitted(electrons(options.spectra, "Y-90"), published[:, 0], published[:, 1])
    print(f"misfit to 90Y: rms {100 * misfit:.2f} % of the largest shell")
    worst = evidence(options.spectra, bins)
    outer = np.arange(1, 121) * SHELL_MM
    source = electrons(options.spectra, "Ho-166")
    shells = kernel_mev(source, bins, outer)
    middle = outer - SHELL_MM / 2
    print(f"166Ho: {source.total_mev:.5f} MeV, mean radius {middle @ shells / shells.sum():.3f} mm in water")
    for radius in (5.0, 10.0, 15.0):
        found = sphere_fraction(outer, shells, radius, TISSUE_G_PER_ML)
        print(f"166Ho sphere of {radius:g} mm at {TISSUE_G_PER_ML} g/mL: self fraction {found:.4f}")
    if options.write:
        write(DATA / "ho166_derived_water.csv", source, outer, shells, worst)


if __name__ == "__main__":
    main()
