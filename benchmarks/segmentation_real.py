"""Claim: the liver model that comes with the package finds livers it has never seen anything like.

Runs `sirtjax.segmentation.segment` on every real case with a human label in a folder of open data (see below), and
on digital patients (contrast CT, low-dose CT, T1 MR), and prints DSC, mean surface distance, 95 % Hausdorff distance
and volume ratio, with the time from the image in memory to the labels. The model was trained on random digital
patients alone: no real image was trained or tuned on. Two or three real scans are a smoke test and no claim of
performance; what the truth is worth stands beside each.

    python benchmarks/segmentation_real.py --data FOLDER --pictures PICTURES -o results.json

FOLDER is described in segmentation_cases.py; what is not there is left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from segmentation_cases import Case, digital_cases, draw, real_cases, write_results

from sirtjax import metrics, segmentation
from sirtjax.errors import SirtjaxError

TOLERANCE_MM = 3.0
COLUMNS = ("dsc", "msd_mm", "hd95_mm", "volume_ratio", "predicted_ml", "reference_ml", "seconds")


def measure(case: Case, model: segmentation.Model, pictures: Path | None) -> dict[str, Any]:
    """One row of the table."""
    row: dict[str, Any] = {"group": case.group, "case": case.name, "truth": case.truth}
    begun = time.perf_counter()
    try:
        found = segmentation.segment(case.image, model, structure="liver", modality=case.modality)
    except SirtjaxError as error:
        return {**row, "error": str(error)}
    row["seconds"] = time.perf_counter() - begun
    row["flags"] = [flag.code for flag in found.flags]
    mask = found.labels.mask("liver")
    row["predicted_ml"] = found.volumes_ml["liver"]
    if case.liver is not None:
        truth = case.liver.mask("liver")
        quality = metrics.evaluate_segmentation(mask, truth, case.image.geometry, tolerance_mm=TOLERANCE_MM)
        row |= {name: getattr(quality, name) for name in COLUMNS if hasattr(quality, name)}
        row["surface_dsc_3mm"] = quality.surface_dsc
    if pictures is not None:
        truth = np.zeros_like(mask) if case.liver is None else case.liver.mask("liver")
        draw(case, truth=truth, found=mask, path=pictures / f"{case.group} {case.name}.png")
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of real scans; without it digital patients alone")
    parser.add_argument("--model", default="liver", help="name or folder of the model")
    parser.add_argument("--patients", type=int, default=4, help="digital patients")
    parser.add_argument("--pictures", type=Path, help="folder for a picture of each case")
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    if given.pictures is not None:
        given.pictures.mkdir(parents=True, exist_ok=True)
    model = segmentation.load_model(given.model)
    rows = []
    for source in (real_cases(given.data) if given.data else (), digital_cases(given.patients)):
        for case in source:
            rows.append(measure(case, model, given.pictures))
            tell(rows[-1])
    means = mean_by_group(rows)
    print(json.dumps(means, indent=1))
    if given.output is not None:
        write_results(given.output, __doc__ or "", model, means, rows)


def tell(row: dict[str, Any]) -> None:
    """A row on the screen."""
    figures = " ".join(f"{name} {row[name]:.3f}" for name in COLUMNS if name in row)
    print(row["group"], "|", row["case"], "|", row.get("error", figures), row.get("flags", ""), file=sys.stderr)


def mean_by_group(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Means of the cases with a truth; a case that ended in an error counts as DSC 0."""
    result: dict[str, dict[str, float]] = {}
    for group in dict.fromkeys(row["group"] for row in rows):
        members = [row for row in rows if row["group"] == group]
        means = {"cases": float(len(members)), "errors": float(sum("error" in row for row in members))}
        if any("dsc" in row for row in members):
            means["dsc"] = statistics.mean(row.get("dsc", 0.0) for row in members)
            means["lowest_dsc"] = min(row.get("dsc", 0.0) for row in members)
            for name in ("msd_mm", "hd95_mm", "volume_ratio"):
                means[name] = statistics.mean(row[name] for row in members if name in row)
        result[group] = means
    return result


if __name__ == "__main__":
    main()
