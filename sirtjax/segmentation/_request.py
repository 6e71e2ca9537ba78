from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import jax

from sirtjax.errors import ConfigError
from sirtjax.postprocess import LargestComponent, PostprocessStep, RemoveSmall
from sirtjax.segmentation._input import check_inputs
from sirtjax.segmentation._model import Model
from sirtjax.segmentation._structures import Structure, labels_for_structure
from sirtjax.volume import LabelMap, Volume

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Request:
    """One image to segment with one model, checked.

    Attributes:
      volume: the image.
      model: the model.
      modality: "CT" or "MR".
      structure: the requested structure; None for all labels of the model.
      labels: labels of the model that make up the structure.
      names: values and names of the labels of the result.
      steps: post-processing of each label by its value in the result.
      liver: mask that limits lesions; None for no limit.
      mirror: whether predictions are averaged over flips.
      maps: whether an nnU-Net also returns probabilities and uncertainty.
      devices: devices that run the network; None for JAX's first device.
      progress: called with the number of completed and of all calls of the network.
    """

    volume: Volume
    model: Model
    modality: str
    structure: Structure | None
    labels: tuple[str, ...]
    names: tuple[tuple[int, str], ...]
    steps: Mapping[int, tuple[PostprocessStep, ...]]
    liver: LabelMap | None
    mirror: bool
    maps: bool
    devices: Sequence[jax.Device] | None
    progress: Progress | None


def make_request(
    volume: Volume,
    model: Model,
    *,
    structure: Structure | None,
    modality: str | None,
    mirror: bool,
    liver: LabelMap | None,
    min_volume_ml: float | None,
    maps: bool,
    devices: Sequence[jax.Device] | None,
    progress: Progress | None,
) -> Request:
    """Returns the arguments of `segment` as a request.

    It checks that the model can segment the image.

    Args:
      volume: image to segment; see `segment` for all arguments.
      model: model.
      structure: the requested structure.
      modality: modality that the user states, or None.
      mirror: average over flips.
      liver: mask of the liver.
      min_volume_ml: smallest volume of a component that is not removed.
      maps: return the maps of an nnU-Net.
      devices: devices that run the network.
      progress: called with the number of completed and of all calls of the network.

    Raises:
      ConfigError, ImageFormatError, GeometryError, ModelError: see `segment`.
    """
    spec = model.spec
    labels = tuple(spec.labels) if structure is None else labels_for_structure(spec, structure)
    kind = check_inputs(volume, spec, modality=modality, liver=liver)
    names = tuple((spec.labels[name], name) for name in labels) if structure is None else ((1, structure),)
    parts = [(name,) for name in labels] if structure is None else [labels]
    return Request(
        volume=volume,
        model=model,
        modality=kind,
        structure=structure,
        labels=labels,
        names=names,
        steps={
            value: _steps(spec.postprocess, min_volume_ml, labels=own)
            for (value, _), own in zip(names, parts, strict=True)
        },
        liver=liver,
        mirror=mirror,
        maps=maps,
        devices=devices,
        progress=progress,
    )


def _steps(
    steps: Sequence[PostprocessStep], min_volume_ml: float | None, *, labels: Sequence[str]
) -> tuple[PostprocessStep, ...]:
    """Returns a model's post-processing of a mask of these labels, with another minimum volume of components."""
    kept = [one for one in steps if not isinstance(one, LargestComponent) or one.applies_to(labels)]
    if min_volume_ml is None:
        return tuple(kept)
    if not 0 <= min_volume_ml < math.inf:
        raise ConfigError(f"the minimum component volume is {min_volume_ml} mL; expected zero or more")
    return (*(one for one in kept if not isinstance(one, RemoveSmall)), RemoveSmall(min_volume_ml=min_volume_ml))
