from __future__ import annotations

from time import perf_counter

from sirtjax.inference import Ensemble
from sirtjax.postprocess import component_volumes_ml
from sirtjax.segmentation._fixed_model import Prepared
from sirtjax.segmentation._quality import mask_quality
from sirtjax.segmentation._request import Request
from sirtjax.segmentation._requested import requested_entropy, requested_probabilities
from sirtjax.segmentation._restore_labels import restore_labels
from sirtjax.segmentation._restored import Restored
from sirtjax.volume import Volume


def restore_fixed(request: Request, prepared: Prepared, answer: Ensemble, timings_s: dict[str, float]) -> Restored:
    """Returns labels on the image's grid from probabilities on the network's grid.

    It also returns the quality of a liver mask.

    Args:
      request: the request.
      prepared: the network's input.
      answer: probabilities and uncertainty on the network's grid.
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
    pieces_ml: tuple[float, ...] = ()
    if liver is not None:
        volumes_ml = component_volumes_ml(raw[liver] > 0.5, grid.spacing_mm, voxel_volume_ml=grid.voxel_volume_ml)
        pieces_ml = tuple(volumes_ml.tolist())
        began = perf_counter()
        parts = request.labels if len(request.names) == 1 else ("liver",)
        quality = mask_quality(model, prepared, raw[liver], masks[liver], parts=parts, devices=request.devices)
        timings_s |= {} if quality is None else {"quality": perf_counter() - began}
    return Restored(
        labels=labels,
        probabilities={name: Volume(raw[value], grid, unit="1") for value, name in request.names},
        uncertainty=Volume(requested_entropy(request, answer), grid, unit="1"),
        spread=Volume(answer.spread, grid, unit="1") if len(model.folds) > 1 else None,
        pieces_ml=pieces_ml,
        liver=None if liver is None else masks[liver],
        quality=quality,
        timings_s=timings_s,
    )
