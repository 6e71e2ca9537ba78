"""The record of a run, for its report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Integer, PyTree
from numpy.typing import NDArray

from sirtjax import networks
from sirtjax.parsing import parse_json
from sirtjax.train._devices import place, sample_mesh
from sirtjax.train._log import STEPS, VALIDATIONS, read_rows
from sirtjax.train._objective import centre
from sirtjax.train._run import make_source
from sirtjax.train._run_folder import CONFIG, best_variables, run_config
from sirtjax.train._training_file import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """The course of a run.

    Attributes:
      config: training file of the run.
      made_by: versions of the packages, and the devices.
      steps: number of updates at each point, (n,).
      figures: "loss", "gradient_norm" and "learning_rate", (n,) each.
      validation_steps: number of updates before each validation, (m,).
      dsc: mean Dice similarity over the cases for each label, (m, labels); NaN if no case has a value.
      best: index of the best validation in `validation_steps`; None before the first.
      cases: name, label and DSC of the cases in the best validation.
    """

    config: TrainingConfig
    made_by: dict[str, PyTree]
    steps: Integer[np.ndarray, " n"]
    figures: dict[str, Float[np.ndarray, " n"]]
    validation_steps: Integer[np.ndarray, " m"]
    dsc: Float[np.ndarray, "m labels"]
    best: int | None
    cases: tuple[tuple[str, str, float], ...]


@dataclass(frozen=True, kw_only=True)
class SampleSlice:
    """A slice of a training sample as the network's input.

    Attributes:
      image: (i, j) values of the first channel.
      labels: (i, j) class numbers, 0 for background.
      predicted: masks by the best weights, in the same layout.
    """

    image: Float[np.ndarray, "i j"]
    labels: Integer[np.ndarray, "i j"]
    predicted: Integer[np.ndarray, "i j"]


def run_record(run: Path) -> RunRecord:
    """Reads the record of a run.

    Raises:
      ConfigError: the folder is not a run.
    """
    config = run_config(run)
    described: Any = parse_json((run / CONFIG).read_text(encoding="utf-8"))
    rows = read_rows(run / STEPS) if (run / STEPS).is_file() else []
    validated = read_rows(run / VALIDATIONS) if (run / VALIDATIONS).is_file() else []
    labels = [one.name for one in config.classes]
    moments = sorted({int(row["step"]) for row in validated})
    scores: dict[tuple[int, str], list[float]] = {}
    for row in validated:
        if row["dsc"]:
            scores.setdefault((int(row["step"]), row["label"]), []).append(float(row["dsc"]))
    dsc = np.array([[_mean(scores.get((step, label), [])) for label in labels] for step in moments])
    whole = [_mean([value for label in labels for value in scores.get((step, label), [])]) for step in moments]
    best = int(np.nanargmax(whole)) if np.isfinite(whole).any() else None
    return RunRecord(
        config=config,
        made_by={key: value for key, value in described.items() if key != "config"},
        steps=np.array([int(row["step"]) for row in rows], np.int64),
        figures={
            name: np.array([float(row[name]) for row in rows]) for name in ("loss", "gradient_norm", "learning_rate")
        },
        validation_steps=np.array(moments, np.int64),
        dsc=dsc.reshape(len(moments), len(labels)),
        best=best,
        cases=tuple(
            (row["case"], row["label"], float(row["dsc"] or "nan"))
            for row in validated
            if best is not None and int(row["step"]) == moments[best]
        ),
    )


def sample_slices(run: Path, *, count: int) -> list[SampleSlice]:
    """Returns slices of the first augmented training samples, with predictions of the best weights.

    Each is the slice across k with the most labelled voxels of its sample.

    Args:
      run: run folder, after its first validation.
      count: number of slices.
    """
    config = run_config(run)
    variables, _ = best_variables(run)
    mesh = sample_mesh(devices=jax.local_devices()[:1])
    source = make_source(config, mesh)
    trainer = config.trainer

    @jax.jit
    def look(variables: Any, key: Any, feed: Any, part: Any) -> tuple[Any, Any, Any]:
        images, onehot = source.prepare(key, feed, part)
        # One image at a time, because a whole batch may need more memory than the device has.
        logits = jax.lax.map(lambda one: networks.apply(config.network, variables, one[None])[0], images)
        shape = logits.shape[1:4]
        return centre(images, shape)[..., 0], centre(onehot, shape), logits

    found: list[SampleSlice] = []
    placed = place(variables, mesh)
    for step in range(count):
        for part in range(trainer.accumulation_steps):
            key = jax.random.fold_in(jax.random.key(config.seed), step * trainer.accumulation_steps + part)
            batch = jax.device_get(look(placed, key, source.feed(step), jnp.int32(part)))
            found += [_slice(*arrays, classes=len(config.classes)) for arrays in zip(*batch, strict=True)]
            if len(found) >= count:
                return found[:count]
    return found


def _slice(
    image: NDArray[np.float32], onehot: NDArray[np.float32], logits: NDArray[np.float32], *, classes: int
) -> SampleSlice:
    labels, predicted = _numbered(onehot, classes, 0.5), _numbered(logits, classes, 0.0)
    k = int(np.argmax((labels > 0).sum(axis=(0, 1)))) if labels.any() else labels.shape[2] // 2
    return SampleSlice(image=image[:, :, k], labels=labels[:, :, k], predicted=predicted[:, :, k])


def _numbered(channels: NDArray[np.float32], classes: int, level: float) -> NDArray[np.uint8]:
    """Returns class numbers from channels: the largest, or of independent channels the last one above a level."""
    if channels.shape[-1] == classes + 1:
        return np.asarray(channels.argmax(axis=-1), np.uint8)
    numbers = np.zeros(channels.shape[:-1], np.uint8)
    for number in range(classes):
        numbers[channels[..., number] > level] = number + 1
    return numbers


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
