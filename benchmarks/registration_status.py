"""Claim: no hopeless registration is reported as a success, and at most 3 % of the good ones are refused.

Each pair of `registration_status_pairs.py` is registered, and its transform is compared with the ground truth, by the
true masks (DSC of the livers) and the true map (target registration error, TRE): the measures by which the status is
decided take no part. A result is right if the mean TRE is at most 10 mm and, where livers are known, their DSC is at
least 0.85; over the liver, or over the body where no liver is known.

  hopeless pair reported as success    the status of a pair with a fault is `success` and its result is not right
  wrong result reported as success     the same of any pair
  good pair refused                    a pair without a fault, whose result is right, has another status

A rotated pair with the right result has been recovered, and may be a success. The thresholds were chosen on the set
"calibration", with other phantoms and without three of the real scans; the set "evaluation" was run once.

A line is appended to OUTPUT for each pair, and pairs that it has already are not run again.

    python benchmarks/registration_status.py --data ../shared/data --pairs 0:200 -o status.jsonl
    python benchmarks/registration_status.py --summary -o status.jsonl
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import registration_status_pairs as pairs
from registration_score import plain
from registration_status_subjects import SCANS

from sirtjax import metrics, spatial
from sirtjax.compilation_cache import set_cache_dir
from sirtjax.errors import InputError
from sirtjax.registration import load_preset, register
from sirtjax.registration._intensity import BODY_HU

# Name: first seed of the phantoms, and the real scans.
SETS: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "calibration": (2000, ("chaos03", "lowdose", "torso", "thigh-ct", "thigh-mr")),
    "evaluation": (5000, tuple(SCANS)),
    "second": (9000, tuple(SCANS)),
}
RIGHT_TRE_MM, RIGHT_DSC = 10.0, 0.85
POINTS = 4000


def run_pair(pair: pairs.StatusPair, *, seed: int = 0) -> dict[str, Any]:
    """Register a pair and compare the result with the ground truth."""
    subject = pair.subject
    row: dict[str, Any] = {
        "number": pair.number, "subject": subject.name, "real": subject.real, "preset": pair.preset,
        "fault": pair.fault, "detail": pair.detail,
    }  # fmt: skip
    began = time.process_time()
    try:
        result = register(
            subject.reference,
            subject.floating,
            config=load_preset(pair.preset),
            reference_masks=pair.reference_masks,
            floating_masks=pair.floating_masks,
            seed=seed,
        )
    except InputError as error:
        return {**row, "status": "REFUSED", "notes": [str(error)], "right": False}
    seconds = time.process_time() - began
    return {
        **row, "status": result.status.name, "notes": list(result.notes), "fit": dict(result.fit), "cpu_s": seconds,
        **truth(pair, result.transform),
    }  # fmt: skip


def truth(pair: pairs.StatusPair, transform: spatial.Transform) -> dict[str, Any]:
    """The true DSC and TRE of a transform, and whether it is right."""
    subject = pair.subject
    if pair.fault == "other part":
        return {"dsc": None, "tre_mm": None, "right": False}
    known = "liver" in subject.reference_organs and "liver" in subject.floating_organs
    array = np.asarray(subject.reference.array)
    if known:
        inside = subject.reference_organs["liver"].mask("liver")
    else:
        inside = array > (BODY_HU if subject.reference.unit == "HU" else np.percentile(array, 70))
    points = subject.reference.geometry.to_world(np.argwhere(inside))
    points = points[:: max(1, len(points) // POINTS)]
    moved = spatial.transform_points(transform, points)
    error_mm = float(np.linalg.norm(moved - subject.truth_at(points), axis=-1).mean())
    overlap = None
    if known:
        grid = subject.reference.geometry
        warped = spatial.occupancy(subject.floating_organs["liver"], "liver", grid, transform=transform) >= 0.5
        overlap = float(metrics.dice(inside, warped))
    right = error_mm <= RIGHT_TRE_MM and (overlap is None or overlap >= RIGHT_DSC)
    return {"dsc": overlap, "tre_mm": error_mm, "right": right}


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The counts that the claim is about."""
    good = [row for row in rows if row["fault"] is None]
    bad = [row for row in rows if row["fault"] is not None]
    success = [row for row in rows if row["status"] == "SUCCESS"]
    right = [row for row in good if row["right"]]
    refused = [row for row in right if row["status"] != "SUCCESS"]
    return {
        "pairs": len(rows),
        "hopeless pairs": len(bad),
        "hopeless pairs reported as success": [r["number"] for r in success if r["fault"] and not r["right"]],
        "hopeless pairs recovered": [r["number"] for r in success if r["fault"] and r["right"]],
        "good pairs": len(good),
        "good pairs with a wrong result": [r["number"] for r in good if not r["right"]],
        "good pairs with a wrong result reported as success": [
            r["number"] for r in success if not r["fault"] and not r["right"]
        ],
        "good pairs with a right result refused": [r["number"] for r in refused],
        "refused (%)": 100 * len(refused) / len(right) if right else math.nan,
        "refused of all good pairs (%)": (
            100 * sum(r["status"] != "SUCCESS" for r in good) / len(good) if good else math.nan
        ),
        "statuses of faults": {
            fault: dict(Counter(r["status"] for r in bad if r["fault"] == fault)) for fault in pairs.FAULTS
        },
        "statuses of good pairs": dict(Counter(r["status"] for r in good)),
        "real scans": sum(bool(row["real"]) for row in rows),
        "median CPU seconds": float(np.median([row["cpu_s"] for row in rows if "cpu_s" in row] or [math.nan])),
    }


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The lines written so far, by number."""
    if not path.is_file():
        return []
    rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    return sorted(rows, key=lambda row: int(row["number"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default="evaluation", choices=list(SETS))
    parser.add_argument("--pairs", default="0:200", help="first:last[:step] of the pairs to run")
    parser.add_argument("--preset", choices=["image", "cnn"], help="run the pairs of this preset only")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the real scans")
    parser.add_argument("--programs", type=Path, help="folder to keep compiled programs in")
    parser.add_argument("--summary", action="store_true", help="only print the counts of OUTPUT")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON lines, one per pair")
    options = parser.parse_args()
    if options.programs:
        options.programs.mkdir(parents=True, exist_ok=True)
        set_cache_dir(options.programs)
    first_seed, scans = SETS[options.set]
    done = {row["number"] for row in read_rows(options.output)}
    numbers: Sequence[int] = range(*(int(part) for part in options.pairs.split(":")))
    if options.preset:
        numbers = [n for n in numbers if pairs.kind_of(n, options.set)[1] == (options.preset == "cnn")]
    for number in () if options.summary else (n for n in numbers if n not in done):
        pair = pairs.make_pair(number, set_name=options.set, first_seed=first_seed, data=options.data, scans=scans)
        row = run_pair(pair)
        with options.output.open("a") as lines:
            lines.write(json.dumps(plain(row)) + "\n")
        found = [row["status"], row.get("tre_mm"), row.get("dsc")]
        print(number, pair.subject.name, pair.preset, pair.fault, *found, flush=True)
    print(json.dumps(plain(summary(read_rows(options.output))), indent=1))


if __name__ == "__main__":
    main()
