"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Modality = Literal["CT", "MR", "PT", "NM"]

CaseFile = Annotated[Path, typer.Argument(help="Case file (TOML, docs/case-file.md).", show_default=False)]
CaseFileOrOptions = Annotated[
    Path | None,
    typer.Argument(
        help="Case file (TOML, docs/case-file.md). Alternatives: --dicom, or the options below.", show_default=False
    ),
]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder to write.", show_default=False)]
LabelOutput = Annotated[
    Path, typer.Option("--output", "-o", help="Label map to write (.nii, .nii.gz or .seg.nrrd).", show_default=False)
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite an existing output folder.")]
ForceFile = Annotated[bool, typer.Option("--force", help="Overwrite an existing output file.")]
Resume = Annotated[bool, typer.Option("--resume", help="Reuse the completed steps in OUTPUT/steps.")]
Uncertainty = Annotated[
    Literal["fast", "full", "off"] | None,
    typer.Option(
        "--uncertainty", help="Intervals of doses and activities: 64 or 256 simulations, or none. Default: the case."
    ),
]
PatientName = Annotated[
    str | None,
    typer.Option("--patient-name", help="Patient name printed in the report (default: pseudonym).", show_default=False),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a value of the file, as TABLE.KEY=VALUE in TOML; repeatable."),
]
Unset = Annotated[
    list[str] | None,
    typer.Option("--unset", help="Key or table of the file to remove before --set is applied; repeatable."),
]
Pdf = Annotated[bool, typer.Option("--pdf/--no-pdf", help="Write report.pdf next to report.html, or do not.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the results as JSON on stdout.")]
Series = Annotated[
    str | None,
    typer.Option(help="Series of a DICOM folder: UID, number or description.", show_default=False),
]
LiverName = Annotated[
    str | None, typer.Option(help="Name of the liver mask in a file with several masks.", show_default=False)
]
LabelNames = Annotated[
    str | None,
    typer.Option("--label-names", help="Names of NIfTI label values, e.g. 1=liver,2=lesion1.", show_default=False),
]
RefPoints = Annotated[
    Path | None,
    typer.Option(
        "--ref-points",
        help="Landmarks of the reference image: .mrk.json, or .csv with x,y,z in LPS mm.",
        show_default=False,
    ),
]
FloPoints = Annotated[
    Path | None,
    typer.Option(
        "--flo-points", help="Landmark points of the floating image, matched by label or order.", show_default=False
    ),
]
RefLabels = Annotated[
    list[str] | None,
    typer.Option(
        "--ref-labels",
        help="Reference masks (NIfTI, RTSTRUCT, SEG): FILE, FILE#NAME or FILE#1=NAME,2=NAME; repeatable.",
        show_default=False,
    ),
]
FloLabels = Annotated[
    list[str] | None,
    typer.Option(
        "--flo-labels",
        help="Floating-image masks (NIfTI, RTSTRUCT, SEG): FILE, FILE#NAME or FILE#1=NAME,2=NAME; repeatable.",
        show_default=False,
    ),
]
