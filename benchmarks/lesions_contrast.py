"""Claim: removing lesions that do not exceed the noise of the liver costs few lesions of low contrast.

In each of several digital patients with contrast CT, one ball of 8 to 30 mL in the liver, away from the other lesions,
becomes darker by 10, 15 and 20 HU. Prints in how many the lesion model finds it, before components that do not exceed
the noise are removed and after.

    python benchmarks/lesions_contrast.py [--first-seed 1100] [--patients 12] [-o results.json]
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sirtjax import phantom, segmentation, spatial
from sirtjax.segmentation import Model
from sirtjax.volume import LabelMap, Volume

CONTRASTS_HU = (10.0, 15.0, 20.0)
RADII_MM = (12.4, 19.3)
# From the ball to the edge of the liver, and voxels from it to other lesions.
MARGIN_MM, MARGIN_VOXELS = 3.0, 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first-seed", type=int, default=1100)
    parser.add_argument("--patients", type=int, default=12)
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    careful = segmentation.load_model("lesions")
    every = replace(careful, spec=careful.spec.model_copy(update={"detectability": None}))
    rows = []
    for seed in range(given.first_seed, given.first_seed + given.patients):
        made = patient(seed)
        if made is None:
            print(f"seed {seed}: no room for a ball", file=sys.stderr)
            continue
        image, liver, distance_mm, radius_mm = made
        for contrast_hu in CONTRASTS_HU:
            dark = contrast_hu * np.clip(radius_mm - distance_mm + 0.5, 0, 1).astype(np.float32)
            shown = Volume(np.asarray(image.array) - dark, image.geometry, unit="HU")
            before, after = (finds(shown, liver, distance_mm < radius_mm, model) for model in (every, careful))
            about = {"seed": seed, "radius_mm": round(radius_mm, 1), "contrast_hu": contrast_hu}
            rows.append(about | {"before": before, "after": after})
            print(json.dumps(rows[-1]), file=sys.stderr)
    for contrast_hu in CONTRASTS_HU:
        some = [row for row in rows if row["contrast_hu"] == contrast_hu]
        before, after = (sum(bool(row[name]) for row in some) for name in ("before", "after"))
        print(f"{contrast_hu:g} HU: found in {before} of {len(some)} before the removal, in {after} after it")
    if given.output is not None:
        given.output.write_text(json.dumps({"claim": (__doc__ or "").splitlines()[0], "rows": rows}, indent=1) + "\n")


def patient(seed: int) -> tuple[Volume, LabelMap, NDArray[np.float64], float] | None:
    """An image, its liver, the distance from the centre of the ball and its radius; None without room for it."""
    random = np.random.default_rng(seed)
    made = phantom.simulate_patient(seed, phantom.load_preset("default"), sessions=("diagnostic_ct",))
    image, labels = made.images["diagnostic_ct"], made.labels["diagnostic_ct"]
    liver = _on(labels["liver"], image)
    ill = LabelMap.from_mask(np.asarray(labels["lesions"].array) > 0, labels["lesions"].geometry, name="lesions")
    others = ndimage.binary_dilation(_on(ill, image).mask("lesions"), iterations=MARGIN_VOXELS)
    radius_mm = float(random.uniform(*RADII_MM))
    room = ndimage.distance_transform_edt(liver.mask("liver") & ~others, sampling=image.geometry.spacing_mm)
    centres = np.argwhere(room > radius_mm + MARGIN_MM)
    if not len(centres):
        return None
    centre = centres[random.integers(len(centres))]
    axes = [
        (np.arange(n) - c) * s for n, c, s in zip(image.geometry.shape, centre, image.geometry.spacing_mm, strict=True)
    ]
    return image, liver, np.sqrt(sum(axis**2 for axis in np.ix_(*axes))), radius_mm


def finds(image: Volume, liver: LabelMap, ball: NDArray[np.bool_], model: Model) -> bool:
    """Whether the model finds a part of the ball."""
    found = segmentation.segment(image, model, structure="lesions", modality="CT", liver=liver)
    return bool((found.labels.mask("lesions") & ball).any())


def _on(labels: LabelMap, image: Volume) -> LabelMap:
    return labels if labels.geometry == image.geometry else spatial.resample_labels(labels, image.geometry)


if __name__ == "__main__":
    main()
