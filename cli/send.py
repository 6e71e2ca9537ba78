"""The command `sirtjax send`: DICOM files to a DICOM node."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sirtjax.cli import _console
from sirtjax.cli._dicom_node import NodeArguments
from sirtjax.cli._option_records import with_records
from sirtjax.cli._options import AsJson
from sirtjax.errors import ComputationError


@with_records
def send(
    paths: Annotated[list[Path], typer.Argument(help="DICOM files, or folders with DICOM files.", show_default=False)],
    node: NodeArguments,
    as_json: AsJson = False,
) -> None:
    """Send DICOM files to a node (C-STORE)."""
    chosen = node.chosen()
    from sirtjax import service

    files = service.dicom_files(paths)
    with _console.progress("send") as on_step:
        on_step(f"{len(files)} files to {chosen.called}")
        outcomes = service.send_files(files, chosen)
    lost = [sent for sent in outcomes if not sent.arrived]
    if as_json:
        _console.emit_json(
            [
                {"file": str(sent.path), "status": sent.status, "arrived": sent.arrived, "problem": sent.problem}
                for sent in outcomes
            ]
        )
    if lost:
        raise ComputationError(
            f"{len(lost)} of {len(files)} files did not arrive; the first, {lost[0].path}: {lost[0].problem}"
        )
    _console.note(f"{len(files)} files sent to {chosen.called}")
