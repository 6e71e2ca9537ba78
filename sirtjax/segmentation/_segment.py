from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from sirtjax import ops, postprocess, spatial
from sirtjax.errors import ConfigError, ImageFormatError, ModelError
from sirtjax.postprocess import LIVER_MARGIN_MM, PostprocessStep, RemoveSmall
from sirtjax.preprocess import FixedPreprocessing
from sirtjax.segmentation._carry_back import cleaned, labels_on_image
from sirtjax.segmentation._fixed_model import prepare, run
from sirtjax.segmentation._flags import (
    LIVER_ML,
    count_flags,
    edge_flags,
    entropy_flags,
    piece_flags,
    quality_flags,
    volume_flags,
)
from sirtjax.segmentation._input import check_image, check_liver, image_modality
from sirtjax.segmentation._model import Model
from sirtjax.segmentation._nnunet_predict import predict_nnunet
from sirtjax.segmentation._quality import mask_quality
from sirtjax.segmentation._quality_calibration import QualityEstimate
from sirtjax.segmentation._result import Flag, Segmentation
from sirtjax.segmentation._structures import Structure, labels_of
from sirtjax.volume import LabelMap, Volume

FloatArray = NDArray[np.float32]
Progress = Callable[[int, int], None]
# Around a liver as much of the image is kept for lesions as this part of a tile.
CONTEXT = 4


def segment(
    volume: Volume,
    model: Model,
    *,
    structure: Structure | None = None,
    modality: str | None = None,
    mirror: bool = False,
    liver: LabelMap | None = None,
    minimum_ml: float | None = None,
    maps: bool = False,
    devices: Sequence[jax.Device] | None = None,
    progress: Progress | None = None,
) -> Segmentation:
    """Segment an image of any size, spacing and orientation by a network.

    The image is brought to the network's grid, the network's probabilities (of an nnU-Net: logits) back to the image's
    grid by linear interpolation, so that contours are smooth, and labels are made of those. A second image of another
    size compiles nothing. The result is automatic: look at it, above all where it is flagged.

    Args:
      volume: CT in HU, or MR.
      model: from `load_model` or an import.
      structure: one label of this name alone, of those of the model that make it up; all of the model's by default.
      modality: "CT" or "MR"; needed where the image is not in HU.
      mirror: average over the flips that the model was trained with: slower by their number.
      liver: where lesions may be; those further than 6 mm outside of it are dropped. A model that was trained inside
        of the liver sees nothing else, and can't be run without.
      minimum_ml: parts smaller than this are dropped; by default as the model says.
      maps: also give probabilities and uncertainty of an nnU-Net, on the image's grid; of other models they come for
        nothing, on the network's.
      devices: where to run; JAX's first device by default.
      progress: called with the number of calls of the network done and to do.

    Raises:
      ConfigError: the modality can't be told or contradicts the image, or no such structure.
      ImageFormatError: the image or `liver` can't be used, or no liver is in the image.
      GeometryError: `liver` lies elsewhere.
      ModelError: the model was not made for such an image or structure, or needs `liver`.
      InputError: too little memory.
    """
    kind = image_modality(volume, modality)
    _check_model(model, kind)
    chosen = tuple(model.spec.labels) if structure is None else labels_of(model.spec, structure)
    check_image(volume, modality=kind)
    if liver is not None:
        check_liver(liver, volume, modality=kind)
    steps = _steps(model.spec.postprocess, minimum_ml)
    names = tuple((model.spec.labels[name], name) for name in chosen) if structure is None else ((1, structure),)
    if isinstance(model.spec.preprocessing, FixedPreprocessing):
        found = _by_fixed(volume, model, chosen, names, steps, kind, mirror, liver, devices, progress)
    else:
        found = _by_nnunet(volume, model, chosen, names, steps, mirror, liver, maps, devices, progress)
    if structure == "lesions":
        count = int(ops.components(np.asarray(found.labels.array) > 0, connectivity=26).max(initial=0))
        found = replace(found, flags=(*found.flags, *count_flags(structure, count)))
    if "liver" in found.volumes_ml and found.volumes_ml["liver"] == 0:
        raise ImageFormatError(
            f"no liver was found in the image by the model {model.spec.name!r}; does it show one? give another image "
            "or --model"
        )
    return found


def _check_model(model: Model, modality: str) -> None:
    spec = model.spec
    if spec.modalities and modality not in spec.modalities:
        known = " or ".join(spec.modalities)
        raise ModelError(
            f"the model {spec.name!r} was made for {known}, the image is {modality}; choose another --model"
        )
    if len(spec.channels) > 1:
        wanted = ", ".join(spec.channels)
        raise ModelError(f"the model {spec.name!r} takes {len(spec.channels)} images together ({wanted}), got one")


def _steps(steps: Sequence[PostprocessStep], minimum_ml: float | None) -> tuple[PostprocessStep, ...]:
    """A model's post-processing, with another size of what is too small."""
    if minimum_ml is None:
        return tuple(steps)
    if not 0 <= minimum_ml < math.inf:
        raise ConfigError(f"the smallest part to keep is {minimum_ml} mL; expected zero or more")
    return (*(one for one in steps if not isinstance(one, RemoveSmall)), RemoveSmall(minimum_ml=minimum_ml))


def _by_fixed(
    volume: Volume,
    model: Model,
    chosen: Sequence[str],
    names: tuple[tuple[int, str], ...],
    steps: Sequence[PostprocessStep],
    modality: str,
    mirror: bool,
    liver: LabelMap | None,
    devices: Sequence[jax.Device] | None,
    progress: Progress | None,
) -> Segmentation:
    spec = model.spec
    moments = [perf_counter()]
    # Lesions need the surroundings of the liver that fit into a tile; the rest of the patient costs time alone.
    around = [n // CONTEXT for n in spec.tiles.shape]
    how: Any = spec.preprocessing  # the caller looked at its kind
    prepared = prepare(volume, how, modality=modality, organ=liver, margin=around)
    moments.append(perf_counter())
    answer = run(model, prepared, mirror=mirror, devices=devices, progress=progress)
    moments.append(perf_counter())
    grid = prepared.grid
    raw = _by_label(answer.probabilities, model, chosen, names)
    clean: dict[int, FloatArray] = {}
    flags: list[Flag] = []
    quality: QualityEstimate | None = None
    estimating = 0.0
    for (value, name), probability in zip(names, raw.values(), strict=True):
        clean[value], mask = cleaned(probability, grid, steps=steps, region=prepared.region)
        if name == "liver":
            flags += piece_flags(name, postprocess.part_volumes_ml(probability > 0.5, grid.spacing_mm).tolist())
            flags += entropy_flags(name, mask, answer.entropy)
            began = perf_counter()
            parts = chosen if len(names) == 1 else (name,)
            quality = mask_quality(model, prepared, probability, mask, parts=parts, devices=devices)
            flags += () if quality is None else quality_flags(name, quality)
            estimating += perf_counter() - began
    moments.append(perf_counter())
    array = labels_on_image(clean, grid, volume.geometry, activation=spec.activation, steps=steps)
    moments.append(perf_counter())
    labels = LabelMap(array, volume.geometry, names=names)
    stages = ("resample", "network", "postprocess", "back")
    timings = {stage: b - a for stage, a, b in zip(stages, moments, moments[1:], strict=False)}
    if quality is not None:
        timings |= {"postprocess": timings["postprocess"] - estimating, "quality": estimating}
    return Segmentation(
        labels=labels,
        volumes_ml=_volumes_ml(labels),
        method=spec.name,
        probabilities={name: Volume(raw[value], grid, unit="1") for value, name in names},
        uncertainty=Volume(answer.entropy, grid, unit="1"),
        spread=Volume(answer.spread, grid, unit="1") if len(model.folds) > 1 else None,
        quality=quality,
        flags=(*flags, *_flags_of_labels(labels)),
        timings_s=timings,
    )


def _by_nnunet(
    volume: Volume,
    model: Model,
    chosen: Sequence[str],
    names: tuple[tuple[int, str], ...],
    steps: Sequence[PostprocessStep],
    mirror: bool,
    liver: LabelMap | None,
    maps: bool,
    devices: Sequence[jax.Device] | None,
    progress: Progress | None,
) -> Segmentation:
    began = perf_counter()
    found = predict_nnunet([volume], model, mirror=mirror, maps=maps, devices=devices, progress=progress)
    predicted = perf_counter()
    source = np.asarray(found.labels.array)
    values = {value: [model.spec.labels[one] for one in chosen] for value, _ in names}
    if len(names) > 1 or len(chosen) == 1:
        values = {value: [model.spec.labels[one]] for (value, _), one in zip(names, chosen, strict=True)}
    array: NDArray[Any] = np.zeros(source.shape, source.dtype)
    region = None if liver is None else _liver_on(liver, volume)
    flags: list[Flag] = []
    for value, name in names:
        mask = np.isin(source, values[value])
        if name == "liver":
            flags += piece_flags(name, postprocess.part_volumes_ml(mask, volume.geometry.spacing_mm).tolist())
        if region is not None:
            mask &= region
        array[postprocess.postprocess(mask, volume.geometry.spacing_mm, steps=steps)] = value
    labels = LabelMap(array, volume.geometry, names=names)
    probabilities = {}
    if found.probabilities is not None:
        raw = _by_label(found.probabilities, model, chosen, names)
        probabilities = {name: Volume(raw[value], volume.geometry, unit="1") for value, name in names}
    return Segmentation(
        labels=labels,
        volumes_ml=_volumes_ml(labels),
        method=model.spec.name,
        probabilities=probabilities,
        uncertainty=None if found.entropy is None else Volume(found.entropy, volume.geometry, unit="1"),
        spread=None if found.spread is None else Volume(found.spread, volume.geometry, unit="1"),
        flags=(*flags, *_flags_of_labels(labels)),
        timings_s={"network": predicted - began, "postprocess": perf_counter() - predicted},
    )


def _by_label(
    probabilities: FloatArray, model: Model, chosen: Sequence[str], names: tuple[tuple[int, str], ...]
) -> Mapping[int, FloatArray]:
    """The probability of each label wanted; of one that several of the model's make up, theirs together."""
    order = list(model.spec.labels)
    first = 1 if model.spec.activation == "softmax" else 0
    parts = [probabilities[..., first + order.index(name)] for name in chosen]
    if len(names) == len(chosen):
        return {value: part for (value, _), part in zip(names, parts, strict=True)}
    joined = np.sum(parts, axis=0) if first else np.max(parts, axis=0)
    return {names[0][0]: joined.astype(np.float32)}


def _liver_on(liver: LabelMap, volume: Volume) -> NDArray[np.bool_]:
    """Where on the image's grid lesions may be."""
    if not liver.geometry.matches(volume.geometry):
        liver = spatial.resample_labels(liver, volume.geometry)
    mask = liver.mask(liver.names[0][1])
    return postprocess.dilated(mask, volume.geometry.spacing_mm, margin_mm=LIVER_MARGIN_MM)


def _volumes_ml(labels: LabelMap) -> dict[str, float]:
    return {name: labels.volume_ml(name) for _, name in labels.names}


def _flags_of_labels(labels: LabelMap) -> tuple[Flag, ...]:
    if "liver" not in (name for _, name in labels.names):
        return ()
    return (*volume_flags("liver", labels.volume_ml("liver"), LIVER_ML), *edge_flags(labels, "liver"))
