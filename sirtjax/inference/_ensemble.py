from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, Integer

Activation = Literal["softmax", "sigmoid"]
# Voxels along the first axis that are processed together, so that intermediate arrays are small.
SLAB = 16


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """The combined output of several networks.

    Attributes:
      probabilities: (i, j, k, classes) probabilities of the mean logits, as in nnU-Net.
      mean: (i, j, k, classes) mean of the networks' probabilities; for one network, its probabilities.
      entropy: (i, j, k) entropy in nats of `mean`, ln 2 for two classes at a half each; for
        "sigmoid" the largest among the classes.
      spread: (i, j, k) standard deviation of the networks' probabilities of the class in which they differ most; zero
        for one network.
    """

    probabilities: Float[np.ndarray, "i j k classes"]
    mean: Float[np.ndarray, "i j k classes"]
    entropy: Float[np.ndarray, "i j k"]
    spread: Float[np.ndarray, "i j k"]


def combine(members: Iterable[Float[np.ndarray, "i j k classes"]], *, activation: Activation = "softmax") -> Ensemble:
    """Returns the mean of several networks' logits and its uncertainty.

    Args:
      members: (i, j, k, classes) logits of each network, used one after another.
      activation: "softmax" if classes exclude each other, "sigmoid" if they may overlap.

    Raises:
      ValueError: there are no logits, their shapes differ, or the activation is unknown.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import inference
      >>> sure, unsure = np.zeros((1, 1, 1, 2), np.float32), np.zeros((1, 1, 1, 2), np.float32)
      >>> sure[..., 1], unsure[..., 1] = 2 * np.log(3), 0.0  # logits; their mean is ln 3
      >>> ensemble = inference.combine([sure, unsure])
      >>> ensemble.probabilities.round(4).ravel().tolist()
      [0.25, 0.75]
    """
    count, logits = 0, np.zeros(0, np.float32)
    first, second = logits, logits
    for member in members:
        count += 1
        if count == 1:
            logits = np.array(member, np.float32)
            continue
        if member.shape != logits.shape:
            raise ValueError(f"logits of {member.shape} beside {logits.shape}: networks of an ensemble agree in shape")
        if count == 2:
            first = class_probabilities(logits, activation=activation)
            second = first**2
        one = class_probabilities(member, activation=activation)
        logits += member
        first += one
        second += one**2
    if count == 0:
        raise ValueError("an ensemble needs a network")
    logits /= np.float32(count)
    probabilities = class_probabilities(logits, activation=activation)
    if count == 1:
        alone = entropy(probabilities, activation=activation)
        return Ensemble(probabilities=probabilities, mean=probabilities, entropy=alone, spread=np.zeros_like(alone))
    first /= np.float32(count)
    second /= np.float32(count)
    spread = np.sqrt(np.maximum(second - first**2, 0).max(axis=-1))
    return Ensemble(
        probabilities=probabilities, mean=first, entropy=entropy(first, activation=activation), spread=spread
    )


def class_probabilities(
    logits: Float[np.ndarray, "i j k classes"], *, activation: Activation = "softmax"
) -> Float[np.ndarray, "i j k classes"]:
    """Probabilities of (i, j, k, classes) logits, computed in slabs on the host.

    Raises:
      ValueError: the activation is unknown.
    """
    if activation not in get_args(Activation):
        raise ValueError(f"activation must be one of {', '.join(get_args(Activation))}, got {activation!r}")
    result = np.empty(logits.shape, np.float32)
    for slab in _slabs(logits.shape[0]):
        part = logits[slab]
        if activation == "sigmoid":
            # The same in both tails, and no overflow.
            result[slab] = 0.5 * (1 + np.tanh(0.5 * part))
        else:
            power = np.exp(part - part.max(axis=-1, keepdims=True))
            result[slab] = power / power.sum(axis=-1, keepdims=True)
    return result


def entropy(
    probabilities: Float[np.ndarray, "i j k classes"], *, activation: Activation = "softmax"
) -> Float[np.ndarray, "i j k"]:
    """Computes the entropy in nats of (i, j, k, classes) probabilities; for "sigmoid" the largest."""
    result = np.empty(probabilities.shape[:3], np.float32)
    for slab in _slabs(probabilities.shape[0]):
        p = probabilities[slab]
        result[slab] = (
            (_surprise(p) + _surprise(1 - p)).max(axis=-1) if activation == "sigmoid" else _surprise(p).sum(axis=-1)
        )
    return result


def most_likely(values: Float[np.ndarray, "i j k classes"]) -> Integer[np.ndarray, "i j k"]:
    """Returns the class of the largest value, (i, j, k), in slabs; the lower class if values are equal.

    Raises:
      ValueError: there are more than 256 classes.
    """
    if values.shape[-1] > 256:
        raise ValueError(f"{values.shape[-1]} classes don't fit into 8 bits")
    result = np.empty(values.shape[:-1], np.uint8)
    for slab in _slabs(values.shape[0]):
        result[slab] = values[slab].argmax(axis=-1)
    return result


def _surprise(p: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    found: Float[np.ndarray, "..."] = -p * np.log(np.maximum(p, np.finfo(np.float32).tiny))
    return found


def _slabs(count: int) -> Iterator[slice]:
    return (slice(start, start + SLAB) for start in range(0, count, SLAB))
