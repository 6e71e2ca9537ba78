from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypedDict, cast

import numpy as np
from jaxtyping import Shaped
from numpy.typing import NDArray

from sirtjax.errors import ConfigError, ModelError
from sirtjax.io._atomic import atomic_folder
from sirtjax.parsing import parse_json

# What a checkpoint's folder holds: the arrays as orbax writes them, and what they are.
WEIGHTS, DESCRIPTION = "weights", "checkpoint.json"
FORMAT, VERSION = "sirtjax-checkpoint", 1
HALF_MAX = float(np.finfo(np.float16).max)
# Names of models, which are also names of folders.
MODEL_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
Storage = Literal["float32", "float16"]
# Nested dictionaries of arrays.
ArrayTree: TypeAlias = "dict[str, ArrayTree | Shaped[np.ndarray, '...']]"


class CheckpointDescription(TypedDict):
    """The metadata of a checkpoint.

    Attributes:
      format, version: name and version of the file format.
      sha256: hash of the names and values of the arrays.
      storage: "float32", or "float16" for rounded kernels.
      arrays: type and shape of each array by its name.
      licence: text of the licence.
      table: purpose of the weights.
    """

    format: str
    version: int
    sha256: str
    storage: str
    arrays: dict[str, list[object]]
    licence: str
    table: dict[str, object]


def check_model_name(name: str) -> None:
    """Checks the name of a model to write.

    Args:
      name: name of the model.

    Raises:
      ConfigError: the name contains another character, or begins with one that is not a letter or digit.

    Examples:
      >>> from sirtjax import io
      >>> io.check_model_name("site-liver.2")
    """
    if re.fullmatch(MODEL_NAME, name) is None:
        raise ConfigError(
            f"the name of the model is {name!r}; expected letters (A-Z, a-z), digits, '.', '_' and '-', beginning with "
            "a letter or digit"
        )


def save_checkpoint(
    path: Path | str,
    variables: Mapping[str, object],
    table: Mapping[str, object],
    *,
    licence: str = "",
    storage: Storage = "float32",
    force: bool = False,
) -> None:
    """Writes weights and their description as a folder, atomically.

    Arrays go to orbax, which every JAX program can read; next to them is a JSON file with `table`, the licence and a
    SHA-256 of names and values, which `load_checkpoint` verifies. Half precision halves the size: kernels (two and more
    axes) are rounded to 11 bits, everything else stays as it is.

    Args:
      path: folder to create.
      variables: nested dictionaries of arrays.
      table: purpose of the weights, as values that JSON supports.
      licence: text of the licence, shown on request.
      storage: "float32" keeps every bit; "float16" rounds kernels.
      force: replace an existing checkpoint.

    Raises:
      ModelError: the tree is not nested dictionaries of finite numbers, or kernels are too large for half precision.
      OutputError: the folder exists and `force` is not given, or cannot be written.
    """
    from orbax.checkpoint import v1 as orbax  # type: ignore[import-untyped]

    path = Path(path)
    tree = _mapped(variables, lambda name, value: _stored(path, name, value, storage))
    stored = dict(_leaves(tree))
    description = {
        "format": FORMAT,
        "version": VERSION,
        "sha256": _digest(stored),
        "storage": storage,
        "arrays": {name: [str(array.dtype), list(array.shape)] for name, array in sorted(stored.items())},
        "licence": licence,
        "table": dict(table),
    }
    text = json.dumps(description, indent=2, allow_nan=False, ensure_ascii=False)
    with atomic_folder(path, force=force, own=(f"{WEIGHTS}/*",)) as folder:
        orbax.save((folder / WEIGHTS).absolute(), tree)
        # Orbax names the folder it wrote to, which says where somebody keeps files; that it is there is what counts.
        for note in (folder / WEIGHTS).rglob("commit_success.txt"):
            note.write_text("complete\n", encoding="utf-8")
        (folder / DESCRIPTION).write_text(text + "\n", encoding="utf-8")


def load_checkpoint(path: Path | str) -> tuple[ArrayTree, dict[str, object]]:
    """Returns the weights of a checkpoint as NumPy arrays, and its table; float16 becomes float32.

    Raises:
      ModelError: the folder is not a checkpoint, is of a newer version, is damaged, or has changed since it was saved.
    """
    from orbax.checkpoint import v1 as orbax

    path = Path(path)
    description = read_description(path)
    try:
        loaded = orbax.load((path / WEIGHTS).absolute())
        tree = _mapped(loaded, lambda name, value: np.asarray(value))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        what = " ".join(str(error).split())[:160]
        raise ModelError(f"{path}: its weights cannot be read ({what}); copy or import the model again") from error
    if _digest(dict(_leaves(tree))) != description["sha256"]:
        raise ModelError(f"{path}: its weights are not those that were saved (SHA-256 differs); import the model again")
    full = _mapped(tree, lambda name, array: array.astype(np.float32) if array.dtype == np.float16 else array)
    return full, description["table"]


def read_description(path: Path | str) -> CheckpointDescription:
    """Reads the metadata of a checkpoint: "table", "licence", "sha256", "storage" and "arrays".

    Raises:
      ModelError: the folder is not a checkpoint, is of a newer version, or is damaged.
    """
    path = Path(path)
    if not (path / DESCRIPTION).is_file():
        raise ModelError(f"{path}: is not a sirtjax checkpoint: there is no {DESCRIPTION} in it")
    try:
        found = parse_json((path / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path / DESCRIPTION}: is damaged ({error}); copy or import the model again") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ModelError(f"{path / DESCRIPTION}: is not a sirtjax checkpoint's; expected the format {FORMAT!r}")
    if found.get("version") != VERSION:
        raise ModelError(
            f"{path / DESCRIPTION}: has version {found.get('version')}, this program reads version {VERSION}; "
            "update sirtjax, or import the model again"
        )
    wanted = {"table": dict, "licence": str, "sha256": str, "storage": str, "arrays": dict}
    wrong = [name for name, kind in wanted.items() if not isinstance(found.get(name), kind)]
    if wrong:
        raise ModelError(f"{path / DESCRIPTION}: is damaged: no usable {', '.join(wrong)}; import the model again")
    # Every key was checked above.
    return cast(CheckpointDescription, found)


def _mapped(tree: Mapping[str, Any], change: Callable[[str, Any], Any], above: str = "") -> dict[str, Any]:
    """Nested dictionaries with each leaf changed; empty ones stay, as the statistics of a network without any."""
    return {
        key: _mapped(value, change, f"{above}{key}/") if isinstance(value, Mapping) else change(f"{above}{key}", value)
        for key, value in tree.items()
    }


def _leaves(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, NDArray[Any]]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{key}/")
        else:
            yield f"{above}{key}", value


def _stored(path: Path, name: str, value: Any, storage: Storage) -> NDArray[Any]:
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise ModelError(f"{path}: weight {name} is not an array of numbers, got {type(value).__name__}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ModelError(f"{path}: weight {name} holds NaN or infinity; the model did not train to something usable")
    if storage == "float16" and array.ndim >= 2 and array.dtype.kind == "f":
        largest = float(np.abs(array).max(initial=0))
        if largest > HALF_MAX:
            raise ModelError(f"{path}: weight {name} reaches {largest:.3g}, too large for half precision; use float32")
        return array.astype(np.float16)
    return array


def _digest(leaves: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 of the names, types, shapes and values, whatever the files look like."""
    digest = hashlib.sha256()
    for name, array in sorted(leaves.items()):
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        digest.update(f"{name} {array.dtype.name} {array.shape}\n".encode())
        digest.update(little.tobytes())
    return digest.hexdigest()
