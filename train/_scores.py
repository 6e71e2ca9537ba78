from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Integer, Real

from sirtjax.typing import Array


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The overlap of each validation case.

    Attributes:
      cases: names of the cases.
      labels: names of the classes.
      dsc: (cases, labels) Dice similarity; NaN if a class is in neither the labels nor the prediction.
    """

    cases: tuple[str, ...]
    labels: tuple[str, ...]
    dsc: Float[np.ndarray, "cases labels"]

    @property
    def mean(self) -> float:
        """Mean over all cases and labels that have a value; NaN if none has."""
        known = self.dsc[np.isfinite(self.dsc)]
        return float(known.mean()) if known.size else float("nan")


def overlap_counts(
    logits: Float[Array, "*batch i j k classes"], onehot: Real[Array, "*batch i j k classes"], *, regions: bool
) -> Integer[jax.Array, "*batch counted 3"]:
    """Counts common, predicted and labelled voxels for each class except the background.

    Args:
      logits: (..., i, j, k, classes) output of the network.
      onehot: labels of the same shape.
      regions: whether channels may overlap, as always with one channel.

    Returns:
      (..., classes, 3) whole numbers.
    """
    if regions or logits.shape[-1] == 1:
        predicted, true = logits > 0, onehot >= 0.5
    else:
        classes = jnp.arange(1, logits.shape[-1]).reshape((1,) * (logits.ndim - 1) + (-1,))
        predicted = jnp.argmax(logits, axis=-1)[..., None] == classes
        true = jnp.argmax(onehot, axis=-1)[..., None] == classes
    axes = (-4, -3, -2)
    sums = [jnp.sum(mask, axis=axes, dtype=jnp.int32) for mask in (predicted & true, predicted, true)]
    return jnp.stack(sums, axis=-1)


def scores_of(counts: Integer[Array, "cases labels 3"], *, cases: Sequence[str], labels: Sequence[str]) -> Scores:
    """Computes the Dice coefficients of `overlap_counts`, (cases, labels, 3).

    Examples:
      >>> import numpy as np
      >>> from sirtjax import train
      >>> counts = np.array([[[50, 100, 100]], [[90, 100, 100]]])  # common, predicted and labelled voxels of two cases
      >>> scores = train.scores_of(counts, cases=("P001", "P002"), labels=("liver",))
      >>> scores.dsc.ravel().tolist(), round(scores.mean, 3)
      ([0.5, 0.9], 0.7)
    """
    common, predicted, true = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
    total = predicted + true
    dsc = np.where(total > 0, 2 * common / np.maximum(total, 1), np.nan)
    return Scores(cases=tuple(cases), labels=tuple(labels), dsc=dsc)
