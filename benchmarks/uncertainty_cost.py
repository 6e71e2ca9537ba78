"""Time, memory and compilations of the intervals of a plan, step by step, for a first and a second patient.

Two made-up patients with six and five lesions (of eight reserved), two territories and the grid of the plans: 60 x 48 x
56 voxels of 4 mm, all sources, 90Y kernel, 15 VOIs. The second has other anatomy on the same shapes. Claim: 256
simulations take at most 60 s on two cores and 2 GB more memory, and the second patient compiles nothing.

    python benchmarks/uncertainty_cost.py --json benchmarks/results/uncertainty_cost.json

CPU seconds are summed over the cores. They depend less on what else runs than the wall-clock time does; the load of the
machine before each step is in the result. `--plan` runs `sirtjax plan` of a simulated patient as well, twice each
without intervals, fast and full, in processes of their own that share a new folder of compiled programs.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from sirtjax import dosimetry, partial_volume, uncertainty
from sirtjax.uncertainty import _treatment_intervals as intervals

SHAPE, SPACING_MM, FWHM_MM = (60, 48, 56), np.full(3, 4.0, np.float32), np.full(3, 12.0, np.float32)
PLACES, TERRITORIES = 8, 2
VOIS = 3 + 2 * TERRITORIES + PLACES
PERCENT = (2, 5, *range(10, 100, 5), 98)
# Centre and radius of each lesion, mm.
LESIONS = (
    (
        ((40, 0, 0), 12), ((-30, 20, 10), 9), ((0, -20, -20), 20),
        ((20, 30, 15), 7), ((-40, -10, -15), 10), ((10, 5, 30), 8),
    ),
    (((35, 5, 0), 10), ((-30, 25, 10), 11), ((0, -20, -15), 16), ((20, 30, 20), 9), ((-45, -10, -15), 10)),
)  # fmt: skip
# Noise and uneven uptake; the contours are aligned to the image, as with `images.activity.shift_mm`.
IMAGE = {
    "noise_fwhm_mm": np.float32(10),
    "noise_fraction": np.float32(0.15),
    "uptake_fwhm_mm": np.float32(15),
    "uptake_fraction": np.float32(0.15),
}
RELATIVE = {"resolution": 0.1, "calibration": 0.05, "density": 0.02, "kernel": 0.02, "half_life": 0.0, "lung_mass": 0.0}
BUDGET_SAMPLES, BATCH, PROBES = 64, 2, 4
COMPILED = "/jax/core/compile/backend_compile_duration"


def patient(number: int, *, shape: tuple[int, int, int] = SHAPE) -> dict[str, Any]:
    """Image, signed distances and constants of a made-up patient, by default on the grid of the plans."""
    rng = np.random.default_rng(number)
    axes = np.meshgrid(*(4.0 * (np.arange(n) - (n - 1) / 2) for n in shape), indexing="ij")

    def ball(centre: tuple[int, int, int], radius: float) -> np.ndarray:
        away = [a - c + o for a, c, o in zip(axes, centre, rng.uniform(-3, 3, 3), strict=True)]
        return np.sqrt(sum(a**2 for a in away)) - radius

    count = len(LESIONS[number])
    outlines = [ball(*one) for one in LESIONS[number]] + [np.full(shape, 1000.0)] * (PLACES - count)
    distance = np.stack([*outlines, -axes[0], axes[0], ball((0, 0, 0), 80)]).astype(np.float32)
    regions = np.asarray(uncertainty.regions_of(distance, SPACING_MM, lesions=PLACES))
    level = np.zeros(len(regions), np.float32)
    level[:count], level[PLACES : PLACES + 2] = rng.uniform(2, 6, count), (1.0, 1.2)
    truth = np.tensordot(level, regions, axes=1)
    members = np.zeros((VOIS, PLACES + TERRITORIES + 1), np.float32)
    members[0], members[1, PLACES:], members[2, :count] = 1, 1, 1
    members[3:5, PLACES] = members[5:7, PLACES + 1] = 1
    near = np.full((VOIS, 4096), -1, np.int32)
    near[:7] = uncertainty.near_voxels(np.tile(distance[-1:], (7, 1, 1, 1)))
    for index in range(count):
        members[7 + index, index] = 1
        near[7 + index] = uncertainty.near_voxels(distance[index : index + 1])[0]
    given = {"radial": dosimetry.get_radial_kernel("y90-graves2019-water"), "medium_density_g_per_ml": 1.05}
    radius = dosimetry.kernel_radius_voxels((4.0, 4.0, 4.0), **given)
    octant = np.asarray(dosimetry.octant_kernel((4.0, 4.0, 4.0), radius_voxels=radius, **given))
    shell_mm, shell_part = uncertainty.kernel_shells(given["radial"], 1.05)
    data = uncertainty.TreatmentData(
        spacing_mm=SPACING_MM,
        fwhm_mm=FWHM_MM,
        activity_mbq=np.array([900, 600], np.float32),
        image_mbq_per_unit=np.float32(0),
        gy_ml_per_mbq=np.float32(47.3),
        lung_gy_per_mbq=np.float32(0.05),
        octant=octant,
        octant_slope=0.01 * octant,
        shell_mm=shell_mm,
        shell_part=shell_part,
        members=members,
        near=near,
        fractions=np.asarray(PERCENT, np.float32) / np.float32(100),
        threshold_gy=np.full(VOIS, 100, np.float32),
        bed_per_gy=np.full(VOIS, 0.01, np.float32),
        normal_of=np.full(PLACES, 4, np.int32),
        lattice_nodes=np.array([[13, 11, 12], [9, 7, 8]], np.float32),
    )
    image = np.asarray(partial_volume.gaussian_blur(truth, SPACING_MM, FWHM_MM))
    return {"image": image, "distance_mm": distance, "shunt": np.full(2, 0.05, np.float32), "data": data}


def sources(*, shape: tuple[int, int, int] = SHAPE) -> list[uncertainty.Source]:
    """All sources of a measurement, with made-up sizes; the lattices are those of the plans for 20 and 30 mm."""
    rows: list[tuple[str, Any, float, uncertainty.Distribution]] = [
        ("noise", np.zeros(shape), 1.0, "normal"),
        ("uptake", np.zeros(shape), 1.0, "normal"),
        ("shift_mm", np.zeros(3), 1.5, "normal"),
        ("lesion_shift_mm", np.zeros((PLACES, 3)), 0.0, "normal"),
        ("boundary_mm", np.zeros((PLACES + 1, 16, 13, 15)), 1.6, "normal"),
        ("territory_mm", np.zeros((3, 11, 9, 10)), 5.0, "normal"),
        ("residual", np.ones(TERRITORIES), 0.02, "lognormal"),
        ("shunt", np.ones(TERRITORIES), 0.1, "lognormal"),
        *((name, 1.0, size, "lognormal") for name, size in RELATIVE.items()),
    ]
    return [
        uncertainty.Source(name=n, centre=c, size=s, origin="example", evidence="assumed", distribution=d)
        for n, c, s, d in rows
    ]


class Memory:
    """The largest resident memory of this process while a step runs, above that before it."""

    def __enter__(self) -> Memory:
        self.before = self.peak = self._now()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join()
        self.peak = max(self.peak, self._now())

    @property
    def added_mb(self) -> int:
        """Megabytes above those before the step."""
        return round((self.peak - self.before) / 1e6)

    def _watch(self) -> None:
        while not self.ended.wait(0.05):
            self.peak = max(self.peak, self._now())

    @staticmethod
    def _now() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measured(name: str, step: Callable[[], object], compiled: list[float]) -> dict[str, Any]:
    """Runs a step and returns its times, memory and compilations."""
    compiled.clear()
    load = os.getloadavg()[0]
    with Memory() as memory:
        wall, cpu = time.perf_counter(), time.process_time()
        jax.block_until_ready(step())
        row = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    row = {"step": name, **{key: round(value, 1) for key, value in row.items()}, "added_mb": memory.added_mb}
    return row | {"programs": len(compiled), "compiling_s": round(sum(compiled), 1), "load_before": round(load, 1)}


def steps_of(number: int, count: int) -> dict[str, Callable[[], object]]:
    """All steps of one patient, by name."""
    one, given = patient(number), sources()
    known = intervals._known(one["image"], one["distance_mm"], one["shunt"], one["data"], **IMAGE, aligned=True)
    used = [source for source in given if np.any(np.asarray(source.size) > 0)]
    fixed = {source.name: np.asarray(source.centre, np.float32) for source in given if source not in used}
    key, last = jax.random.key(number), len(LESIONS[number]) - 1
    # As plans do: a row for each place of a lesion, those without one repeat the last.
    metrics = [
        uncertainty.ContourMetric(voi=min(i, last), contour=min(i, last), volume_fraction=fraction)
        for fraction in (None, 0.7)
        for i in range(PLACES)
    ]
    regions = np.ones((PLACES + 4, *SHAPE), np.float32)

    def samples(number: int) -> object:
        return uncertainty.propagate_samples(
            uncertainty.log_ratios, given, key, args=(known,), count=number, batch_size=BATCH
        ).samples

    def linear() -> object:
        return uncertainty.propagate_linear(intervals._essential, given, key, args=(known,), probes=PROBES).bias

    def where() -> object:
        return uncertainty.treatment_contour_sensitivity(
            one["image"], one["distance_mm"], one["shunt"], one["data"], metrics, regions=regions
        ).value_gy

    def budget() -> object:
        return intervals.fractions_by_source(
            intervals._log_ratios_with, used, key, args=(known, fixed), count=BUDGET_SAMPLES, batch_size=BATCH
        ).interactions

    return {
        "linear propagation": linear,
        "64 simulations (fast)": lambda: samples(64),
        "where to check first": where,
        f"{count} simulations (full)": lambda: samples(count),
        f"budget by simulation, {BUDGET_SAMPLES} x {len(used) + 2} (full)": budget,
    }


def plans() -> list[dict[str, Any]]:
    """`sirtjax plan` of the small phantom without intervals, fast and full; the second of each finds its programs."""
    rows = []
    command = Path(sys.executable).with_name("sirtjax")
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": f"{folder}/programs"}
        subprocess.run(
            [command, "simulate", "-o", f"{folder}/sim", "--preset", "small"], check=True, capture_output=True
        )
        for option in ("off", "fast", "full"):
            for run in (1, 2):
                before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
                given = [
                    f"{folder}/sim/case-uncertainty.toml",
                    "-o",
                    f"{folder}/plan",
                    "--force",
                    "--uncertainty",
                    option,
                ]
                subprocess.run([command, "plan", *given], check=True, capture_output=True, env=environment)
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                row = {
                    "plan": option,
                    "run": run,
                    "wall_s": round(time.perf_counter() - wall, 1),
                    "cpu_s": round(cpu, 1),
                }
                # The largest of all so far; the steps above tell them apart.
                rows.append(row | {"peak_mb": after.ru_maxrss // 1024, "load_before": round(os.getloadavg()[0], 1)})
                print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measures and prints all steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file for the numbers")
    parser.add_argument("--count", type=int, default=256, help="simulations of `full`")
    parser.add_argument("--plan", action="store_true", help="run whole plans as well")
    options = parser.parse_args()
    compiled: list[float] = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, seconds, **_: compiled.append(seconds) if event == COMPILED else None
    )
    found: dict[str, Any] = {"cores": os.cpu_count(), "jax": jax.__version__, "steps": []}
    patients = [steps_of(number, options.count) for number in range(len(LESIONS))]
    for name in patients[0]:
        for number, steps in enumerate(patients):
            found["steps"].append({"patient": number + 1, **measured(name, steps[name], compiled)})
            print(found["steps"][-1], flush=True)
            write(options.json, found)
    if options.plan:
        found["plans"] = plans()
        write(options.json, found)


def write(path: Path | None, found: dict[str, Any]) -> None:
    """Writes what was measured so far."""
    if path:
        path.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
