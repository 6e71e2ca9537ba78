"""The verb `sirtjax send`: DICOM files to a DICOM node."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sirtjax.cli import _console, _dicom_node
from sirtjax.cli._options import AsJson
from sirtjax.errors import ComputationError, ImageFormatError


def send(
    paths: Annotated[list[Path], typer.Argument(help="DICOM files, or folders of them.", show_default=False)],
    node: _dicom_node.To,
    config: _dicom_node.Config = None,
    calling: _dicom_node.Calling = None,
    tls_certificate: _dicom_node.Certificate = None,
    tls_key: _dicom_node.Key = None,
    tls_authority: _dicom_node.Authority = None,
    tls_name: _dicom_node.CertificateName = None,
    as_json: AsJson = False,
) -> None:
    """Send DICOM files to a node (C-STORE), as they are."""
    from sirtjax import service

    service.require_pynetdicom()
    chosen = _dicom_node.chosen_node(
        node,
        config,
        calling,
        certificate=tls_certificate,
        key=tls_key,
        authority=tls_authority,
        certificate_name=tls_name,
    )
    files = _files(paths)
    with _console.progress("send") as report:
        report(f"{len(files)} files to {chosen.called}")
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


def _files(paths: list[Path]) -> list[Path]:
    """The files, and those in folders that are DICOM."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += [one for one in sorted(path.rglob("*")) if one.is_file() and _is_dicom(one)]
        else:
            found.append(path)
    if not found:
        raise ImageFormatError(f"{paths[0]}: holds no DICOM files; expected some to send")
    return found


def _is_dicom(path: Path) -> bool:
    if path.name.upper() == "DICOMDIR":
        return False
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"
