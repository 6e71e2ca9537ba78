"""The treatments of an accumulation, read from their folders, and the refusal of those that do not belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import combinations
from typing import cast

from sirtjax import dosimetry, io
from sirtjax.dosimetry import Check
from sirtjax.errors import ConfigError, ImageFormatError, InputError
from sirtjax.workflows._accumulation_case import Accumulation, TreatmentTable
from sirtjax.workflows._case import NO_PSEUDONYM
from sirtjax.workflows._plan_patient import Verdict
from sirtjax.workflows._plan_record import TreatmentPlan, read_treatment
from sirtjax.workflows._planned_maps import PlannedMaps, read_planned_maps

RESULTS_FILE = "results.json"
# Inputs that no two patients have in common; transforms and lines may be templates.
OF_ONE_PATIENT = ("activity", "ct", "diagnostic", "territories")


@dataclass(frozen=True, kw_only=True, eq=False)
class Treatment:
    """A treatment of an accumulation.

    Attributes:
      table: name, folder and date in the file of the treatments.
      plan: content of its results.json.
      maps: dose and masks.
      sha256: hash of its results.json.
      lung_gy: mean lung dose.
    """

    table: TreatmentTable
    plan: TreatmentPlan
    maps: PlannedMaps
    sha256: str
    lung_gy: float

    @property
    def name(self) -> str:
        """Name of the treatment."""
        return self.table.name

    @property
    def half_life_h(self) -> float:
        """Half-life of its nuclide, by the record that its dose was computed with."""
        return dosimetry.get_nuclide(self.plan.nuclide_record).half_life_h


def read_treatments(case: Accumulation) -> tuple[Treatment, ...]:
    """Reads the folders of the treatments, by their dates, and refuses one that is listed twice.

    Args:
      case: file of the treatments.

    Raises:
      ConfigError: a folder is missing or is not a folder.
      ImageFormatError: a folder lacks a file or was changed.
      InputError: two of the treatments are one.
    """
    found = sorted((_read(table) for table in case.treatments), key=lambda one: _moment(one.table))
    for first, second in combinations(found, 2):
        _refuse_same(first, second, case)
    return tuple(found)


def check_patients(treatments: Sequence[Treatment], case: Accumulation) -> tuple[str, tuple[Check, ...]]:
    """Refuses treatments of different patients, unless the file accepts them by `PATIENT`.

    Evidence, in this order: keyed hashes of DICOM identifiers, the pseudonym, an input in common.

    Args:
      treatments: treatments with their results.
      case: file of the treatments.

    Returns:
      The evidence in words, and SJ549 if it is missing or was contradicted.

    Raises:
      InputError: identifiers or pseudonyms differ.
    """
    weakest = "by the identifiers of the DICOM headers"
    unknown: list[str] = []
    accepted: list[str] = []
    for first, second in combinations(treatments, 2):
        pair = f"{first.name} and {second.name}"
        headers, pseudonym = _by_headers(first, second), _by_pseudonym(first, second)
        if headers == "other" or (headers == "unknown" and pseudonym == "other"):
            what = "identifiers of the DICOM headers" if headers == "other" else "pseudonyms"
            if "PATIENT" not in case.accept:
                raise InputError(
                    f"treatments {pair}: different patients: their {what} differ; use treatments of one patient, or "
                    'accept = ["PATIENT"] if a person has checked that they are one'
                )
            accepted.append(f"{pair}: the {what} differ, which the file accepts (PATIENT)")
        elif headers == "unknown" and _shared_input(first, second):
            weakest = "by images or masks in common" if "DICOM" in weakest else weakest
        elif headers == "unknown" and pseudonym == "same":
            weakest = "by the pseudonym"
        elif headers == "unknown":
            unknown.append(f"{pair}: neither identifiers nor pseudonyms can be compared")
    checks = tuple(dosimetry.make_check("SJ549", where=sentence) for sentence in (*accepted, *unknown))
    evidence = "accepted by the file" if accepted else "not verified" if unknown else weakest
    return evidence, checks


def hours_apart(first: TreatmentTable, second: TreatmentTable) -> float:
    """Returns the hours between two treatments; whole days if one of them has only a date."""
    one, two = first.date, second.date
    if isinstance(one, datetime) and isinstance(two, datetime) and (one.tzinfo is None) == (two.tzinfo is None):
        return abs((two - one).total_seconds()) / 3600.0
    return abs((treatment_day(second) - treatment_day(first)).days) * 24.0


def date_checks(one: Treatment) -> tuple[Check, ...]:
    """Returns SJ559: the date is more than a day from every day that the treatment itself states."""
    day = treatment_day(one.table)
    if not one.plan.days or min(abs((day - stated).days) for stated in one.plan.days) <= 1:
        return ()
    stated = ", ".join(each.isoformat() for each in one.plan.days)
    where = f"{one.name} has the date {day.isoformat()} in the file of the treatments and {stated} in its results"
    return (dosimetry.make_check("SJ559", where=where),)


def _read(table: TreatmentTable) -> Treatment:
    path = table.folder / RESULTS_FILE
    if not table.folder.is_dir():
        raise ConfigError(
            f"{table.folder}: treatment {table.name!r}: not a folder; use the one that `sirtjax plan` or "
            "`sirtjax verify` wrote"
        )
    plan = read_treatment(path)
    if plan.lung_dose_gy is None:
        raise ImageFormatError(f"{path}: treatment {table.name!r} states no lung dose; compute it again")
    maps = read_planned_maps(path, plan)
    sha256 = cast(str, io.file_sha256(path))
    return Treatment(table=table, plan=plan, maps=maps, sha256=sha256, lung_gy=plan.lung_dose_gy)


def _refuse_same(first: Treatment, second: Treatment, case: Accumulation) -> None:
    pair = f"treatments {first.name!r} and {second.name!r}"
    if first.plan.dose_map.sha256 == second.plan.dose_map.sha256:
        raise InputError(f"{pair}: the same dose (SHA-256 {first.plan.dose_map.sha256[:16]}); list each treatment once")
    for one, two in ((first, second), (second, first)):
        compared = two.plan.inputs.get("plan")
        if one.plan.kind == "plan" and compared is not None and compared.get("sha256") == one.sha256:
            raise InputError(
                f"{pair}: {one.name!r} is the plan of the verification {two.name!r}, so they are one treatment; "
                "list only the verification"
            )
    delivered = first.plan.kind == second.plan.kind == "verification"
    image = _input_sha256(first, "activity")
    same = image is not None and image == _input_sha256(second, "activity")
    if delivered and same and "SAME_IMAGE" not in case.accept:
        raise InputError(
            f"{pair}: both verifications use the same activity image, so they may be one treatment; list it once, or "
            'accept = ["SAME_IMAGE"] if the image was divided between two treatments'
        )


def _by_headers(first: Treatment, second: Treatment) -> Verdict:
    one, two = first.plan.patient, second.plan.patient
    if one.key is None or one.key != two.key:
        return "unknown"
    if one.contradicts(two):
        return "other"
    return "same" if one.confirms(two) else "unknown"


def _by_pseudonym(first: Treatment, second: Treatment) -> Verdict:
    one, two = first.plan.patient_id, second.plan.patient_id
    if not one or not two or NO_PSEUDONYM in (one, two):
        return "unknown"
    return "same" if one == two else "other"


def _shared_input(first: Treatment, second: Treatment) -> bool:
    def hashes(one: Treatment) -> set[str | None]:
        roles = (role for role in one.plan.inputs if role in OF_ONE_PATIENT or role.endswith(" mask"))
        return {_input_sha256(one, role) for role in roles} - {None}

    return bool(hashes(first) & hashes(second))


def _input_sha256(one: Treatment, role: str) -> str | None:
    found = one.plan.inputs.get(role)
    return None if found is None else found.get("sha256")


def _moment(table: TreatmentTable) -> tuple[int, float]:
    seconds = table.date.hour * 3600.0 + table.date.minute * 60.0 if isinstance(table.date, datetime) else 0.0
    return treatment_day(table).toordinal(), seconds


def treatment_day(table: TreatmentTable) -> date:
    """Returns the day of a treatment."""
    return table.date.date() if isinstance(table.date, datetime) else table.date
