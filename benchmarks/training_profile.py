"""Claim: on a GPU the network, not the generator of digital phantoms, limits the training of the liver model.

    python benchmarks/training_profile.py --bank shape_bank.npz -o profile.json [--batch 16] [--precision bfloat16]

It times the two parts of a training step of `liver-neighbours-synthetic` on their own, without the optimiser: drawing
a batch of digital phantoms, and the derivatives of a loss by the weights of the network. The profiler then records one
call of each part, and the kernels that take the most time are listed with the operation of the compiled program.

Predicted: most of the time for the generator, because its loops once had tens of thousands of small kernels.
"""

from __future__ import annotations

import argparse
import collections
import gzip
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from sirtjax import networks, segmentation, synthesis

REPEATS, KERNELS = 5, 25
# Those of the third training of the liver model, whose weights are not bundled.
FRACTIONS = {"narrowed_fraction": 0.12, "turned_fraction": 0.4, "remodelled_fraction": 0.35}


def measured(function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
    """Times a function and lists its kernels."""
    start = time.perf_counter()
    compiled = jax.jit(function).lower(*arguments).compile()
    row: dict[str, Any] = {"compile_s": time.perf_counter() - start, "wall_s": []}
    jax.block_until_ready(compiled(*arguments))
    for _ in range(REPEATS):
        start = time.perf_counter()
        jax.block_until_ready(compiled(*arguments))
        row["wall_s"].append(time.perf_counter() - start)
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, create_perfetto_trace=True):
            jax.block_until_ready(compiled(*arguments))
        found = kernels(Path(folder))
    total = sum(one["us"] for one in found)
    row |= {"kernels": sum(one["calls"] for one in found), "kernels_us": total, "longest": found[:KERNELS]}
    return row


def kernels(folder: Path) -> list[dict[str, Any]]:
    """The kernels of a recorded call on accelerators, those with the longest time first; empty on a CPU."""
    total: dict[tuple[str, str], list[float]] = collections.defaultdict(lambda: [0, 0.0])
    for path in folder.rglob("perfetto_trace.json.gz"):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            events = json.load(file)
        events = events["traceEvents"] if isinstance(events, dict) else events
        names = {one["pid"]: one["args"].get("name", "") for one in events if one.get("name") == "process_name"}
        devices = {pid for pid, name in names.items() if "GPU" in name or "TPU" in name}
        for one in events:
            if one.get("ph") == "X" and one.get("pid") in devices:
                entry = total[str(one.get("args", {}).get("hlo_op", "")), one["name"]]
                entry[0] += 1
                entry[1] += one.get("dur", 0.0)
    rows = [
        {"operation": op, "kernel": name, "calls": int(n), "us": round(us)} for (op, name), (n, us) in total.items()
    ]
    return sorted(rows, key=lambda one: -one["us"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bank", type=Path, required=True)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="of the network")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    preset = synthesis.load_preset("hard")
    assert preset.unusual is not None
    config = preset.model_copy(
        update={"mixed_fraction": 0.7, "unusual": preset.unusual.model_copy(update=FRACTIONS)},
    )
    bank = jax.device_put(synthesis.split_bank(*synthesis.load_shape_bank(options.bank)))
    model = segmentation.load_model("liver")
    network, variables = model.spec.network, model.folds[0]

    def phantoms(keys: jax.Array, shapes: synthesis.ShapeBank) -> Any:
        return jax.vmap(lambda key: synthesis.random_sample(key, shapes, config=config))(keys)

    def loss(params: Any, images: jax.Array) -> jax.Array:
        both = {**variables, "params": params}
        logits = networks.apply(network, both, images, precision=options.precision)
        return jnp.mean(jax.nn.logsumexp(logits, axis=-1))

    keys = jax.random.split(jax.random.key(0), options.batch)
    images = jnp.zeros((options.batch, *config.shape, 1))
    report = {
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
        "batch": options.batch,
        "shape": config.shape,
        "precision": options.precision,
        "generator": measured(phantoms, keys, bank),
        "network": measured(jax.grad(loss), variables["params"], images),
    }
    options.output.write_text(json.dumps(report, indent=1), encoding="utf-8")
    for part in ("generator", "network"):
        wall = sorted(report[part]["wall_s"])[REPEATS // 2]
        print(f"{part}: {wall * 1e3:.1f} ms per batch of {options.batch}, {report[part]['kernels']} kernels")


if __name__ == "__main__":
    main()
