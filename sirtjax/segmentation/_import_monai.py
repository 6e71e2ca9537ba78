from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sirtjax import networks
from sirtjax.errors import ConfigError, ModelError
from sirtjax.io import read_torch_file
from sirtjax.parsing import parse_toml
from sirtjax.segmentation._model import Model, ModelSpec

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
    """Imports a MONAI UNet from a file of `torch.save`, without MONAI or PyTorch; executes nothing in it.

    Weights do not tell strides, normalisation, spacing, intensities or the names of labels: a TOML file with the
    fields of `ModelSpec` does, its network of the architecture "monai-unet".

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
    spec = _described(description, {key: value for key, value in given.items() if value is not None})
    if spec.network.architecture != "monai-unet":
        raise ModelError(f"{description}: network is {spec.network.architecture!r}, expected 'monai-unet'")
    weights = _state_dict(checkpoint, read_torch_file(checkpoint))
    try:
        variables = networks.from_monai(weights, spec.network)
    except ConfigError as error:
        raise ModelError(f"{checkpoint}: its weights are not those of {description}: {error}") from error
    return Model(spec=spec, folds=(variables,))


def _described(path: Path, given: Mapping[str, str]) -> ModelSpec:
    try:
        table = parse_toml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(
            f"{path}: cannot be read ({error.strerror or error}); expected a model's description"
        ) from error
    except ValueError as error:
        raise ModelError(f"{path}: is not TOML ({error})") from error
    try:
        return ModelSpec.model_validate({**table, **given})
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in one['loc']) or 'model'}: {one['msg'].removeprefix('Value error, ')}"
            for one in error.errors()[:5]
        )
        raise ModelError(f"{path}: {problems}") from error


def _state_dict(path: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """The weights by the names MONAI gives them, whatever a training program wrapped around."""
    weights: Any = content
    for wrapper in WRAPPERS:
        if isinstance(content.get(wrapper), Mapping):
            weights = content[wrapper]
            break
    starts = {key[: key.index(ROOT)] for key in weights if isinstance(key, str) and ROOT in key}
    outermost = min(starts, key=len, default=None)
    if outermost is None:
        known = ", ".join(str(key) for key in list(weights)[:3]) or "nothing"
        raise ModelError(
            f"{path}: contains no weights of a MONAI UNet, whose names begin with {ROOT!r}; it has {known}"
        )
    return {key.removeprefix(outermost): value for key, value in weights.items() if key.startswith(outermost + ROOT)}
