from __future__ import annotations

import hmac
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sirtjax.dicom._anonymise import SUPPORTED, AnonymiseOptions, Pseudonym, anonymise_dataset, shifted
from sirtjax.dicom._canary import Canaries, gather_canaries
from sirtjax.dicom._inspect import number_patients
from sirtjax.dicom._inspect_headers import FileHeader, read_file_headers
from sirtjax.errors import ImageFormatError, InputError
from sirtjax.io import atomic_folder, parsing

# How far dates go back: further than any treatment lasts.
_LEAST_DAYS, _MOST_DAYS = 1000, 4000
_PIXEL_TAGS = (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10")


@dataclass(frozen=True, kw_only=True)
class Anonymised:
    """What was written, and what was not.

    Attributes:
      files: number of files written.
      patients: pseudonyms, in the order of the folder's patients.
      series: number of series.
      left_out: reason -> number of files that were not written.
      canaries: number of identifying values that were looked for in every byte of the output.
      short: number of identifying values too short to look for.
    """

    files: int
    patients: tuple[str, ...]
    series: int
    left_out: dict[str, int]
    canaries: int
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
    """Write a folder's DICOM files without identifiers, by the basic profile of PS3.15, and search the output for them.

    UIDs are replaced alike in all files, so that what refers to each other still does; the key to them is never kept.
    Every file is named by numbers. What may show anything (screenshots, documents, unknown classes, pictures with
    burned-in text) is left out and counted. Nothing is written where an identifier of the input is found in the output.

    Args:
      source: the folder.
      target: the folder to make.
      options: what is kept beyond the profile.
      pseudonym: of the patient, for a folder of one; random where None.
      force: replace a folder that an earlier run wrote.
      on_step: called with the name of each part as it begins.

    Raises:
      ImageFormatError: no DICOM files, or none that may be written.
      InputError: an identifier is left in the output, or one pseudonym for several patients.
      OutputError: the folder exists already.
    """
    source, options = Path(source), options or AnonymiseOptions()
    _check_apart(source, Path(target))
    headers, damaged = read_file_headers(source)
    if not headers:
        raise ImageFormatError(f"{source}: no DICOM files; expected a folder with DICOM studies")
    on_step("identifiers")
    canaries = _gathered(headers)
    numbers = number_patients(headers)
    count = len(set(numbers.values()))
    if pseudonym is not None and count > 1:
        raise InputError(
            f"{source}: {count} patients, and one pseudonym; leave it out, or give a folder of one patient"
        )
    names = _pseudonyms(count, pseudonym, canaries, options)
    left_out: Counter[str] = Counter({"damaged": len(damaged)} if damaged else {})
    written: dict[Path, str] = {}
    series: dict[str, int] = {}
    with atomic_folder(target, force=force) as folder:
        on_step("files")
        for header in headers:
            reason = _write(header, folder, names[numbers[header.patient] - 1], options, written, series)
            if reason is not None:
                left_out[reason] += 1
        if not written:
            reasons = ", ".join(f"{number} {reason}" for reason, number in left_out.items())
            raise ImageFormatError(f"{source}: nothing that may be written without identifiers ({reasons})")
        on_step("search for identifiers")
        _search(folder, written, canaries)
    return Anonymised(
        files=len(written),
        patients=tuple(one.patient_id for one in names),
        series=len(series),
        left_out=dict(left_out),
        canaries=len(canaries.words) + len(canaries.uids) + len(canaries.dates),
        short=canaries.short,
    )


def _check_apart(source: Path, target: Path) -> None:
    inside, outside = target.resolve(), source.resolve()
    if inside == outside or outside in inside.parents or inside in outside.parents:
        raise InputError(f"{target}: lies in the folder that is read, or around it; choose a folder beside it")


def _gathered(headers: list[FileHeader]) -> Canaries:
    canaries = Canaries()
    for header in headers:
        with parsing(header.path, "object"):
            found = gather_canaries([header.path])
        canaries.words |= found.words
        canaries.uids |= found.uids
        canaries.dates |= found.dates
        canaries.short += found.short
    return canaries


def _pseudonyms(count: int, given: str | None, canaries: Canaries, options: AnonymiseOptions) -> tuple[Pseudonym, ...]:
    from pydicom.uid import generate_uid

    key = secrets.token_bytes(32)

    def uid(old: str) -> str:
        return str(generate_uid(entropy_srcs=[hmac.new(key, old.encode(), "sha256").hexdigest()]))

    if given is not None and not canaries.is_clean(given):
        raise InputError("the pseudonym holds an identifier of the patient; choose another")
    return tuple(
        Pseudonym(
            patient_id=given or f"ANON-{secrets.token_hex(4).upper()}",
            days=-_days(canaries) if options.shift_dates else None,
            uid=uid,
            is_clean=canaries.is_clean,
        )
        for _ in range(count)
    )


def _days(canaries: Canaries) -> int:
    """A number of days that makes no shifted date one of the original ones."""
    for _ in range(1000):
        days = _LEAST_DAYS + secrets.randbelow(_MOST_DAYS - _LEAST_DAYS)
        if not {shifted(date, -days) for date in canaries.dates} & canaries.dates:
            return days
    raise InputError("the folder's dates span more than can be shifted; anonymize without --shift-dates")


def _write(
    header: FileHeader,
    folder: Path,
    pseudonym: Pseudonym,
    options: AnonymiseOptions,
    written: dict[Path, str],
    series: dict[str, int],
) -> str | None:
    """Write one file without identifiers; the reason where it may not be written."""
    import pydicom
    from pydicom.dataset import FileMetaDataset

    with parsing(header.path, "object"):
        dataset: Any = pydicom.dcmread(header.path, force=True)
        reason = _unsafe(dataset)
        if reason is not None:
            return reason
        syntax = _syntax(dataset)
        sop_class = str(dataset.SOPClassUID)
        anonymise_dataset(dataset, pseudonym, options=options)
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, dataset.SOPInstanceUID
        meta.TransferSyntaxUID = syntax
        dataset.file_meta, dataset.preamble = meta, bytes(128)
        number = series.setdefault(header.series_uid, len(series) + 1)
        place = folder / pseudonym.patient_id / f"series-{number:03d}"
        place.mkdir(parents=True, exist_ok=True)
        path = place / f"{len(written) + 1:06d}.dcm"
        dataset.save_as(path, enforce_file_format=True)
    written[path] = header.modality
    return None


def _unsafe(dataset: Any) -> str | None:
    """Why a file may not be written; None where it may."""
    if str(dataset.get("SOPClassUID") or "") not in SUPPORTED:
        return "of a class that may show or hold anything"
    kinds = [str(kind).upper() for kind in dataset.get("ImageType") or []]
    if str(dataset.get("BurnedInAnnotation") or "").upper() == "YES" or "SCREEN SAVE" in kinds:
        return "with text burned into the picture"
    return None


def _syntax(dataset: Any) -> str:
    """The transfer syntax to write: as it was, but for one that would hide text from the search."""
    from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    meta = getattr(dataset, "file_meta", {})
    syntax = meta.get("TransferSyntaxUID")
    if syntax is None:
        return str(ImplicitVRLittleEndian if dataset.original_encoding[0] else ExplicitVRLittleEndian)
    return str(ExplicitVRLittleEndian if syntax == DeflatedExplicitVRLittleEndian else syntax)


def _search(folder: Path, written: dict[Path, str], canaries: Canaries) -> None:
    """Refuse an output that holds an identifier of the input: in its names, or in any byte."""
    import pydicom

    for path, modality in written.items():
        content = path.read_bytes()
        starts = [at for tag in _PIXEL_TAGS if (at := content.find(tag)) >= 0]
        kind = canaries.find(content, pixels_from=min(starts, default=None))
        if kind is None and canaries.is_clean(str(path.relative_to(folder))):
            continue
        where = [
            element.keyword
            for element in pydicom.dcmread(path, stop_before_pixels=True).iterall()
            if element.VR not in ("SQ", "OB", "OW") and not canaries.is_clean(str(element.value))
        ]
        named = f"in {', '.join(dict.fromkeys(where))}" if where else "in bytes that are no text of its own"
        remedy = f"; --also-remove {where[0]}" if where else "; leave that series out"
        raise InputError(
            f"nothing was written: {kind or 'an identifier'} of the input is still in {modality} file "
            f"{path.relative_to(folder)}, {named}{remedy}"
        )
