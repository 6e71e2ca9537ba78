from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sirtjax.dicom.dataset._parse import parsing
from sirtjax.dicom.dataset._scan import DicomFile, scan
from sirtjax.dicom.dataset._values import text_of
from sirtjax.dicom.image._mixed_series import check_one_patient
from sirtjax.dicom.image._slice_grid import slice_grid
from sirtjax.dicom.image._source import acquisition_moment, series_moment
from sirtjax.dicom.image._stacks import Stack, is_volume_file, modality_of, stacks_of
from sirtjax.dicom.image._values import values_unit
from sirtjax.errors import ImageFormatError, InputError

_MAX_LISTED = 12


@dataclass(frozen=True, kw_only=True)
class SeriesInfo:
    """One series of a folder, or one of the stacks of slices in a series.

    Attributes:
      number: number of the series for selection, counted from 1.
      uid: SeriesInstanceUID; None if the files have none.
      modality: "CT", "MR", "PT" or "NM".
      description: SeriesDescription, followed by the stack of the series in brackets.
      slices: number of slices, or of files if their positions are not known.
      size: number of columns and of rows.
      spacing_mm: voxel spacing along i, j, k; None if the slices do not form a volume.
      time: start of the acquisition, otherwise the time of the series.
      localizer: whether these are scout views, which are chosen only by number or UID.
      problem: reason why the series cannot be read as a volume; None if its headers have no such problem.
    """

    number: int
    uid: str | None
    modality: str
    description: str
    slices: int
    size: tuple[int, int]
    spacing_mm: tuple[float, float, float] | None
    time: datetime | None
    localizer: bool
    problem: str | None

    def __str__(self) -> str:
        columns, rows = self.size
        grid = f"{columns}x{rows}x{self.slices}"
        return f"{self.number}: {self.modality} {self.description!r} {grid}"


def list_series(path: Path | str) -> tuple[SeriesInfo, ...]:
    """Returns the image series at a path, by time; see `SeriesInfo`.

    A series with a problem is included with it.

    Raises:
      ImageFormatError: no such path, a single file that is not DICOM, or no image series at all.
    """
    return tuple(info for info, _ in find_stacks(Path(path))[0])


def find_stacks(path: Path) -> tuple[list[tuple[SeriesInfo, Stack]], list[Path]]:
    """Returns the stacks of every image series at a path, numbered, and the damaged files found.

    Raises:
      ImageFormatError: as `list_series`.
    """
    if not path.exists():
        raise ImageFormatError(f"{path}: no such file or folder; expected a DICOM folder")
    files, damaged = scan(path)
    series: dict[tuple[str, ...], list[DicomFile]] = defaultdict(list)
    for file in files:
        with parsing(file.path, "image"):
            if is_volume_file(file):
                series[_key(file)].append(file)
    if not series:
        raise ImageFormatError(_nothing(path, files, damaged))
    stacks = []
    for group in series.values():
        with parsing(group[0].path, "image"):
            stacks += stacks_of(group)
    stacks.sort(key=lambda stack: (_time(stack) or datetime.max, _order(stack), stack.part))
    return [(_info(n, stack, path), stack) for n, stack in enumerate(stacks, start=1)], damaged


def choose_stack(
    path: Path,
    found: list[tuple[SeriesInfo, Stack]],
    *,
    series: str | int | None,
    modality: str | tuple[str, ...] | None,
) -> tuple[SeriesInfo, Stack]:
    """Returns the stack that matches `series` and `modality`.

    Raises:
      ImageFormatError: no stack or several stacks fit.
    """
    wanted = (modality,) if isinstance(modality, str) else modality
    named = found if series is None else _named(found, series)
    if not named:
        raise ImageFormatError(f"{path}: no series matches {str(series)!r} (available: {_listed(found)})")
    fitting = [pair for pair in named if wanted is None or pair[0].modality in wanted]
    if not fitting:
        modalities = ", ".join(sorted({info.modality for info, _ in named}))
        raise ImageFormatError(
            f"{path}: expected {' or '.join(wanted or ())}, found {modalities}; provide the image for this role"
        )
    if len(fitting) > 1:
        fitting = [pair for pair in fitting if not pair[0].localizer] or fitting
        # A folder may contain projections and planar views next to the reconstruction.
        fitting = [pair for pair in fitting if pair[1].problem is None] or fitting
    if len(fitting) > 1:
        raise ImageFormatError(
            f"{path}: {len(fitting)} series match, {_listed(fitting)}; choose one by its number, UID or description"
        )
    return fitting[0]


def _named(found: list[tuple[SeriesInfo, Stack]], series: str | int) -> list[tuple[SeriesInfo, Stack]]:
    text = str(series).strip()
    exact = [pair for pair in found if pair[0].uid == text]
    if exact:
        return exact
    numbered = [pair for pair in found if text.isdecimal() and pair[0].number == int(text)]
    return numbered or [pair for pair in found if text.lower() in pair[0].description.lower()]


def _key(file: DicomFile) -> tuple[str, ...]:
    """The key that the files of a series share; without a UID, its other properties and the folder."""
    header = file.header
    uid = text_of(header, "SeriesInstanceUID")
    if uid:
        return (modality_of(file), uid)
    study = text_of(header, "StudyInstanceUID")
    number = text_of(header, "SeriesNumber")
    return (modality_of(file), study, number, text_of(header, "SeriesDescription"), str(file.path.parent))


def _info(number: int, stack: Stack, path: Path) -> SeriesInfo:
    if stack.problem is not None:
        return _make_info(number, stack, None, str(stack.problem))
    spacing_mm = None
    try:
        spacing_mm = slice_grid(stack.frames, where=path).geometry.spacing_mm
        check_one_patient(stack)
        values_unit(stack.frames)
    except InputError as error:
        return _make_info(number, stack, spacing_mm, str(error))
    return _make_info(number, stack, spacing_mm, None)


def _make_info(
    number: int, stack: Stack, spacing_mm: tuple[float, float, float] | None, problem: str | None
) -> SeriesInfo:
    header = stack.files[0].header
    words = text_of(header, "SeriesDescription")
    return SeriesInfo(
        number=number,
        uid=text_of(header, "SeriesInstanceUID") or None,
        modality=modality_of(stack.files[0]),
        description=f"{words} [{stack.part}]".strip() if stack.part else words,
        slices=len(stack.frames) or len(stack.files),
        size=(int(header.Columns), int(header.Rows)),
        spacing_mm=spacing_mm,
        time=_time(stack),
        localizer=stack.localizer,
        problem=problem,
    )


def _time(stack: Stack) -> datetime | None:
    starts = [moment for moment in map(acquisition_moment, stack.files) if moment is not None]
    return min(starts, default=None) or series_moment(stack.files[0].header)


def _order(stack: Stack) -> tuple[int, str]:
    header = stack.files[0].header
    number = text_of(header, "SeriesNumber")
    return int(number) if re.fullmatch(r"-?\d+", number) else 0, text_of(header, "SeriesInstanceUID")


def _listed(found: list[tuple[SeriesInfo, Stack]]) -> str:
    names = [str(info) for info, _ in found[:_MAX_LISTED]]
    more = len(found) - len(names)
    return "; ".join(names) + (f"; and {more} more" if more > 0 else "")


def _nothing(path: Path, files: list[DicomFile], damaged: list[Path]) -> str:
    if not files:
        what = f"{len(damaged)} damaged DICOM files" if damaged else "no DICOM files"
        return f"{path}: {what}; expected a folder with the slices of a CT, MR, PT or NM series"
    kinds = Counter(_kind(file) for file in files)
    if damaged:
        kinds["damaged"] = len(damaged)
    what = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    return f"{path}: no slices of a volume among its DICOM files ({what}); expected grey-scale CT, MR, PT or NM"


def _kind(file: DicomFile) -> str:
    colour = text_of(file.header, "PhotometricInterpretation")
    grey = colour in ("", "MONOCHROME1", "MONOCHROME2")
    name = modality_of(file) or "without modality"
    capture = text_of(file.header, "SOPClassUID").startswith("1.2.840.10008.5.1.4.1.1.7")
    return f"{name}{' secondary capture' if capture else ''}{'' if grey else f' in colour ({colour})'}"
