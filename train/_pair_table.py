"""Tables of image pairs on the disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

from sirtjax.errors import ConfigError
from sirtjax.train._csv_table import is_there, read_csv_table

_COLUMNS = ("reference", "floating")
_MASKS = ("reference_liver", "floating_liver")
_LESIONS = "reference_lesions"
_MODALITIES = ("reference_modality", "floating_modality")
_MORE = (*_MASKS, _LESIONS, *_MODALITIES, "split")
_SPLITS = ("", "train", "validation")


@dataclass(frozen=True, kw_only=True)
class FilePair:
    """Files of one pair.

    Attributes:
      name: name of the row, "row 2" for the first one.
      images: reference and floating image.
      livers: liver masks of both images; None for an image without one.
      lesions: lesion mask of the reference image; None if there is none.
      modalities: modality of each image, "CT" or "MR"; None to recognise a CT by its values.
      split: use of the pair, "train" or "validation"; empty if the table does not state it.
      reference: path of the reference image in the table, by which pairs are assigned; empty for that in `images`.
    """

    name: str
    images: tuple[Path, Path]
    livers: tuple[Path | None, Path | None]
    modalities: tuple[Literal["CT", "MR"] | None, Literal["CT", "MR"] | None]
    split: str = ""
    lesions: Path | None = None
    reference: str = ""


def read_pair_table(path: Path) -> tuple[FilePair, ...]:
    """Reads a CSV table of pairs, with paths relative to the table.

    Args:
      path: table with the columns reference and floating, and optionally reference_liver, floating_liver,
        reference_lesions, reference_modality, floating_modality and split.

    Raises:
      ConfigError: columns, cells or files that are missing, an unknown or repeated column, a row with more cells than
        columns, or an unknown modality or split.
    """
    rows = read_csv_table(path, required=_COLUMNS, optional=_MORE, content="pairs")
    if not rows:
        raise ConfigError(f"{path}: the table has no pair; add one per row")
    return tuple(_pair(row, path, number) for number, row in rows)


def split_pairs(
    pairs: Sequence[FilePair], *, validation_fraction: float, seed: int
) -> tuple[tuple[FilePair, ...], tuple[FilePair, ...]]:
    """Splits pairs into training and validation; those without a split by a hash of a reference's path.

    Rows with an image in common, directly or by other rows, are one group that is never divided: an image that is
    validated on is not trained with. A row that states no split has the split of its group. The hash is of the first
    of the group's reference paths in alphabetical order, as the table has them: a table that is moved together with
    its images is divided in the same way, in any order of its rows.

    Args:
      pairs: pairs of a table.
      validation_fraction: fraction of the groups without a stated split for validation; at least one if not 0.
      seed: seed of the training.

    Raises:
      ConfigError: rows of one group state different splits, or no pair is left for training or for validation.
    """
    groups = _groups(pairs)
    stated = _stated_splits(pairs, groups)
    names: dict[Path, str] = {}
    for pair, group in zip(pairs, groups, strict=True):
        name = pair.reference or pair.images[0].as_posix()
        names[group] = min(name, names.get(group, name))
    free = sorted(
        (group for group in names if group not in stated),
        key=lambda group: (hashlib.sha256(f"{seed}/{names[group]}".encode()).hexdigest(), names[group]),
    )
    count = max(1, round(validation_fraction * len(free))) if free and validation_fraction > 0 else 0
    chosen = {*free[:count], *(group for group, (split, _) in stated.items() if split == "validation")}
    validation = tuple(pair for pair, group in zip(pairs, groups, strict=True) if group in chosen)
    training = tuple(pair for pair, group in zip(pairs, groups, strict=True) if group not in chosen)
    for some, word in ((training, "to train with"), (validation, "to validate on")):
        if not some:
            raise ConfigError(
                f"of {len(pairs)} pairs, {len(names)} without images in common, none is left {word}; change "
                "data.validation or add pairs of other images"
            )
    return training, validation


def _groups(pairs: Sequence[FilePair]) -> list[Path]:
    """Returns a file for each pair that is the same for all pairs connected by common images."""
    parents: dict[Path, Path] = {}

    def root(file: Path) -> Path:
        while parents.setdefault(file, file) != file:
            parents[file] = parents[parents[file]]
            file = parents[file]
        return file

    # Two spellings or links of one file are one image.
    files = [(pair.images[0].resolve(), pair.images[1].resolve()) for pair in pairs]
    for one, other in files:
        parents[root(one)] = root(other)
    return [root(one) for one, _ in files]


def _stated_splits(pairs: Sequence[FilePair], groups: Sequence[Path]) -> dict[Path, tuple[str, str]]:
    """Returns the stated split of each group and the row that states it first."""
    stated: dict[Path, tuple[str, str]] = {}
    for pair, group in zip(pairs, groups, strict=True):
        split, row = stated.get(group, (pair.split, pair.name))
        if pair.split and pair.split != split:
            raise ConfigError(
                f"{pair.images[0]}: {row} with split {split} and {pair.name} with split {pair.split} have an image in "
                "common, directly or by other rows; give all rows that share images the same split"
            )
        if pair.split:
            stated[group] = (split, row)
    return stated


def _pair(cells: dict[str, str], path: Path, number: int) -> FilePair:
    where = f"{path}, row {number}"
    for name in _COLUMNS:
        if not cells[name]:
            raise ConfigError(f"{where}: {name} is empty; give the file of an image")
    if cells["split"] not in _SPLITS:
        raise ConfigError(f"{where}: split is {cells['split']!r}; expected train, validation or nothing")
    for name in (*_COLUMNS, *_MASKS, _LESIONS):
        if cells[name] and not is_there(path.parent / cells[name]):
            raise ConfigError(f"{where}: {name} does not exist ({path.parent / cells[name]}); correct the path")
    modalities: list[Literal["CT", "MR"] | None] = []
    for name in _MODALITIES:
        match cells[name]:
            case "CT" | "MR" as found:
                modalities.append(found)
            case "":
                modalities.append(None)
            case other:
                raise ConfigError(f"{where}: {name} is {other!r}; expected CT, MR or nothing")
    images = [path.parent / cells[name] for name in _COLUMNS]
    livers = [path.parent / cells[name] if cells[name] else None for name in _MASKS]
    return FilePair(
        name=f"row {number}",
        images=(images[0], images[1]),
        livers=(livers[0], livers[1]),
        modalities=(modalities[0], modalities[1]),
        split=cells["split"],
        lesions=path.parent / cells[_LESIONS] if cells[_LESIONS] else None,
        reference=PurePath(os.path.normpath(cells["reference"])).as_posix(),
    )
