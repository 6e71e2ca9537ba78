from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import jax
import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from sirtjax.errors import GeometryError, ModelError
from sirtjax.inference import Ensemble, class_probabilities, combine, predict_tiles
from sirtjax.preprocess import NnunetCase, NnunetPreprocessing, prepare_nnunet, restore_labels, restore_maps
from sirtjax.segmentation._model import Model, network_function
from sirtjax.segmentation._request import Request
from sirtjax.segmentation._requested import requested_entropy
from sirtjax.volume import LabelMap, Volume, axis_codes, reorient

FloatArray = NDArray[np.float32]
Progress = Callable[[int, int], None]
Image = TypeVar("Image", Volume, LabelMap)
# What nnU-Net's readers that reorient turn images to.
REORIENTED = "RAS"
# Logit of background for voxels that were cropped away.
CERTAIN = 50.0


@dataclass(frozen=True, kw_only=True)
class NnunetPrediction:
    """The segmentation of an image by an nnU-Net.

    Attributes:
      labels: label map on the grid of the image.
      logits: (i, j, k, class) mean logits of the folds, in the network's axes and spacing.
      probabilities: (i, j, k, class) probabilities on the grid of the image, if they were requested.
      entropy: (i, j, k) there, in nats, of the mean of the folds' probabilities.
      spread: (i, j, k) there, the standard deviation of the folds' probabilities.
    """

    labels: LabelMap
    logits: Float32[np.ndarray, "a b c classes"]
    probabilities: Float32[np.ndarray, "i j k classes"] | None = None
    entropy: Float32[np.ndarray, "i j k"] | None = None
    spread: Float32[np.ndarray, "i j k"] | None = None


@dataclass(frozen=True, kw_only=True)
class NnunetInput:
    """The input of an nnU-Net.

    Attributes:
      case: input of the network, and the data for the resampling of its output.
      turned: the first image with its axes as the model's reader turns them.
      image: the first image as it is.
    """

    case: NnunetCase
    turned: Volume
    image: Volume


@dataclass(frozen=True, kw_only=True)
class NnunetAnswer:
    """The output of an nnU-Net.

    Attributes:
      logits: (i, j, k, class) mean over the folds, in the network's axes and spacing.
      entropy: (i, j, k) entropy on the same grid, of the requested structures; None if no maps were requested.
      spread: (i, j, k) there, the standard deviation of the folds' probabilities.
    """

    logits: Float32[np.ndarray, "a b c classes"]
    entropy: Float32[np.ndarray, "a b c"] | None = None
    spread: Float32[np.ndarray, "a b c"] | None = None


def predict_nnunet(
    images: Sequence[Volume],
    model: Model,
    *,
    mirror: bool = True,
    maps: bool = False,
    batch: int = 1,
    devices: Sequence[jax.Device] | None = None,
    progress: Progress | None = None,
) -> NnunetPrediction:
    """Runs an imported nnU-Net v2 as its own predictor does.

    It uses the same tiles, weights, flips, folds and resampling.

    The sums of tiles are kept in float32; nnU-Net keeps them in float16, which is enough to move its logits near
    the borders of an image.

    Args:
      images: images, one for each channel of the model, on one grid.
      model: model with preprocessing of the kind "nnunet".
      mirror: average over the flips that the model was trained with.
      maps: also bring probabilities and uncertainty to the grid of the image.
      batch: tiles in one call of the network.
      devices: devices that share each batch. Default: JAX's default device.
      progress: called with the number of calls of the network done and to do, of one stage of a cascade at a time.

    Raises:
      ModelError: the model is of another kind, or takes other images.
      GeometryError: the images are not on one grid.
      InputError: too little memory.
    """
    ready = _prepare(images, model, mirror=mirror, batch=batch, devices=devices, progress=progress)
    logits, found = _run(model, ready, mirror=mirror, maps=maps, batch=batch, devices=devices, progress=progress)
    if found is None:
        return restore_prediction(model, ready, NnunetAnswer(logits=logits))
    return restore_prediction(model, ready, NnunetAnswer(logits=logits, entropy=found.entropy, spread=found.spread))


def prepare_nnunet_request(request: Request) -> NnunetInput:
    """Returns the network's input for a request; runs the first stage of a cascade."""
    return _prepare(
        [request.volume], request.model, mirror=request.mirror, devices=request.devices, progress=request.progress
    )


def run_nnunet_request(request: Request, ready: NnunetInput) -> NnunetAnswer:
    """Returns the output of the networks for the input of a request."""
    logits, found = _run(
        request.model,
        ready,
        mirror=request.mirror,
        maps=request.maps,
        devices=request.devices,
        progress=request.progress,
    )
    if found is None:
        return NnunetAnswer(logits=logits)
    # The probabilities of all classes are not kept until the end: on the image's grid only the entropy is needed.
    return NnunetAnswer(logits=logits, entropy=requested_entropy(request, found), spread=found.spread)


def restore_prediction(model: Model, ready: NnunetInput, answer: NnunetAnswer) -> NnunetPrediction:
    """Returns the labels of an output, and its maps if there are any, on the grid of the image."""
    how: Any = model.spec.preprocessing  # of the kind "nnunet"
    values = restore_labels(answer.logits, ready.case, how, regions=_regions(model))
    labels = _on_image(values, ready.turned, ready.image, model)
    if answer.entropy is None or answer.spread is None:
        return NnunetPrediction(labels=labels, logits=answer.logits)
    uncertainty = np.stack([answer.entropy, answer.spread], axis=-1)
    return _with_maps(
        labels, answer.logits, uncertainty, case=ready.case, model=model, images=(ready.turned, ready.image)
    )


def _prepare(
    images: Sequence[Volume],
    model: Model,
    *,
    mirror: bool,
    batch: int = 1,
    devices: Sequence[jax.Device] | None,
    progress: Progress | None,
) -> NnunetInput:
    how = _check(images, model)
    previous = None
    if model.previous is not None:
        first = predict_nnunet(images, model.previous, mirror=mirror, batch=batch, devices=devices, progress=progress)
        previous = np.asarray(_turned(first.labels, how).array)
    turned = [_turned(image, how) for image in images]
    case = prepare_nnunet(
        [np.asarray(one.array) for one in turned],
        spacing_mm=turned[0].geometry.spacing_mm,
        how=how,
        previous_labels=previous,
        previous_values=model.spec.previous_values,
    )
    return NnunetInput(case=case, turned=turned[0], image=images[0])


def _run(
    model: Model,
    ready: NnunetInput,
    *,
    mirror: bool,
    maps: bool,
    batch: int = 1,
    devices: Sequence[jax.Device] | None,
    progress: Progress | None,
) -> tuple[FloatArray, Ensemble | None]:
    """Returns the mean logits of the folds, and with maps the output of all of them."""
    axes = model.spec.mirror_axes if mirror else ()
    members = _members(ready.case.image, model, axes, batch=batch, devices=devices, progress=progress)
    logits = np.zeros(0, np.float32)
    uncertainty = None
    if maps:
        kept: list[FloatArray] = []
        uncertainty = combine(_summed(members, kept), activation=model.spec.activation)
        logits = kept[0]
    else:
        for number, member in enumerate(members):
            logits = member if number == 0 else np.add(logits, member, out=logits)
    logits /= np.float32(len(model.folds))
    return logits, uncertainty


def _check(images: Sequence[Volume], model: Model) -> NnunetPreprocessing:
    how, name = model.spec.preprocessing, model.spec.name
    if not isinstance(how, NnunetPreprocessing):
        raise ModelError(f"model {name}: is not an nnU-Net; run it with segment")
    if len(images) != len(model.spec.channels):
        wanted = ", ".join(model.spec.channels)
        raise ModelError(f"model {name}: requires {len(model.spec.channels)} images ({wanted}), got {len(images)}")
    if not all(images[0].geometry.matches(one.geometry) for one in images[1:]):
        raise GeometryError("the images of one patient must be on one grid; resample them to the first")
    return how


def _turned(image: Image, how: NnunetPreprocessing) -> Image:
    """An image with its axes as the model's reader turns them."""
    return reorient(image, REORIENTED) if how.reader.endswith("WithReorient") else image


def _members(
    image: FloatArray,
    model: Model,
    mirror_axes: Sequence[int],
    *,
    batch: int,
    devices: Sequence[jax.Device] | None,
    progress: Progress | None,
) -> Iterator[FloatArray]:
    """The logits of each fold, one after another."""
    tiles, folds = model.spec.tiles, len(model.folds)
    for number, variables in enumerate(model.folds):
        yield predict_tiles(
            network_function(model.spec.network),
            image,
            variables=variables,
            patch_shape=tiles.shape,
            overlap=tiles.overlap,
            blending=tiles.blending,
            batch=batch,
            mirror_axes=mirror_axes,
            devices=devices,
            progress=None if progress is None else partial(_share, progress, number, folds),
        )


def _share(progress: Progress, number: int, folds: int, done: int, total: int) -> None:
    progress(number * total + done, folds * total)


def _summed(members: Iterable[FloatArray], kept: list[FloatArray]) -> Iterator[FloatArray]:
    """The members as they are, with their sum left in `kept`."""
    for number, member in enumerate(members):
        if number == 0:
            kept.append(member.copy())
        else:
            kept[0] += member
        yield member


def _regions(model: Model) -> tuple[int, ...]:
    return tuple(model.spec.labels.values()) if model.spec.activation == "sigmoid" else ()


def _on_image(values: NDArray[Any], turned: Volume, image: Volume, model: Model) -> LabelMap:
    names = tuple((value, name) for name, value in sorted(model.spec.labels.items(), key=lambda pair: pair[1]))
    labels = reorient(LabelMap(values, turned.geometry, names=names), axis_codes(image.geometry))
    # Turning there and back leaves rounding in the affine.
    return LabelMap(np.ascontiguousarray(labels.array), image.geometry, names=names)


def _with_maps(
    labels: LabelMap,
    logits: FloatArray,
    uncertainty: FloatArray,
    *,
    case: NnunetCase,
    model: Model,
    images: tuple[Volume, Volume],
) -> NnunetPrediction:
    how = model.spec.preprocessing
    turned, image = images

    def back(maps: FloatArray, outside: Sequence[float]) -> FloatArray:
        restored = restore_maps(maps, case, how, outside=outside)  # type: ignore[arg-type]
        parts = [
            reorient(Volume(restored[..., n], turned.geometry, unit="1"), axis_codes(image.geometry)).array
            for n in range(restored.shape[-1])
        ]
        return np.stack(parts, axis=-1)

    certain = [-CERTAIN] * logits.shape[-1]
    if model.spec.activation == "softmax":
        certain[0] = CERTAIN
    probabilities = class_probabilities(back(logits, certain), activation=model.spec.activation)
    both = back(uncertainty, (0.0, 0.0))
    return NnunetPrediction(
        labels=labels, logits=logits, probabilities=probabilities, entropy=both[..., 0], spread=both[..., 1]
    )
