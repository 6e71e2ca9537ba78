"""Networks forward and in training, with random weights, next to PyTorch, for `accelerator.py`."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import networks as network_tasks
import numpy as np
from accelerator_measure import NOT_INSTALLED, Bench, Row, compiled, largest_relative, roofline, row, timed
from accelerator_operations import work_of

from sirtjax import networks

PRECISIONS: tuple[networks.Precision, ...] = ("float32", "bfloat16")
TORCH = {"float32": "float32", "amp": "bfloat16"}


def forward_passes(bench: Bench) -> list[Row]:
    """The 3 mm U-Net on a whole volume, and nnU-Net's plain U-Net on a patch."""
    volume = forward(bench, "3 mm U-Net, whole volume", *bench.sizes.volume)
    volume["figures"]["volumes_per_s"] = 1 / volume["figures"]["wall_s"]
    return [volume, forward(bench, "nnU-Net patch", *bench.sizes.patch)]


def forward(bench: Bench, name: str, table: dict[str, Any], shape: tuple[int, ...]) -> Row:
    """One network without training, in both precisions."""
    config, variables, x, peers = same_start(bench, name, "forward", table, shape)
    contenders, lines, logits = dict(peers), {}, {}
    for precision in PRECISIONS:
        function = partial(networks.apply, config, precision=precision)
        program, compile_s = compiled(function, variables, x)
        times, found = timed(partial(program, variables, x), bench.sizes.repeats)
        logits[precision] = np.asarray(found)
        contenders[f"sirtjax {precision}"] = {**times, "compile_s": compile_s}
        work = work_of(function, variables, x)
        lines[precision] = roofline(work, times["wall_s"], bench.limits, precision=precision, program=program)
    half = contenders["sirtjax bfloat16"]
    half |= against(logits["bfloat16"], logits["float32"], "float32")
    theirs = results_of_torch(bench, name, peers)
    for kind, ours in TORCH.items() if theirs else ():
        contenders[f"sirtjax {ours}"] |= against(logits[ours], theirs[kind], f"torch_{kind}")
    if theirs:
        contenders["torch amp"] |= against(theirs["amp"], theirs["float32"], "torch_float32")
    figures = {**half, **over_torch(half, peers)}
    return row(
        name, figures, contenders, lines["bfloat16"], shape=shape, network=table, roofline_float32=lines["float32"]
    )


def training_step(bench: Bench) -> list[Row]:
    """Soft Dice of the 3 mm U-Net and a gradient step; parameters and their update are float32 in both precisions."""
    name = "training step, 3 mm U-Net"
    table, shape = bench.sizes.volume
    config, variables, x, peers = same_start(bench, name, "training", table, shape)
    out = networks.output_shape(config, shape)
    target = jnp.asarray((np.random.default_rng(1).random((1, *out, 1)) > 0.5).astype(np.float32))
    contenders, lines, losses, updates = dict(peers), {}, {}, {}
    for precision in PRECISIONS:
        function = partial(step_of(config, precision), statistics=variables["statistics"])
        program, compile_s = compiled(function, variables["params"], x, target)
        times, (loss, params) = timed(partial(program, variables["params"], x, target), bench.sizes.repeats)
        losses[precision] = float(loss)
        updates[precision] = flat(jax.tree.map(jnp.subtract, params, variables["params"]))
        contenders[f"sirtjax {precision}"] = {**times, "compile_s": compile_s, "loss": losses[precision]}
        work = work_of(function, variables["params"], x, target)
        lines[precision] = roofline(work, times["wall_s"], bench.limits, precision=precision, program=program)
    half = contenders["sirtjax bfloat16"]
    half["loss_change"] = abs(losses["bfloat16"] - losses["float32"])
    half["update_cosine"] = float(
        updates["bfloat16"] @ updates["float32"] / np.prod([np.linalg.norm(one) for one in updates.values()])
    )
    theirs = results_of_torch(bench, name, peers)
    for kind, ours in TORCH.items() if theirs else ():
        contenders[f"sirtjax {ours}"][f"loss_change_torch_{kind}"] = abs(losses[ours] - float(theirs[kind]))
    figures = {**half, **over_torch(half, peers)}
    return [
        row(name, figures, contenders, lines["bfloat16"], shape=shape, network=table, roofline_float32=lines["float32"])
    ]


def step_of(config: Any, precision: networks.Precision) -> Callable[..., Any]:
    """Returns one gradient step as a function of parameters, image and target."""

    def loss(params: Any, x: jax.Array, target: jax.Array, statistics: Any) -> jax.Array:
        images = x.astype(precision)  # each layer converts its weights
        variables = {"params": params, "statistics": statistics}
        outputs, _ = networks.apply_training(config, variables, images, key=jax.random.key(0))
        share = jax.nn.softmax(outputs[0].astype(jnp.float32))[..., 1:]
        return 1 - 2 * (share * target).sum() / (share.sum() + target.sum())

    def step(params: Any, x: jax.Array, target: jax.Array, *, statistics: Any) -> Any:
        value, gradient = jax.value_and_grad(loss)(params, x, target, statistics)
        return value, jax.tree.map(lambda p, g: p - 0.01 * g, params, gradient)

    return step


def same_start(bench: Bench, name: str, kind: str, table: dict[str, Any], shape: tuple[int, ...]) -> Any:
    """Network, variables and image, PyTorch's if it is installed, and PyTorch's times."""
    plain = {"deep_supervision": False} if table["architecture"] == "plain-conv-unet" else {}
    table = {**table, **plain}
    config = networks.network_config(table)
    folder = bench.folder / name
    folder.mkdir()
    x = np.random.default_rng(0).normal(size=(1, *shape, 1)).astype(np.float32)
    ours = config, networks.initialise(config, seed=0), jnp.asarray(x)
    needed = ("torch", "dynamic_network_architectures") if plain else ("torch",)
    if not bench.has(*needed):
        return *ours, {f"torch {precision}": NOT_INSTALLED for precision in TORCH}
    task = {"kind": kind, "network": table, "shape": shape, "output": networks.output_shape(config, shape)}
    found = bench.child("accelerator_torch.py", json.dumps(task), str(folder), "--repeats", str(bench.sizes.repeats))
    if "failed" in found:
        return *ours, {f"torch {precision}": found for precision in TORCH}
    facts = {key: value for key, value in found.items() if key not in TORCH}
    peers = {f"torch {precision}": {**found[precision], **facts} for precision in TORCH}
    with np.load(folder / "weights.npz") as file:
        variables = jax.tree.map(jnp.asarray, network_tasks.variables_of(dict(file), config))
    return config, variables, jnp.asarray(np.load(folder / "image.npy")), peers


def results_of_torch(bench: Bench, name: str, peers: Row) -> dict[str, np.ndarray]:
    """PyTorch's logits or losses by precision; empty if it did not run."""
    if any("wall_s" not in peers[f"torch {kind}"] for kind in TORCH):
        return {}
    return {kind: np.load(bench.folder / name / f"{kind}.npy") for kind in TORCH}


def against(found: np.ndarray, expected: np.ndarray, name: str) -> Row:
    """How far logits are from others: equal classes, those where the other is sure, and the largest difference."""
    same = found.argmax(-1) == expected.argmax(-1)
    ordered = np.sort(expected, axis=-1)
    margin = ordered[..., -1] - ordered[..., -2]
    # Random weights leave many voxels undecided: a margin of a tenth of the spread is a decision.
    sure = margin > 0.1 * expected.std()
    return {
        f"same_class_as_{name}": float(same.mean()),
        f"same_sure_class_as_{name}": float(same[sure].mean()) if sure.any() else None,
        f"largest_change_from_{name}": largest_relative(found, expected),
    }


def over_torch(ours: Row, peers: Row) -> Row:
    """Our wall time over that of PyTorch's AMP; None if PyTorch did not run."""
    amp = peers["torch amp"]
    return {"wall_over_torch_amp": ours["wall_s"] / amp["wall_s"] if "wall_s" in amp else None}


def flat(tree: Any) -> np.ndarray:
    """All numbers of a tree, in one vector."""
    return np.concatenate([np.ravel(np.asarray(leaf, np.float64)) for leaf in jax.tree.leaves(tree)])
