"""Claim: check SJ204 names territories of which a half has no activity, and no others.

    python benchmarks/perfusion_check.py --first 9000 --patients 20

Digital phantoms (preset `default`): SPECT with Poisson noise, true contours. In the second image of each patient, the
lower half of the liver has no counts, with an edge blurred as by the camera. Contours of the territories are unchanged.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy import ndimage

import sirtjax as sj
from sirtjax import spatial
from sirtjax.dosimetry import CHECKS
from sirtjax.workflows._perfusion import cold_fractions

FWHM_MM = 12.0


def fractions_of(seed: int) -> tuple[dict[str, float], dict[str, float]]:
    """Returns the fraction without uptake of each territory: of the patient, and with half of the liver perfused."""
    simulated = sj.simulate(seed=seed, preset="default", sessions=["spect"])
    image, labels = simulated.images["spect"], simulated.labels["spect"]
    grid = image.geometry

    def occupied(kind: str) -> dict[str, np.ndarray]:
        names = [name for _, name in labels[kind].names]
        return {name: np.asarray(spatial.occupancy(labels[kind], name, grid), np.float32) for name in names}

    [liver] = occupied("liver").values()
    lesions = np.max(list(occupied("lesions").values()), axis=0)
    counts = np.asarray(image.array, np.float32)
    height = np.indices(counts.shape)[2]
    upper = (height > np.median(height[liver > 0.5])).astype(np.float32)
    upper = ndimage.gaussian_filter(upper, FWHM_MM / np.sqrt(8 * np.log(2)) / np.asarray(grid.spacing_mm))
    territories = occupied("territories")
    whole, half = (
        cold_fractions(values, liver, territories, lesions, grid.spacing_mm) for values in (counts, counts * upper)
    )
    return whole, half


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=9000, help="first seed")
    parser.add_argument("--patients", type=int, default=20, help="number of patients")
    arguments = parser.parse_args()
    found: list[list[float]] = [[], []]
    for seed in range(arguments.first, arguments.first + arguments.patients):
        both = fractions_of(seed)
        print(seed, *({name: round(value, 3) for name, value in one.items()} for one in both), flush=True)
        for values, one in zip(found, both, strict=True):
            values += one.values()
    [limit] = [rule.limit for rule in CHECKS if rule.code == "SJ204"]
    for title, values in zip(("perfused", "half perfused"), found, strict=True):
        named = sum(value > limit for value in values)
        print(f"{title}: SJ204 in {named} of {len(values)} territories; {min(values):.2f} to {max(values):.2f}")


if __name__ == "__main__":
    main()
