"""Claim: displacing measured contours makes intervals of small lesions miss doses above them more often than below.

    python benchmarks/contour_errors.py [--draws 400]

A sphere without background, a contour that is a concentric sphere of another radius, and a Gaussian blur have closed
forms. The dose of the contour is corrected with the recovery of the contour itself. The interval is that of
`uncertainty.centred_interval`: the estimate over the quantiles of estimate over truth, of simulated measurements of two
kinds:

- "contour": the measured contour is taken as the true surface, and displaced contours are measured. This is what
  `uncertainty.treatment_intervals` does.
- "truth": the measured contour stays, and true surfaces are displaced from it.

Both displace by the same size. No code of sirtjax is used.

Predicted: the intervals of a contour that is too large are too narrow with the first kind, because a displacement
changes a large sphere less. These contours give doses that are too low.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf, erfinv

Floats = NDArray[np.float64]
RADII_MM, SIZES_MM, FWHM_MM = (6.0, 8.0, 10.0, 15.0, 20.0), (1.0, 1.5, 2.0), 14.0
SMALLEST_MM, LEVEL = 2.0, 0.9
# Midpoints of shells from the centre to the surface, as fractions of the radius.
SHELLS = (np.arange(200) + 0.5) / 200


def mean_within(contour_mm: Floats, radius_mm: Floats) -> Floats:
    """Mean of a blurred sphere of concentration 1 within concentric contours."""
    sigma = FWHM_MM / np.sqrt(8.0 * np.log(2.0))
    place, radius = contour_mm[..., None] * SHELLS, radius_mm[..., None]
    inner, outer = (radius - place) / sigma, (radius + place) / sigma
    value = 0.5 * (erf(inner / np.sqrt(2)) + erf(outer / np.sqrt(2)))
    value -= sigma / (place * np.sqrt(2 * np.pi)) * (np.exp(-(inner**2) / 2) - np.exp(-(outer**2) / 2))
    mean: Floats = (value * SHELLS**2).sum(axis=-1) / (SHELLS**2).sum()
    return mean


def estimate(contour_mm: Floats, radius_mm: Floats) -> Floats:
    """Corrected concentration within contours over the true one."""
    return mean_within(contour_mm, radius_mm) / mean_within(contour_mm, contour_mm)


def missed(radius_mm: float, size_mm: float, kind: str, random: np.random.Generator, draws: int) -> tuple[float, float]:
    """Fractions of intervals that are above and below the truth."""
    contour = np.maximum(radius_mm + size_mm * random.standard_normal(draws), SMALLEST_MM)
    found = estimate(contour, np.full(draws, radius_mm))
    quantile = (np.arange(64) + 0.5) / 64
    shift = size_mm * np.sqrt(2) * erfinv(2 * quantile - 1)
    other = np.maximum(contour[:, None] + shift, SMALLEST_MM)
    same = np.broadcast_to(contour[:, None], other.shape)
    ratio = estimate(other, same) if kind == "contour" else estimate(same, other)
    low, high = np.quantile(found[:, None] / ratio, ((1 - LEVEL) / 2, (1 + LEVEL) / 2), axis=1)
    return float((low > 1).mean()), float((high < 1).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=400)
    options = parser.parse_args()
    print("radius  size   displaced contour: truth below / above   displaced truth: below / above")
    for radius in RADII_MM:
        for size in SIZES_MM:
            random = np.random.default_rng(0)
            rows = [missed(radius, size, kind, random, options.draws) for kind in ("contour", "truth")]
            text = "   ".join(f"{100 * below:5.1f} / {100 * above:4.1f} %" for below, above in rows)
            print(f"{radius:4.0f} mm {size:.1f} mm   {text}")


if __name__ == "__main__":
    main()
