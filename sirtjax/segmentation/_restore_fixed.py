from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from sirtjax import inference
from sirtjax.inference import Ensemble
from sirtjax.postprocess import component_volumes_ml
from sirtjax.segmentation._fixed_model import Prepared
from sirtjax.segmentation._quality import mask_quality
from sirtjax.segmentation._request import Request
from sirtjax.segmentation._restore_labels import restore_labels
from sirtjax.segmentation._restored import Restored
from sirtjax.volume import Volume

FloatArray = NDArray[np.float32]


def restore_fixed(request: Request, prepared: Prepared, answer: Ensemble, timings_s: dict[str, float]) -> Restored:
    """Returns labels on the image's grid from probabilities on the network's grid.

    It also returns the quality of a liver mask.

    Args:
      request: the request.
      prepared: the network's input.
      answer: probabilities, entropy and spread on the network's grid.
      timings_s: duration of the stages before, s.
    """
    began = perf_counter()
    model, grid = request.model, prepared.grid
    raw = requested_probabilities(request, answer.probabilities)
    labels, masks = restore_labels(
        raw,
        grid,
        request.volume.geometry,
        activation=model.spec.activation,
        steps=request.steps,
        region=prepared.region,
    )
    timings_s["restore"] = perf_counter() - began
    liver = next((value for value, name in request.names if name == "liver"), None)
    quality = None
    if liver is not None:
        began = perf_counter()
        parts = request.labels if len(request.names) == 1 else ("liver",)
        quality = mask_quality(model, prepared, raw[liver], masks[liver], parts=parts, devices=request.devices)
        timings_s |= {} if quality is None else {"quality": perf_counter() - began}
    return Restored(
        labels=labels,
        probabilities={name: Volume(raw[value], grid, unit="1") for value, name in request.names},
        uncertainty=Volume(requested_entropy(answer.entropy, answer.probabilities, raw), grid, unit="1"),
        spread=Volume(answer.spread, grid, unit="1") if len(model.folds) > 1 else None,
        pieces_ml=() if liver is None else tuple(component_volumes_ml(raw[liver] > 0.5, grid.spacing_mm).tolist()),
        liver=None if liver is None else masks[liver],
        quality=quality,
        timings_s=timings_s,
    )


def requested_entropy(
    entropy: Float32[np.ndarray, "i j k"],
    probabilities: Float32[np.ndarray, "i j k classes"],
    raw: Mapping[int, Float32[np.ndarray, "i j k"]],
) -> Float32[np.ndarray, "i j k"]:
    """Returns the entropy of the requested structures.

    A doubt between two other structures does not concern a liver.

    Args:
      entropy: (i, j, k) entropy of all classes, nats.
      probabilities: (i, j, k, class) probabilities of all classes of the model.
      raw: result of `requested_probabilities`.
    """
    if len(raw) != 1 or probabilities.shape[-1] <= 2:
        return entropy
    (inside,) = raw.values()
    return inference.entropy(np.stack([1 - inside, inside], axis=-1))


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
