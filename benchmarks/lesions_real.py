"""Claim: the bundled lesion model finds most lesions of a size that matters, and none in the noise of a low-dose CT.

Runs `sirtjax.segmentation.segment` with the lesion model on every real case with drawn lesions in a folder of open
data, and on digital patients (contrast CT, low-dose CT, T1 MR), inside the drawn liver and inside the one that the
liver model finds. Prints DSC, volume ratio and how many lesions were found, by the counting rules of the thesis
(7.3.3). The model was trained on random digital patients alone. One real scan is a smoke test and no claim of
performance. Of scans without drawn lesions it prints the number of components. `--keep-noise` shows what the model
finds before components that do not exceed the noise of the liver are removed.

    python benchmarks/lesions_real.py --data FOLDER --pictures PICTURES -o results.json
    python benchmarks/lesions_real.py --first-seed 2100 --patients 10 [--keep-noise]

FOLDER is described in segmentation_cases.py; of its scans only 3D-IRCADb-01 case 1 has lesions drawn.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from segmentation_cases import FIRST_SEED, Case, digital_cases, draw, real_cases, write_results

from sirtjax import metrics, ops, segmentation
from sirtjax.errors import SirtjaxError
from sirtjax.volume import LabelMap

# Smaller lesions are not counted: the model does not keep them.
MIN_ML = 0.1
# Limits of the groups that lesions are counted in.
SIZES_ML = (MIN_ML, 1.0, 10.0, float("inf"))
COLUMNS = ("dsc", "volume_ratio", "predicted_ml", "reference_ml", "seconds")


def measure(
    case: Case, truth: LabelMap | None, liver: LabelMap, model: segmentation.Model, pictures: Path | None
) -> dict[str, Any]:
    """What the lesion model finds in a liver, against the lesions drawn if there are any."""
    begun = time.perf_counter()
    try:
        found = segmentation.segment(case.image, model, structure="lesions", modality=case.modality, liver=liver)
    except SirtjaxError as error:
        return {"error": str(error)}
    seconds = time.perf_counter() - begun
    mask, flags = found.labels.mask("lesions"), [flag.code for flag in found.flags]
    if truth is None:
        components = int(ops.components(mask, connectivity=26).max(initial=0))
        predicted_ml = found.volumes_ml["lesions"]
        return {"components": components, "predicted_ml": predicted_ml, "flags": flags, "seconds": seconds}
    drawn = truth.mask("lesions")
    spacing_mm = case.image.geometry.spacing_mm
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    counts = metrics.lesion_detection(mask, drawn, spacing_mm, min_volume_ml=MIN_ML)
    both = int(drawn.sum()) + int(mask.sum())
    numbers = ops.components(drawn, connectivity=26)
    sizes_ml = np.bincount(numbers.ravel())[1:] * voxel_ml
    hit = np.isin(np.arange(1, len(sizes_ml) + 1), np.unique(numbers[mask]))
    if pictures is not None:
        draw(case, truth=drawn, found=mask, path=pictures / f"{case.group} {case.name}.png")
    return {
        "dsc": 2.0 * int((drawn & mask).sum()) / both if both else 1.0,
        "volume_ratio": found.volumes_ml["lesions"] / max(truth.volume_ml("lesions"), voxel_ml),
        "predicted_ml": found.volumes_ml["lesions"],
        "reference_ml": truth.volume_ml("lesions"),
        "drawn": counts.reference_count,
        "detected": counts.detected,
        "false": counts.false_positives,
        "lesions": [[round(float(ml), 2), bool(one)] for ml, one in zip(sizes_ml, hit, strict=True) if ml >= MIN_ML],
        "flags": flags,
        "seconds": seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of real scans; without it digital patients alone")
    parser.add_argument("--model", default="lesions", help="name or folder of the model")
    parser.add_argument("--patients", type=int, default=4, help="digital patients")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED, help="of the digital patients")
    parser.add_argument("--keep-noise", action="store_true", help="keep components that do not exceed the noise")
    parser.add_argument("--pictures", type=Path, help="folder for a picture of each case, inside the drawn liver")
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    if given.pictures is not None:
        given.pictures.mkdir(parents=True, exist_ok=True)
    model, liver_model = segmentation.load_model(given.model), segmentation.load_model("liver")
    if given.keep_noise:
        model = replace(model, spec=model.spec.model_copy(update={"detectability": None}))
    rows: list[dict[str, Any]] = []
    digital = digital_cases(given.patients, first_seed=given.first_seed)
    for case in itertools.chain(real_cases(given.data) if given.data else (), digital):
        if case.liver is None or (case.lesions is not None and not case.lesions.mask("lesions").any()):
            continue
        automatic = segmentation.segment(case.image, liver_model, structure="liver", modality=case.modality).labels
        for liver, words, pictures in ((case.liver, "drawn", given.pictures), (automatic, "found", None)):
            row = {"group": case.group, "case": case.name, "truth": case.truth, "liver": words}
            rows.append(row | measure(case, case.lesions, liver, model, pictures))
            tell(rows[-1])
    means = mean_by_group(rows)
    print(json.dumps(means, indent=1))
    if given.output is not None:
        write_results(given.output, __doc__ or "", model, means, rows)


def tell(row: dict[str, Any]) -> None:
    """A row on the screen."""
    figures = " ".join(f"{name} {row[name]:.3f}" for name in COLUMNS if name in row)
    counts = " ".join(f"{name} {row[name]}" for name in ("drawn", "detected", "false", "components") if name in row)
    counts += f" flags {', '.join(row.get('flags', ())) or 'none'}"
    print(
        row["group"],
        "|",
        row["case"],
        "| liver",
        row["liver"],
        "|",
        row.get("error", f"{figures} {counts}"),
        file=sys.stderr,
    )


def mean_by_group(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Means and sums by group of cases and origin of the liver; a case that ended in an error counts as DSC 0.

    Cases without drawn lesions are listed only in the rows.
    """
    rows = [row for row in rows if "components" not in row]
    result: dict[str, dict[str, Any]] = {}
    for group, liver in dict.fromkeys((row["group"], row["liver"]) for row in rows):
        members = [row for row in rows if (row["group"], row["liver"]) == (group, liver)]
        lesions = [lesion for row in members for lesion in row.get("lesions", ())]
        result[f"{group}, liver {liver}"] = {
            "cases": len(members),
            "errors": sum("error" in row for row in members),
            "dsc": statistics.mean(row.get("dsc", 0.0) for row in members),
            "lowest_dsc": min(row.get("dsc", 0.0) for row in members),
            "drawn": sum(row.get("drawn", 0) for row in members),
            "detected": sum(row.get("detected", 0) for row in members),
            "false": sum(row.get("false", 0) for row in members),
            "most_false": max(row.get("false", 0) for row in members),
            "not_detectable": sum("lesions_not_detectable" in row.get("flags", ()) for row in members),
            "detected_by_size": {
                f"{low:g} to {high:g} mL": of_size(lesions, low, high) for low, high in itertools.pairwise(SIZES_ML)
            },
        }
    return result


def of_size(lesions: list[list[Any]], low_ml: float, high_ml: float) -> dict[str, int]:
    """How many lesions of a size are drawn, and how many of them are found."""
    found = [hit for ml, hit in lesions if low_ml <= ml < high_ml]
    return {"drawn": len(found), "detected": sum(found)}


if __name__ == "__main__":
    main()
