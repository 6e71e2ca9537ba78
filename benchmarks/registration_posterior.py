"""Claim: the error of a registration over its stated standard deviation has a root mean square near 1.

    python benchmarks/registration_posterior.py --json benchmarks/results/registration_posterior.json

Pairs of digital patients with exactly known displacement (registration_cases.py) on voxels of 6 mm are registered on a
small lattice. At the centroids of the liver and of its lesions, the error of the displacement is divided by the square
root of the covariance that `registration.registration_posterior` states. Reported are the root mean square (1 is right,
above 1 the stated uncertainty is too small) and how often the ellipsoid of 90 % contains the truth.

The constants in `registration/_posterior.py` come from the seeds of `DEVELOPMENT`. The published seeds were computed
once with them. No motion is hidden from the images, so `unseen_mm` is 0.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import registration_cases as cases
from numpy.typing import NDArray
from scipy import stats

from sirtjax import registration
from sirtjax.errors import SirtjaxError
from sirtjax.spatial import transform_points

DEVELOPMENT, HELD_OUT = (*range(1, 13), *range(101, 125)), tuple(range(201, 225))
SMALL = (
    "lattice.shape=[54, 48, 48]",
    "lattice.min_spacing_mm=5.0",
    "affine.sample_stride=2",
    "affine.samples=2048",
    "deformable.samples=2048",
    "similarity.bins=24",
    "deformable.levels=[{control_points=[6,6,6],blur_mm=2.0,mask_blur_mm=6.0,step_mm=1.0},"
    "{control_points=[8,7,7],blur_mm=2.0,mask_blur_mm=4.0,step_mm=0.5}]",
)


def errors_of(task: str, seed: int, methods: tuple[str, ...], preset: str) -> dict[str, Any]:
    """Errors (n, 3) at the centroids, and the covariance (n, 3, 3) of each method."""
    case = cases.make_case(task, seed, spacing_mm=6.0)
    config = registration.apply_overrides(registration.load_preset(preset), SMALL)
    given: dict[str, Any] = {"config": config}
    if config.guidance.masks != "none":
        given |= {"reference_masks": case.reference_masks, "floating_masks": case.floating_masks}
    points = np.stack(
        [m.geometry.to_world(np.argwhere(m.mask(name)).mean(axis=0)) for name, m in case.reference_masks.items()]
    )
    result = registration.register(case.reference, case.floating, **given)
    row: dict[str, Any] = {
        "task": task,
        "seed": seed,
        "status": result.status.name,
        "points": list(case.reference_masks),
    }
    linear = np.asarray(result.affine.floating_from_reference)[:3, :3]
    away = transform_points(result.transform, points) - case.truth_at(points)
    row["error_mm"] = np.linalg.solve(linear, away.T).T.tolist()
    for method in methods:
        began = time.perf_counter()
        try:
            found = registration.registration_posterior(
                case.reference, case.floating, points, method=method, unseen_mm=0.0, result=result, **given
            )
        except SirtjaxError as error:
            row[method] = {"refused": str(error)}
            continue
        row[method] = {
            "covariance_mm2": found.covariance_at_points_mm2.tolist(),
            "independent_samples": found.independent_samples,
            "seconds": time.perf_counter() - began,
        }
    return row


def summary(rows: list[dict[str, Any]], method: str) -> dict[str, Any]:
    """Root mean square of the normalised errors, and coverage of ellipsoids, over all points."""
    squares, groups = [], []
    used = [row for row in rows if "covariance_mm2" in row.get(method, {})]
    for row in used:
        errors, covariances = np.array(row["error_mm"]), np.array(row[method]["covariance_mm2"])
        solved = np.linalg.solve(covariances, errors[..., None])[..., 0]
        squares.append(np.einsum("na,na->n", errors, solved))
        groups.append(np.array([name == "liver" for name in row["points"]]))
    square, liver = np.concatenate(squares), np.concatenate(groups)
    inside = square <= stats.chi2.ppf(0.9, 3)
    covariances = np.concatenate([np.array(row[method]["covariance_mm2"]) for row in used])
    found: dict[str, Any] = {"pairs": len(used), "refused": len(rows) - len(used)}
    for name, chosen in (("all", np.full(len(square), True)), ("liver", liver), ("lesions", ~liver)):
        found[name] = {
            "points": int(chosen.sum()),
            "rms_error_over_sd": float(np.sqrt(square[chosen].mean() / 3)),
            "coverage_90": float(inside[chosen].mean()),
            "rms_sd_mm": float(np.sqrt(np.trace(covariances[chosen], axis1=1, axis2=2).mean() / 3)),
            "rms_error_mm": rms(np.concatenate([np.array(row["error_mm"]) for row in used])[chosen]),
        }
    found["seconds"] = float(np.median([row[method]["seconds"] for row in used]))
    return found


def rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(values**2)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file for the numbers")
    parser.add_argument("--tasks", nargs="+", default=["ct-lowdose", "mr-ct"], choices=list(cases.TASKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(HELD_OUT))
    parser.add_argument("--methods", nargs="+", default=["laplace", "ensemble"])
    parser.add_argument("--preset", default="cnn")
    options = parser.parse_args()
    rows = []
    for number, seed in enumerate(options.seeds):
        # Each seed one of the tasks in turn.
        task = options.tasks[number % len(options.tasks)]
        rows.append(errors_of(task, seed, tuple(options.methods), options.preset))
        print(task, seed, rows[-1]["status"], rms(np.array(rows[-1]["error_mm"])), flush=True)
        done = {m: summary(rows, m) for m in options.methods if any("covariance_mm2" in r.get(m, {}) for r in rows)}
        if options.json:
            options.json.write_text(
                json.dumps({"preset": options.preset, "summary": done, "pairs": rows}, indent=1) + "\n"
            )
    print(json.dumps(done, indent=1))


if __name__ == "__main__":
    main()
