"""Options that describe a case, used by `plan` and `verify` instead of a case file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from sirtjax.workflows import CaseOptions

PANEL = "Instead of a case file"


def _option(*names: str, text: str) -> Any:
    return typer.Option(*names, help=text, show_default=False, rich_help_panel=PANEL)


Studies = Annotated[
    Path | None,
    typer.Option(
        "--dicom", help="Folder with the patient's DICOM studies, used instead of a case file.", show_default=False
    ),
]
Roles = Annotated[
    list[str] | None,
    typer.Option(
        "--role",
        help="With --dicom: NAME=SERIES (number, UID, description or none) or NAME=OBJECT:STRUCTURE,…; repeatable.",
        show_default=False,
    ),
]
Strategy = Annotated[
    str | None,
    _option("--strategy", text="Activity to select: upper, lower, fixed (see --injection), ntcp, max-utcp or optimal."),
]
Residual = Annotated[
    float | None, _option("--residual-fraction", text="Fraction of the activity that remains in vial and catheter.")
]
PlanFile = Annotated[Path | None, _option("--plan", text="results.json of the plan to compare with.")]
Calibration = Annotated[
    str | None, _option("--calibration", text="Calibration of the activity image: relative or absolute.")
]


@dataclass(frozen=True, kw_only=True)
class CaseArguments:
    """Options that `plan` and `verify` share; None for those that are not provided."""

    patient_id: Annotated[str | None, _option("--patient-id", text="Pseudonym printed in the report.")] = None
    protocol: Annotated[str | None, _option("--protocol", text="Protocol name (see `sirtjax protocols`).")] = None
    activity: Annotated[
        Path | None, _option("--activity", text="SPECT or PET image: NIfTI, NRRD, DICOM file or folder.")
    ] = None
    activity_unit: Annotated[
        str | None, _option("--activity-unit", text="Voxel unit of a NIfTI or NRRD activity image: counts or Bq/mL.")
    ] = None
    activity_nuclide: Annotated[
        str | None,
        _option("--activity-nuclide", text="Imaged nuclide if the file does not state it: Tc-99m, Y-90 or Ho-166."),
    ] = None
    ct: Annotated[Path | None, _option("--ct", text="CT of the SPECT/CT or PET/CT.")] = None
    diagnostic: Annotated[Path | None, _option("--diagnostic", text="CT or MR on which masks were contoured.")] = None
    diagnostic_modality: Annotated[
        str | None, _option("--diagnostic-modality", text="Modality of the diagnostic image: CT or MR.")
    ] = None
    liver: Annotated[Path | None, _option("--liver", text="Liver mask: NIfTI, NRRD, .seg.nrrd, RTSTRUCT or SEG.")] = (
        None
    )
    lesions: Annotated[Path | None, _option("--lesions", text="Lesion masks, in the same formats as --liver.")] = None
    lungs: Annotated[Path | None, _option("--lungs", text="Lung mask, in the same formats as --liver.")] = None
    masks_image: Annotated[
        str | None,
        _option("--masks-image", text="Image on which the masks were contoured: activity (default) or diagnostic."),
    ] = None
    territories: Annotated[Path | None, _option("--territories", text="Perfusion territories as a label map.")] = None
    lines: Annotated[
        list[Path] | None,
        _option("--lines", text="File with the dividing lines of one surface (.json, .mrk.json); repeatable."),
    ] = None
    territory_names: Annotated[
        str | None,
        _option("--territory-names", text="Territory names from the patient's right to left, e.g. right,left."),
    ] = None
    registration: Annotated[
        str | None,
        _option("--registration", text="Method: deformable, network, affine, rigid, identity, or an ITK file."),
    ] = None
    registration_preset: Annotated[
        str | None,
        _option("--registration-preset", text="Registration preset (default: selected from the available masks)."),
    ] = None
    guide_liver: Annotated[
        Path | None, _option("--guide-liver", text="Liver mask on the second image, used to guide the registration.")
    ] = None
    lung_shunt: Annotated[
        str | None, _option("--lung-shunt", text='Lung shunt fraction, 0 to below 1, or "spect" to measure it.')
    ] = None
    injection: Annotated[
        list[str] | None,
        _option("--injection", text="Activity: TERRITORY=MBQ or TERRITORY=MBQ@TIME (2026-01-31T09:30); repeatable."),
    ] = None

    def case_options(
        self,
        *,
        strategy: str | None = None,
        residual_fraction: float | None = None,
        plan: Path | None = None,
        calibration: str | None = None,
    ) -> CaseOptions:
        """Returns the record from which the library makes a case."""
        from sirtjax.workflows import CaseOptions

        return CaseOptions(
            patient_id=self.patient_id,
            protocol=self.protocol,
            activity=self.activity,
            activity_unit=self.activity_unit,
            activity_nuclide=self.activity_nuclide,
            ct=self.ct,
            diagnostic=self.diagnostic,
            diagnostic_modality=self.diagnostic_modality,
            liver=self.liver,
            lesions=self.lesions,
            lungs=self.lungs,
            masks_image=self.masks_image,
            territories=self.territories,
            lines=tuple(self.lines or ()),
            territory_names=self.territory_names,
            registration=self.registration,
            registration_preset=self.registration_preset,
            guide_liver=self.guide_liver,
            lung_shunt=self.lung_shunt,
            injection=tuple(self.injection or ()),
            strategy=strategy,
            residual_fraction=residual_fraction,
            plan=plan,
            calibration=calibration,
        )
