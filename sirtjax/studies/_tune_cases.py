"""Cases of a weight search: the table of their files, and reading one case."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sirtjax.errors import ConfigError, ImageFormatError
from sirtjax.studies._case_table import case_rows

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float64

    from sirtjax.registration import RegistrationConfig, TuningCase
    from sirtjax.volume import LabelMap, Volume

REQUIRED = ("case", "reference", "floating", "ref_labels", "flo_labels")
OPTIONAL = ("ref_points", "flo_points", "ref_eval_labels", "flo_eval_labels", "ref_modality", "flo_modality", "names")
SINGLE, SEVERAL = ("reference", "floating", "ref_points", "flo_points"), (
    "ref_labels", "flo_labels", "ref_eval_labels", "flo_eval_labels",
)  # fmt: skip
TOGETHER = (("ref_points", "flo_points"), ("ref_eval_labels", "flo_eval_labels"))
MODALITIES = ("CT", "MR", "PT", "NM")
# Between several files in one cell.
SEPARATOR = ";"


@dataclass(frozen=True, kw_only=True)
class TuneCase:
    """One row of the list.

    Attributes:
      case: name of the case.
      cells: text of each column that is filled in.
      folder: folder of the case's files.
    """

    case: str
    cells: Mapping[str, str]
    folder: Path

    def path(self, column: str) -> Path | None:
        """Returns the file of a column, or None."""
        return self.folder / self.cells[column] if column in self.cells else None

    def labels(self, column: str) -> list[str]:
        """Returns the mask files of a column, with the names after their #."""
        parts = self.cells.get(column, "").split(SEPARATOR)
        return [str(self.folder / part.strip()) for part in parts if part.strip()]

    def inputs(self) -> list[Path | None]:
        """Returns every file and folder of the case."""
        from sirtjax.registration import split_mask_argument

        masks = [split_mask_argument(text)[0] for column in SEVERAL for text in self.labels(column)]
        return [*(self.path(column) for column in SINGLE), *masks]


@dataclass(frozen=True, kw_only=True)
class CaseData:
    """A case read: two images, and masks and points of both."""

    images: tuple[Volume, Volume]
    masks: tuple[Mapping[str, LabelMap], Mapping[str, LabelMap]]
    evaluation: tuple[Mapping[str, LabelMap], Mapping[str, LabelMap]] | None
    points_mm: tuple[Float64[np.ndarray, "_ 3"] | None, Float64[np.ndarray, "_ 3"] | None]
    notes: tuple[str, ...]

    def tuning_case(self, config: RegistrationConfig, *, seed: int = 0) -> TuningCase:
        """Returns the case prepared for trials with the weights of a preset.

        Args:
          config: preset.
          seed: seed of the samples of the trials.
        """
        from sirtjax import registration

        return registration.prepare_tuning_case(
            *self.images,
            config=config,
            reference_masks=self.masks[0],
            floating_masks=self.masks[1],
            reference_points_mm=self.points_mm[0],
            floating_points_mm=self.points_mm[1],
            evaluation_masks=self.evaluation,
            seed=seed,
        )


def read_list(path: Path) -> list[TuneCase]:
    """Reads the cases of a table; file names are relative to the folder of the table.

    Raises:
      ImageFormatError: no such file, or not a table.
      ConfigError: a column missing or unknown, an empty cell that is needed, a case twice, or no case.
    """
    rows = case_rows(path, guide="docs/tuning.md", required=REQUIRED, optional=OPTIONAL)
    cases = [_case(path, number, row) for number, row in enumerate(rows, start=1)]
    names = [one.case for one in cases]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ConfigError(f"{path}: the case {twice[0]!r} is there twice; give each a name of its own")
    return cases


def _case(path: Path, number: int, row: Mapping[str, str | None]) -> TuneCase:
    cells = {str(key).strip(): (value or "").strip() for key, value in row.items()}
    cells = {key: value for key, value in cells.items() if value}
    for name in REQUIRED:
        if name not in cells:
            raise ConfigError(f"{path}, case {number}: the cell {name!r} is empty; fill it in")
    for one, other in TOGETHER:
        if (one in cells) != (other in cells):
            raise ConfigError(f"{path}, case {cells['case']}: {one} and {other} go together; fill in both or neither")
    for name in ("ref_modality", "flo_modality"):
        if cells.get(name, "CT") not in MODALITIES:
            raise ConfigError(f"{path}, case {cells['case']}: {name} is one of {', '.join(MODALITIES)}")
    return TuneCase(case=cells["case"], cells=cells, folder=path.parent)


def fingerprint(case: TuneCase) -> str:
    """Returns a hash of the content of a case's files and of its row in the table."""
    from sirtjax.registration import split_mask_argument

    told = hashlib.sha256()
    for column in SINGLE:
        if (path := case.path(column)) is not None:
            told.update(f"{column} {_content(path)}\n".encode())
    for column in SEVERAL:
        for argument in case.labels(column):
            path, spec = split_mask_argument(argument)
            told.update(f"{column} {_content(path)} {path != Path(argument) and spec}\n".encode())
    for column in ("ref_modality", "flo_modality", "names"):
        told.update(f"{column} {case.cells.get(column)}\n".encode())
    return told.hexdigest()


def _content(path: Path) -> str:
    from sirtjax import io

    if path.is_dir():
        files = sorted(one for one in path.rglob("*") if one.is_file())
        return " ".join(str(io.file_sha256(one)) for one in files)
    if not path.is_file():
        raise ImageFormatError(f"{path}: no such file or folder")
    return str(io.file_sha256(path))


def read_case(case: TuneCase) -> CaseData:
    """Reads the files of a case."""
    from sirtjax.registration import (
        guidance_masks,
        parse_label_names,
        read_landmarks,
        read_mask_files,
        read_registration_image,
    )

    names = None if "names" not in case.cells else parse_label_names(case.cells["names"], where="names")
    images, notes = [], list[str]()
    for role, short in (("reference", "ref"), ("floating", "flo")):
        path = case.path(role)
        if path is None:
            raise ConfigError(f"case {case.case}: the cell {role!r} is empty; fill it in")
        image, told = read_registration_image(
            path, series=None, modality=case.cells.get(f"{short}_modality"), role=role
        )
        images.append(image)
        notes += told

    def masks(kind: str) -> tuple[Mapping[str, LabelMap], Mapping[str, LabelMap]]:
        files = [
            read_mask_files(case.labels(f"{short}_{kind}"), image, names=names)
            for short, image in zip(("ref", "flo"), images, strict=True)
        ]
        one, two, told = guidance_masks(files[0], files[1], (images[0], images[1]), only=None, keep_holes=False)
        notes.extend(told)
        return one, two

    return CaseData(
        images=(images[0].volume, images[1].volume),
        masks=masks("labels"),
        evaluation=masks("eval_labels") if "ref_eval_labels" in case.cells else None,
        points_mm=read_landmarks((case.path("ref_points"), case.path("flo_points"))),
        notes=tuple(notes),
    )
