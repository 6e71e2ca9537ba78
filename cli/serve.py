"""The verb `sirtjax serve`: series in by DICOM, structure sets back."""

from __future__ import annotations

import logging
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from sirtjax.cli import _console
from sirtjax.cli._options import AsJson
from sirtjax.errors import ComputationError


def serve(
    config: Annotated[Path, typer.Argument(help="The service's file (TOML), see docs/service.md.", show_default=False)],
    check: Annotated[bool, typer.Option("--check", help="Check the file and the models, and end.")] = False,
    check_audit: Annotated[
        bool, typer.Option("--check-audit", help="Say whether the audit log is as it was written, and end.")
    ] = False,
    status: Annotated[bool, typer.Option("--status", help="Say how many series are where, and end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take CT and MR series by DICOM, segment them, and send the results back as DICOM objects.

    The results are automatic: nobody has looked at them. Ends on Ctrl-C or SIGTERM; what was taken in is on disk, and
    the next start goes on with it.
    """
    from sirtjax import service

    settings = service.read_config(config)
    if check_audit:
        _tell_audit(service.audit_path(settings), as_json=as_json)
        return
    if status:
        _tell_counts(service.service_counts(settings), as_json=as_json)
        return
    if check:
        service.check_service(settings)
        _console.note(f"{config}: all is there")
        return
    _console.use_compilation_cache()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    level = _console.log.level
    service.serve(settings, stop=stop, log_level=logging.INFO if level == logging.WARNING else level)


def _tell_audit(path: Path, *, as_json: bool) -> None:
    from sirtjax import service

    report = service.check_audit(path)
    if as_json:
        _console.emit_json(
            {"entries": report.entries, "whole": report.whole, "line": report.line, "problem": report.problem}
        )
    if not report.whole:
        raise ComputationError(f"{path}: line {report.line} is not as it was written: {report.problem}")
    if not as_json:
        print(f"{path}: whole, {report.entries} entries")


def _tell_counts(counts: dict[str, int], *, as_json: bool) -> None:
    if as_json:
        _console.emit_json(counts)
    else:
        _console.emit_table("series", ["state", "number"], [[state, str(number)] for state, number in counts.items()])
