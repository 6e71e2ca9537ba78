"""Limits of the device, times, and the roofline of a program, for `accelerator.py`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import networks as network_tasks
import numpy as np
from accelerator_operations import Work
from accelerator_sizes import GOALS, Sizes
from registration_batch import median_s

Row = dict[str, Any]
NOT_INSTALLED = "not installed"
TOOLS = ("torch", "dynamic_network_architectures", "fireants", "SimpleITK")
PEAK_REPEATS = 5


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What all workloads share.

    Attributes:
      sizes: sizes of the workloads.
      limits: result of `device_limits`.
      folder: temporary files.
      peer_python: a Python that may have the other tools.
      tools: for each of `TOOLS`, whether that Python has it.
      threads: threads that read and prepare on the host.
    """

    sizes: Sizes
    limits: Row
    folder: Path
    peer_python: str
    tools: Mapping[str, bool] = field(default_factory=dict)
    threads: int = 1

    def has(self, *names: str) -> bool:
        """Returns whether all these tools are installed."""
        return all(self.tools.get(name, False) for name in names)

    def child(self, script: str, *arguments: str) -> Row:
        """Runs a script of this folder with the Python of the other tools and returns what it prints."""
        path = str(Path(__file__).with_name(script))
        return network_tasks.run_process([self.peer_python, path, *arguments])


def installed_tools(python: str) -> dict[str, bool]:
    """Returns which of the other tools a Python has."""
    code = f"import importlib.util as u, json; print(json.dumps({{n: u.find_spec(n) is not None for n in {TOOLS}}}))"
    found = network_tasks.run_process([python, "-c", code])
    if "failed" in found:
        raise SystemExit(f"--peer-python {python}: cannot run it ({found['failed']}); use another Python")
    return found


def on_host() -> AbstractContextManager[Any]:
    """Returns a context in which JAX computes on the processor: phantoms need not be compiled for the accelerator."""
    context: AbstractContextManager[Any] = jax.default_device(jax.local_devices(backend="cpu")[0])
    return context


def device_limits(sizes: Sizes) -> Row:
    """Measures the peak of the device in operations per second, and its bandwidth in bytes per second."""
    limits: Row = {"matmul": sizes.matmul, "copy_mb": sizes.copy_mb}
    for kind in ("float32", "bfloat16"):
        # Products of constants run faster than those of other numbers.
        a = jax.random.normal(jax.random.key(0), (sizes.matmul, sizes.matmul)).astype(kind)
        limits[f"{kind}_operations_per_s"] = 2.0 * sizes.matmul**3 / _best_s(jax.jit(jnp.matmul), a, a)
    x = jnp.zeros(sizes.copy_mb * 2**18, jnp.float32)
    limits["bytes_per_s"] = 2.0 * x.nbytes / _best_s(jax.jit(lambda x: x + 1), x)
    return limits


def _best_s(run: Callable[..., Any], *arguments: Any) -> float:
    jax.block_until_ready(run(*arguments))
    times = []
    for _ in range(PEAK_REPEATS):
        at = time.perf_counter()
        jax.block_until_ready(run(*arguments))
        times.append(time.perf_counter() - at)
    return min(times)


def compiled(function: Callable[..., Any], *arguments: Any, **jit: Any) -> tuple[Any, float]:
    """Returns a compiled program and the seconds that tracing and compiling took."""
    at = time.perf_counter()
    program = jax.jit(function, **jit).lower(*arguments).compile()
    return program, time.perf_counter() - at


def timed(run: Callable[[], Any], repeats: int, *, warm: bool = False) -> tuple[Row, Any]:
    """Measures the median wall and CPU seconds of calls that wait for their results, after a call to warm up.

    Args:
      run: function to call.
      repeats: timed calls.
      warm: whether its programs have run before.
    """
    if not warm:
        jax.block_until_ready(run())
    wall, cpu, result = median_s(lambda: jax.block_until_ready(run()), repeats)
    return {"wall_s": wall, "cpu_s": cpu}, result


def roofline(work: Work, wall_s: float, limits: Row, *, precision: str = "float32", program: Any = None) -> Row:
    """Compares a measured time with the shortest time that the device's limits allow.

    Args:
      work: counted work of the timed call.
      wall_s: seconds of the call.
      limits: result of `device_limits`.
      precision: type of the products, which selects the peak.
      program: compiled program for XLA's own count, or None.
    """
    peak, bandwidth = limits[f"{precision}_operations_per_s"], limits["bytes_per_s"]
    computing_s, moving_s = work.operations / peak, work.bytes / bandwidth
    limit_s = max(computing_s, moving_s)
    return {
        "operations": work.operations,
        "bytes": work.bytes,
        "intensity_operations_per_byte": work.operations / max(work.bytes, 1.0),
        "bound_by": "computation" if computing_s >= moving_s else "memory",
        "limit_s": limit_s,
        "achieved_fraction": limit_s / wall_s,
        "achieved_operations_per_s": work.operations / wall_s,
        "achieved_bytes_per_s": work.bytes / wall_s,
        "loops": work.loops,
        "unknown_loops": work.unknown_loops,
        **xla_cost(program),
    }


def xla_cost(program: Any) -> Row:
    """XLA's own count of a compiled program; None if it has none."""
    try:
        found = None if program is None else program.cost_analysis()
    except (NotImplementedError, jax.errors.JaxRuntimeError):
        found = None  # not every backend counts
    one = found[0] if isinstance(found, list | tuple) and found else found
    count = one if isinstance(one, Mapping) else {}
    return {"xla_operations": count.get("flops"), "xla_bytes": count.get("bytes accessed")}


def row(name: str, figures: Row, contenders: Row, line: Row, **facts: Any) -> Row:
    """One workload of the result: goals are compared only on an accelerator at full size, by `accelerator.py`."""
    measured = {"work": name, **facts, "figures": figures, "contenders": contenders, "roofline": line}
    return {**measured, "goal": GOALS.get(name), "reached": None}


def reached(measured: Row) -> bool | None:
    """Whether a workload keeps its goals; None if one of them was not measured."""
    figures, goal = measured["figures"], measured["goal"]
    if goal is None or any(figures.get(name) is None for name in goal):
        return None
    return all(figures[name] >= g if name.endswith("_per_s") else figures[name] <= g for name, g in goal.items())


def device_facts() -> Row:
    """Device, processor and versions."""
    devices = jax.devices()
    packages = ("jax", "jaxlib", "flax", "numpy", "scipy")
    return {
        "platform": devices[0].platform,
        "device": devices[0].device_kind,
        "devices": len(devices),
        "processor": network_tasks.processor(),
        "load": os.getloadavg()[0],
        "versions": {name: metadata.version(name) for name in packages},
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "matmul_precision": str(jax.config.jax_default_matmul_precision or "default"),
    }


def largest_relative(found: Any, expected: Any) -> float:
    """Largest difference, as a fraction of the largest expected value."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    return float(np.abs(found - expected).max() / np.abs(expected).max())
