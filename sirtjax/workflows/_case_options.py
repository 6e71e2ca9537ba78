"""A case from single options: files, names and numbers instead of a case file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sirtjax.errors import ConfigError
from sirtjax.workflows._case import NO_PSEUDONYM, Case
from sirtjax.workflows._case_file import case_from_dict, load_case
from sirtjax.workflows._required import check_prescription, missing_prescription, without_default

METHODS = ("deformable", "network", "affine", "rigid", "identity")
# Keys of [prescription] and the options that set them; none has a default.
PRESCRIBED = {"strategy": "strategy", "residual_fraction": "residual_fraction"}
CHOICES = {
    "strategy": "--strategy upper, lower or fixed",
    "residual_fraction": "--residual-fraction NUMBER (fraction that stays in vial and catheter, 0 to below 1)",
}


@dataclass(frozen=True, kw_only=True)
class CaseOptions:
    """Values of a case, named as the options of `sirtjax plan`; None or empty if not provided.

    Attributes:
      patient_id: pseudonym.
      protocol: name of a protocol, or FILE.toml#scenario.
      activity: SPECT or PET image.
      activity_unit: "counts" or "Bq/mL".
      activity_nuclide: the imaged nuclide, such as "Tc-99m".
      ct: CT of the SPECT/CT or PET/CT.
      diagnostic: CT or MR on which masks were contoured.
      diagnostic_modality: "CT" or "MR".
      liver, lesions, lungs: mask files.
      masks_image: image on which the masks were contoured, "activity" (default) or "diagnostic".
      territories: label map of the perfusion territories.
      lines: files of dividing lines, one per surface.
      territory_names: names from the patient's right to left, separated by commas.
      registration: a method, or an ITK transform file.
      registration_preset: name of the preset.
      guide_liver: liver mask on the second image.
      lung_shunt: the lung shunt fraction as text, or "spect".
      injection: TERRITORY=MBQ or TERRITORY=MBQ@TIME, each.
      strategy: activity to select: "upper", "lower" or "fixed".
      residual_fraction: fraction of the activity that remains in vial and catheter.
      plan: results.json of the plan, for a verification.
      calibration: "relative" or "absolute".
    """

    patient_id: str | None = None
    protocol: str | None = None
    activity: Path | None = None
    activity_unit: str | None = None
    activity_nuclide: str | None = None
    ct: Path | None = None
    diagnostic: Path | None = None
    diagnostic_modality: str | None = None
    liver: Path | None = None
    lesions: Path | None = None
    lungs: Path | None = None
    masks_image: str | None = None
    territories: Path | None = None
    lines: tuple[Path, ...] = ()
    territory_names: str | None = None
    registration: str | None = None
    registration_preset: str | None = None
    guide_liver: Path | None = None
    lung_shunt: str | None = None
    injection: tuple[str, ...] = ()
    strategy: str | None = None
    residual_fraction: float | None = None
    plan: Path | None = None
    calibration: str | None = None

    @property
    def provided(self) -> tuple[str, ...]:
        """Names of the options that are provided."""
        return tuple(one.name for one in fields(self) if getattr(self, one.name) not in (None, ()))


def missing_choices(*names: str) -> str:
    """Returns a sentence that names the missing options of a prescription.

    Args:
      names: "strategy", "residual_fraction" or both.
    """
    listed = [name for name in CHOICES if name in names]
    return (
        f"{' and '.join('--' + name.replace('_', '-') for name in listed)} missing, and {without_default(listed)}; "
        f"give {' and '.join(CHOICES[name] for name in listed)}"
    )


def read_case(
    path: Path | None, options: CaseOptions, *, overrides: Sequence[str] = (), unset: Sequence[str] = ()
) -> Case:
    """Reads a case file, or makes a case from options.

    Args:
      path: the case file (TOML); None to use `options`.
      options: must be empty if there is a case file.
      overrides: KEY=VALUE of the case, each.
      unset: keys or tables to remove before.

    Raises:
      ConfigError: both or neither are provided, or a value is not valid.
    """
    provided = options.provided
    needing = [name for name in ("registration_preset", "guide_liver") if name in provided]
    if needing and "registration" not in provided and path is None:
        raise ConfigError(
            f"--{needing[0].replace('_', '-')} requires --registration; set it, as in --registration deformable"
        )
    if path is not None:
        if provided:
            flag = "--" + provided[0].replace("_", "-")
            raise ConfigError(
                f"{path}: a case file and {flag} exclude each other; put the value into the file, or use --set"
            )
        return load_case(path, overrides=overrides, unset=unset)
    if not provided:
        raise ConfigError(
            "no case: provide a case file, or --activity, --liver, --lesions, --protocol, --lung-shunt, --strategy and "
            "--residual-fraction"
        )
    return case_from_dict(case_table(options), folder=Path.cwd(), source="options", overrides=overrides, unset=unset)


def check_choices(case: Case, path: Path | None) -> None:
    """Raises if a case to plan has no selected activity, no residual, or a contradicting activity.

    Args:
      case: the case.
      path: case file, which the message names; None if the case comes from options.

    Raises:
      ConfigError: one or both are missing, or an injection states an activity without the strategy "fixed".
    """
    if path is not None:
        check_prescription(case, source=str(path))
        return
    missing = missing_prescription(case)
    if missing:
        raise ConfigError(missing_choices(*(PRESCRIBED[key] for key in missing)))
    check_prescription(case, source="options")


def case_table(options: CaseOptions) -> dict[str, object]:
    """Returns the case as nested dictionaries, as a case file has it."""
    frame = options.masks_image or "activity"
    images = {
        "activity": _filled(path=options.activity, unit=options.activity_unit, nuclide=options.activity_nuclide),
        "ct": _filled(path=options.ct),
        "diagnostic": _filled(path=options.diagnostic, modality=options.diagnostic_modality),
    }
    masks = {"liver": options.liver, "lesions": options.lesions, "lungs": options.lungs}
    table: dict[str, Any] = {
        "schema": 2,
        "patient": {"id": options.patient_id or NO_PSEUDONYM},
        "protocol": _filled(name=options.protocol),
        "images": {role: entry for role, entry in images.items() if entry},
        "masks": {name: {"path": str(path), "image": frame} for name, path in masks.items() if path is not None},
        "lung_shunt": _shunt(options.lung_shunt),
        "injections": [_injection(text) for text in options.injection],
        **_filled(plan=options.plan),
    }
    prescribed = {key: getattr(options, name) for key, name in PRESCRIBED.items()}
    prescribed = {key: value for key, value in prescribed.items() if value is not None}
    if prescribed:
        table["prescription"] = prescribed
    if options.calibration is not None:
        table["calibration"] = {"method": options.calibration}
    if options.territories is not None or options.lines:
        divided: dict[str, Any] = {"image": frame, **_filled(path=options.territories)}
        if options.lines:
            divided["dividing_lines"] = [str(path) for path in options.lines]
        if options.territory_names is not None:
            divided["names"] = options.territory_names.split(",")
        table["territories"] = divided
    if options.registration is not None:
        table["registration"] = _registration(options, options.registration, frame)
    return table


def _registration(options: CaseOptions, method: str, frame: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"method": method} if method in METHODS else {"method": "file", "path": method}
    entry |= _filled(preset=options.registration_preset)
    if options.guide_liver is not None:
        side = "reference_masks" if frame == "diagnostic" else "floating_masks"
        entry[side] = {"liver": {"path": str(options.guide_liver)}}
    return entry


def _filled(**values: object) -> dict[str, Any]:
    """Returns the values that are not None, as text."""
    return {key: str(value) for key, value in values.items() if value is not None}


def _shunt(text: str | None) -> dict[str, Any]:
    if text is None or text == "spect":
        return {} if text is None else {"method": "spect"}
    return {"method": "value", "fraction": text, "source": "--lung-shunt"}


def _injection(text: str) -> dict[str, Any]:
    territory, _, amount = text.rpartition("=")
    activity, _, time = amount.partition("@")
    return {"territory": territory, "activity_mbq": activity, **({"time": time} if time else {})}
