"""Claim: on digital phantoms, subtraction of a background ROI makes the planar lung shunt fraction too low.

    python benchmarks/planar_shunt.py --first 4100 --patients 20

Digital phantoms (preset `default`): projections with attenuation correction, blur and Poisson noise, with activity in
the rest of the body. ROIs are the true projections of lungs and liver. The background is drawn in two places: between
the lungs (6 mm from them and 25 mm from the liver), and in the abdomen (20 mm below both organs).
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy import ndimage

import sirtjax as sj
from sirtjax.dosimetry import ConjugateCounts, planar_lung_shunt_fraction

PLACES = ("none", "between the lungs", "abdomen")


def backgrounds(lungs: np.ndarray, liver: np.ndarray, spacing_mm: tuple[float, float]) -> dict[str, np.ndarray]:
    """Returns the pixels of each background; columns run along x, rows along z from feet to head."""
    from_liver = ndimage.distance_transform_edt(~liver, sampling=spacing_mm)
    from_lungs = ndimage.distance_transform_edt(~lungs, sampling=spacing_mm)
    # Pixels with lung on both sides of the same row.
    between = np.logical_or.accumulate(lungs, 0) & np.logical_or.accumulate(lungs[::-1], 0)[::-1] & ~lungs
    x, z = np.indices(lungs.shape)
    organs = np.argwhere(lungs | liver)
    middle = np.abs(x - organs[:, 0].mean()) < 0.25 * np.ptp(organs[:, 0])
    below = (z < organs[:, 1].min()) & middle & (np.minimum(from_liver, from_lungs) > 20)
    return {"between the lungs": between & (from_lungs > 6) & (from_liver > 25), "abdomen": below}


def ratios_of(seed: int) -> tuple[float, dict[str, float]]:
    """Returns the true fraction, and the ratio of the measured one to it, by the place of the background."""
    patient = sj.simulate(seed=seed, preset="default", sessions=["spect"])
    views = [np.asarray(patient.images[f"planar_{side}"].array).squeeze() for side in ("anterior", "posterior")]
    organs = patient.labels["planar"]["organs"]
    lungs, liver = (organs.mask(name).squeeze() for name in ("lungs", "liver"))
    spacing = organs.geometry.spacing_mm
    places = backgrounds(lungs, liver, (spacing[0], spacing[2]))
    true = float(patient.numbers["maa"]["lung_shunt_fraction"])
    ratios = {}
    for place in PLACES:
        per_pixel = [0.0 if place == "none" else float(view[places[place]].mean()) for view in views]
        counts = [
            ConjugateCounts(
                anterior=float(views[0][organ].sum()),
                posterior=float(views[1][organ].sum()),
                anterior_background=per_pixel[0] * int(organ.sum()),
                posterior_background=per_pixel[1] * int(organ.sum()),
            )
            for organ in (lungs, liver)
        ]
        ratios[place] = planar_lung_shunt_fraction(*counts) / true
    return true, ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=4100, help="first seed")
    parser.add_argument("--patients", type=int, default=20, help="number of patients")
    arguments = parser.parse_args()
    found = []
    for seed in range(arguments.first, arguments.first + arguments.patients):
        true, ratios = ratios_of(seed)
        found.append(list(ratios.values()))
        print(seed, f"{100 * true:.1f} %", *(f"{value:.3f}" for value in ratios.values()), flush=True)
    for place, values in zip(PLACES, np.transpose(found), strict=True):
        print(f"{place}: measured / true median {np.median(values):.3f}, {values.min():.3f} to {values.max():.3f}")


if __name__ == "__main__":
    main()
