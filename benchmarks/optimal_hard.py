"""Claim: the optimum of eight injections with many lesions and limits takes at most 2 s on two cores.

    python benchmarks/optimal_hard.py --json benchmarks/results/optimal_hard.json

Eight injections, up to 12 lesions of 2000 to 4000 voxels, a normal liver of 20000 voxels, six limits of means, volumes
and D_x that all injections share, with and without samples of the uncertainty. Each row is a second patient: its
programs were compiled for a first one. Wall and CPU time are next to the objective, whether all limits are kept, and
the status. The patients differ from those of the tests and of optimal_activity.py.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from sirtjax import dosimetry as d
from sirtjax import optimal as o

INJECTIONS, LIVER_VOXELS, LESION_VOXELS = 8, 20000, (2000, 4000)
LESIONS = {"d70": 12, "volume": 12, "eud": 12, "utcp": 5}
OUTCOME = d.OutcomeModel(
    tcp=d.get_response_parameters("glass-tumour-dewaraja-dose"),
    tcp_gamma50=1.0,
    ntcp=d.get_response_parameters("glass-liver-chiesa-low-bilirubin"),
    ntcp_m=0.3,
)
# Samples, limits and objective of the robust problems; no samples for the first.
ROBUST = ((0, "chance", "expected"), (64, "chance", "expected"), (256, "chance", "worst-case"),
          (256, "tail-mean", "expected"))  # fmt: skip


def patient(seed: int, lesions: int, dose_gy: float) -> tuple[tuple[str, ...], list[Any], list[Any]]:
    """Returns names, VOIs and objectives; the supply blends over 15 mm between neighbouring territories."""
    rng = np.random.default_rng(seed)
    names = tuple(f"territory {i}" for i in range(INJECTIONS))
    centre = (np.arange(INJECTIONS) + 0.5) * 200 / INJECTIONS

    def voi(name: str, role: Any, x: Any, gy_per_mbq: float) -> d.VoiDose:
        supply = np.exp(-np.abs(x[:, None] - centre) / 15)
        supply /= supply.sum(axis=1, keepdims=True)
        samples = supply * rng.uniform(0.8, 1.2, INJECTIONS) * (rng.gamma(8, 1 / 8, len(x)) * gy_per_mbq)[:, None]
        return d.VoiDose(
            name=name, role=role, territories=names, mean_gy_per_mbq=samples.mean(axis=0),
            samples_gy_per_mbq=samples, square_gy2_per_mbq2=samples.T @ samples / len(samples),
        )  # fmt: skip

    vois = []
    for index in range(lesions):
        middle, radius = rng.uniform(20, 180), rng.uniform(8, 30)
        x = middle + radius * rng.uniform(-1, 1, int(rng.integers(*LESION_VOXELS)))
        vois.append(voi(f"lesion {index + 1}", "tumour", x, dose_gy * rng.uniform(0.1, 0.3)))
    vois.append(voi("normal liver", "whole_normal", rng.uniform(0, 200, LIVER_VOXELS), 0.04))
    lungs = rng.uniform(0.003, 0.01, INJECTIONS)
    vois.append(d.VoiDose(name="lungs", role="lungs", territories=names, mean_gy_per_mbq=lungs))

    def limit(name: str, limit_gy: float, **more: Any) -> d.DoseObjective:
        return d.DoseObjective(voi=name, direction="at most", dose_gy=limit_gy, source="benchmark", **more)

    objectives = [
        limit("whole_normal", 40.0),
        limit("whole_normal", 60.0, kind="V", volume_fraction=0.3),
        limit("whole_normal", 45.0, kind="V", volume_fraction=0.45),
        limit("whole_normal", 100.0, kind="D", volume_fraction=0.02),
        limit("whole_normal", 80.0, kind="D", volume_fraction=0.1),
        limit("lungs", 20.0),
        d.DoseObjective(voi="tumour", direction="at least", dose_gy=150.0, source="benchmark"),
    ]
    return names, vois, objectives


def problem(seed: int, kind: Any, count: int, limits: Any, objective: Any) -> o.ActivityProblem:
    """Returns the problem of a patient, with `count` samples of the doses."""
    names, vois, objectives = patient(seed, LESIONS[kind], 3.0 if kind == "utcp" else 1.0)
    goal = o.TumourObjective(
        kind=kind, alpha_per_gy=0.02 if kind == "eud" else None, outcome=OUTCOME if kind == "utcp" else None
    )
    made = o.activity_problem(vois, objectives, names, objective=goal)
    if not count:
        return made
    rng = np.random.default_rng(seed)
    common = rng.normal(0, 0.06, (count, 1))
    limit_ratio, target_ratio, tumour_ratio, liver_ratio = (
        np.exp(common + rng.normal(0, 0.08, (count, size)))
        for size in (len(made.limits), len(made.targets), len(made.tumours), 1)
    )
    scenarios = o.DoseScenarios(limits=limit_ratio, targets=target_ratio, tumours=tumour_ratio, liver=liver_ratio[:, 0])
    robust = o.RobustOptions(probability=0.8, limits=limits, objective=objective)
    return o.activity_problem(vois, objectives, names, objective=goal, robust=robust, scenarios=scenarios)


def main() -> None:
    """Solves all problems and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=51000, help="seed of the first patient")
    parser.add_argument("--patients", type=int, default=3, help="number of patients of each row, after the first")
    parser.add_argument("--json", type=Path, help="file of results")
    arguments = parser.parse_args()
    rows = []
    for kind in LESIONS:
        for count, limits, objective in ROBUST:
            start = time.perf_counter()
            o.optimise_activity(problem(arguments.first, kind, count, limits, objective))
            first_s = time.perf_counter() - start
            wall_s, cpu_s, statuses, use = [], [], [], []
            for seed in range(arguments.first + 1, arguments.first + 1 + arguments.patients):
                made = problem(seed, kind, count, limits, objective)
                wall, cpu = time.perf_counter(), time.process_time()
                found = o.optimise_activity(made)
                wall_s.append(time.perf_counter() - wall)
                cpu_s.append(time.process_time() - cpu)
                statuses.append(found.status)
                use.append(found.use)
            rows.append(
                {
                    "objective": kind, "samples": count, "limits": limits, "over": objective,
                    "first_s": round(first_s, 1), "wall_s": round(max(wall_s), 2), "cpu_s": round(max(cpu_s), 2),
                    "largest_use": max(use), "converged": sum(one != "not converged" for one in statuses),
                }
            )  # fmt: skip
            print(rows[-1], flush=True)
    worst = max(row["wall_s"] for row in rows)
    print(f"largest wall time {worst} s; load {os.getloadavg()[0]:.1f} at the end")
    if arguments.json:
        arguments.json.write_text(json.dumps({"patients": arguments.patients, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
