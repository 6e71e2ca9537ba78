"""Claim: installed to report takes at most 60 s cold and 20 s warm on 2 cores; a second patient compiles nothing.

Runs `sirtjax simulate` and `sirtjax plan`, the first steps of `make demo`, each in a process of its own:

  cold    the first patient, with an empty compilation cache;
  warm    the same again, with the programs of the cold run in the cache;
  second  another patient of another size (another preset and seed), with that cache: its plan is not to add a
          single compiled program. (Its simulation may: images of another size are another program.)

Peer: the same two steps by hand are the 30 to 45 minutes of a planning session that the introduction of this
project starts from; no open program does both, so the figures are absolute seconds.

Predicted before measuring: starting Python and importing JAX, SimpleITK and matplotlib costs about 2 s a verb, the
pictures 0.3 s a lesion, the registration 5 s; compiling about 10 s for the simulation and 5 s for the plan. So
about 30 s cold and 15 s warm.

    python benchmarks/demo.py --json out.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

LIMITS_S = {"cold": 60.0, "warm": 20.0}


def run(arguments: list[str], cache: Path) -> dict[str, float]:
    """Wall and CPU seconds of one verb, and how many programs it added to the compilation cache."""
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(cache), "JAX_PLATFORMS": "cpu"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # modules are compiled once, as in a user's shell
    command = [str(Path(sys.executable).parent / "sirtjax"), "--quiet", *arguments]
    programs, cpu, start = _programs(cache), _child_cpu_s(), time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return {
        "wall_s": time.perf_counter() - start,
        "cpu_s": _child_cpu_s() - cpu,
        "programs_compiled": _programs(cache) - programs,
    }


def _programs(cache: Path) -> int:
    return len(list(cache.glob("*-cache"))) if cache.is_dir() else 0


def _child_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def patient(folder: Path, cache: Path, *, preset: str, seed: int) -> dict[str, Any]:
    """Simulate and plan one patient."""
    case = folder / "patient" / "case.toml"
    sessions = ["--session", "diagnostic_ct", "--session", "spect"]
    chosen = ["--preset", preset, "--seed", str(seed), "--force"]
    simulate = run(["simulate", "-o", str(case.parent), *sessions, *chosen], cache)
    plan = run(["plan", str(case), "-o", str(folder / "plan"), "--force"], cache)
    results = json.loads((folder / "plan" / "results.json").read_text())
    return {
        "simulate": simulate,
        "plan": plan,
        "wall_s": simulate["wall_s"] + plan["wall_s"],
        "vois": len(results["vois"]),
        "checks": len(results["checks"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder, cache = Path(place), Path(place) / "cache"
        runs = {
            "cold": patient(folder, cache, preset=options.preset, seed=0),
            "warm": patient(folder, cache, preset=options.preset, seed=0),
            "second": patient(folder, cache, preset="small", seed=5),
        }
    print(f"{'run':8} {'simulate':>10} {'plan':>8} {'together':>10} {'limit':>7} {'compiled by the plan':>22}")
    for name, row in runs.items():
        limit = f"{LIMITS_S[name]:.0f} s" if name in LIMITS_S else "-"
        verbs = " ".join(f"{row[verb]['wall_s']:8.1f} s" for verb in ("simulate", "plan"))
        print(f"{name:8} {verbs} {row['wall_s']:8.1f} s {limit:>7} {row['plan']['programs_compiled']:22}")
    if options.json:
        table = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count(), "runs": runs}
        options.json.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
