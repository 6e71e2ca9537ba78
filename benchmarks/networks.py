"""Claim: on a CPU, networks run and train here in at most PyTorch's CPU seconds, in fewer than with XLA's convolution.

Runs each task with the same weights and image one contender after another, each in a process of its own:

  torch, torch channels-last   PyTorch's own modules (`networks_peers.py`), in both memory layouts
  xla                          this package with XLA's 3D convolution in place of its own
  sirtjax                      this package

and prints CPU seconds (user and system, the best of several calls after the first), wall seconds, peak memory of the
process and how far the results are from PyTorch's. Ratios are against the better of PyTorch's two layouts. CPU seconds
hold on a busy machine; wall seconds do not. Programs are compiled before, by a run of the same child, as they are for
users from the second run on; `compile_s` says how long that took.

    forward   low      the 3 mm U-Net of the thesis, 189 x 162 x 162
              plain6   nnU-Net's plain U-Net of 32 to 320 features, 128^3
              monai    MONAI's UNet of 16 to 256 features, 128^3
    training  small64  a plain U-Net of 16 to 128 features, 64^3: soft Dice and a gradient step
              small96  one of 12 to 96 features, 96^3
              low      the 3 mm U-Net

The peers' packages (torch, monai, dynamic-network-architectures) may be in another environment: --peer-python.

    python benchmarks/networks.py --peer-python /path/to/python -o benchmarks/results/networks.json
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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

Row = dict[str, Any]

LOW = {"architecture": "thesis-unet", "classes": 2, "features": [16, 32, 64, 128]}
PLAIN6 = {"architecture": "plain-conv-unet", "classes": 2, "features": [32, 64, 128, 256, 320, 320]}
MONAI = {
    "architecture": "monai-unet",
    "classes": 2,
    "features": [16, 32, 64, 128, 256],
    "strides": [2, 2, 2, 2],
    "units": 2,
}
SMALL64 = {"architecture": "plain-conv-unet", "classes": 2, "features": [16, 32, 64, 128]}
SMALL96 = {"architecture": "plain-conv-unet", "classes": 2, "features": [12, 24, 48, 96]}
# What each is to reach at most, against PyTorch's better layout.
TASKS: dict[str, Row] = {
    "forward-low": {"network": LOW, "shape": (189, 162, 162), "cpu_limit": 0.45},
    "forward-plain6": {"network": PLAIN6, "shape": (128, 128, 128), "cpu_limit": 0.55},
    "forward-monai": {"network": MONAI, "shape": (128, 128, 128), "cpu_limit": 1.0},
    "training-small64": {"network": SMALL64, "shape": (64, 64, 64), "cpu_limit": 0.5},
    "training-small96": {"network": SMALL96, "shape": (96, 96, 96), "cpu_limit": 0.5},
    "training-low": {"network": LOW, "shape": (189, 162, 162), "cpu_limit": 0.5},
}
MEMORY_LIMITS = {"forward": 1.2, "training": 1.5}
TORCH = {"torch": "contiguous", "torch channels-last": "channels-last"}
OURS = ("sirtjax", "xla")
# Large pages save most of the time the system takes to give fresh memory; all contenders get them.
ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1", "JAX_PLATFORMS": "cpu"}


def child_task(name: str) -> Row:
    """A task as its processes are given it."""
    kind = name.split("-")[0]
    network = {**TASKS[name]["network"], **({"deep_supervision": False} if "plain" in _architecture(name) else {})}
    given = TASKS[name]["shape"]
    output = tuple(n - 26 for n in given) if _architecture(name) == "thesis-unet" else given
    return {"kind": kind, "network": network, "shape": given, "output": output}


def _architecture(name: str) -> str:
    return str(TASKS[name]["network"]["architecture"])


def variables_of(weights: Mapping[str, np.ndarray], config: Any) -> Any:
    """The peer's weights as ours."""
    from sirtjax import networks

    if config.architecture == "thesis-unet":
        variables = networks.initialise(config, seed=0)
        for key, array in weights.items():
            *path, leaf = key.split(".")
            place = variables["params"]
            for name in path:
                place = place[name]
            if array.ndim == 5:
                place["w"] = array.transpose(2, 3, 4, 1, 0)
            else:
                place[{"weight": "scale", "bias": "b" if "b" in place else "shift"}[leaf]] = array
        return variables
    return (networks.from_monai if config.architecture == "monai-unet" else networks.from_nnunet)(weights, config)


def use_xla_convolutions() -> None:
    """Put XLA's own 3D convolution in the place of ours."""
    from sirtjax.networks import _convolution as ours

    def forward(x: Any, w: Any, stride: Any, padding: Any) -> Any:
        return ours._native(x, w, stride=stride, padding=padding)

    def to_input(dy: Any, w: Any, shape: Any, stride: Any, padding: Any) -> Any:
        return ours._native_input_gradient(dy, w, shape=shape, stride=stride, padding=padding)

    def to_weights(x: Any, dy: Any, kernel: Any, stride: Any, padding: Any) -> Any:
        return ours._native_weight_gradient(x, dy, kernel=kernel, stride=stride, padding=padding)

    ours._any_convolution, ours._any_input_gradient, ours._any_weight_gradient = forward, to_input, to_weights


def run_child(name: str, folder: Path, contender: str, repeats: int) -> None:
    """In a process of its own: run a task and print what it took."""
    import jax
    import jax.numpy as jnp

    from sirtjax.networks import apply, apply_training, network_config

    jax.config.update("jax_compilation_cache_dir", str(folder.parent / "programs"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    if contender == "xla":
        use_xla_convolutions()
    task = child_task(name)
    config = network_config(task["network"])
    with np.load(folder / "weights.npz") as file:
        variables = jax.tree.map(jnp.asarray, variables_of(dict(file), config))
    x = jnp.asarray(np.load(folder / "image.npy"))
    base_mb = _used()[1]

    if task["kind"] == "forward":

        def run(params: Any, x: Any, target: Any) -> Any:
            return apply(config, {**variables, "params": params}, x)

        target = None
    else:
        target = jnp.asarray((np.random.default_rng(1).random((1, *task["output"], 1)) > 0.5).astype(np.float32))

        def loss(params: Any, x: Any, target: Any) -> Any:
            outputs, _ = apply_training(config, {**variables, "params": params}, x, key=jax.random.key(0))
            share = jax.nn.softmax(outputs[0])[..., 1:]
            return 1 - 2 * (share * target).sum() / (share.sum() + target.sum())

        def run(params: Any, x: Any, target: Any) -> Any:
            value, gradient = jax.value_and_grad(loss)(params, x, target)
            return value, jax.tree.map(lambda p, g: p - 0.01 * g, params, gradient)

    start = time.perf_counter()
    program = jax.jit(run).lower(variables["params"], x, target).compile()
    compile_s = time.perf_counter() - start
    first = jax.block_until_ready(program(variables["params"], x, target))
    found = np.asarray(first if task["kind"] == "forward" else first[0])
    del first
    rows = []
    for _ in range(repeats):
        cpu, wall = _used()[0], time.perf_counter()
        jax.block_until_ready(program(variables["params"], x, target))
        rows.append((_used()[0] - cpu, time.perf_counter() - wall))
    peak_mb = _used()[1]
    figures = {"cpu_s": min(r[0] for r in rows), "wall_s": min(r[1] for r in rows), "compile_s": compile_s}
    figures |= {"peak_mb": peak_mb, "base_mb": base_mb, "version": jax.__version__}
    print(json.dumps(figures | agreement(found, np.load(folder / "found.npy"))))


def agreement(found: np.ndarray, expected: np.ndarray) -> Row:
    """How far results are from PyTorch's: logits, or the loss before the step."""
    row = {"largest_difference": float(np.abs(found - expected).max())}
    if found.ndim == 5:
        row["same_class"] = float((found.argmax(-1) == expected.argmax(-1)).mean())
    return row


def _used() -> tuple[float, float]:
    found = resource.getrusage(resource.RUSAGE_SELF)
    return found.ru_utime + found.ru_stime, found.ru_maxrss * 1024 / 1e6


def run_process(command: list[str]) -> Row:
    """What a child prints, or why it printed nothing."""
    # Forked from a large process, a child would begin with that one's memory as its peak.
    small = [sys.executable, "-I", "-S", "-c", "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))"]
    done = subprocess.run([*small, *command], env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True)
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]}
    found: Row = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def run_task(name: str, work: Path, options: argparse.Namespace) -> Row:
    """All contenders on a task, and the ratios of ours to the better of PyTorch's layouts."""
    folder = work / name
    folder.mkdir(parents=True)
    task, rows = json.dumps(child_task(name)), {}
    repeats = ["--repeats", str(options.repeats)]
    peer = [options.peer_python, str(Path(__file__).with_name("networks_peers.py"))]
    for contender, layout in TORCH.items():
        rows[contender] = run_process([*peer, task, str(folder), layout, *repeats])
    for contender in OURS if options.xla else OURS[:1]:
        command = [sys.executable, __file__, "--child", name, str(folder), contender, *repeats]
        before = run_process(command)
        rows[contender] = run_process(command)
        rows[contender]["compile_s"] = before.get("compile_s")
    return {"task": name, "contenders": rows, **ratios(rows, name)}


def ratios(rows: Mapping[str, Row], name: str) -> Row:
    """Ours over PyTorch's better layout in each figure, and whether the limits are kept."""
    peers = [rows[contender] for contender in TORCH if "failed" not in rows[contender]]
    ours = rows["sirtjax"]
    if not peers or "failed" in ours:
        return {"within": None}
    found = {key: round(ours[key] / min(row[key] for row in peers), 3) for key in ("cpu_s", "wall_s", "peak_mb")}
    limits = {"cpu_s": TASKS[name]["cpu_limit"], "peak_mb": MEMORY_LIMITS[name.split("-")[0]]}
    return {"ratios": found, "limits": limits, "within": all(found[key] <= limits[key] for key in limits)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer-python", default=sys.executable, help="a Python that has the peers")
    parser.add_argument("--no-xla", dest="xla", action="store_false", help="leave XLA's own convolution out")
    parser.add_argument("-o", "--output", type=Path, help="write the results here as JSON")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        run_child(options.child[0], Path(options.child[1]), options.child[2], options.repeats)
        return
    results = []
    with tempfile.TemporaryDirectory() as work:
        for name in options.tasks:
            results.append(run_task(name, Path(work), options))
            print(json.dumps(results[-1], indent=1), flush=True)
            if options.output:
                facts = {"claim": __doc__.split("\n")[0], "processor": processor(), "environment": ENVIRONMENT}
                options.output.write_text(json.dumps({**facts, "results": results}, indent=1) + "\n")


def processor() -> str:
    """The processor's name and features that matter, and how many of it there are."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = {line.split(":")[1].strip() for line in text.splitlines() if line.startswith("model name")}
    wide = [feature for feature in ("avx2", "avx512f", "amx_tile") if feature in text]
    return f"{', '.join(sorted(names)) or platform.processor()} ({' '.join(wide)}), {os.cpu_count()} CPUs"


if __name__ == "__main__":
    main()
