from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from sirtjax import networks
from sirtjax.errors import ConfigError, ModelError
from sirtjax.io import read_torch_file
from sirtjax.networks import PlainConvUNetConfig, ResidualEncoderUNetConfig, Variables
from sirtjax.segmentation._model import Model, ModelSpec, Tiles
from sirtjax.segmentation._nnunet_plans import NnunetPlans, read_plans, short_message

NnunetConfig = PlainConvUNetConfig | ResidualEncoderUNetConfig
CHECKPOINT = "checkpoint_final.pth"
# Beginnings of channel names -> what DICOM calls the modality.
MODALITIES = {
    "CT": ("CT",),
    "MR": ("MR", "T1", "T2", "FLAIR", "DWI", "ADC", "DCE", "PD"),
    "PT": ("PET", "PT", "SUV"),
    "NM": ("SPECT", "NM"),
}
LESIONS = ("tumor", "tumour", "lesion", "cancer", "metastas", "hcc")


def import_nnunet(
    folder: Path | str,
    *,
    configuration: str | None = None,
    folds: Sequence[str] | None = None,
    checkpoint: str = CHECKPOINT,
    name: str | None = None,
    task: str | None = None,
    licence: str = "",
) -> Model:
    """Imports the model in a folder trained by nnU-Net v2, without nnU-Net or PyTorch.

    Nothing in it is executed.

    Args:
      folder: folder of the configuration (Trainer__Plans__configuration), or of the data set if it contains one.
      configuration: name of the configuration, if a data set's folder has several; a cascade includes its first stage.
      folds: "0" to "4" or "all". Default: every numbered fold, or "all" if there is none.
      checkpoint: name of the file in each fold's folder.
      name: name of the model. Default: named after data set and configuration.
      task: structure that the model segments. Default: derived from its labels.
      licence: short name of the licence.

    Raises:
      ModelError: a file is missing or damaged, or the model is not supported.
    """
    return _imported(
        folder, configuration=configuration, folds=folds, checkpoint=checkpoint, name=name, task=task, licence=licence
    )


def _imported(
    folder: Path | str,
    *,
    configuration: str | None = None,
    folds: Sequence[str] | None,
    checkpoint: str,
    name: str | None = None,
    task: str | None = None,
    licence: str = "",
    first_stage: bool = False,
) -> Model:
    trained = _trained_folder(Path(folder), configuration)
    files = _checkpoints(trained, folds, checkpoint)
    loaded = {file: read_torch_file(file) for file in files}
    chosen = {_configuration(file, content, trained) for file, content in loaded.items()}
    if len(chosen) > 1:
        raise ModelError(f"{trained}: its folds are of several configurations ({', '.join(sorted(chosen))})")
    plans = read_plans(trained, configuration=chosen.pop())
    previous = None
    if plans.previous is not None and first_stage:
        raise ModelError(f"{trained}: is the first stage of a cascade and has a first stage itself; expected none")
    if plans.previous is not None:
        previous = _first_stage(trained, plans, folds, checkpoint)
    config = _network(trained, plans)
    variables = tuple(_variables(config, content, file) for file, content in loaded.items())
    mirror_axes = {_mirror_axes(content, file) for file, content in loaded.items()}
    if len(mirror_axes) > 1:
        raise ModelError(f"{trained}: its folds are mirrored along different axes; import them one by one")
    spec = _spec(
        trained,
        plans,
        name=name or f"{plans.dataset}-{plans.configuration}",
        task=task or _task(plans),
        network=config,
        mirror_axes=mirror_axes.pop(),
        previous=None if previous is None else previous.spec,
        source=_source(plans, files, next(iter(loaded.values()))),
        licence=licence,
    )
    return Model(spec=spec, folds=variables, previous=previous)


def _trained_folder(path: Path, configuration: str | None) -> Path:
    if not path.is_dir():
        raise ModelError(f"{path}: is not a folder; expected one trained by nnU-Net v2, with plans.json and fold_0")
    if (path / "plans.json").is_file():
        return path
    found = sorted(file.parent for pattern in ("*/plans.json", "*/*/plans.json") for file in path.glob(pattern))
    matching = [one for one in found if configuration in (None, one.name.rpartition("__")[2])]
    if len(matching) == 1:
        return matching[0]
    if not found:
        raise ModelError(f"{path}: has no plans.json; expected a folder trained by nnU-Net v2")
    names = ", ".join(str(one.relative_to(path)) for one in found)
    if configuration is None:
        raise ModelError(f"{path}: contains several trained configurations ({names}); choose one of these folders")
    raise ModelError(f"{path}: {len(matching)} trained folders are of {configuration}; it contains {names}")


def _checkpoints(trained: Path, folds: Sequence[str] | None, checkpoint: str) -> list[Path]:
    present = {path.name.removeprefix("fold_"): path / checkpoint for path in sorted(trained.glob("fold_*"))}
    there = [fold for fold, file in present.items() if file.is_file()]
    if not there:
        raise ModelError(f"{trained}: no fold has a {checkpoint}; training was not completed, or set --checkpoint")
    if folds is None:
        chosen = [fold for fold in there if fold.isdecimal()] or there
    else:
        chosen = [str(fold) for fold in folds]
        missing = [fold for fold in chosen if fold not in there]
        if missing:
            raise ModelError(f"{trained}: fold {missing[0]} has no {checkpoint}; there are {', '.join(there)}")
    return [present[fold] for fold in chosen]


def _configuration(file: Path, content: Mapping[str, Any], trained: Path) -> str:
    """The checkpoint says best; the folder's name, where an old one doesn't."""
    if "network_weights" not in content:
        kind = ", ".join(sorted(str(key) for key in content)[:4]) or "nothing"
        raise ModelError(f"{file}: is not a checkpoint of nnU-Net v2: it has no network_weights, but {kind}")
    told = content.get("init_args")
    if isinstance(told, Mapping) and isinstance(told.get("configuration"), str):
        return str(told["configuration"])
    parts = trained.name.split("__")
    if len(parts) != 3:
        raise ModelError(
            f"{file}: neither the file nor the folder states its configuration; name it Trainer__Plans__3d_..."
        )
    return parts[2]


def _first_stage(trained: Path, plans: NnunetPlans, folds: Sequence[str] | None, checkpoint: str) -> Model:
    trainer = trained.name.rpartition("__")[0]
    folder = trained.parent / f"{trainer}__{plans.previous}"
    if folder.name != f"{trainer}__{plans.previous}":
        message = f"{trained / 'plans.json'}: previous_stage {plans.previous!r} cannot be the first stage of a cascade"
        raise ModelError(short_message(message, trained))
    if not folder.is_dir():
        raise ModelError(f"{trained}: is a cascade's second stage; expected its first, {folder.name}, next to it")
    there = {path.parent.name.removeprefix("fold_") for path in folder.glob(f"fold_*/{checkpoint}")}
    kept = folds if folds is not None and set(map(str, folds)) <= there else None
    return _imported(folder, folds=kept, checkpoint=checkpoint, first_stage=True)


def _network(trained: Path, plans: NnunetPlans) -> NnunetConfig:
    path = trained / "plans.json"
    try:
        return cast(NnunetConfig, networks.network_config(_network_table(plans)))
    except KeyError as error:
        raise ModelError(f"{path}: no {error.args[0]!r} of the network; check that it is from nnU-Net v2") from error
    except ConfigError as error:
        raise ModelError(short_message(f"{path}: its network cannot be built: {error}", path)) from error
    except (TypeError, ValueError, OverflowError) as error:
        message = f"{path}: is not in nnU-Net v2's format ({error}); copy the folder again"
        raise ModelError(short_message(message, path)) from error


def _network_table(plans: NnunetPlans) -> dict[str, object]:
    options: Mapping[str, Any] = plans.options
    plain = plans.architecture == "PlainConvUNet"
    stages = len(options["strides"])
    features = options["features_per_stage"]
    return {
        "architecture": "plain-conv-unet" if plain else "residual-encoder-unet",
        "channels": plans.inputs,
        "classes": plans.classes,
        "features": [features] * stages if isinstance(features, int) else features,
        "kernels": options["kernel_sizes"],
        "strides": options["strides"],
        "convolutions" if plain else "blocks": _counts(
            options["n_conv_per_stage" if plain else "n_blocks_per_stage"], stages
        ),
        "decoder_convolutions": _counts(options["n_conv_per_stage_decoder"], stages - 1),
        "deep_supervision": False,
    }


def _counts(found: int | Sequence[int], stages: int) -> list[int]:
    return [found] * stages if isinstance(found, int) else [int(count) for count in found]


def _variables(config: NnunetConfig, content: Mapping[str, Any], file: Path) -> Variables:
    weights = content["network_weights"]
    if not isinstance(weights, Mapping):
        raise ModelError(
            f"{file}: its network_weights are not a dictionary; the file is damaged or from another program"
        )
    try:
        return networks.from_nnunet(weights, config)
    except ConfigError as error:
        raise ModelError(f"{file}: its weights are not those of the plans: {error}") from error


def _mirror_axes(content: Mapping[str, Any], file: Path) -> tuple[int, ...]:
    axes = content.get("inference_allowed_mirroring_axes")
    if axes is None:
        return ()
    if not isinstance(axes, list | tuple) or not all(isinstance(axis, int) and axis in (0, 1, 2) for axis in axes):
        raise ModelError(short_message(f"{file}: mirroring axes {axes!r} are not those of a 3D image", file))
    return tuple(sorted(int(axis) for axis in axes))


def _spec(trained: Path, plans: NnunetPlans, *, name: str, previous: ModelSpec | None, **given: Any) -> ModelSpec:
    try:
        return ModelSpec(
            name=re.sub(r"[^A-Za-z0-9._-]+", "-", name),
            modalities=_modalities(plans),
            channels=plans.channels,
            labels=dict(plans.labels),
            activation="sigmoid" if plans.regions else "softmax",
            preprocessing=plans.preprocessing,
            tiles=Tiles(shape=plans.patch_shape, overlap=0.5, blending="nnunet"),
            previous=previous,
            previous_values=() if previous is None else plans.foreground,
            **given,
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "model"
        raise ModelError(f"{trained}: {where}: {first['msg'].removeprefix('Value error, ')}") from error


def _modalities(plans: NnunetPlans) -> tuple[Any, ...]:
    found = []
    for channel, how in zip(plans.channels, plans.preprocessing.channels, strict=True):
        named = [key for key, starts in MODALITIES.items() if channel.upper().startswith(starts)]
        found += named or (["CT"] if how.scheme == "CTNormalization" else ["unknown"])
    return () if "unknown" in found else tuple(dict.fromkeys(found))


def _task(plans: NnunetPlans) -> str:
    names = [name.lower() for name in plans.labels]
    livers = [name for name in names if name.startswith("liver")]
    lesions = [name for name in names if any(word in name for word in LESIONS)]
    if livers and lesions:
        return "lesions"
    if len(names) == 1:
        return names[0]
    return "total" if livers else "other"


def _source(plans: NnunetPlans, files: Sequence[Path], content: Mapping[str, Any]) -> str:
    folds = ", ".join(file.parent.name.removeprefix("fold_") for file in files)
    trainer = content.get("trainer_name", "unknown trainer")
    return f"nnU-Net v2 ({trainer}): {plans.dataset}, {plans.configuration}, folds {folds}"
