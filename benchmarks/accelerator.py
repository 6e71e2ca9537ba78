"""Runs the work of an accelerator once: registration, networks, dose and uncertainty, next to other tools.

    python benchmarks/accelerator.py -o accelerator.json --peer-python /path/to/python

runs every workload on JAX's first device in one call and writes JSON after each measurement: the device and its
measured limits, versions, wall and CPU seconds, quality, the other tools of the same run, and a roofline. With a cold
start it is meant to take at most ten minutes on one GPU (`--limit-s`); what does not fit is recorded as not run.

    python benchmarks/accelerator.py --small -o small.json

runs the same programs on small inputs, on a CPU. It tests this script and says nothing about performance: no goal is
compared, and "performance_measured" is false. docs/accelerators.md describes the workloads and the method.

Other tools (PyTorch, FireANTs) run in processes of `--peer-python`, CuPy in this one. A tool that cannot be imported is
recorded as "not installed"; no published number takes its place.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch needs memory of the same GPU

import jax
from accelerator_dose import dose_maps, uncertainty_samples
from accelerator_files import liver_from_files
from accelerator_measure import Bench, Row, device_facts, device_limits, installed_tools, reached
from accelerator_networks import forward_passes, training_step
from accelerator_registration import registrations
from accelerator_sizes import FULL, SMALL
from registration_score import plain

# In the order of their value: the time may end before the last one.
WORK: Mapping[str, Callable[[Bench], Iterable[Row]]] = {
    "networks": forward_passes,
    "dose": dose_maps,
    "training": training_step,
    "registration": registrations,
    "files": liver_from_files,
    "uncertainty": uncertainty_samples,
}
METHOD = {
    "peak": "largest of several products of square matrices, per type; float32 at JAX's default precision",
    "bandwidth": "largest of several additions of 1 to a large array, read and written once",
    "operations": "counted in the traced program: 2 per multiply-add, 2.5 or 5 N log2 N per transform, 1 per other "
    "element; loops count with their length",
    "bytes": "arguments and results of products, transforms, sums and gathers, all else fused: a lower bound",
    "xla": "xla_operations and xla_bytes are those of compiled.cost_analysis(), which counts the body of a loop once",
    "achieved_fraction": "shortest time by the measured limits over the measured time; above 1 where arrays stay in a "
    "cache, or a CPU computes a convolution with fewer operations or in another type",
    "wall_s": "median of calls that wait for their result, after one to warm up",
}


def selected_sizes(small: bool, platform: str) -> Any:
    """Returns the sizes for a device.

    Raises:
      SystemExit: the full sizes were requested on a CPU.
    """
    if platform == "cpu" and not small:
        raise SystemExit("JAX has no accelerator: the full sizes need one; add --small to test the script on a CPU")
    return SMALL if small else FULL


def run_work(
    bench: Bench, chosen: list[str], report: Row, output: Path | None, *, limit_s: float, began: float
) -> None:
    """Runs the workloads and writes each row when it is measured; a failure is recorded, and the next one starts."""
    for name in chosen:
        if time.perf_counter() - began > limit_s:
            report["not_run"].append({"group": name, "reason": f"the limit of {limit_s:g} s was reached"})
            continue
        at, cpu = time.perf_counter(), time.process_time()
        try:
            for one in WORK[name](bench):
                if report["performance_measured"]:
                    one["reached"] = reached(one)
                report["work"].append(one)
                print(describe(one), flush=True)
                write(output, report)
        except Exception as error:
            traceback.print_exc()
            report["not_run"].append({"group": name, "reason": f"failed: {type(error).__name__}: {error}"})
        used = {"wall_s": time.perf_counter() - at, "cpu_s": time.process_time() - cpu}
        report["groups"][name] = used
        jax.clear_caches()
        write(output, report)


def describe(one: Row) -> str:
    """A workload in one line."""
    figures = {k: v for k, v in one["figures"].items() if isinstance(v, int | float) and not isinstance(v, bool)}
    shown = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
    line = one["roofline"]
    return f"{one['work']}: {shown}; {line['achieved_fraction']:.2g} of the limit by {line['bound_by']}"


def write(path: Path | None, report: Row) -> None:
    """Writes the report so far."""
    if path:
        path.write_text(json.dumps(plain(report), indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="small inputs, to test this script without an accelerator")
    parser.add_argument("--work", nargs="+", choices=list(WORK), default=list(WORK), help="groups of workloads to run")
    parser.add_argument("--peer-python", default=sys.executable, help="a Python that has the other tools")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads that prepare on the host")
    parser.add_argument("--limit-s", type=float, default=540.0, help="start no workload after this many seconds")
    parser.add_argument("-o", "--output", type=Path, help="write the results here as JSON")
    options = parser.parse_args()
    began = time.perf_counter()
    facts = device_facts()
    sizes = selected_sizes(options.small, facts["platform"])
    tools = installed_tools(options.peer_python)
    measured = not options.small and facts["platform"] != "cpu"
    with tempfile.TemporaryDirectory() as folder:
        if not jax.config.values["jax_compilation_cache_dir"]:
            # Two ways to one program compile it once; the next run starts cold again.
            jax.config.update("jax_compilation_cache_dir", f"{folder}/programs")
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        limits = device_limits(sizes)
        bench = Bench(
            sizes=sizes,
            limits=limits,
            folder=Path(folder),
            peer_python=options.peer_python,
            tools=tools,
            threads=options.threads,
        )
        report: Row = {
            "claim": __doc__.split("\n")[0],
            "small": options.small,
            "performance_measured": measured,
            **facts,
            "limits": limits,
            "tools": tools,
            "threads": options.threads,
            "method": METHOD,
            "work": [],
            "not_run": [],
            "groups": {},
        }
        run_work(bench, options.work, report, options.output, limit_s=options.limit_s, began=began)
    report["total_s"] = time.perf_counter() - began
    write(options.output, report)
    if report["not_run"]:
        raise SystemExit("; ".join(f"{one['group']}: {one['reason']}" for one in report["not_run"]))


if __name__ == "__main__":
    main()
