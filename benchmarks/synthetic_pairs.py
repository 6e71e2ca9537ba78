"""Claim: the displacement of a random pair carries the liver of one pose onto the other, as well as labels allow.

Draws pairs of digital phantoms on the grid of the registration networks. SciPy carries the liver of the floating image
to the reference: by the true displacement, which is the best a network can reach with linearly interpolated labels, and
by none. Pairs whose common field of view has less than 100 mL of liver are omitted.

    python benchmarks/synthetic_pairs.py --bank shape_bank.npz --pairs 20

synthetic_samples.py makes the bank of liver shapes.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from scipy import ndimage

from sirtjax import synthesis

SHAPE, SPACING_MM = (80, 64, 64), 5.0
LEAST_ML = 100.0


def carried(mask: np.ndarray, displacement_mm: np.ndarray) -> np.ndarray:
    """Returns the floating mask at x + u(x)."""
    places = np.indices(mask.shape) + np.moveaxis(displacement_mm, -1, 0) / SPACING_MM
    return np.asarray(ndimage.map_coordinates(mask.astype(float), places, order=1) > 0.5)


def measure(pair: Any) -> tuple[float, float, float] | None:
    """Returns DSC by the true displacement and by none, and the mean displacement of the liver in mm."""
    seen, reference = pair.seen, pair.reference_labels > 0
    if (reference & seen).sum() * SPACING_MM**3 / 1000 < LEAST_ML:
        return None
    scores = []
    for displacement in (pair.displacement_mm, np.zeros_like(pair.displacement_mm)):
        found = carried(pair.floating_labels > 0, displacement) & seen
        scores.append(2.0 * (found & reference).sum() / (found.sum() + (reference & seen).sum()))
    length = np.linalg.norm(pair.displacement_mm, axis=-1)[reference & seen].mean()
    return scores[0], scores[1], float(length)


def main() -> None:
    """Prints the scores of all pairs."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--bank", type=Path, required=True, help="file of liver shapes")
    parser.add_argument("--pairs", type=int, default=20, help="number of pairs")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    options = parser.parse_args()
    bank = synthesis.split_bank(*synthesis.load_shape_bank(options.bank), validation=True)
    image = synthesis.load_preset("default").model_copy(update={"shape": SHAPE, "spacing_mm": SPACING_MM})
    poses = synthesis.load_pair_preset("spect-ct")
    draw = jax.jit(lambda key, bank: synthesis.random_pair(key, bank, config=image, pair=poses))
    rows, seconds = [], []
    for seed in range(options.first, options.first + options.pairs):
        begun = time.perf_counter()
        pair = jax.tree.map(np.asarray, draw(jax.random.key(seed), bank))
        seconds.append(time.perf_counter() - begun)
        rows.append(measure(pair))
    found = np.array([row for row in rows if row is not None])
    print(f"{len(found)} of {len(rows)} pairs; {np.median(seconds[1:]):.2f} s per pair (median, without the first)")
    for name, column in zip(("DSC, true displacement", "DSC, none", "displacement (mm)"), found.T, strict=True):
        print(f"{name:24} mean {column.mean():.3f}, smallest {column.min():.3f}, largest {column.max():.3f}")


if __name__ == "__main__":
    main()
