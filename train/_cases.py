"""Training cases on the disk: nnU-Net's raw folders, the Medical Segmentation Decathlon's, and tables."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from sirtjax.errors import ConfigError
from sirtjax.parsing import parse_json
from sirtjax.train._csv_table import is_there, read_csv_table

Split = Literal["train", "validation"]
_COLUMNS = ("case", "image", "label")
_MORE = ("modality", "split")
_SEPARATOR = ";"
_SPLITS: dict[str, Split | None] = {"": None, "train": "train", "validation": "validation"}


@dataclass(frozen=True, kw_only=True)
class TrainingCase:
    """Images of one patient and their labels.

    Attributes:
      name: name of the case.
      images: image files, one per channel.
      label: label map file.
      modality: modality such as "CT" or "MR", which determines the intensity scale.
      split: use of the case in training or validation; None if the source does not state it.
    """

    name: str
    images: tuple[Path, ...]
    label: Path
    modality: str
    split: Split | None = None


def folder_cases(folder: Path) -> tuple[TrainingCase, ...]:
    """Lists the cases of a dataset folder in the format of nnU-Net or the Decathlon.

    Images are CT where the first channel is called so, otherwise MR.

    Raises:
      ConfigError: no such folder, no cases, or files that are missing.
    """
    described = _description(folder)
    listed = described.get("training")
    cases = _decathlon(folder, described, listed) if isinstance(listed, list) else _nnunet(folder, described)
    if not cases:
        raise ConfigError(f"{folder}: no training case; expected images in imagesTr and labels in labelsTr")
    return _present(cases, str(folder))


def table_cases(path: Path) -> tuple[TrainingCase, ...]:
    """Reads cases from a CSV table with case, image and label, and optionally modality and split.

    Paths are relative to the table; several channels of a case are divided by ";".

    Raises:
      ConfigError: columns, cells or files that are missing, an unknown or repeated column, a row with more cells than
        columns, names that are not distinct, or an unknown split.
    """
    rows = read_csv_table(path, required=_COLUMNS, optional=_MORE, content="cases")
    cases = []
    for number, row in rows:
        word = row["split"]
        if word not in _SPLITS:
            raise ConfigError(f"{path}, line {number}: split is {word!r}; expected train, validation or nothing")
        images = [name.strip() for name in row["image"].split(_SEPARATOR)]
        if "" in (*images, row["label"]):
            what = "label" if row["label"] == "" else "image" if row["image"] == "" else "one of the images"
            raise ConfigError(f"{path}, line {number}: {what} is empty; give the file")
        cases.append(
            TrainingCase(
                name=row["case"],
                images=tuple(path.parent / name for name in images),
                label=path.parent / row["label"],
                modality=row["modality"] or "CT",
                split=_SPLITS[word],
            )
        )
    if not cases:
        raise ConfigError(f"{path}: the table has no case; give one a line")
    return _present(cases, str(path))


def split_cases(
    cases: Sequence[TrainingCase], *, validation_fraction: float, seed: int
) -> tuple[tuple[TrainingCase, ...], tuple[TrainingCase, ...]]:
    """Splits cases into training and validation; unassigned cases by a hash of their names.

    The same names are always divided in the same way. An additional case changes the split of at most one other.

    Raises:
      ConfigError: there are no cases for training or for validation.
    """
    free = [case for case in cases if case.split is None]
    order = sorted(free, key=lambda case: hashlib.sha256(f"{seed}/{case.name}".encode()).hexdigest())
    count = max(1, round(validation_fraction * len(free))) if free and validation_fraction > 0 else 0
    chosen = {case.name for case in order[:count]} | {case.name for case in cases if case.split == "validation"}
    training = tuple(replace(case, split="train") for case in cases if case.name not in chosen)
    validation = tuple(replace(case, split="validation") for case in cases if case.name in chosen)
    for some, word in ((training, "to train with"), (validation, "to validate on")):
        if not some:
            raise ConfigError(f"of {len(cases)} cases none is left {word}; change data.validation or add cases")
    return training, validation


def _description(folder: Path) -> dict[str, Any]:
    path = folder / "dataset.json"
    try:
        described = parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); expected a dataset of nnU-Net or the Decathlon"
        ) from error
    except ValueError as error:
        raise ConfigError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(described, dict):
        raise ConfigError(f"{path}: expected a JSON object")
    return described


def _modality(described: dict[str, Any]) -> str:
    names = described.get("channel_names") or described.get("modality") or {}
    first = str(names.get("0", "CT")) if isinstance(names, dict) else "CT"
    return "CT" if first.upper().startswith("CT") else "MR"


def _decathlon(folder: Path, described: dict[str, Any], listed: list[Any]) -> list[TrainingCase]:
    cases = []
    for entry in listed:
        if not isinstance(entry, dict) or not isinstance(entry.get("image"), str):
            raise ConfigError(f"{folder / 'dataset.json'}: `training` must list an image and a label for each case")
        image, label = (folder / str(entry.get(key, "")) for key in ("image", "label"))
        cases.append(TrainingCase(name=_stem(image.name), images=(image,), label=label, modality=_modality(described)))
    return cases


def _nnunet(folder: Path, described: dict[str, Any]) -> list[TrainingCase]:
    ending = str(described.get("file_ending", ".nii.gz"))
    channels = max(1, len(described.get("channel_names") or {}))
    modality = _modality(described)
    cases = []
    for label in sorted((folder / "labelsTr").glob(f"*{ending}")):
        name = label.name.removesuffix(ending)
        images = tuple(folder / "imagesTr" / f"{name}_{channel:04d}{ending}" for channel in range(channels))
        cases.append(TrainingCase(name=name, images=images, label=label, modality=modality))
    return cases


def _stem(name: str) -> str:
    return name.removesuffix(".gz").removesuffix(".nii")


def _present(cases: Sequence[TrainingCase], where: str) -> tuple[TrainingCase, ...]:
    names = [case.name for case in cases]
    if len(set(names)) < len(names) or "" in names:
        raise ConfigError(f"{where}: every case needs a name of its own")
    for case in cases:
        for path in (*case.images, case.label):
            if not is_there(path):
                raise ConfigError(f"{where}: case {case.name} lacks {path}")
    counts = {len(case.images) for case in cases}
    if len(counts) > 1:
        raise ConfigError(f"{where}: cases have {min(counts)} to {max(counts)} channels; expected as many in each")
    return tuple(cases)
