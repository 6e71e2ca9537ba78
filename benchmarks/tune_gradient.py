"""Claim: the descent of `sirtjax tune --gradient` finds weights as good as those of the grid search; at what cost.

Cases are pairs of phantoms from registration_cases.py (two low-dose CT, two poses) on a small lattice. Both searches
start from the preset `cnn` with the liver masks as guidance. Liver and lesions evaluate. Both learn weights.image and
weights.masks: the grid has 5 x 5 points, the descent up to 8 steps. A second descent learns the weight of the
regularisation as well, and two others start with a high and a low weight of the images. The weights found are then
evaluated on other cases, as are those of the preset.

    python benchmarks/tune_gradient.py --json benchmarks/results/tune_gradient.json

CPU seconds are those of this process without compilation: a short search of one case compiles the programs before.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from registration_cases import make_case, write_case

from sirtjax import metrics, registration
from sirtjax.errors import GeometryError
from sirtjax.parsing import json_value, parse_json
from sirtjax.studies import WeightSearch, search_weights, search_weights_by_gradient

TASK, SPACING_MM = "lowdose-lowdose", 5.0
TUNING_SEEDS, HELD_OUT_SEEDS = (1, 2, 3, 4), (101, 102, 103, 104)
# Lesions of less volume vanish on the small lattice.
LEAST_ML = 8.0
SMALL = (
    "lattice.shape=[36, 32, 32]", "lattice.min_spacing_mm=6.0", "affine.sample_stride=2", "affine.samples=2048",
    "deformable.sample_stride=2", "deformable.samples=2048", "regularisation.stride=2",
    "deformable.levels=[{ control_points = [5, 5, 5], blur_mm = 3.0, mask_blur_mm = 6.0, step_mm = 1.0 }, "
    "{ control_points = [7, 7, 7], blur_mm = 3.0, mask_blur_mm = 5.0, step_mm = 0.5 }]",
)  # fmt: skip
SEARCHES = ("grid", "gradient", "gradient, three weights", "gradient, high start", "gradient, low start")
THREE = "weights.image,weights.masks,weights.regularisation"
HIGH, LOW = ("weights.image=10", "weights.masks=0.3"), ("weights.image=0.1", "weights.masks=0.3")
COLUMNS = ("case", "reference", "floating", "ref_labels", "flo_labels")


def write_list(folder: Path, seeds: Sequence[int]) -> Path:
    """Writes the cases of the seeds and their table."""
    lines = [",".join(COLUMNS)]
    for seed in seeds:
        case = make_case(TASK, seed, spacing_mm=SPACING_MM)
        write_case(folder / case.name, case)
        names = [
            name
            for name, mask in case.reference_masks.items()
            if min(mask.volume_ml(name), case.floating_masks[name].volume_ml(name)) >= LEAST_ML
        ]
        cells = [
            ";".join(f"{case.name}/{side}_masks/{name}.nii.gz#{name}" for name in names)
            for side in ("reference", "floating")
        ]
        lines.append(",".join([case.name, f"{case.name}/reference.nii.gz", f"{case.name}/floating.nii.gz", *cells]))
        print(f"{case.name}: {', '.join(names)}", flush=True)
    path = folder / "cases.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def timed(search: Callable[..., WeightSearch], cases: Path, folder: Path, **options: Any) -> tuple[WeightSearch, float]:
    """Runs a search after a short one that compiles its programs; returns it and its CPU seconds."""
    short = {**options, "steps": 1} if "steps" in options else options
    search(first_only(cases), folder / "short", preset="cnn", **short)
    begun = time.process_time()
    found = search(cases, folder / "whole", preset="cnn", **options)
    seconds = time.process_time() - begun
    print(f"{folder.name}: {seconds:.0f} s of CPU; {found.sentence}", flush=True)
    return found, seconds


def first_only(cases: Path) -> Path:
    """Writes a table with only the first case beside a table."""
    path = cases.with_name("first.csv")
    path.write_text("\n".join(cases.read_text(encoding="utf-8").splitlines()[:2]) + "\n", encoding="utf-8")
    return path


def rrmsd_of(cases: Path, folder: Path, weights: dict[str, str]) -> float:
    """RRMSD of the cases with these weights."""
    grid = [f"{key}={value}" for key, value in weights.items()]
    found = search_weights(cases, folder, preset="cnn", settings=SMALL, grid=grid, batch_size=1)
    rmsd = [rows[0].figures["rmsd_mm"] for rows in found.rows.values()]
    if found.failed or not all(math.isfinite(one) for one in rmsd):
        raise GeometryError(f"a case could not be measured: {found.failed or rmsd}")
    return float(metrics.rrmsd_mm(rmsd))


def summary(found: WeightSearch, seconds: float, held_out_mm: float) -> dict[str, object]:
    """Returns the numbers of a search."""
    best = found.surface.best
    if best is None:
        raise GeometryError("nothing could be measured")
    told: dict[str, object] = {
        "weights": dict(best.point.settings),
        "points": len(found.surface.points),
        "cpu_s": round(seconds, 1),
        "rrmsd_tuning_mm": json_value(round(best.rrmsd_mm, 4)),
        "failures_tuning": best.failures,
        "rrmsd_held_out_mm": json_value(round(held_out_mm, 4)),
    }
    return told


def main() -> None:
    """Runs both searches and prints their errors on tuning and held-out cases."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--steps", type=int, default=8, help="steps of a descent")
    parser.add_argument("--searches", nargs="*", choices=SEARCHES, default=SEARCHES, help="searches to run")
    parser.add_argument("--json", type=Path, help="file for the numbers; searches in it that are not run are kept")
    options = parser.parse_args()
    known = parse_json(options.json.read_text(encoding="utf-8")) if options.json and options.json.exists() else {}
    rows: dict[str, dict[str, Any]] = known["searches"] if isinstance(known, dict) and known else {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        tuning, held_out = write_list(folder / "tuning", TUNING_SEEDS), write_list(folder / "other", HELD_OUT_SEEDS)
        weights = registration.load_preset("cnn").weights
        start = {"weights.image": f"{weights.image:g}", "weights.masks": f"{weights.masks:g}"}
        affine = {"weights.image": "0", "weights.masks": "0"}
        for name, own in (("affine map", affine), ("preset", start)):
            before, after = (
                rrmsd_of(cases, folder / f"{name} {label}", own)
                for label, cases in (("tuning", tuning), ("other", held_out))
            )
            rows[name] = {
                "weights": own, "points": 1, "rrmsd_tuning_mm": round(before, 4), "rrmsd_held_out_mm": round(after, 4)
            }  # fmt: skip
        descent = {"steps": options.steps}
        for name, search, given, settings in (
            ("grid", search_weights, {}, ()),
            ("gradient", search_weights_by_gradient, descent, ()),
            ("gradient, three weights", search_weights_by_gradient, {**descent, "learn": THREE}, ()),
            ("gradient, high start", search_weights_by_gradient, descent, HIGH),
            ("gradient, low start", search_weights_by_gradient, descent, LOW),
        ):
            if name not in options.searches:
                continue
            found, seconds = timed(search, tuning, folder / name, settings=[*SMALL, *settings], **given)
            best = found.surface.best
            own = {} if best is None else dict(best.point.settings)
            rows[name] = summary(found, seconds, rrmsd_of(held_out, folder / f"{name} other", own))
            rows[name]["path"] = [
                {**one.point.settings, "rrmsd_mm": round(one.rrmsd_mm, 4)} for one in found.surface.points
            ]
            steps = getattr(found, "steps", ())
            if steps:
                rows[name]["smooth_rrmsd_mm"] = [round(one.smooth_rrmsd_mm, 4) for one in steps]
                rows[name]["largest_residual_mm"] = round(max(one.residual_mm for one in steps), 4)
            write_numbers(options.json, rows)
    for name, row in rows.items():
        print(f"{name:24}", "  ".join(f"{key} {value}" for key, value in row.items() if key != "path"))


def write_numbers(path: Path | None, rows: dict[str, dict[str, Any]]) -> None:
    """Writes the numbers so far."""
    if path is not None:
        table = {"task": TASK, "tuning": TUNING_SEEDS, "held_out": HELD_OUT_SEEDS, "searches": rows}
        path.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
