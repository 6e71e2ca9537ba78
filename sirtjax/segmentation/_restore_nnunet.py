from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sirtjax import postprocess, spatial
from sirtjax.postprocess import LIVER_MARGIN_MM
from sirtjax.segmentation._nnunet_predict import NnunetAnswer, NnunetInput, restore_prediction
from sirtjax.segmentation._request import Request
from sirtjax.segmentation._requested import requested_probabilities
from sirtjax.segmentation._restored import Restored
from sirtjax.volume import LabelMap, Volume


def restore_nnunet(
    request: Request, prepared: NnunetInput, answer: NnunetAnswer, timings_s: dict[str, float]
) -> Restored:
    """Returns labels on the image's grid from the logits of an nnU-Net, and maps if they were requested.

    The mask of the liver, in which the entropy is assessed, is returned only with maps.

    Args:
      request: the request.
      prepared: input of the network.
      answer: logits and uncertainty of the network.
      timings_s: duration of the earlier stages, s.
    """
    began = perf_counter()
    volume, geometry, spec = request.volume, request.volume.geometry, request.model.spec
    found = restore_prediction(request.model, prepared, answer)
    source = np.asarray(found.labels.array)
    values = {value: [spec.labels[one] for one in request.labels] for value, _ in request.names}
    if len(request.names) == len(request.labels):
        values = {value: [spec.labels[one]] for (value, _), one in zip(request.names, request.labels, strict=True)}
    labels: NDArray[Any] = np.zeros(source.shape, source.dtype)
    region = None if request.liver is None else _around_liver(request.liver, volume)
    pieces_ml: tuple[float, ...] = ()
    for value, name in request.names:
        mask = np.isin(source, values[value])
        if name == "liver":
            volumes_ml = postprocess.component_volumes_ml(
                mask, geometry.spacing_mm, voxel_volume_ml=geometry.voxel_volume_ml
            )
            pieces_ml = tuple(volumes_ml.tolist())
        if region is not None:
            mask &= region
        clean = postprocess.postprocess(
            mask, geometry.spacing_mm, steps=request.steps[value], voxel_volume_ml=geometry.voxel_volume_ml
        )
        labels[clean] = value
    probabilities, uncertainty, liver = {}, None, None
    if found.probabilities is not None and found.entropy is not None:
        raw = requested_probabilities(request, found.probabilities)
        probabilities = {name: Volume(raw[value], geometry, unit="1") for value, name in request.names}
        uncertainty = Volume(found.entropy, geometry, unit="1")
        liver = next((labels == value for value, name in request.names if name == "liver"), None)
    return Restored(
        labels=labels,
        probabilities=probabilities,
        uncertainty=uncertainty,
        spread=None if found.spread is None else Volume(found.spread, geometry, unit="1"),
        pieces_ml=pieces_ml,
        liver=liver,
        timings_s=timings_s | {"restore": perf_counter() - began},
    )


def _around_liver(liver: LabelMap, volume: Volume) -> NDArray[np.bool_]:
    """Returns where on the image's grid lesions may be."""
    if not liver.geometry.matches(volume.geometry):
        liver = spatial.resample_labels(liver, volume.geometry)
    mask = liver.mask(liver.names[0][1])
    grid = volume.geometry
    return postprocess.dilate(mask, grid.spacing_mm, margin_mm=LIVER_MARGIN_MM, direction=grid.direction)
