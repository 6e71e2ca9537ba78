"""Claim: many registrations in one vmap cost a fraction per patient of one at a time, with the same result.

Registers digital patients with known truth (`registration_cases.py`) one by one, then all together in programs of
`--batch-size` patients, divided among all devices there are. Both runs are compiled before they are timed and get
the same samples; the time is from arrays in the host's memory to the solution in the host's memory, the median of
`--repeats`. Preparing a patient on the host and judging its result are timed on their own: they run beside the
devices. Peak memory is the device's where it says so, else the process's; batches are run last, so that theirs is seen.

On a GPU a registration is to take at most 0.8 s and 32 patients together at least 8 times less each; on a CPU, whose
cores one patient fills already, no gain is claimed.

    python benchmarks/registration_batch.py --patients 32 --batch-size 32 -o results.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import registration_cases as cases

from sirtjax import registration
from sirtjax.registration._ready import Ready, make_ready
from sirtjax.registration._solve import solve_compiled
from sirtjax.spatial import transform_points

SINGLE_S, GAIN = 0.8, 8.0
POINTS = 2000


def prepare(case: cases.Case, config: registration.RegistrationConfig) -> Ready:
    """A case on the working lattices; a preset without guidance gets no masks."""
    guided = config.guidance.masks != "none"
    return make_ready(
        case.reference,
        case.floating,
        config=config,
        reference_masks=case.reference_masks if guided else {},
        floating_masks=case.floating_masks if guided else {},
    )


def liver_error_mm(case: cases.Case, result: registration.RegistrationResult) -> float:
    """Mean distance from the truth over points of the reference's liver."""
    labels = case.reference_masks["liver"]
    voxels = np.argwhere(labels.mask("liver"))
    chosen = np.random.default_rng(0).choice(len(voxels), min(POINTS, len(voxels)), replace=False)
    points = labels.geometry.to_world(voxels[chosen])
    found = transform_points(result.transform, points)
    return float(np.linalg.norm(found - case.truth_at(points), axis=-1).mean())


def peak_mb() -> tuple[float, str]:
    """Most memory in use so far, and whose."""
    facts = jax.devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in facts:
        return facts["peak_bytes_in_use"] / 2**20, "device"
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "process"


def median_s(run: Callable[[], Any], repeats: int) -> tuple[float, float, Any]:
    """Median wall and CPU seconds of a call that waits for its result, and the result."""
    wall, cpu, result = [], [], None
    for _ in range(repeats):
        at, used = time.perf_counter(), time.process_time()
        result = run()
        wall.append(time.perf_counter() - at)
        cpu.append(time.process_time() - used)
    return statistics.median(wall), statistics.median(cpu), result


def compare(ready: Sequence[Ready], config: registration.RegistrationConfig, size: int, repeats: int) -> Any:
    """Times and memory of both ways, and both ways' solutions as lists of NumPy records."""
    weights, key = registration.weights_from_config(config.weights), jax.random.key(0)
    mesh = registration.patient_mesh()
    size = -(-size // mesh.size) * mesh.size

    def one_by_one() -> list[Any]:
        return [
            jax.tree.map(np.asarray, solve_compiled(one.pair, weights, key, config=config.structure())) for one in ready
        ]

    def together() -> list[Any]:
        found = []
        for first in range(0, len(ready), size):
            pairs = [one.pair for one in ready[first : first + size]]
            filled = registration.stack_pairs(pairs + [pairs[-1]] * (size - len(pairs)))
            batch = jax.tree.map(np.asarray, registration.solve_batch(filled, weights, key, config=config, mesh=mesh))
            found += [jax.tree.map(lambda leaf, at=at: leaf[at], batch) for at in range(len(pairs))]
        return found

    row: dict[str, Any] = {"batch_size": size}
    solutions = []
    for name, run in (("one_by_one", one_by_one), ("together", together)):
        at = time.perf_counter()
        run()
        first_s = time.perf_counter() - at
        wall, cpu, found = median_s(run, repeats)
        memory, whose = peak_mb()
        row[name] = {
            "s_per_patient": wall / len(ready),
            "cpu_s_per_patient": cpu / len(ready),
            "first_run_s": first_s,
            "peak_mb": memory,
            "peak_of": whose,
        }
        solutions.append(found)
    row["gain"] = row["one_by_one"]["s_per_patient"] / row["together"]["s_per_patient"]
    return row, solutions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", default="cnn", choices=registration.list_presets())
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a value of the preset")
    parser.add_argument("--task", default="ct-lowdose", choices=cases.TASKS)
    parser.add_argument("--patients", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--spacing-mm", type=float, default=cases.SPACING_MM, help="of the digital patients")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    config = registration.apply_overrides(registration.load_preset(options.preset), options.set)
    seeds = range(cases.BENCHMARK_SEEDS[0], cases.BENCHMARK_SEEDS[0] + options.patients)
    drawn = [cases.make_case(options.task, seed, spacing_mm=options.spacing_mm) for seed in seeds]
    at = time.perf_counter()
    ready = [prepare(case, config) for case in drawn]
    prepare_s = (time.perf_counter() - at) / len(ready)
    row, (alone, together) = compare(ready, config, min(options.batch_size, len(ready)), options.repeats)
    apart = [np.abs(a.displacement_mm - b.displacement_mm).max() for a, b in zip(alone, together, strict=True)]
    for name, solutions in (("one_by_one", alone), ("together", together)):
        judged = [one.judged(solution, config=config) for one, solution in zip(ready, solutions, strict=True)]
        row[name]["liver_error_mm"] = statistics.mean(map(liver_error_mm, drawn, judged))
        row[name]["success"] = sum(result.status is registration.Status.SUCCESS for result in judged)
    devices = jax.devices()
    facts = {
        "claim": __doc__.split("\n")[0],
        "preset": options.preset,
        "settings": options.set,
        "task": options.task,
        "patients": len(ready),
        "spacing_mm": options.spacing_mm,
        "lattice": config.lattice.shape,
        "device": devices[0].device_kind,
        "platform": devices[0].platform,
        "devices": len(devices),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "jax": jax.__version__,
        "load": os.getloadavg()[0],
        "prepare_s_per_patient": prepare_s,
        "largest_difference_mm": float(max(apart)),
        **row,
    }
    print(f"{len(ready)} patients, preset {options.preset}, on {len(devices)} {facts['device']} ({facts['platform']})")
    print(f"{'':12}{'s/patient':>11}{'CPU s':>8}{'MB':>8}{'error mm':>10}{'success':>9}")
    for name in ("one_by_one", "together"):
        one = row[name]
        figures = f"{one['s_per_patient']:11.3f}{one['cpu_s_per_patient']:8.2f}{one['peak_mb']:8.0f}"
        print(f"{name:12}{figures}{one['liver_error_mm']:10.2f}{one['success']:9d}")
    print(f"together {row['gain']:.2f} times faster; displacements differ by at most {max(apart):.3g} mm")
    if facts["platform"] != "cpu":
        facts["reached"] = row["one_by_one"]["s_per_patient"] <= SINGLE_S and row["gain"] >= GAIN
        print(f"at most {SINGLE_S} s alone and {GAIN:g} times faster together: {'yes' if facts['reached'] else 'no'}")
    if options.output:
        options.output.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
