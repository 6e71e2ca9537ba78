"""Claim: training a network through the minimum of the registration improves its result over translating the image.

    python benchmarks/learned_similarity.py --json benchmarks/results/learned_similarity.json \
      --picture docs/images/learned_similarity.png

Pairs are those of registration_cases.py (tilted T1 MR to the low-dose CT of a SPECT/CT) on a small lattice, with the
true livers as masks. All start from one affine map by the masks. The deformable stage then compares images by

  none          nothing: only the masks guide
  mutual        mutual information of the images
  descriptor    self-similarity descriptors
  translated    the squared difference of the CT and of a network's translation of the MR into a CT, trained by
                regression
  through       the same network and another one for the CT, trained on through the minimum of the registration: the
                gradient of the mean squared error of the deformation, by the implicit function theorem

The weight of the images of the first four is the best of a grid on the training pairs. `through` learns it. The
held-out pairs are registered once per row, by the optimiser that every registration uses, not by the one that trains.

The network that finds the start of a registration cannot be trained in this way: the minimum does not depend on where
the search for it began, so its derivative by the start is zero.

Predicted before measuring: `translated` is as good as mutual information, `through` 10 % better than either.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import optax
from registration_cases import make_case
from scipy import stats

from sirtjax import metrics, networks, registration, spatial
from sirtjax.registration import ImagePair, ImplicitOptions, RegistrationConfig, Weights

TASK, SPACING_MM = "mr-ct", 5.0
# Seeds 3100 to 3109 were used while this program was written, with 24 training pairs.
TRAINING_SEEDS, HELD_OUT_SEEDS = range(3000, 3048), range(3200, 3210)
SMALL = (
    "lattice.shape=[36, 32, 32]", "lattice.min_spacing_mm=6.0", "similarity.interpolation=cubic",
    "affine.sample_stride=2", "affine.samples=2048", "deformable.sample_stride=2", "deformable.samples=2048",
    "regularisation.stride=2", "deformable.levels=[{ control_points = [5, 5, 5], blur_mm = 3.0, mask_blur_mm = 6.0, "
    "step_mm = 1.0 }, { control_points = [7, 7, 7], blur_mm = 3.0, mask_blur_mm = 5.0, step_mm = 0.5 }]",
)  # fmt: skip
KINDS = {"none": "ssd", "mutual": "mutual_information", "descriptor": "descriptor", "translated": "ssd"}
GRID = {"none": (0.0,), "mutual": (0.05, 0.1, 0.2, 0.5, 1.5), "descriptor": (0.1, 0.5, 2.0, 8.0, 30.0),
        "translated": (10.0, 30.0, 100.0, 300.0, 1000.0)}  # fmt: skip
NETWORK = networks.network_config(
    {"architecture": "plain-conv-unet", "channels": 1, "classes": 2, "features": [8, 16, 32], "deep_supervision": False}
)
OPTIONS = ImplicitOptions(newton_steps=4, cg_steps=40, sublattices=2)
# The gradient of a pair whose registration is farther from its minimum is not used.
VALID_MM = 0.2
PyTree = Any


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A pair at its affine map, and where its points truly are.

    Attributes:
      images: pair whose initial transform is the affine map by the masks.
      truth_mm: (i, j, k, 3) true place of each node in the floating image.
      liver: (i, j, k) 1 in the liver of the reference, otherwise 0.
    """

    images: ImagePair
    truth_mm: jax.Array
    liver: jax.Array


def deformable(kind: str) -> RegistrationConfig:
    """Returns the settings of a row: the deformable stage from a given affine map."""
    return registration.apply_overrides(
        registration.load_preset("cnn"), [*SMALL, "affine.model=none", f"similarity.kind={kind}"]
    )


def make_pair(seed: int) -> Pair:
    """Returns the pair of a seed, registered by an affine map of its liver masks."""
    case = make_case(TASK, seed, spacing_mm=SPACING_MM)
    config = registration.apply_overrides(registration.load_preset("cnn"), [*SMALL, "deformable.model=none"])
    ready = registration.prepare_tuning_case(
        case.reference,
        case.floating,
        config=config,
        reference_masks={"liver": case.reference_masks["liver"]},
        floating_masks={"liver": case.floating_masks["liver"]},
    ).ready
    pair, lattice = ready.pair, ready.lattice
    found = affine_stage(pair, registration.weights_from_config(config.weights), jax.random.key(0), config=config)
    truth_mm = case.truth_at(spatial.voxel_centres_mm(lattice).reshape(-1, 3)).reshape(*lattice.shape, 3)
    return Pair(
        images=jax.tree.map(jnp.asarray, replace(pair, start=found)),
        truth_mm=jnp.asarray(truth_mm, jnp.float32),
        liver=jnp.asarray(pair.reference_masks[..., 0] > 0.5, jnp.float32),
    )


@partial(jax.jit, static_argnames="config")
def affine_stage(pair: ImagePair, weights: Weights, key: jax.Array, *, config: RegistrationConfig) -> jax.Array:
    """Returns the affine map by the masks."""
    return registration.solve(pair, weights, key, config=config).affine


def compared(parameters: PyTree, images: ImagePair) -> ImagePair:
    """Returns the pair with the images that the networks make of it; parameters of a side may be missing."""
    sides = {side: transformed(own, getattr(images, side)) for side, own in parameters.items()}
    return replace(images, **sides)


def transformed(parameters: PyTree, image: jax.Array) -> jax.Array:
    """Returns an image plus what a network adds to it. Without training it adds nothing."""
    logits = networks.apply(NETWORK, {"params": parameters, "statistics": {}}, image[None, ..., None])[0]
    return image + logits[..., 1] - logits[..., 0]


def untrained(seed: int) -> PyTree:
    """Returns parameters with which a network adds nothing."""
    parameters = networks.initialise(NETWORK, seed=seed)["params"]
    leaves, tree = jax.tree_util.tree_flatten_with_path(parameters)
    found = [jnp.zeros_like(leaf) if leaf.shape[-1] == NETWORK.classes else leaf for _, leaf in leaves]
    return jax.tree.unflatten(tree, found)


def moved_mm(affine: jax.Array, displacement_mm: jax.Array, images: ImagePair) -> jax.Array:
    """Returns where a registration takes each node, (i, j, k, 3)."""
    index = jnp.stack(jnp.meshgrid(*map(jnp.arange, images.reference.shape), indexing="ij"), axis=-1)
    nodes_mm = images.reference_origin_mm[None, None, None] + index * images.reference_pitch_mm[None, None, None]
    return (nodes_mm + displacement_mm) @ affine[:3, :3].T + affine[:3, 3][None, None, None]


def squared_error(affine: jax.Array, displacement_mm: jax.Array, pair: Pair) -> jax.Array:
    """Returns the mean squared error of a registration in the liver, mm^2."""
    away = jnp.sum((moved_mm(affine, displacement_mm, pair.images) - pair.truth_mm) ** 2, axis=-1)
    return jnp.sum(away * pair.liver) / jnp.sum(pair.liver)


jax.tree_util.register_dataclass(Pair)


@partial(jax.jit, static_argnames="kind")
def error_mm(parameters: PyTree, image_weight: jax.Array, pair: Pair, *, kind: str) -> jax.Array:
    """Returns the root mean square error in the liver of the registration that everyone uses."""
    config = deformable(kind)
    weights = replace(registration.weights_from_config(config.weights), image=image_weight)
    found = registration.solve(compared(parameters, pair.images), weights, jax.random.key(0), config=config)
    return jnp.sqrt(squared_error(found.affine, found.displacement_mm, pair))


@jax.jit
def translation_loss(parameters: PyTree, pair: Pair) -> jax.Array:
    """Returns the mean squared difference of the CT and the translated MR at its true place."""
    images = pair.images
    index = (pair.truth_mm - images.floating_origin_mm[None, None, None]) / images.floating_pitch_mm[None, None, None]
    seen = spatial.warp(compared(parameters, images).floating, index)
    inside = images.reference_weight * spatial.warp(images.floating_inside, index)
    return jnp.sum(inside * (seen - images.reference) ** 2) / jnp.sum(inside)


@jax.jit
def minimum_loss(trained: PyTree, pair: Pair) -> tuple[jax.Array, jax.Array]:
    """Returns the squared error at the minimum of the registration, mm^2, and the distance from that minimum in mm."""
    config = deformable("ssd")
    weights = replace(registration.weights_from_config(config.weights), image=jnp.exp(trained["log_weight"]))
    images = compared(trained["networks"], pair.images)
    found = registration.solve_implicit(images, weights, jax.random.key(0), config=config, options=OPTIONS)
    return squared_error(found.affine, found.displacement_mm, pair), found.displacement_residual_mm


def descend(
    trained: PyTree,
    pairs: Sequence[Pair],
    loss: Callable[[PyTree, Pair], Any],
    *,
    epochs: int,
    rate: float,
    until_s: float = math.inf,
) -> tuple[PyTree, list[float], int]:
    """Returns parameters after steps of Adam on single pairs, the mean loss of each epoch, and the steps not used."""
    optimiser = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(rate, epochs * len(pairs), 0.05))
    )
    state, rng, means, unused = optimiser.init(trained), np.random.default_rng(0), [], 0
    differentiated = jax.jit(jax.value_and_grad(lambda own, pair: _with_residual(loss(own, pair)), has_aux=True))
    update = jax.jit(optimiser.update)
    begun = time.perf_counter()
    for epoch in range(epochs):
        values = []
        for place in rng.permutation(len(pairs)):
            (value, left_mm), gradient = differentiated(trained, pairs[place])
            values.append(float(value))
            finite = all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(gradient))
            if left_mm > VALID_MM or not finite:
                unused += 1
                continue
            updates, state = update(gradient, state)
            trained = optax.apply_updates(trained, updates)
        means.append(float(np.mean(values)))
        print(f"  epoch {epoch + 1}: loss {means[-1]:.4f}, {time.perf_counter() - begun:.0f} s", flush=True)
        if time.perf_counter() - begun > until_s:
            break
    return trained, means, unused


def _with_residual(found: Any) -> tuple[jax.Array, jax.Array]:
    return found if isinstance(found, tuple) else (found, jnp.float32(0))


def errors(pairs: Sequence[Pair], parameters: PyTree, image_weight: float, *, kind: str) -> list[float]:
    """Returns the error of each pair in mm."""
    return [float(error_mm(parameters, jnp.float32(image_weight), pair, kind=kind)) for pair in pairs]


def draw(path: Path, pairs: Sequence[Pair], translated: PyTree, trained: PyTree) -> None:
    """Draws a coronal plane of each pair: the CT, the MR at its true place, and what the networks make of both."""
    figure, axes = plt.subplots(len(pairs), 5, figsize=(11, 2.3 * len(pairs)))
    for number, (row, pair) in enumerate(zip(axes, pairs, strict=True)):
        images = pair.images
        origin_mm, pitch_mm = images.floating_origin_mm, images.floating_pitch_mm
        index = (pair.truth_mm - origin_mm[None, None, None]) / pitch_mm[None, None, None]
        plane = int(np.argmax(np.asarray(pair.liver).sum(axis=(0, 2))))
        shown = {
            "CT": images.reference,
            "MR": spatial.warp(images.floating, index),
            "MR, translated": spatial.warp(compared(translated, images).floating, index),
            "MR, through the minimum": spatial.warp(compared(trained, images).floating, index),
            "CT, through the minimum": compared(trained, images).reference,
        }
        for axis, (title, image) in zip(row, shown.items(), strict=True):
            axis.imshow(np.asarray(image)[:, plane, :].T, origin="lower", cmap="gray", vmin=0, vmax=1)
            axis.contour(np.asarray(pair.liver)[:, plane, :].T, levels=[0.5], colors="tab:orange", linewidths=0.8)
            axis.set_axis_off()
            if number == 0:
                axis.set_title(title, fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Trains both networks, and registers the held-out pairs with every row."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--epochs", type=int, default=6, help="epochs of the training through the minimum")
    parser.add_argument("--pairs", type=int, default=len(TRAINING_SEEDS), help="training pairs")
    parser.add_argument("--held-out", type=int, default=len(HELD_OUT_SEEDS), help="held-out pairs")
    parser.add_argument("--picture", type=Path, help="file for a picture of three held-out pairs")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    options = parser.parse_args()
    training = [make_pair(seed) for seed in TRAINING_SEEDS[: options.pairs]]
    held_out = [make_pair(seed) for seed in HELD_OUT_SEEDS[: options.held_out]]
    cpu = time.process_time()
    translated, course, _ = descend({"floating": untrained(0)}, training, translation_loss, epochs=20, rate=3e-3)
    seconds = {"translated": time.process_time() - cpu}
    chosen: dict[str, tuple[PyTree, float, str]] = {}
    for name, kind in KINDS.items():
        parameters = translated if name == "translated" else {}
        tried = {
            weight: float(np.mean(np.square(errors(training, parameters, weight, kind=kind)))) for weight in GRID[name]
        }
        best = min(tried, key=lambda weight: tried[weight])
        print(name, {weight: round(math.sqrt(value), 3) for weight, value in tried.items()}, flush=True)
        chosen[name] = (parameters, best, kind)
    cpu = time.process_time()
    begin = {
        "networks": {**translated, "reference": untrained(1)},
        "log_weight": jnp.log(jnp.float32(chosen["translated"][1])),
    }
    trained, further, unused = descend(begin, training, minimum_loss, epochs=options.epochs, rate=1e-3)
    seconds["through"] = time.process_time() - cpu
    chosen["through"] = (trained["networks"], float(jnp.exp(trained["log_weight"])), "ssd")
    affine = [
        float(jnp.sqrt(squared_error(pair.images.start, jnp.zeros((*pair.liver.shape, 3)), pair))) for pair in held_out
    ]
    rows: dict[str, dict[str, Any]] = {"affine": {"errors_mm": affine}}
    for name, (parameters, weight, kind) in chosen.items():
        rows[name] = {
            "image_weight": weight,
            "training_mm": metrics.rrmsd_mm(errors(training, parameters, weight, kind=kind)),
            "errors_mm": errors(held_out, parameters, weight, kind=kind),
        }
    for name, row in rows.items():
        if name != "through":
            differences = np.subtract(rows["through"]["errors_mm"], row["errors_mm"])
            row["p"] = float(stats.wilcoxon(differences).pvalue)
        row["rmse_mm"] = metrics.rrmsd_mm(row["errors_mm"])
        print(name, {key: np.round(value, 4) for key, value in row.items()}, flush=True)
    if options.picture:
        draw(options.picture, held_out[:3], translated, trained["networks"])
    if options.json:
        told = {
            "rows": rows, "cpu_s": seconds, "translation_loss": course, "squared_error_mm2": further, "unused": unused
        }  # fmt: skip
        options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
