"""Registration of phantom pairs, one and many, for `accelerator.py`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import registration_cases as cases
from accelerator_measure import NOT_INSTALLED, Bench, Row, compiled, on_host, roofline, row, timed
from accelerator_operations import Work, work_of
from registration_batch import liver_error_mm, peak_mb, prepare

from sirtjax import formats, io, metrics, registration, spatial
from sirtjax.registration._ready import Ready, make_ready
from sirtjax.volume import LabelMap, Volume

TASK, PRESET, SEED = "ct-lowdose", "cnn", cases.BENCHMARK_SEEDS[0]
SIDES = ("reference", "floating")
Files = tuple[Volume, Volume, LabelMap, LabelMap]


def registrations(bench: Bench) -> Iterator[Row]:
    """One registration, then batches: times per patient, and the error of each way."""
    sizes = bench.sizes
    config = registration.apply_overrides(registration.load_preset(PRESET), list(sizes.preset))
    weights, key = registration.weights_from_config(config.weights), jax.random.key(0)
    function = partial(registration.solve, config=config.structure())

    def draw(number: int) -> tuple[cases.Case, Path, Ready]:
        with on_host():
            case = cases.make_case(TASK, SEED + number, spacing_mm=sizes.case_mm)
        return case, write_pair(bench.folder / case.name, case), prepare(case, config)

    with ThreadPoolExecutor(bench.threads) as pool:
        # The first one compiles what the others use.
        made = [draw(0), *pool.map(draw, range(1, sizes.pairs))]
    drawn, folders, ready = (list(part) for part in zip(*made, strict=True))
    program, compile_s = compiled(function, ready[0].pair, weights, key)
    run = lambda pair: program(pair, weights, key)  # noqa: E731
    work = work_of(function, ready[0].pair, weights, key)
    yield from one_registration(bench, config, drawn[0], folders[0], ready[0], run, work, program, compile_s)
    alone = [jax.tree.map(np.asarray, run(one.pair)) for one in ready]
    times, _ = timed(lambda: [jax.tree.map(np.asarray, run(one.pair)) for one in ready], sizes.repeats)
    sequential = {"s_per_patient": times["wall_s"] / len(ready), "cpu_s_per_patient": times["cpu_s"] / len(ready)}
    sequential["liver_error_mm"] = mean_error(drawn, ready, alone, config)
    for size in sizes.batches:
        together = batch(bench, config, drawn, ready, alone, size)
        line = roofline(work.times(size), together["s_per_patient"] * size, bench.limits)
        contenders = {"sirtjax": together, "sirtjax, sequential": sequential}
        yield row(f"registration, {size} together", together, contenders, line, batch=size, pairs=len(ready))
    yield end_to_end(bench, config, folders, work)


def write_pair(folder: Path, case: cases.Case) -> Path:
    """Writes the images and livers of a pair as NIfTI."""
    folder.mkdir(parents=True)
    for side in SIDES:
        io.write_nifti(folder / f"{side}.nii.gz", getattr(case, side))
        io.write_nifti(folder / f"{side}_liver.nii.gz", getattr(case, f"{side}_masks")["liver"])
    return folder


def read_pair(folder: Path) -> Files:
    """Reads what `write_pair` wrote."""
    reference, floating = (io.read_nifti(folder / f"{side}.nii.gz", unit="HU").volume for side in SIDES)
    first, second = (formats.read_masks(folder / f"{side}_liver.nii.gz", names={1: "liver"})["liver"] for side in SIDES)
    return reference, floating, first, second


def ready_from_files(folder: Path, config: registration.RegistrationConfig) -> Ready:
    """Reads a pair and prepares it."""
    reference, floating, first, second = read_pair(folder)
    masks = {"reference_masks": {"liver": first}, "floating_masks": {"liver": second}}
    return make_ready(reference, floating, config=config, **masks)


def one_registration(
    bench: Bench,
    config: registration.RegistrationConfig,
    case: cases.Case,
    folder: Path,
    ready: Ready,
    run: Callable[[Any], Any],
    work: Work,
    program: Any,
    compile_s: float,
) -> list[Row]:
    """The solver with its input on the device, and everything from files to an assessed result."""
    repeats = bench.sizes.repeats
    placed = jax.device_put(ready.pair)
    solve, solution = timed(lambda: run(placed), repeats)
    result = ready.judged(jax.tree.map(np.asarray, solution), config=config)
    quality = {"liver_error_mm": liver_error_mm(case, result), "liver_dsc": warped_dsc(case, result)}
    quality["status"] = result.status.name

    def whole() -> registration.RegistrationResult:
        read = ready_from_files(folder, config)
        return read.judged(jax.tree.map(np.asarray, run(read.pair)), config=config)

    total, again = timed(whole, repeats)
    solve |= {**quality, "compile_s": compile_s}
    total |= {"liver_error_mm": liver_error_mm(case, again), "liver_dsc": warped_dsc(case, again)}
    other: Any = NOT_INSTALLED
    if bench.has("torch", "fireants", "SimpleITK"):
        small = [] if bench.sizes.case_mm <= cases.SPACING_MM else ["--small"]
        other = bench.child("accelerator_fireants.py", str(folder), "--repeats", str(repeats), *small)
    shape = {"voxels": case.reference.geometry.shape, "lattice": config.lattice.shape, "preset": PRESET}
    line = roofline(work, solve["wall_s"], bench.limits, program=program)
    first = row("registration, solve", solve, {"sirtjax": solve, "fireants": other}, line, **shape)
    line = roofline(work, total["wall_s"], bench.limits)
    contenders = {"sirtjax": total, "fireants": other}
    return [first, row("registration, including reading", total, contenders, line, **shape)]


def batch(
    bench: Bench,
    config: registration.RegistrationConfig,
    drawn: list[cases.Case],
    ready: list[Ready],
    alone: list[Any],
    size: int,
) -> Row:
    """Patients in one program, from host to host memory; the pairs are repeated to fill it."""
    pairs = registration.stack_pairs([ready[n % len(ready)].pair for n in range(size)])
    weights, key = registration.weights_from_config(config.weights), jax.random.key(0)

    def run() -> Any:
        return jax.tree.map(np.asarray, registration.solve_batch(pairs, weights, key, config=config))

    at = time.perf_counter()
    run()
    first_s = time.perf_counter() - at
    times, found = timed(run, bench.sizes.batch_repeats, warm=True)
    solutions = [jax.tree.map(lambda leaf, at=at: leaf[at], found) for at in range(len(ready))]
    apart = [np.abs(a.displacement_mm - b.displacement_mm).max() for a, b in zip(alone, solutions, strict=True)]
    memory, whose = peak_mb()
    return {
        "s_per_patient": times["wall_s"] / size,
        "cpu_s_per_patient": times["cpu_s"] / size,
        "first_run_s": first_s,
        "peak_mb": memory,
        "peak_of": whose,
        "largest_difference_mm": float(max(apart)),
        "liver_error_mm": mean_error(drawn, ready, solutions, config),
    }


def end_to_end(bench: Bench, config: registration.RegistrationConfig, folders: list[Path], work: Work) -> Row:
    """Files to assessed results: threads read and prepare while the device solves the batch before."""
    size = bench.sizes.batches[0]
    # Two batches: the second one is prepared while the first one is solved.
    files = [folders[n % len(folders)] for n in range(2 * size)]

    def run() -> Any:
        with ThreadPoolExecutor(bench.threads) as pool:
            read = list(pool.map(read_pair, files))
        references, floatings, first, second = (list(side) for side in zip(*read, strict=True))
        return registration.register_batch(
            references,
            floatings,
            config=config,
            reference_masks=[{"liver": one} for one in first],
            floating_masks=[{"liver": one} for one in second],
            batch_size=size,
            threads=bench.threads,
        )

    times, results = timed(run, 1, warm=True)
    good = sum(getattr(one, "status", None) is registration.Status.SUCCESS for one in results)
    figures = {**times, "patients_per_s": len(files) / times["wall_s"], "success": good, "patients": len(files)}
    line = roofline(work.times(len(files)), times["wall_s"], bench.limits)
    return row("registration, end to end", figures, {"sirtjax": figures}, line, batch=size, threads=bench.threads)


def mean_error(
    drawn: list[cases.Case], ready: list[Ready], solutions: list[Any], config: registration.RegistrationConfig
) -> float:
    """Mean error in the liver over all pairs, mm."""
    judged = [one.judged(solution, config=config) for one, solution in zip(ready, solutions, strict=True)]
    return statistics.mean(map(liver_error_mm, drawn, judged))


def warped_dsc(case: cases.Case, result: registration.RegistrationResult) -> float:
    """DSC of the reference's liver with the warped liver of the floating image."""
    liver = case.reference_masks["liver"]
    warped = spatial.resample_labels(case.floating_masks["liver"], liver.geometry, transform=result.transform)
    return float(metrics.dice(liver.mask("liver"), warped.mask("liver")))
