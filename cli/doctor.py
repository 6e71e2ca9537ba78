"""The command `sirtjax doctor`: checks the installation."""

from __future__ import annotations

from dataclasses import asdict

import typer

from sirtjax.cli._console import emit_json, emit_text, use_compilation_cache
from sirtjax.cli._options import AsJson


def doctor(as_json: AsJson = False) -> None:
    """Check the installation: versions, devices, extras, models, write access.

    The exit code is 1 if something is broken.
    """
    from sirtjax import installation

    findings = installation.check_installation(prepare=use_compilation_cache)
    broken = any(finding.state == "broken" for finding in findings)
    if as_json:
        emit_json({"ok": not broken, "findings": [asdict(finding) for finding in findings]})
    else:
        widest = max(len(finding.name) for finding in findings)
        for finding in findings:
            emit_text(f"{finding.state:<8}{finding.name:<{widest}}  {finding.detail}")
    if broken:
        raise typer.Exit(1)
