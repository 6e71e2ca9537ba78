"""The verb `sirtjax series`: which image series a folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sirtjax.cli._console import emit_json, emit_table
from sirtjax.cli.plan import AsJson


def series(
    path: Annotated[Path, typer.Argument(help="A folder with DICOM files anywhere below it.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """List the image series in a folder, to choose one by `series = ...` in a case file."""
    from dataclasses import asdict

    from sirtjax import io

    found = io.list_series(path)
    if as_json:
        emit_json([asdict(info) for info in found])
        return
    rows = [
        [
            info.modality or "?",
            info.description or "",
            str(info.slices),
            "x".join(str(n) for n in info.size),
            "x".join(f"{s:.3g}" for s in info.spacing_mm),
            info.uid,
        ]
        for info in found
    ]
    emit_table(f"series in {path}", ["modality", "description", "slices", "voxels", "mm", "series UID"], rows)
