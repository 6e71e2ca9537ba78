"""Claim: on digital phantoms, what a background ROI and the correction of the blur make of a planar lung shunt.

    python benchmarks/planar_shunt.py --first 4100 --patients 20
    python benchmarks/planar_shunt.py --first 6100 --patients 20 --shunt 0.02

Digital phantoms (preset `default`): projections with attenuation correction, blur and Poisson noise, with activity in
the rest of the body. ROIs are the true projections of lungs and liver. The background is drawn in two places: between
the lungs (6 mm from them and 25 mm from the liver), and in the abdomen (20 mm below both organs).

The blur is corrected with the resolution stated right, 20 % too small and 20 % too large. `--shunt` replaces the true
lung shunt fraction of all patients, `--liver-pixels` makes the liver ROI too large (above 0) or too small. The last
line counts the true fractions in intervals of 90 %: lognormal, 7.5 % (preset "published-y90"), and for corrected
fractions also the change by a resolution that is wrong by 20 %. benchmarks/planar_shunt_parts.py explains the ratios.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
from scipy import ndimage

from sirtjax import phantom
from sirtjax.dosimetry import ConjugateCounts, planar_lung_shunt_fraction
from sirtjax.partial_volume import unblurred_region_counts
from sirtjax.volume import LabelMap

# Relative size of the source "lung_shunt" in the preset "published-y90".
SHUNT_SIZE = 0.075
PLACES = ("none", "between the lungs", "abdomen")
SCALES = {"blur corrected": 1.0, "blur corrected, FWHM 20 % too small": 0.8, "blur corrected, FWHM 20 % too large": 1.2}


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


def rois_of(organs: LabelMap, *, liver_pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the ROIs of lungs and liver; a liver ROI that is too small leaves its border to the lungs next to it."""
    lungs, liver = (organs.mask(name).squeeze() for name in ("lungs", "liver"))
    if liver_pixels > 0:
        liver = ndimage.binary_dilation(liver, iterations=liver_pixels)
    elif liver_pixels < 0:
        smaller = ndimage.binary_erosion(liver, iterations=-liver_pixels)
        lungs = lungs | (liver & ~smaller & ndimage.binary_dilation(lungs, iterations=-liver_pixels))
        liver = smaller
    return lungs & ~liver, liver


def with_background(
    views: list[np.ndarray], organs: tuple[np.ndarray, np.ndarray], background: np.ndarray | None
) -> float:
    """Returns the measured fraction with a background per pixel."""
    per_pixel = [0.0 if background is None else float(view[background].mean()) for view in views]
    counts = [
        ConjugateCounts(
            anterior=float(views[0][organ].sum()),
            posterior=float(views[1][organ].sum()),
            anterior_background=per_pixel[0] * int(organ.sum()),
            posterior_background=per_pixel[1] * int(organ.sum()),
        )
        for organ in organs
    ]
    return planar_lung_shunt_fraction(*counts)


def without_blur(
    views: list[np.ndarray], organs: tuple[np.ndarray, np.ndarray], spacing_mm: tuple[float, float], fwhm_mm: float
) -> float:
    """Returns the measured fraction corrected for the blur."""
    regions = np.stack([*organs, ~(organs[0] | organs[1])])
    pairs = zip(*(unblurred_region_counts(view, regions, spacing_mm, fwhm_mm) for view in views), strict=True)
    lungs, liver, _ = (ConjugateCounts(anterior=float(one), posterior=float(two)) for one, two in pairs)
    return planar_lung_shunt_fraction(lungs, liver)


def ratios_of(
    seed: int, config: phantom.PhantomConfig, *, liver_pixels: int
) -> tuple[float, dict[str, float], dict[str, bool]]:
    """Returns the true fraction, the ratio of the measured one to it, and whether its interval contains it."""
    patient = phantom.simulate_patient(seed, config, sessions=("spect",))
    views = [np.asarray(patient.images[f"planar_{side}"].array).squeeze() for side in ("anterior", "posterior")]
    labels = patient.labels["planar"]["organs"]
    organs = rois_of(labels, liver_pixels=liver_pixels)
    spacing = (labels.geometry.spacing_mm[0], labels.geometry.spacing_mm[2])
    places = backgrounds(*organs, spacing)
    true = float(patient.numbers["maa"]["lung_shunt_fraction"])
    found = {place: with_background(views, organs, places.get(place)) for place in PLACES}
    sizes = dict.fromkeys(PLACES, SHUNT_SIZE)
    for name, scale in SCALES.items():
        width = scale * config.planar.fwhm_mm
        middle, *others = (without_blur(views, organs, spacing, width * off) for off in (1.0, 0.8, 1.2))
        found[name] = middle
        sizes[name] = math.hypot(SHUNT_SIZE, max(abs(other - middle) for other in others) / middle)
    ratios = {name: value / true for name, value in found.items()}
    contains = {name: ratio > 0 and abs(math.log(ratio)) < 1.645 * sizes[name] for name, ratio in ratios.items()}
    return true, ratios, contains


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=4100, help="first seed")
    parser.add_argument("--patients", type=int, default=20, help="number of patients")
    parser.add_argument("--shunt", type=float, help="true lung shunt fraction of all patients (default: the preset's)")
    parser.add_argument("--liver-pixels", type=int, default=0, help="pixels by which the liver ROI is too large")
    arguments = parser.parse_args()
    table = phantom.load_preset("default").model_dump(by_alias=True)
    if arguments.shunt is not None:
        table["maa"]["lung_shunt_fraction"] = (arguments.shunt, arguments.shunt)
    config = phantom.config_from_dict(table, name="default")
    trues, found, contains = [], [], []
    for seed in range(arguments.first, arguments.first + arguments.patients):
        true, ratios, inside = ratios_of(seed, config, liver_pixels=arguments.liver_pixels)
        trues.append(true)
        found.append(list(ratios.values()))
        contains.append(list(inside.values()))
        print(seed, f"{100 * true:.1f} %", *(f"{value:.3f}" for value in ratios.values()), flush=True)
    for name, values in zip((*PLACES, *SCALES), np.transpose(found), strict=True):
        print(f"{name}: measured / true median {np.median(values):.3f}, {values.min():.3f} to {values.max():.3f}")
    for low, high in ((0.0, 0.04), (0.04, 1.0)):
        chosen = [(low <= true < high) for true in trues]
        if any(chosen) and not all(chosen):
            medians = np.median(np.asarray(found)[chosen], axis=0)
            print(f"{sum(chosen)} of {100 * low:.0f} to {100 * high:.0f} %:", *(f"{one:.3f}" for one in medians))
    print("true fraction in the interval:", *np.sum(contains, axis=0), f"of {len(contains)}")


if __name__ == "__main__":
    main()
