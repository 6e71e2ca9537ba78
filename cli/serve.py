"""The command `sirtjax serve`: the DICOM service."""

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
    config: Annotated[Path, typer.Argument(help="Service file (TOML), see docs/service.md.", show_default=False)],
    check: Annotated[bool, typer.Option("--check", help="Check the service file and the models and exit.")] = False,
    check_audit: Annotated[bool, typer.Option("--check-audit", help="Verify the audit log and exit.")] = False,
    status: Annotated[
        bool, typer.Option("--status", help="Print the number of series in each state and exit.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run the DICOM service: receive CT and MR series, segment them, send the results.

    The results are automatic and not reviewed. The service ends on Ctrl-C or SIGTERM; received series are on disk, and
    the next start continues with them.
    """
    from sirtjax import service

    settings = service.read_config(config)
    if check_audit:
        _print_audit(service.audit_path(settings), as_json=as_json)
        return
    if status:
        _print_counts(service.service_counts(settings), as_json=as_json)
        return
    if check:
        service.check_service(settings)
        _console.note(f"{config}: configuration and models are valid")
        return
    _console.use_compilation_cache()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    level = _console.log.level
    service.serve(settings, stop=stop, log_level=logging.INFO if level == logging.WARNING else level)


def _print_audit(path: Path, *, as_json: bool) -> None:
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


def _print_counts(counts: dict[str, int], *, as_json: bool) -> None:
    if as_json:
        _console.emit_json(counts)
    else:
        _console.emit_table("series", ["state", "number"], [[state, str(number)] for state, number in counts.items()])
