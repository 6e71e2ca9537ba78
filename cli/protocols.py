"""The command `sirtjax protocols`: lists the protocols, or shows one."""

from __future__ import annotations

from typing import Annotated

import typer

from sirtjax.cli._console import emit_json, emit_table
from sirtjax.cli._options import AsJson


def protocols(
    name: Annotated[
        str | None, typer.Argument(help="Protocol to show with its sources (default: list all).", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the bundled protocols, or show one with its sources."""
    from dataclasses import asdict

    from sirtjax import dosimetry

    if name is None:
        every = [dosimetry.load_protocol(known) for known in dosimetry.list_protocols()]
        if as_json:
            emit_json([{"name": known.name, "title": known.title} for known in every])
        else:
            emit_table("protocols", ["name", "title"], [[known.name, known.title] for known in every])
        return
    found = dosimetry.load_protocol(name)
    if as_json:
        emit_json(asdict(found))
        return
    rows = [
        [label, f"{quantity.value:g} {quantity.unit}", quantity.source]
        for label, quantity in (
            ("liver density", found.liver_density),
            ("standard lung mass", found.standard_lung_mass),
            ("lung limit, one treatment", found.lung_single),
            ("lung limit, cumulative", found.lung_cumulative),
        )
    ]
    rows += [
        [row.objective.purpose, row.objective.label, row.objective.source] for row in (*found.multi, *found.single)
    ]
    emit_table(f"{found.name}: {found.title}", ["what", "value", "source"], rows)
