"""The command `sirtjax anonymise`: writes DICOM files without identifiers and searches the output for them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from sirtjax.cli._console import emit_json, emit_table, progress
from sirtjax.cli._options import AsJson


def anonymise(
    source: Annotated[
        Path, typer.Argument(help="Folder that contains DICOM files, also in subfolders.", show_default=False)
    ],
    target: Annotated[Path, typer.Argument(help="Folder to write.", show_default=False)],
    pseudonym: Annotated[
        str | None, typer.Option("--id", help="New ID of the patient (default: random).", show_default=False)
    ] = None,
    keep_characteristics: Annotated[
        bool, typer.Option("--keep-characteristics", help="Keep age, sex, size and weight (required for SUV and BSA).")
    ] = False,
    shift_dates: Annotated[
        bool,
        typer.Option("--shift-dates", help="Keep times, and dates shifted by random days per patient."),
    ] = False,
    keep_descriptions: Annotated[
        bool,
        typer.Option("--keep-descriptions", help="Keep known words of descriptions and structure names."),
    ] = False,
    also_remove: Annotated[
        list[str] | None,
        typer.Option("--also-remove", help="Further element to remove: keyword or ggggeeee; repeatable."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing output folder.")] = False,
    as_json: AsJson = False,
) -> None:
    """De-identify DICOM files (PS3.15 basic profile) and verify the output.

    Text stays only in listed attributes and only with known words; everything removed is listed. Text burned into the
    image and faces are not detected: review the images before you pass them on.
    """
    from sirtjax import dicom

    options = dicom.AnonymiseOptions(
        characteristics=keep_characteristics,
        shift_dates=shift_dates,
        descriptors=keep_descriptions,
        remove=frozenset(_tag(text) for text in also_remove or ()),
    )
    _check(pseudonym)
    with progress("anonymise") as on_step:
        done = dicom.anonymise_folder(
            source, target, options=options, pseudonym=pseudonym, force=force, on_step=on_step
        )
    if as_json:
        emit_json(asdict(done))
        return
    rows = [
        ["files written", str(done.files)],
        ["series", str(done.series)],
        ["patients", ", ".join(done.patients)],
        *[[f"left out: {reason}", str(count)] for reason, count in done.left_out.items()],
        *[[f"removed because of a word in it: {keyword}", str(count)] for keyword, count in done.cleaned.items()],
        *([["comments or unused bits of pixels blanked, files", str(done.pixels)]] if done.pixels else []),
        ["identifiers searched for in every byte", f"{done.identifiers_searched}, none found"],
    ]
    if done.short:
        rows.append(["identifiers too short to search for", str(done.short)])
    emit_table(str(target), ["what", "found"], rows)


def _check(pseudonym: str | None) -> None:
    import re

    from sirtjax.errors import ConfigError

    if pseudonym is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", pseudonym):
        raise ConfigError("--id: expected 1 to 64 letters, digits, `_`, `.` or `-`, the first a letter or digit")


def _tag(text: str) -> int:
    from pydicom.datadict import tag_for_keyword

    from sirtjax.errors import ConfigError

    tag = tag_for_keyword(text)
    if tag is None:
        try:
            tag = int(text.replace(",", ""), 16) if len(text.replace(",", "")) == 8 else None
        except ValueError:
            tag = None
    if tag is None:
        raise ConfigError(f"--also-remove {text}: no DICOM element; give a keyword as ProtocolName, or ggggeeee")
    return int(tag)
