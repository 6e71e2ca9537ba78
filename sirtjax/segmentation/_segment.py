from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter

import jax

from sirtjax.errors import ImageFormatError
from sirtjax.segmentation._flags import flags_of
from sirtjax.segmentation._model import Model
from sirtjax.segmentation._predictor import predict
from sirtjax.segmentation._request import Progress, make_request
from sirtjax.segmentation._result import Flag, Segmentation
from sirtjax.segmentation._structures import Structure
from sirtjax.segmentation._visible_lesions import visible_lesions
from sirtjax.volume import LabelMap, Volume


def segment(
    volume: Volume,
    model: Model,
    *,
    structure: Structure | None = None,
    modality: str | None = None,
    mirror: bool = False,
    liver: LabelMap | None = None,
    min_volume_ml: float | None = None,
    maps: bool = False,
    devices: Sequence[jax.Device] | None = None,
    progress: Progress | None = None,
) -> Segmentation:
    """Segments an image of any size, spacing and orientation with a network.

    The image is resampled to the network's grid. The network's probabilities (of an nnU-Net: logits) are interpolated
    linearly to the image's grid, so that contours are smooth, and converted to labels. A second image of another
    size compiles nothing. The result is automatic: review it, especially if it has quality flags.

    Args:
      volume: CT in HU, or MR.
      model: result of `load_model` or of an import.
      structure: one label with this name, formed from the model's labels. Default: all labels of the model.
      modality: "CT" or "MR"; needed if the image is not in HU.
      mirror: average over the flips that the model was trained with: slower by their number.
      liver: mask that limits lesions; those further than 6 mm outside it are removed. A model that was trained inside
        the liver requires it. The noise in it decides whether lesions are detectable, and a model with limits of
        detectability loses the components that do not exceed it.
      min_volume_ml: smallest volume of a component that is not removed. Default: value of the model.
      maps: also return probabilities and uncertainty of an nnU-Net, on the image's grid, without which it cannot have
        the quality flag "uncertain"; other models always return them, on the network's grid.
      devices: devices that run the network. Default: JAX's first device.
      progress: called with the number of completed and of all calls of the network.

    Raises:
      ConfigError: the modality is unknown or contradicts the image, or there is no such structure.
      ImageFormatError: the image or `liver` cannot be used, or the image contains no liver.
      GeometryError: half or more of `liver` is outside the image.
      ModelError: the model was not trained for such an image or structure, or needs `liver`.
      InputError: too little memory.
    """
    request = make_request(
        volume,
        model,
        structure=structure,
        modality=modality,
        mirror=mirror,
        liver=liver,
        min_volume_ml=min_volume_ml,
        maps=maps,
        devices=devices,
        progress=progress,
    )
    found = predict(request)
    timings_s = dict(found.timings_s)
    noise_flags: tuple[Flag, ...] = ()
    removed = 0
    if structure == "lesions" and liver is not None:
        began = perf_counter()
        limits = model.spec.detectability
        visible = visible_lesions(volume, found.labels, liver, modality=request.modality, limits=limits)
        found, noise_flags, removed = replace(found, labels=visible.labels), visible.flags, visible.removed
        timings_s["noise"] = perf_counter() - began
    labels = LabelMap(found.labels, volume.geometry, names=request.names)
    volumes_ml = {name: labels.volume_ml(name) for _, name in labels.names}
    if volumes_ml.get("liver") == 0:
        raise ImageFormatError(
            f"no liver was found in the image by the model {model.spec.name!r}; "
            "check the field of view, or use another image or --model"
        )
    return Segmentation(
        labels=labels,
        volumes_ml=volumes_ml,
        method=model.spec.name,
        probabilities=found.probabilities,
        uncertainty=found.uncertainty,
        spread=found.spread,
        quality=found.quality,
        timings_s=timings_s,
        flags=(*noise_flags, *flags_of(labels, found, volume, lesions=structure == "lesions")),
        removed_as_noise=removed,
    )
