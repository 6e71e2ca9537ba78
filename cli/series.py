"""The command `sirtjax series`: lists the image series in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sirtjax.cli._console import emit_json, emit_table, note
from sirtjax.cli._options import AsJson


def series(
    path: Annotated[Path, typer.Argument(help="Folder with DICOM files, also in subfolders.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """List the image series in a folder."""
    from dataclasses import asdict

    from sirtjax import dicom

    found = dicom.list_series(path)
    if as_json:
        emit_json([asdict(info) for info in found])
        return
    rows = [
        [
            str(info.number),
            info.modality,
            info.description or "",
            "x".join(str(n) for n in (*info.size, info.slices)),
            "x".join(f"{mm:.3g}" for mm in info.spacing_mm or ()),
            info.uid or "none",
        ]
        for info in found
    ]
    emit_table(f"series in {path}", ["number", "modality", "description", "voxels", "mm", "series UID"], rows)
    for info in found:
        if info.problem is not None:
            note(f"series {info.number}: {info.problem}")
