"""The verb `sirtjax fetch`: what a PACS holds, and series of it into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sirtjax.cli import _console, _dicom_node
from sirtjax.cli._options import AsJson, Force
from sirtjax.errors import ComputationError

if TYPE_CHECKING:
    from sirtjax.service import FoundSeries


def fetch(
    node: _dicom_node.To,
    patient: Annotated[str, typer.Option("--patient", help="Patient ID.", show_default=False)] = "",
    accession: Annotated[str, typer.Option("--accession", help="Accession number.", show_default=False)] = "",
    study: Annotated[str, typer.Option("--study", help="Study Instance UID.", show_default=False)] = "",
    series: Annotated[str, typer.Option("--series", help="Series Instance UID.", show_default=False)] = "",
    date: Annotated[str, typer.Option("--date", help="Study date: YYYYMMDD, or A-B.", show_default=False)] = "",
    modality: Annotated[str, typer.Option("--modality", help="Of the series.", show_default=False)] = "",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder to write; without it, what fits is listed.", show_default=False),
    ] = None,
    get: Annotated[
        bool, typer.Option("--get", help="Retrieve with C-GET: the PACS does not connect to this machine.")
    ] = False,
    port: Annotated[
        int, typer.Option(help="Local port for C-MOVE; the PACS has to know it.", min=1, max=65535)
    ] = 11112,
    config: _dicom_node.Config = None,
    calling: _dicom_node.Calling = None,
    tls_certificate: _dicom_node.Certificate = None,
    tls_key: _dicom_node.Key = None,
    tls_authority: _dicom_node.Authority = None,
    tls_name: _dicom_node.CertificateName = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """List the series of a PACS that fit (C-FIND), or have them sent into a folder (C-MOVE, or C-GET with --get)."""
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
    query = service.Query(
        patient_id=patient,
        accession_number=accession,
        study_uid=study,
        series_uid=series,
        study_date=date,
        modality=modality,
    )
    found = service.find_series(chosen, query)
    if not found:
        raise ComputationError(f"{chosen.called} holds no series that fits; look for something else")
    if output is None:
        _list(found, as_json=as_json)
        return
    with _console.progress("fetch") as report:
        report(f"{len(found)} series from {chosen.called}")
        if get:
            counts = service.get_series(chosen, found, output, force=force)
        else:
            host = service.listening_address(chosen.host)
            listen = service.Listen(ae_title=chosen.calling, host=host, port=port, tls=chosen.tls)
            counts = service.fetch_series(chosen, found, output, listen=listen, force=force)
    if as_json:
        _console.emit_json({"output": str(output), "files": counts})
    _console.note(f"{sum(counts.values())} files of {len(counts)} series in {output}")


def _list(found: list[FoundSeries], *, as_json: bool) -> None:
    if as_json:
        _console.emit_json([vars(one) for one in found])
        return
    rows = [
        [one.series_uid, one.modality, one.study_date, "" if one.images is None else str(one.images), one.description]
        for one in found
    ]
    _console.emit_table("series", ["UID", "modality", "date", "images", "description"], rows)
