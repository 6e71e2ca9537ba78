from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import jax
from jaxtyping import Float
from pydantic import Field, ValidationError, model_validator

from sirtjax import networks
from sirtjax.config import Table
from sirtjax.errors import ModelError
from sirtjax.io import MODEL_NAME, Storage, load_checkpoint, save_checkpoint
from sirtjax.networks import NetworkConfig, Variables
from sirtjax.postprocess import PostprocessStep
from sirtjax.preprocess import FixedPreprocessing, NnunetPreprocessing
from sirtjax.segmentation._lesion_detectability import LesionDetectability
from sirtjax.segmentation._quality_calibration import QualityCalibration
from sirtjax.typing import Array

Count = Annotated[int, Field(ge=1)]
Axis = Annotated[int, Field(ge=0, le=2)]
Label = Annotated[int, Field(ge=1, le=65535)]


class Tiles(Table):
    """The division of an image for the network: the size of its input, and the blending of its outputs."""

    shape: tuple[Count, Count, Count]
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5
    blending: Literal["gaussian", "uniform", "nnunet"] = "gaussian"


class ModelSpec(Table):
    """Everything about a segmentation model except its weights.

    Attributes:
      name: name of the model on the command line.
      task: structure that the model segments: "liver", "lesions", "lungs", "body", "total" or a word of the site's own.
      modalities: modalities of the images that the model accepts, CT, MR, PT or NM; empty if not known.
      channels: names of the images that form one input.
      labels: names and values of the structures, in the order of the network's classes; background is not among them.
      activation: "softmax" for classes that exclude each other, the first of them background; "sigmoid" for regions
        that may overlap, each written over those before it.
      network: configuration of the network.
      preprocessing: preprocessing of an image.
      tiles: division of the image into tiles.
      mirror_axes: axes of the network's input along which it was trained to be flipped.
      postprocess: post-processing steps of the mask, first to last.
      previous: first stage of a cascade, whose labels become input channels.
      previous_values: label values of the first stage that become input channels.
      quality: calibration of the estimated liver quality; None if it was not calibrated for these weights.
      detectability: limits of a lesion model, by which components that are noise are removed; None keeps all of them.
      source: source of the model.
      licence: short name of the licence; the text is next to the weights.
    """

    name: Annotated[str, Field(pattern=MODEL_NAME)]
    task: str
    modalities: tuple[Literal["CT", "MR", "PT", "NM"], ...] = ()
    channels: Annotated[tuple[str, ...], Field(min_length=1)] = ("image",)
    labels: Annotated[dict[str, Label], Field(min_length=1)]
    activation: Literal["softmax", "sigmoid"] = "softmax"
    network: NetworkConfig
    preprocessing: Annotated[FixedPreprocessing | NnunetPreprocessing, Field(discriminator="kind")]
    tiles: Tiles
    mirror_axes: tuple[Axis, ...] = ()
    postprocess: tuple[PostprocessStep, ...] = ()
    previous: ModelSpec | None = None
    previous_values: tuple[Label, ...] = ()
    quality: QualityCalibration | None = None
    detectability: LesionDetectability | None = None
    source: str = ""
    licence: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.labels.values())) != len(self.labels):
            raise ValueError(f"`labels` must have distinct values, got {list(self.labels.values())}")
        if len(set(self.mirror_axes)) != len(self.mirror_axes):
            raise ValueError(f"`mirror_axes` must name each axis once, got {self.mirror_axes}")
        for step in self.postprocess:
            unknown = set(getattr(step, "labels", None) or ()) - set(self.labels)
            if unknown:
                raise ValueError(f"`postprocess` names labels that the model does not have: {sorted(unknown)}")
        classes = len(self.labels) + (self.activation == "softmax")
        if self.network.classes != classes:
            raise ValueError(f"the network has {self.network.classes} classes, expected {classes} for these labels")
        inputs = len(self.channels) + len(self.previous_values)
        if self.network.channels != inputs:
            raise ValueError(f"the network takes {self.network.channels} channels, expected {inputs} for these images")
        if (self.previous is None) != (not self.previous_values):
            raise ValueError("`previous` and `previous_values` must be used together")
        if isinstance(self.preprocessing, NnunetPreprocessing) and len(self.preprocessing.channels) != len(
            self.channels
        ):
            raise ValueError(
                f"`preprocessing` is for {len(self.preprocessing.channels)} of {len(self.channels)} channels"
            )
        return self


@dataclass(frozen=True, kw_only=True)
class Model:
    """A segmentation model that is ready to run.

    Attributes:
      spec: description of the model.
      folds: variables of each network of the ensemble, whose logits are averaged.
      previous: first stage of a cascade.
    """

    spec: ModelSpec
    folds: tuple[Variables, ...]
    previous: Model | None = None


@lru_cache(maxsize=32)
def network_function(
    config: NetworkConfig, *, precision: networks.Precision = "float32"
) -> Callable[[Variables, Float[Array, "n i j k channels"]], Float[jax.Array, "n a b c classes"]]:
    """Returns the network as a function of variables and images.

    The same object for equal configs and precisions, so that it compiles once.

    Args:
      config: the network.
      precision: precision of `networks.apply`.
    """

    def run(variables: Variables, x: Float[Array, "n i j k channels"]) -> Float[jax.Array, "n a b c classes"]:
        return networks.apply(config, variables, x, precision=precision)

    return run


def save_model(
    path: Path | str, model: Model, *, licence_text: str = "", storage: Storage = "float32", force: bool = False
) -> None:
    """Writes a model as a checkpoint folder, atomically.

    Args:
      path: folder to create.
      model: model to write.
      licence_text: text of the licence, printed on request.
      storage: "float16" halves the size and rounds kernels to 11 bits.
      force: replace an existing model.

    Raises:
      ModelError: the weights contain values other than finite numbers.
      OutputError: the folder exists and `force` is not given, or cannot be written.
    """
    table = {"spec": model.spec.model_dump(mode="json")}
    save_checkpoint(path, _weights(model), table, licence=licence_text, storage=storage, force=force)


def read_model(path: Path | str) -> Model:
    """Returns the model in a checkpoint folder, after checking its weights against the network.

    Raises:
      ModelError: the folder is not a checkpoint, is damaged, or does not contain a segmentation model.
    """
    weights, table = load_checkpoint(path)
    spec = model_spec(table, path=Path(path))
    model = _assembled(spec, weights, Path(path))
    _check_variables(model, Path(path))
    return model


def model_spec(table: Mapping[str, object], *, path: Path) -> ModelSpec:
    """Returns the description in a checkpoint's table.

    Raises:
      ModelError: the table does not describe a segmentation model that this version knows; names the first mistake.
    """
    if "spec" not in table:
        raise ModelError(
            f"{path}: is a checkpoint, but not of a segmentation model; sirtjax models list shows the models"
        )
    try:
        return ModelSpec.model_validate(table["spec"])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "spec"
        told = first["msg"].removeprefix("Value error, ")
        raise ModelError(f"{path}: its description is not usable: {where}: {told}; import the model again") from error


def _weights(model: Model) -> dict[str, Any]:
    folds = {f"fold_{number}": variables for number, variables in enumerate(model.folds)}
    return {"folds": folds} | ({} if model.previous is None else {"previous": _weights(model.previous)})


def _assembled(spec: ModelSpec, weights: Mapping[str, Any], path: Path) -> Model:
    folds = weights.get("folds", {})
    if not folds or (spec.previous is not None and "previous" not in weights):
        raise ModelError(f"{path}: lacks the weights of a network; import the model again")
    previous = None if spec.previous is None else _assembled(spec.previous, weights["previous"], path)
    ordered = sorted(folds, key=lambda name: (len(name), name))  # fold_10 after fold_9
    return Model(spec=spec, folds=tuple(folds[name] for name in ordered), previous=previous)


def _check_variables(model: Model, path: Path) -> None:
    for variables in model.folds:
        check_variables(model.spec.network, variables, path)
    if model.previous is not None:
        _check_variables(model.previous, path)


def check_variables(config: NetworkConfig, variables: Variables, path: Path) -> None:
    """Refuses weights that do not belong to the network, before anything is run.

    Raises:
      ModelError: some are missing, unexpected or of another shape.
    """
    expected = {name: leaf.shape for name, leaf in _flat(networks.abstract_variables(config)).items()}
    found = {name: leaf.shape for name, leaf in _flat(variables).items()}
    odd = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if odd:
        raise ModelError(
            f"{path}: its weights are not the network's: {odd[0]} has shape {found.get(odd[0])}, expected "
            f"{expected.get(odd[0])} (and {len(odd) - 1} more); import the model again"
        )


def _flat(tree: Mapping[str, Any]) -> dict[str, Any]:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {"/".join(str(getattr(step, "key", step)) for step in path): leaf for path, leaf in leaves}
