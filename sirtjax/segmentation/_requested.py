"""The labels of a request in the output of a model with all its classes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float32

from sirtjax import inference
from sirtjax.inference import Ensemble
from sirtjax.segmentation._request import Request


def requested_probabilities(
    request: Request, probabilities: Float32[np.ndarray, "i j k classes"]
) -> Mapping[int, Float32[np.ndarray, "i j k"]]:
    """Returns the probability of each requested label by its value; the labels of a structure are joined.

    Args:
      request: the request.
      probabilities: (i, j, k, class) probabilities of all classes of the model.
    """
    spec = request.model.spec
    order = list(spec.labels)
    first = 1 if spec.activation == "softmax" else 0
    parts = [probabilities[..., first + order.index(name)] for name in request.labels]
    if len(request.names) == len(request.labels):
        return {value: part for (value, _), part in zip(request.names, parts, strict=True)}
    joined = np.sum(parts, axis=0) if first else np.max(parts, axis=0)
    return {request.names[0][0]: joined.astype(np.float32)}


def requested_entropy(request: Request, found: Ensemble) -> Float32[np.ndarray, "i j k"]:
    """Returns the entropy of the requested structures in nats, of the mean of the networks' probabilities.

    A doubt between two other structures does not concern a liver. Several requested labels have the entropy of all
    classes.

    Args:
      request: the request.
      found: output of the networks.
    """
    pair = request.model.spec.activation == "softmax" and found.mean.shape[-1] <= 2
    if len(request.names) != 1 or pair:
        return found.entropy
    (inside,) = requested_probabilities(request, found.mean).values()
    return inference.entropy(inside[..., None], activation="sigmoid")
