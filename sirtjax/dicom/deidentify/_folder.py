from __future__ import annotations

import hmac
import secrets
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from io import BytesIO
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset

from sirtjax.dicom.dataset._parse import parsing
from sirtjax.dicom.deidentify._dataset import SUPPORTED, AnonymiseOptions, Pseudonym, anonymise_dataset, own_texts
from sirtjax.dicom.deidentify._identifier_search import needles_of, search_file
from sirtjax.dicom.deidentify._identifiers import Identifiers
from sirtjax.dicom.deidentify._pixel_text import UncleanPixelsError, clean_pixels
from sirtjax.dicom.inspect._headers import FileHeader, read_file_headers
from sirtjax.dicom.inspect._people import number_patients
from sirtjax.errors import ImageFormatError, InputError
from sirtjax.io import atomic_folder

# How far dates go back: further than any treatment lasts.
_MIN_DAYS, _MAX_DAYS = 1000, 4000
# The reason for omitting a file that pydicom cannot read or write.
DAMAGED = "damaged"
_FIRST_YEAR = 1600  # no living person was born earlier, so such dates are placeholders


@dataclass(frozen=True, kw_only=True)
class Anonymised:
    """The numbers of files and values that were written and that were not.

    Attributes:
      files: number of files written.
      patients: pseudonyms, in the order of the folder's patients.
      series: number of series.
      left_out: reason -> number of files that were not written.
      cleaned: keyword -> number of values that the profile retains and that were removed, because they have a word
        that is unknown or an identifier.
      pixels: number of files with comments, unused bits or further bytes in the pixel data, which were blanked.
      identifiers_searched: number of identifiers that were searched for in the output.
      short: number of identifiers that are too short to search for.
    """

    files: int
    patients: tuple[str, ...]
    series: int
    left_out: dict[str, int]
    cleaned: dict[str, int]
    pixels: int
    identifiers_searched: int
    short: int


def anonymise_folder(
    source: Path | str,
    target: Path | str,
    *,
    options: AnonymiseOptions | None = None,
    pseudonym: str | None = None,
    force: bool = False,
    on_step: Callable[[str], None] = lambda step: None,
) -> Anonymised:
    """Writes the DICOM files of a folder without identifiers (PS3.15) and searches the output for them.

    Applies the basic profile.

    UIDs are replaced in the same way in all files, so that references remain valid; the key to them is never stored.
    Files are named by numbers and readable by their owner only. Damaged files and files that can show any text
    (screenshots, documents, unknown classes, images with burned-in text, pixel data with an identifier in their bytes)
    are excluded and counted.

    Args:
      source: folder with DICOM files.
      target: folder to create.
      options: data to retain beyond the profile.
      pseudonym: pseudonym of the patient, for a folder of one; random if None.
      force: replace a folder of an earlier run.
      on_step: called with the name of each part when it starts.

    Raises:
      ImageFormatError: no DICOM files, or none that may be written.
      InputError: an identifier is left in the output (the message lists all elements), or one pseudonym for several
        patients, or a pseudonym with an identifier.
      OutputError: the folder exists already.
    """
    source, options = Path(source), options or AnonymiseOptions()
    _check_apart(source, Path(target))
    headers, damaged = read_file_headers(source)
    if not headers:
        raise ImageFormatError(f"{source}: no DICOM files; expected a folder with DICOM studies")
    on_step("identifiers")
    identifiers, readable = _gathered(headers)
    unreadable = len(damaged) + len(headers) - len(readable)
    numbers = number_patients(headers)
    count = len(set(numbers.values()))
    if pseudonym is not None and count > 1:
        raise InputError(f"{source}: {count} patients but one pseudonym; omit it, or provide a folder of one patient")
    names = _pseudonyms(count, pseudonym, identifiers, options)
    left_out: Counter[str] = Counter({DAMAGED: unreadable} if unreadable else {})
    progress = _Progress(left_out=left_out)
    with atomic_folder(target, force=force, private=True) as folder:
        on_step("files")
        for header in readable:
            reason = _write(header, folder, names[numbers[header.path] - 1], options, progress)
            if reason is not None:
                left_out[reason] += 1
        on_step("search for identifiers")
        _search(progress, identifiers, names)
        if not progress.written:
            reasons = ", ".join(f"{number} {reason}" for reason, number in left_out.items())
            raise ImageFormatError(f"{source}: no file can be written without identifiers ({reasons})")
    return Anonymised(
        files=len(progress.written),
        patients=tuple(one.patient_id for one in names),
        series=len(set(progress.written.values())),
        left_out=dict(left_out),
        cleaned=dict(progress.cleaned.most_common()),
        pixels=progress.cleaned_pixels[True],
        identifiers_searched=identifiers.count,
        short=len(identifiers.initials | identifiers.short),
    )


@dataclass(frozen=True, kw_only=True)
class _Progress:
    """Files written with their series, numbers of series, and the counts of the result.

    `cleaned_pixels` counts the files whose pixel data was (True) and was not (False) changed.
    """

    left_out: Counter[str]
    written: dict[Path, int] = field(default_factory=dict)
    series: dict[str, int] = field(default_factory=dict)
    cleaned: Counter[str] = field(default_factory=Counter)
    cleaned_pixels: Counter[bool] = field(default_factory=Counter)


def _check_apart(source: Path, target: Path) -> None:
    inside, outside = target.resolve(), source.resolve()
    if inside == outside or outside in inside.parents or inside in outside.parents:
        raise InputError(f"{target}: is inside the input folder or contains it; choose a folder next to it")


def _gathered(headers: list[FileHeader]) -> tuple[Identifiers, list[FileHeader]]:
    """Returns the identifiers of all files, and the files that can be read."""
    import pydicom

    found, readable = Identifiers(), []
    for header in headers:
        with suppress(ImageFormatError), parsing(header.path, "object"):
            found.gather(pydicom.dcmread(header.path, stop_before_pixels=True, force=True))
            readable.append(header)
    return found, readable


def _pseudonyms(
    count: int, given: str | None, identifiers: Identifiers, options: AnonymiseOptions
) -> tuple[Pseudonym, ...]:
    from pydicom.uid import generate_uid

    key = secrets.token_bytes(32)

    def uid(old: str) -> str:
        return str(generate_uid(entropy_srcs=[hmac.new(key, old.encode(), "sha256").hexdigest()]))

    if given is not None and identifiers.kind_in(given) is not None:
        raise InputError("the pseudonym contains an identifier of the patient; choose another")
    return tuple(
        Pseudonym(
            patient_id=given or _random_name(identifiers),
            days=-_days(identifiers) if options.shift_dates else None,
            uid=uid,
            identifiers=identifiers,
        )
        for _ in range(count)
    )


def _random_name(identifiers: Identifiers) -> str:
    """Returns a random pseudonym in which chance has put no identifier."""
    names = (f"ANON-{secrets.token_hex(4).upper()}" for _ in range(1000))
    name = next((name for name in names if identifiers.kind_in(name.partition("-")[2]) is None), None)
    if name is None:
        raise InputError("every random pseudonym contains an identifier of the folder; choose one with --id")
    return name


def _days(identifiers: Identifiers) -> int:
    """Returns a number of days by which no shifted date becomes one of the original dates."""
    for _ in range(1000):
        days = _MIN_DAYS + secrets.randbelow(_MAX_DAYS - _MIN_DAYS)
        if not {day - timedelta(days=days) for day in identifiers.days if day.year > _FIRST_YEAR} & identifiers.days:
            return days
    raise InputError("the folder's dates span more than can be shifted; anonymise without --shift-dates")


def _write(
    header: FileHeader, folder: Path, pseudonym: Pseudonym, options: AnonymiseOptions, progress: _Progress
) -> str | None:
    """Writes one file without identifiers; returns the reason if it may not be written."""
    import pydicom

    content = BytesIO()
    try:
        with parsing(header.path, "object"):
            dataset: Dataset = pydicom.dcmread(header.path, force=True)
            reason = _unsafe(dataset)
            if reason is not None:
                return reason
            syntax = _syntax(dataset)
            try:
                pixels = clean_pixels(dataset, syntax)
            except UncleanPixelsError as error:
                return str(error)
            sop_class = str(dataset.SOPClassUID)
            cleaned = anonymise_dataset(dataset, pseudonym, options=options)
            meta = FileMetaDataset()
            meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, dataset.SOPInstanceUID
            meta.TransferSyntaxUID = syntax
            dataset.file_meta, dataset.preamble = meta, bytes(128)
            dataset.save_as(content, enforce_file_format=True)
    except ImageFormatError:
        return DAMAGED
    progress.cleaned_pixels.update([pixels])
    progress.cleaned.update(cleaned)
    number = progress.series.setdefault(header.series_uid, len(progress.series) + 1)
    place = folder / pseudonym.patient_id / f"series-{number:03d}"
    place.mkdir(parents=True, exist_ok=True)
    path = place / f"{len(progress.written) + 1:06d}.dcm"
    path.write_bytes(content.getbuffer())
    progress.written[path] = number
    return None


def _unsafe(dataset: Dataset) -> str | None:
    """Returns why a file may not be written; None if it may."""
    if str(dataset.get("SOPClassUID") or "") not in SUPPORTED:
        return "of a class that can show or contain anything"
    kinds = [str(kind).upper() for kind in dataset.get("ImageType") or []]
    if str(dataset.get("BurnedInAnnotation") or "").upper() == "YES" or "SCREEN SAVE" in kinds:
        return "with text burned into the image"
    return None


def _syntax(dataset: Dataset) -> str:
    """Returns the transfer syntax to write: unchanged, except one that would hide text from the search."""
    from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    meta = getattr(dataset, "file_meta", {})
    syntax = meta.get("TransferSyntaxUID")
    if syntax is None:
        return str(ImplicitVRLittleEndian if dataset.original_encoding[0] else ExplicitVRLittleEndian)
    return str(ExplicitVRLittleEndian if syntax == DeflatedExplicitVRLittleEndian else syntax)


def _search(progress: _Progress, identifiers: Identifiers, names: tuple[Pseudonym, ...]) -> None:
    """Leaves out files with an identifier in bytes that are not text; refuses an output that has one in text."""
    needles = needles_of(identifiers)
    own = own_texts() | {text for one in names for text in (one.patient_id, f"{one.patient_id}^")}
    places: dict[str, str] = {}
    files = 0
    for path in list(progress.written):
        found = search_file(path, needles, identifiers, own=own)
        if set(found) == {""}:
            path.unlink()
            del progress.written[path]
            progress.left_out["with an identifier in pixels or other bytes"] += 1
        elif found:
            places |= found
            files += 1
    if places:
        places.pop("", None)
        listed = ", ".join(f"{keyword} ({kind})" for keyword, kind in sorted(places.items()))
        options = " ".join(f"--also-remove {keyword}" for keyword in sorted(places))
        raise InputError(
            f"nothing was written: identifiers of the input are still in {files} files, in {listed}; add {options}"
        )
