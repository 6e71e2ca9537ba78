"""The DICOM service under load, idle connections, abuse, kills and mutated files.

`python benchmarks/service.py [load crowd abuse kills fuzz]`

What is run is what the tests of tests/service run a share of; the figures go to benchmarks/results/service.json. The
structures are found by a threshold, so that the times are those of the service alone.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "service.json"
sys.path.append(str(ROOT / "tests" / "service"))
SEED = 20
ECHO_S = 1.0

import bench  # noqa: E402
import crowd  # noqa: E402
import fuzz  # noqa: E402
import test_abuse  # noqa: E402
import test_kill  # noqa: E402
import test_load  # noqa: E402


def load(folder: Path) -> dict:
    return test_load.run_load(folder, series=18, slices=60, size=256)


def abuse(folder: Path) -> dict:
    with bench.Pacs() as pacs:
        found = test_abuse.run_battery(folder, pacs)
    if found["echo_failures"] or found["echo_most_s"] >= ECHO_S:
        raise SystemExit(f"C-ECHO took up to {found['echo_most_s']:.2f} s; {ECHO_S} s are allowed on a quiet machine")
    return {**found, "names": [case.__name__ for case in test_abuse.CASES]}


def crowds(folder: Path) -> dict:
    """C-ECHOs of a known peer among idle connections of strangers, and of its own address."""
    loads = {
        "two_strangers": [f"127.0.0.{n}" for n in (6, 7) for _ in range(24)],
        "own_address": ["127.0.0.1"] * 150,
    }
    found = {}
    with bench.Pacs() as pacs, bench.Service(folder, pacs.port) as service:
        bench.wait_for(lambda: "the worker is ready" in service.log_text(), timeout_s=120, what="the worker")
        for name, sources in loads.items():
            found[name] = crowd.run_crowd(service.port, sources, echoes=60)
    return found


def kills(folder: Path) -> dict:
    found = test_kill.run_kills(folder, kills=25, series=12, seed=SEED)
    states = found.pop("states_at_kill")
    return {**found, "states_at_kill": {state: states.count(state) for state in sorted(set(states))}}


def fuzzed(folder: Path) -> dict:
    found = {
        "readers": fuzz.fuzz_reader(folder / "readers", 5000, SEED),
        "parsing_process": fuzz.fuzz_guard(folder / "guard", 5000, SEED),
        "network": fuzz.fuzz_network(folder / "network", 600, SEED),
    }
    parts = list(found.values())
    sums = {key: sum(part[key] for part in parts) for key in ("files", "tracebacks", "hangs")}
    return {**sums, "peak_mb": round(fuzz.peak_mb(), 1), **found}


RUNS = {"load": load, "crowd": crowds, "abuse": abuse, "kills": kills, "fuzz": fuzzed}


def main() -> None:
    wanted = sys.argv[1:] or list(RUNS)
    for name in wanted:
        with tempfile.TemporaryDirectory(prefix="sirtjax-service-") as folder:
            began = time.monotonic()
            found = RUNS[name](Path(folder))
        # Read anew: another run may have written its part meanwhile.
        results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        results["machine"] = {"processors": os.cpu_count(), "python": platform.python_version()}
        results[name] = {**found, "run_s": round(time.monotonic() - began, 1), "load_average": os.getloadavg()[0]}
        RESULTS.write_text(json.dumps(results, indent=2) + "\n")
        print(name, json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
