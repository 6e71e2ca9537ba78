"""Optimal against proportional activities on random patients with two supplying territories, and the time of eight.

Livers are analytic: two injections whose supply changes smoothly across a border, lesions on both sides and on the
border, a mean, a volume and a lung limit. Tests and development used other seeds.

    python benchmarks/optimal_activity.py --json benchmarks/results/optimal_activity.json
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from sirtjax import dosimetry as d
from sirtjax import optimal as o

FIRST = 9000


def patient(seed, injections=2, lesions=3):
    """VOIs and objectives: voxels in a slab whose supply blends over 15 mm between neighbouring territories."""
    rng = np.random.default_rng(seed)
    names = tuple(f"territory {i}" for i in range(injections))
    centre = (np.arange(injections) + 0.5) * 200 / injections

    def supply(x):
        weight = np.exp(-np.abs(x[:, None] - centre) / 15)
        return weight / weight.sum(axis=1, keepdims=True)

    def voi(name, role, x, gy_per_mbq):
        spread = rng.gamma(8, 1 / 8, len(x))
        samples = supply(x) * rng.uniform(0.8, 1.2, injections) * (spread * gy_per_mbq)[:, None]
        mean = samples.mean(axis=0)
        return d.VoiDose(name=name, role=role, territories=names, mean_gy_per_mbq=mean, samples_gy_per_mbq=samples)

    vois = []
    for index in range(lesions):
        middle, radius = rng.uniform(20, 180), rng.uniform(8, 30)
        x = middle + radius * rng.uniform(-1, 1, 600)
        vois.append(voi(f"lesion {index + 1}", "tumour", x, rng.uniform(0.1, 0.3)))
    vois.append(voi("normal liver", "whole_normal", rng.uniform(0, 200, 5000), 0.04))
    lungs = rng.uniform(0.003, 0.01, injections)
    vois.append(d.VoiDose(name="lungs", role="lungs", territories=names, mean_gy_per_mbq=lungs))

    def limit(name, dose_gy, **more):
        return d.DoseObjective(voi=name, direction="at most", dose_gy=dose_gy, source="benchmark", **more)

    limits = [limit("whole_normal", 40.0), limit("whole_normal", 60.0, kind="V", volume_fraction=0.3)]
    target = d.DoseObjective(voi="tumour", direction="at least", dose_gy=150.0, source="benchmark")
    return names, vois, [*limits, limit("lungs", 20.0), target]


def problem(seed, kind, injections=2, **more):
    """The optimisation of one patient."""
    names, vois, objectives = patient(seed, injections)
    objective = o.TumourObjective(kind=kind, alpha_per_gy=0.02)
    return o.activity_problem(vois, objectives, names, objective=objective, **more)


def proportional(made):
    """Each injection at its own first limit, all reduced by one factor until every limit holds."""
    own = np.asarray([1 / o.use_of_limits(made, unit) for unit in np.eye(len(made.injections))])
    return own / o.use_of_limits(made, own)


def compare(kind, count):
    """Gain of the optimum over the proportional split on random patients."""
    gains, uses = [], []
    for seed in range(FIRST, FIRST + count):
        made = problem(seed, kind)
        found = o.optimise_activity(made)
        # The limits by their definition, without the code of the search.
        doses = [voi.value_gy(limit, np.asarray(found.activity_mbq)) / limit.dose_gy for limit, voi in made.limits]
        uses.append(max(doses))
        gains.append(found.value / o.objective_value(made, proportional(made)) - 1)
    gains = np.asarray(gains)
    return {
        "patients": count,
        "worse": int((gains < -1e-9).sum()),
        "better": int((gains > 1e-6).sum()),
        "violated": int((np.asarray(uses) > 1 + 1e-9).sum()),
        "median_gain": round(float(np.median(gains)), 5),
        "largest_gain": round(float(gains.max()), 4),
    }


def ratios(made, count, seed):
    """Samples of the dose with a common and an independent error."""
    rng = np.random.default_rng(seed)
    common = rng.normal(0, 0.06, (count, 1))
    sizes = (len(made.limits), len(made.targets), len(made.tumours), 1)
    parts = [np.exp(common + rng.normal(0, 0.08, (count, size))) for size in sizes]
    return o.DoseScenarios(limits=parts[0], targets=parts[1], tumours=parts[2], liver=parts[3][:, 0])


def robust(count):
    """Probability on 2000 new samples of plans that were optimised on 1024 for 90 %."""
    kept = []
    for seed in range(FIRST, FIRST + count):
        plain = problem(seed, "d70")
        more = {"robust": o.RobustOptions(probability=0.9)}
        found = o.optimise_activity(problem(seed, "d70", scenarios=ratios(plain, 1024, seed), **more))
        fresh = problem(seed, "d70", scenarios=ratios(plain, 2000, seed + 5000), **more)
        kept.append(o.limits_probability(fresh, np.asarray(found.activity_mbq)))
    return {
        "plans": count,
        "lowest": min(kept),
        "highest": max(kept),
        "within_3_points": sum(abs(k - 0.9) <= 0.03 for k in kept),
    }


def timed(kind):
    """Wall and CPU time of eight activities, after the first patient compiled the program."""
    o.optimise_activity(problem(1, kind, 8))
    wall, cpu = time.perf_counter(), time.process_time()
    o.optimise_activity(problem(2, kind, 8))
    return {"wall_s": round(time.perf_counter() - wall, 2), "cpu_s": round(time.process_time() - cpu, 2)}


def main():
    """Print the table and store it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=100)
    parser.add_argument("--robust", type=int, default=20)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    kinds = ("d70", "volume", "eud", "mean")
    found = {
        "patients": {kind: compare(kind, chosen.patients) for kind in kinds},
        "robust": robust(chosen.robust),
        "eight_activities": {kind: timed(kind) for kind in kinds},
    }
    text = json.dumps(found, indent=2)
    print(text)
    if chosen.json:
        chosen.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
