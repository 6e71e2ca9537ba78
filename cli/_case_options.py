"""A case from command-line options, for those who would rather not write a file first."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from sirtjax.workflows import Case

PANEL = "Instead of a case file"


def _option(*names: str, text: str) -> Any:
    return typer.Option(*names, help=text, show_default=False, rich_help_panel=PANEL)


PatientId = Annotated[str | None, _option("--patient-id", text="Pseudonym printed in the report.")]
Protocol = Annotated[str | None, _option("--protocol", text="Named protocol, see `sirtjax protocols`.")]
Activity = Annotated[Path | None, _option("--activity", text="SPECT or PET: NIfTI, NRRD, DICOM file or folder.")]
ActivityUnit = Annotated[str | None, _option("--activity-unit", text="counts or Bq/mL, where the file doesn't say.")]
ActivityNuclide = Annotated[
    str | None, _option("--activity-nuclide", text="Tc-99m, Y-90 or Ho-166: what was imaged, if the file does not say.")
]
Ct = Annotated[Path | None, _option("--ct", text="CT of the SPECT/CT or PET/CT.")]
Diagnostic = Annotated[Path | None, _option("--diagnostic", text="CT or MR the masks were drawn on.")]
DiagnosticModality = Annotated[str | None, _option("--diagnostic-modality", text="CT or MR.")]
Liver = Annotated[Path | None, _option("--liver", text="Liver mask: NIfTI, NRRD, .seg.nrrd, RTSTRUCT or SEG.")]
Lesions = Annotated[Path | None, _option("--lesions", text="Lesion masks.")]
Lungs = Annotated[Path | None, _option("--lungs", text="Lung mask.")]
MasksOn = Annotated[str | None, _option("--masks-on", text="activity (default) or diagnostic: the image they are on.")]
Territories = Annotated[Path | None, _option("--territories", text="Perfusion territories as a label map.")]
Lines = Annotated[list[Path] | None, _option("--lines", text="Dividing lines, one file a surface (.json, .mrk.json).")]
Names = Annotated[str | None, _option("--territory-names", text="Their names from the patient's right, as right,left.")]
Registration = Annotated[
    str | None, _option("--registration", text="deformable, affine, rigid, identity, or an ITK transform file.")
]
RegistrationPreset = Annotated[
    str | None, _option("--registration-preset", text="image, cnn, cnn-lm, ...; by default what the masks allow.")
]
GuideLiver = Annotated[
    Path | None, _option("--guide-liver", text="The liver on the other image than --liver, to guide the registration.")
]
LungShunt = Annotated[str | None, _option("--lung-shunt", text="spect, or the fraction, as 0.04.")]
Injections = Annotated[
    list[str] | None, _option("--injection", text="TERRITORY=MBQ, or TERRITORY=MBQ@TIME (2026-01-31T09:30).")
]
Choose = Annotated[str | None, _option("--choose", text="upper, lower or given: which activity between the bounds.")]
Residual = Annotated[
    float | None, _option("--residual", text="Fraction of the activity that remains in vial and catheter.")
]
Plan = Annotated[Path | None, _option("--plan", text="results.json of the plan, to stand beside the delivered dose.")]
Calibration = Annotated[str | None, _option("--calibration", text="relative or absolute.")]


Studies = Annotated[
    Path | None,
    typer.Option(
        "--dicom", help="A folder with the patient's DICOM studies, in place of a case file.", show_default=False
    ),
]
Roles = Annotated[
    list[str] | None,
    typer.Option(
        "--role",
        help="With --dicom, NAME=SERIES by number, UID or description, or none: activity, ct, diagnostic; "
        "liver, lesions, lungs, territories also OBJECT:STRUCTURE,STRUCTURE.",
        show_default=False,
    ),
]


# Keys of [prescription] and the options that give them; neither has a default.
PRESCRIBED = {"choose": "choose", "residual_fraction": "residual"}
CHOICES = {
    "choose": "--choose upper, lower or given",
    "residual": "--residual NUMBER (share that stays in vial and catheter, 0 to below 1)",
}


def missing_choices(**given: object) -> str:
    """Say in one line which of --choose and --residual (those that are None) to give."""
    names = [name for name in CHOICES if name in given and given[name] is None]
    return (
        f"{' and '.join(f'--{name}' for name in names)} missing, and neither has a default; "
        f"give {' and '.join(CHOICES[name] for name in names)}"
    )


def check_choices(case: Case, path: Path | None) -> None:
    """Refuse to plan a case that does not say which activity is chosen and what stays in the vial.

    Raises:
      ConfigError: one or both are missing; names the keys of the case file, or the options where there is none.
    """
    from sirtjax.errors import ConfigError
    from sirtjax.workflows import check_prescription, missing_prescription

    if path is not None:
        check_prescription(case, source=str(path))
        return
    missing = missing_prescription(case)
    if missing:
        raise ConfigError(missing_choices(**{PRESCRIBED[key]: None for key in missing}))


def chosen_case(
    path: Path | None, options: Mapping[str, Any], *, overrides: list[str] | None, unset: list[str] | None = None
) -> Case:
    """The case of a file, or of options; one of the two.

    Raises:
      ConfigError: both or neither are given, or something in them can't be used.
    """
    from sirtjax.errors import ConfigError
    from sirtjax.workflows import case_from_table, load_case

    given = {name: value for name, value in options.items() if value is not None and value != []}
    needing = [name for name in ("registration_preset", "guide_liver") if name in given and "registration" not in given]
    if needing and path is None:
        raise ConfigError(
            f"--{needing[0].replace('_', '-')} goes with --registration; say how, as in --registration deformable"
        )
    if path is not None:
        if given:
            flag = "--" + next(iter(given)).replace("_", "-")
            raise ConfigError(f"{path}: a case file and {flag} are given; put it into the file, or use --set")
        return load_case(path, overrides=overrides or (), unset=unset or ())
    if not given:
        raise ConfigError(
            "no case: give a case file, or --activity, --liver, --lesions, --protocol, --lung-shunt, --choose and "
            "--residual"
        )
    changes = {"overrides": overrides or (), "unset": unset or ()}
    return case_from_table(case_table(given), folder=Path.cwd(), source="options", **changes)


def case_table(given: Mapping[str, Any]) -> dict[str, Any]:
    """The case that options make, as nested tables."""
    from sirtjax.workflows import NO_PSEUDONYM

    def pick(**keys: str) -> dict[str, Any]:
        return {key: _plain(given[name]) for key, name in keys.items() if name in given}

    frame = given.get("masks_on", "activity")
    images = {
        "activity": pick(path="activity", unit="activity_unit", nuclide="activity_nuclide"),
        "ct": pick(path="ct"),
        "diagnostic": pick(path="diagnostic", modality="diagnostic_modality"),
    }
    masks = {name: {"path": str(given[name]), "on": frame} for name in ("liver", "lesions", "lungs") if name in given}
    table: dict[str, Any] = {
        "schema": 1,
        "patient": {"id": given.get("patient_id", NO_PSEUDONYM)},
        "protocol": pick(name="protocol"),
        "images": {role: entry for role, entry in images.items() if entry},
        "masks": masks,
        "shunt": _shunt(given.get("lung_shunt")),
        "injections": [_injection(text) for text in given.get("injection", [])],
        **pick(plan="plan"),
    }
    prescribed = {key: given[name] for key, name in PRESCRIBED.items() if name in given}
    if prescribed:
        table["prescription"] = prescribed
    if "calibration" in given:
        table["calibration"] = {"method": given["calibration"]}
    if "territories" in given or "lines" in given:
        divided = {"on": frame, **pick(path="territories", lines="lines")}
        if "territory_names" in given:
            divided["names"] = given["territory_names"].split(",")
        table["territories"] = divided
    if "registration" in given:
        method = given["registration"]
        named = method in ("deformable", "affine", "rigid", "identity")
        entry: dict[str, Any] = {"method": method} if named else {"method": "file", "path": method}
        entry |= pick(preset="registration_preset")
        if "guide_liver" in given:
            side = "reference_masks" if frame == "diagnostic" else "floating_masks"
            entry[side] = {"liver": pick(path="guide_liver")}
        table["registration"] = entry
    return table


def _plain(value: Any) -> Any:
    return [str(item) for item in value] if isinstance(value, list) else str(value)


def _shunt(text: str | None) -> dict[str, Any]:
    if text is None or text == "spect":
        return {} if text is None else {"method": "spect"}
    return {"method": "given", "fraction": text, "source": "--lung-shunt"}


def _injection(text: str) -> dict[str, Any]:
    territory, _, amount = text.rpartition("=")
    activity, _, time = amount.partition("@")
    return {"territory": territory, "activity_mbq": activity, **({"time": time} if time else {})}
