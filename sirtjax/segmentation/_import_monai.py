from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sirtjax import networks
from sirtjax.errors import ConfigError, ModelError
from sirtjax.io import read_torch_file
from sirtjax.parsing import parse_toml
from sirtjax.segmentation._foreign_architectures import foreign_architecture
from sirtjax.segmentation._model import Model, ModelSpec
from sirtjax.segmentation._monai_network import Architecture, monai_network

# Under which keys training programs keep the weights among other things.
WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights")
# How the name of every weight of a MONAI UNet begins.
ROOT = "model."


def import_monai(
    checkpoint: Path | str,
    description: Path | str,
    *,
    name: str | None = None,
    task: str | None = None,
    licence: str | None = None,
) -> Model:
    """Imports a MONAI UNet, SegResNet, SegResNetDS or DynUNet from a file of `torch.save`.

    Needs neither MONAI nor PyTorch, and executes nothing in the file. A TOML file with the fields of `ModelSpec`
    describes spacing, intensities and the names of labels. Of its table `network`, the settings that the weights or
    the bundle around them determine can be omitted; docs/models.md lists the others.

    Args:
      checkpoint: a state dict, or a dictionary that holds one.
      description: the TOML file.
      name: name that replaces the description's name.
      task: task that replaces the description's task.
      licence: licence that replaces the description's licence if not empty.

    Raises:
      ModelError: a file is missing or damaged, or the weights are not those of the network described.
    """
    checkpoint, description = Path(checkpoint), Path(description)
    given = {"name": name, "task": task, "licence": licence or None}
    table = _read_description(description)
    table |= {key: value for key, value in given.items() if value is not None}
    weights, found = _state_dict(checkpoint, read_torch_file(checkpoint))
    network = monai_network(weights, found, table.get("network", {}), checkpoint=checkpoint, description=description)
    spec = _spec(description, {**table, "network": network})
    config: Any = spec.network  # of one of MONAI's architectures
    try:
        networks.output_shape(config, spec.tiles.shape)
    except ConfigError as error:
        raise ModelError(f"{description}: tiles.shape: {error}") from error
    try:
        variables = networks.from_monai(weights, config)
    except ConfigError as error:
        raise ModelError(f"{checkpoint}: its weights are not those of {description}: {error}") from error
    return Model(spec=spec, folds=(variables,))


def _read_description(path: Path) -> dict[str, Any]:
    try:
        return dict(parse_toml(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ModelError(
            f"{path}: cannot be read ({error.strerror or error}); expected a model's description"
        ) from error
    except ValueError as error:
        raise ModelError(f"{path}: is not TOML ({error})") from error


def _spec(path: Path, table: Mapping[str, Any]) -> ModelSpec:
    try:
        return ModelSpec.model_validate(table)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in one['loc']) or 'model'}: {one['msg'].removeprefix('Value error, ')}"
            for one in error.errors()[:5]
        )
        raise ModelError(f"{path}: {problems}") from error


def _state_dict(path: Path, content: Mapping[str, Any]) -> tuple[dict[str, Any], Architecture | None]:
    """The weights by the names MONAI gives them, and their architecture; None for that of a UNet."""
    weights: Any = content
    for wrapper in WRAPPERS:
        if isinstance(content.get(wrapper), Mapping):
            weights = content[wrapper]
            break
    names = [key for key in weights if isinstance(key, str)]
    try:
        found = networks.monai_architecture(names)
    except ConfigError as error:
        raise ModelError(f"{path}: {error}") from error
    if found is not None:
        architecture, start = found
        return {key.removeprefix(start): weights[key] for key in names if key.startswith(start)}, architecture
    foreign = foreign_architecture(names)
    if foreign is not None:
        raise ModelError(f"{path}: contains the weights of {foreign}")
    starts = {key[: key.index(ROOT)] for key in names if ROOT in key}
    outermost = min(starts, key=len, default=None)
    if outermost is None:
        known = ", ".join(str(key) for key in list(weights)[:3]) or "nothing"
        raise ModelError(
            f"{path}: contains no weights of a MONAI UNet, SegResNet, SegResNetDS or DynUNet; it has {known}"
        )
    return {key.removeprefix(outermost): weights[key] for key in names if key.startswith(outermost + ROOT)}, None
