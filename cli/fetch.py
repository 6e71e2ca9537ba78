"""The command `sirtjax fetch`: query a PACS and retrieve series."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sirtjax.cli import _console
from sirtjax.cli._dicom_node import NodeArguments
from sirtjax.cli._option_records import with_records
from sirtjax.cli._options import AsJson, Force
from sirtjax.errors import ComputationError

if TYPE_CHECKING:
    from sirtjax.service import FoundSeries


@with_records
def fetch(
    node: NodeArguments,
    patient: Annotated[str, typer.Option("--patient", help="Patient ID.", show_default=False)] = "",
    accession: Annotated[str, typer.Option("--accession", help="Accession number.", show_default=False)] = "",
    study: Annotated[str, typer.Option("--study", help="Study Instance UID.", show_default=False)] = "",
    series: Annotated[str, typer.Option("--series", help="Series Instance UID.", show_default=False)] = "",
    date: Annotated[
        str, typer.Option("--date", help="Study date or range: YYYYMMDD or YYYYMMDD-YYYYMMDD.", show_default=False)
    ] = "",
    modality: Annotated[
        str, typer.Option("--modality", help="Modality of the series, e.g. CT.", show_default=False)
    ] = "",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder to write (default: list matching series).", show_default=False),
    ] = None,
    get: Annotated[
        bool, typer.Option("--get", help="Retrieve with C-GET: the PACS does not connect to this machine.")
    ] = False,
    port: Annotated[
        int, typer.Option(help="Local port for incoming images; the PACS must know it.", min=1, max=65535)
    ] = 11112,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Query a PACS (C-FIND) and retrieve series (C-MOVE, or C-GET with --get)."""
    chosen = node.chosen()
    from sirtjax import service

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
        raise ComputationError(f"{chosen.called} has no matching series; change the query")
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
