"""The command `sirtjax inspect`: summarises a folder of DICOM studies and its problems."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sirtjax.cli._console import emit_json, emit_table
from sirtjax.cli._options import AsJson

if TYPE_CHECKING:
    from sirtjax.dicom import Inspection


def inspect(
    path: Annotated[Path, typer.Argument(help="Folder with DICOM files, also in subfolders.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Summarise a folder of DICOM studies and report problems."""
    from sirtjax import dicom

    found = dicom.inspect_folder(path)
    if as_json:
        emit_json(asdict(found))
        return
    print_inspection(found)
    problems = [*found.problems]
    problems += [f"series {one.number}: {problem}" for one in found.series for problem in one.problems]
    problems += [f"object {one.number}: {problem}" for one in found.objects for problem in one.problems]
    if problems:
        emit_table("what is wrong", ["problem"], [[problem] for problem in problems])
    else:
        print("Nothing is wrong that the headers tell.")


def print_inspection(found: Inspection) -> None:
    """Prints the tables of the objects found."""
    counts = [
        _counted(found.patients, "patient", "patients"),
        _counted(len(found.studies), "study", "studies"),
        f"{len(found.series)} image series",
        _counted(len(found.objects), "other object", "other objects"),
    ]
    frames = list(dict.fromkeys(one.frame_of_reference_uid for one in found.series if one.frame_of_reference_uid))
    days = {study.number: "-" if study.day is None else study.day.isoformat() for study in found.studies}
    patients = {study.number: study.patient for study in found.studies}
    rows = [
        [
            str(one.number),
            str(patients[one.study]),
            f"{one.study}, {days[one.study]}",
            one.modality,
            one.description,
            one.nuclide or one.contrast or "-",
            "x".join(str(n) for n in (*one.size, one.slices)),
            "x".join(f"{mm:.3g}" for mm in one.spacing_mm or ()) or "-",
            "-" if one.frame_of_reference_uid is None else str(frames.index(one.frame_of_reference_uid) + 1),
            str(len(one.problems)) if one.problems else "-",
        ]
        for one in found.series
    ]
    columns = ["series", "patient", "study", "modality", "description", "shows", "voxels", "mm", "frame", "problems"]
    title = f"{found.path}: {', '.join(counts)}"
    if found.series:
        emit_table(title, columns, rows)
    if found.objects:
        rows = [
            [
                str(one.number),
                str(one.patient),
                f"{one.study}, {days[one.study]}",
                one.kind,
                one.label,
                ", ".join(map(str, one.refers_to)) or (f"{one.missing} elsewhere" if one.missing else "-"),
                ", ".join(one.names) or "-",
                str(len(one.problems)) if one.problems else "-",
            ]
            for one in found.objects
        ]
        columns = ["object", "patient", "study", "kind", "label", "about series", "structures", "problems"]
        emit_table("about them" if found.series else title, columns, rows)


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
