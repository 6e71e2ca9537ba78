"""The folder of a run: its config, its weights, and whether another config may go on in it."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Callable, Collection, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
from jaxtyping import PyTree

from sirtjax import __version__, networks
from sirtjax.config import Table
from sirtjax.errors import ConfigError, ImageFormatError, ModelError, OutputError
from sirtjax.io import atomic_path
from sirtjax.parsing import parse_json
from sirtjax.train._config import plain
from sirtjax.train._lock import LOCK
from sirtjax.train._log import VALIDATIONS, read_rows
from sirtjax.train._loop import BEST, STATE
from sirtjax.train._state import TrainState, Variables, first_state
from sirtjax.train._state_file import load_tree
from sirtjax.train._training_file import TrainingConfig, training_from_dict

CONFIG = "config.json"
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")
# Settings that may differ when a run continues: they change no number, or only the position of the same files.
_FREE = (
    "log", "data.path", "data.bank", "data.files.path", "data.random.bank", "data.cache", "data.threads",
    "trainer.save_every_steps",
)  # fmt: skip
# Hidden folders of files being written, which a process leaves if it is killed while it writes.
_TEMPORARY = ".sirtjax-"
# Task of the runs of registration networks.
REGISTRATION = "registration"


def run_config(run: Path) -> TrainingConfig:
    """Returns the config of a run.

    Raises:
      ConfigError: the folder is not a run, or one of a registration network.
    """
    table = run_table(run)
    if table.get("task") == REGISTRATION:
        raise ConfigError(f"{run}: is a run of a registration network; expected one of a segmentation network")
    return training_from_dict(table, source=str(run / CONFIG))


def run_table(run: Path) -> dict[str, PyTree]:
    """Returns the config of a run as nested tables.

    Raises:
      ConfigError: the folder is not a run.
    """
    table: dict[str, PyTree] = dict(_described(run)["config"])
    return table


def run_modalities(run: Path) -> frozenset[str]:
    """Returns the modalities of the training images of a run; empty if they are not known.

    Raises:
      ConfigError: the folder is not a run.
    """
    return frozenset(map(str, _described(run).get("modalities", ())))


def check_contents(run: Path, contents: Mapping[str, str]) -> None:
    """Refuses to continue a run whose pairs of files are not those with which it was begun.

    Args:
      run: run folder.
      contents: hash of the images and masks of each pair, by name; a run without recorded hashes is not checked.

    Raises:
      ConfigError: the folder is not a run, or a pair has changed, is missing or was added.
    """
    before = _described(run).get("contents")
    if not isinstance(before, dict):
        return
    changed = [name for name in sorted(before.keys() | contents.keys()) if before.get(name) != contents.get(name)]
    if changed:
        what = ", ".join(changed[:5]) + (" and others" if len(changed) > 5 else "")
        raise ConfigError(
            f"{run}: was begun with other images or masks in the table of pairs ({what}); use the same files in the "
            "same rows, or begin in another folder"
        )


def _described(run: Path) -> dict[str, PyTree]:
    try:
        described: Any = parse_json((run / CONFIG).read_text(encoding="utf-8"))
        return {**described, "config": dict(described["config"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{run}: is not a run of training ({CONFIG} is missing or damaged)") from error


def has_best(weights: str, *, models: Collection[str]) -> bool:
    """Returns whether initial weights are those of a run with best weights, rather than of a model.

    A word without a slash is the name of a model first: a folder of that name is not in its way.

    Args:
      weights: name or folder of a model, or folder of a run.
      models: names of the installed models.

    Raises:
      ModelError: the folder is a run without best weights.
    """
    if weights in models:
        return False
    path = Path(weights)
    found = (path / BEST).is_file()
    if not found and (path / CONFIG).is_file():
        raise ModelError(f"{path}: is a run without {BEST}, {_reason_for_no_best(path)[0]}")
    return found


def best_file(run: Path) -> Path:
    """Returns the file with the weights of the best validation.

    Raises:
      ImageFormatError: there was no validation yet, or none with a DSC.
    """
    if not (run / BEST).is_file():
        reason, exportable = _reason_for_no_best(run)
        remedy = "; --last exports the last weights" if exportable else ""
        raise ImageFormatError(f"{run}: is a run without {BEST}, {reason}{remedy}")
    return run / BEST


def _reason_for_no_best(run: Path) -> tuple[str, bool]:
    """Why a run has no best weights, and whether it has others."""
    path = run / VALIDATIONS
    if not path.is_file() or not read_rows(path):
        until = "which its first validation writes; continue it with --resume until then"
        return until, (run / STATE).is_file()
    return "because no validation has a DSC; its validation data lack the masks or classes", (run / STATE).is_file()


def best_variables(run: Path) -> tuple[Variables, dict[str, PyTree]]:
    """Returns the weights of the best validation, and their metadata: the config, "step" and "dsc".

    Raises:
      ImageFormatError: there was no validation yet, or none with a DSC.
    """
    like = networks.abstract_variables(run_config(run).network)
    variables, about = load_tree(best_file(run), like)
    return variables, about


def run_state(run: Path) -> TrainState:
    """Returns the state of a run.

    Raises:
      ImageFormatError: the run has not saved a state yet.
    """
    config = run_config(run)
    variables = networks.initialise(config.network, seed=config.seed)
    return load_tree(run / STATE, first_state(variables, optimiser=config.optimiser, seed=config.seed))[0]


def check_folder(run: Path, config: Table, *, resume: bool, read: Callable[[Path], Table] = run_config) -> None:
    """Refuses a folder that cannot be used for a new run, or that this config cannot continue.

    Args:
      run: folder of the run.
      config: training file.
      resume: whether the run may continue.
      read: function that returns the training file of a run.

    Raises:
      OutputError: the folder holds files and `resume` is not given, or is a file.
      ConfigError: the folder contains a run of another config, or no run.
    """
    if run.exists() and not run.is_dir():
        raise OutputError(f"{run}: is a file; expected the name of a folder to write")
    if run.is_dir() and any(path.name != LOCK and not path.name.startswith(_TEMPORARY) for path in run.iterdir()):
        if not resume:
            raise OutputError(f"{run}: holds files already; choose another folder, or continue with --resume")
        _check_same(read(run), config, run)


def describe_run(
    run: Path, config: Table, *, modalities: Collection[str] = (), contents: Mapping[str, str] | None = None
) -> None:
    """Writes the config and the versions and devices of a run.

    Args:
      run: run folder.
      config: training file.
      modalities: modalities of the training images of a registration network, if they are known.
      contents: hash of the images and masks of each pair of files, by name.
    """
    described = {
        "sirtjax": __version__,
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in _PACKAGES},
        "devices": sorted({device.device_kind for device in jax.devices()}),
        "config": plain(config),
    }
    if modalities:
        described["modalities"] = sorted(modalities)
    if contents:
        described["contents"] = dict(sorted(contents.items()))
    with atomic_path(run / CONFIG, force=True) as temporary:
        temporary.write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")


def remove_unfinished(run: Path) -> None:
    """Removes the files that a killed training did not finish.

    Args:
      run: run folder; the process must hold its lock.
    """
    for folder in run.glob(f"{_TEMPORARY}*"):
        names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        if names and names <= {CONFIG, STATE, BEST}:
            shutil.rmtree(folder, ignore_errors=True)


def _check_same(before: Table, now: Table, run: Path) -> None:
    old, new = (_flat(plain(config)) for config in (before, now))
    for key in sorted(old.keys() | new.keys()):
        free = any(key == name or key.startswith(f"{name}.") for name in _FREE)
        if not free and old.get(key) != new.get(key):
            raise ConfigError(
                f"{run}: was begun with {key} = {old.get(key)!r}, now it is {new.get(key)!r}; "
                "continue with the same config, or begin in another folder"
            )


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    return {
        name: leaf for key, inner in value.items() for name, leaf in _flat(inner, f"{prefix}.{key}".lstrip(".")).items()
    }
