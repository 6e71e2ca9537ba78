"""The tables of uncertainty_phantoms.py: coverage, and errors of lesions without those of calibrator and density."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from sirtjax import phantom
from sirtjax.phantom._scene import random_stream

Row = dict[str, Any]
Floats = NDArray[np.float64]
# Relative sizes of calibrator, residual and density in `case-uncertainty.toml`.
CALIBRATOR, DENSITY = (0.078, 0.01), 0.02


class Drawn(NamedTuple):
    """Standard normal numbers of the errors of one patient, in the order in which they are drawn."""

    fwhm: float
    shift: Floats
    activity: float
    density: float


def drawn_errors(seed: int) -> Drawn:
    """Returns the errors of a patient."""
    rng = np.random.default_rng([seed, 2])
    return Drawn(rng.normal(), rng.standard_normal(3), rng.normal(), rng.normal())


def without_outside(rows: list[Row], preset: str) -> list[Row]:
    """Returns the rows with the truth for patients without activity outside liver and lungs."""
    config = phantom.load_preset(preset).maa
    changed = []
    for row in rows:
        # The second number that the phantom draws for the distribution of MAA.
        random = random_stream(row["seed"], "maa")
        random.uniform(*config.lung_shunt_fraction)
        reached = 1.0 - random.uniform(*config.extrahepatic_fraction)
        if "truth" in row and row["dose"] != "V":
            row = row | {"truth": row["truth"] * (reached if row["dose"] == "largest activity" else 1 / reached)}
        changed.append(row)
    return changed


def parts(rows: list[Row]) -> None:
    """Prints errors and widths of mean doses without the part of calibrator and density."""
    calibrator, density = np.hypot(*CALIBRATOR), DENSITY
    found = []
    for row in rows:
        if row["dose"] == "mean":
            one, error = drawn_errors(row["seed"]), np.log(row["median"] / row["truth"])
            width = np.log(row["upper"] / row["lower"]) / (2.0 * special.ndtri(0.95))
            rest = width**2 - calibrator**2 - density**2
            found.append((row["radius_mm"], error + calibrator * one.activity - density * one.density, max(rest, 0.0)))
    radius, error, variance = np.array(found).T
    print("radius, mm    n   median error   robust sd of the error   median sd of the interval   missing sd")
    for low, high in pairwise((6, 10, 12, 15, 20, 25, 40)):
        inside = (radius >= low) & (radius < high)
        middle = np.median(error[inside])
        spread = np.median(np.abs(error[inside] - middle)) / special.ndtri(0.75)
        stated = np.sqrt(np.median(variance[inside]))
        missing = np.sqrt(max(spread**2 - stated**2, 0.0))
        print(f"{low:4} to {high:2}  {inside.sum():4}{middle:15.3f}{spread:25.3f}{stated:28.3f}{missing:13.3f}")


def averaged(rows: list[Row]) -> None:
    """Prints the coverage averaged over the known error of calibrator and density, which one draw gives by chance.

    All doses of a patient share this error. The coverage that other draws would have had follows from the normal
    distribution of its size, with everything else as it was.
    """
    size = np.hypot(np.hypot(*CALIBRATOR), DENSITY)
    groups: list[tuple[str, Any]] = [
        (f"{dose}, {name}", lambda r, dose=dose, test=test: r["dose"] == dose and test(r["radius_mm"]))
        for dose in ("mean", "D70")
        for name, test in (("below 20 mm", lambda x: x < 10), ("above 20 mm", lambda x: x >= 10))
    ]
    groups += [(dose, lambda r, dose=dose: r["dose"] == dose) for dose in ("normal liver", "largest activity")]
    print(f"{'averaged over calibrator':28}{'n':>5}{'cover %':>9}{'below':>7}{'above':>7}")
    for name, test in groups:
        found = []
        for row in rows:
            if "truth" in row and test(row):
                one, sign = drawn_errors(row["seed"]), -1.0 if name == "largest activity" else 1.0
                known = sign * (np.hypot(*CALIBRATOR) * one.activity - DENSITY * one.density)
                # An activity depends on them inversely.
                lower, upper = (np.log(row[key] / row["truth"]) + known for key in ("lower", "upper"))
                found.append((special.ndtr(lower / size), special.ndtr(-upper / size)))
        if found:
            below, above = 100.0 * np.mean(found, axis=0)
            print(f"{name:28}{len(found):5}{100.0 - below - above:9.0f}{below:7.0f}{above:7.0f}")


def summary(rows: list[Row]) -> None:
    """Prints the coverage of each dose in each group of lesions."""
    groups: list[tuple[str, Any]] = [
        ("all lesions", lambda r: True),
        ("below 20 mm", lambda r: r["radius_mm"] < 10),
        ("above 20 mm", lambda r: r["radius_mm"] >= 10),
    ]
    parts = [
        (f"{dose}, {name}", [r for r in rows if r["dose"] == dose and test(r)])
        for dose in ("mean", "D70", "V")
        for name, test in groups
    ]
    parts += [(dose, [r for r in rows if r["dose"] == dose]) for dose in ("normal liver", "lungs", "largest activity")]
    print(f"{'dose':24}{'n':>5}{'uncorr':>8}{'est/truth':>11}{'mid/truth':>11}{'cover %':>9}{'below':>7}{'above':>7}")
    for name, found in parts:
        if name.startswith("V,"):  # a volume of 0 or 100 % is no test
            found = [r for r in found if 0.02 < r["truth"] < 0.98]
        if found:
            truth, estimate, median, lower, upper = (
                np.array([r[key] for r in found]) for key in ("truth", "estimate", "median", "lower", "upper")
            )
            plain = [r["uncorrected"] / r["truth"] for r in found if r["uncorrected"] is not None]
            print(f"{name:24}{len(found):5}{np.median(plain) if plain else np.nan:8.2f}"
                  f"{np.median(estimate / truth):11.3f}{np.median(median / truth):11.3f}"
                  f"{100 * np.mean((lower <= truth) & (truth <= upper)):9.0f}"
                  f"{100 * np.mean(truth < lower):7.0f}{100 * np.mean(truth > upper):7.0f}")  # fmt: skip
    failed = [r for r in rows if r["dose"].startswith("no ")]
    times = {r["seed"]: (r["wall_s"], r["cpu_s"]) for r in rows if "wall_s" in r}
    wall, cpu = np.median(list(times.values()), axis=0) if times else (np.nan, np.nan)
    print(f"{len(times)} patients, {len(failed)} without intervals; median {wall:.0f} s wall, {cpu:.0f} s CPU per plan")
    for row in failed:
        print(f"  seed {row['seed']}: {row['reason']}")
