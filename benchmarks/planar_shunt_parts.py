"""Claim: which effects make the planar lung shunt fraction of a digital phantom too large or too small.

    python benchmarks/planar_shunt_parts.py --first 5200 --patients 10

Preset `default`, with 2 % of the activity outside liver and lungs. Each column adds one effect: attenuation (all counts
of an organ, of a camera without blur), the ROIs (true projections; pixels of both organs are liver, and pixels at a
border have counts of both), the rest of the body, the blur (9 mm FWHM) and Poisson noise.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from sirtjax import phantom
from sirtjax.phantom._planar import planar_views
from sirtjax.phantom._scene import draw_scene, grid
from sirtjax.phantom._sessions import _planar_rois
from sirtjax.phantom._uptake import activity_map

SHUNTS = (0.01, 0.02, 0.03, 0.05, 0.09)
EFFECTS = ("attenuation", "+ ROIs", "+ rest", "+ blur", "+ noise")
REST = 0.02
# A camera without blur: far below the size of a pixel.
SHARP_MM = 0.5
Views = list[np.ndarray]


def projections(
    seed: int, config: phantom.PhantomConfig, *, corrected: bool
) -> tuple[dict[tuple[str, float], Views], np.ndarray]:
    """Returns the views of 1 MBq in each part of the body, by part and resolution, and the ROIs."""
    scene, geometry = draw_scene(seed, config), grid(config.spect)
    found = {}
    for part, lungs, rest in (("liver", 0.0, 0.0), ("lungs", 1.0, 0.0), ("rest", 0.0, 1.0)):
        uptake = replace(scene.maa, lung_shunt_fraction=lungs, extrahepatic_fraction=rest)
        given = activity_map(scene.anatomy, scene.poses["spect"], geometry, uptake, activity_mbq=1.0)
        for fwhm_mm in (SHARP_MM, config.planar.fwhm_mm):
            views = planar_views(
                given.mbq_per_ml, given.attenuation_per_mm, geometry, fwhm_mm=fwhm_mm, attenuation_corrected=corrected
            )
            found[part, fwhm_mm] = [view.squeeze().astype(np.float64) for view in views]
    return found, np.asarray(_planar_rois(given, geometry).array).squeeze()


def fraction(lungs: list[float], liver: list[float]) -> float:
    """Returns the lung shunt fraction of counts of both organs in both views."""
    one, other = (float(np.sqrt(np.prod(views))) for views in (lungs, liver))
    return one / (one + other)


def ratios_of(seed: int, config: phantom.PhantomConfig, *, corrected: bool) -> np.ndarray:
    """Returns measured over true fraction, by true fraction and effect."""
    parts, rois = projections(seed, config, corrected=corrected)
    rows = []
    for true in SHUNTS:
        activity = {"liver": (1 - REST) * (1 - true), "lungs": (1 - REST) * true, "rest": REST}

        def seen(fwhm_mm: float, names: tuple[str, ...], activity: dict[str, float] = activity) -> Views:
            return [np.sum([activity[name] * parts[name, fwhm_mm][side] for name in names], axis=0) for side in (0, 1)]

        def measured(views: Views) -> float:
            return fraction(*([float(view[rois == organ].sum()) for view in views] for organ in (1, 2)))

        whole = ([float(view.sum()) for view in seen(SHARP_MM, (name,))] for name in ("lungs", "liver"))
        blurred = seen(config.planar.fwhm_mm, ("liver", "lungs", "rest"))
        scale = config.planar.counts / sum(view.sum() for view in blurred)
        noise = np.random.default_rng(seed)
        counted = [noise.poisson(np.maximum(view, 0) * scale).astype(np.float64) for view in blurred]
        values = [
            fraction(*whole),
            measured(seen(SHARP_MM, ("liver", "lungs"))),
            measured(seen(SHARP_MM, ("liver", "lungs", "rest"))),
            measured(blurred),
            measured(counted),
        ]
        rows.append(np.divide(values, true))
    return np.stack(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=5200, help="first seed")
    parser.add_argument("--patients", type=int, default=10, help="number of patients")
    parser.add_argument("--uncorrected", action="store_true", help="views without attenuation correction")
    arguments = parser.parse_args()
    config = phantom.load_preset("default")
    seeds = range(arguments.first, arguments.first + arguments.patients)
    found = [ratios_of(seed, config, corrected=not arguments.uncorrected) for seed in seeds]
    print("true fraction", *EFFECTS, sep="  ")
    for true, row in zip(SHUNTS, np.median(found, axis=0), strict=True):
        print(f"{100 * true:.0f} %", *(f"{value:.2f}" for value in row), sep="  ")


if __name__ == "__main__":
    main()
