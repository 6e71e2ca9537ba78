"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

CaseFile = Annotated[Path, typer.Argument(help="The case file (TOML), see docs/case-file.md.", show_default=False)]
CaseFileOrOptions = Annotated[
    Path | None, typer.Argument(help="The case file (TOML), see docs/case-file.md; or use options.", show_default=False)
]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder to write.", show_default=False)]
Force = Annotated[bool, typer.Option("--force", help="Replace a folder that is there already.")]
Resume = Annotated[bool, typer.Option("--resume", help="Take the steps found in OUTPUT/steps as they are.")]
Identify = Annotated[str | None, typer.Option("--identify", help="Print this name in the report.", show_default=False)]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a value of the case, as in --set prescription.choose=lower."),
]
Unset = Annotated[
    list[str] | None,
    typer.Option(
        "--unset", help="Remove a key or table of the case before --set, as in --unset registration.reference_masks."
    ),
]
Pdf = Annotated[bool, typer.Option("--pdf/--no-pdf", help="Write report.pdf beside report.html.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the results as JSON on stdout.")]
