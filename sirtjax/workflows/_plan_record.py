"""A plan or a verification, read from its results.json."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sirtjax.errors import ImageFormatError
from sirtjax.io import PatientFingerprint
from sirtjax.parsing import parse_json
from sirtjax.workflows._dose_map import DoseMapRecord
from sirtjax.workflows._provenance_record import InputFile, PlannedVoi
from sirtjax.workflows._results import SCHEMA, ObjectiveResult, TerritoryResult

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class TreatmentPlan:
    """The plan that a verification is compared with, or a treatment whose dose is accumulated.

    Attributes:
      kind: "plan" (doses and activities are planned) or "verification" (they are delivered).
      patient_id: pseudonym; empty if the file has none.
      patient: keyed hashes of the patient's identifiers; empty for NIfTI images.
      protocol: name of the protocol.
      nuclide, nuclide_record: nuclide and record of its constants, such as "Y-90" and "y90-icrp107".
      dose_method: dose method of the plan's limits, "local" or "kernel".
      created: date and time of the plan.
      planned_mbq: activity in the patient at injection, by territory.
      residual_fraction: fraction of the dispensed activity that remains in vial and catheter, by territory; without
        those that a verification does not know.
      territories: all territories of the plan.
      objectives: objectives with the predicted doses.
      vois: the rows of the VOI table by name, as in the file.
      lung_dose_gy: mean lung dose.
      inputs: file, UIDs and hash of each input by its role, as in the file.
      unreviewed_masks: a sentence for each unreviewed mask.
      errors: codes of its checks with severity "error".
      dose_map: identity of the dose map in the folder of the plan.
      mask_sha256: hash of the voxels of each mask in that folder, by VOI; empty in earlier files, which have none.
      days: stated treatment date and days of the injections, each once; empty if the file states none.
    """

    kind: Literal["plan", "verification"]
    patient_id: str
    patient: PatientFingerprint
    protocol: str
    nuclide: str
    nuclide_record: str
    dose_method: Literal["kernel", "local", "cone"]
    created: str
    planned_mbq: dict[str, float]
    residual_fraction: dict[str, float]
    territories: tuple[TerritoryResult, ...]
    objectives: tuple[ObjectiveResult, ...]
    vois: dict[str, PlannedVoi]
    lung_dose_gy: float | None
    inputs: dict[str, InputFile]
    unreviewed_masks: tuple[str, ...]
    errors: tuple[str, ...]
    dose_map: DoseMapRecord
    mask_sha256: dict[str, str]
    days: tuple[date, ...] = ()


class _Part(BaseModel):
    # A plan has much that a verification does not read.
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class _Injection(_Part):
    territory: str
    activity_mbq: NotNegative
    residual_fraction: Annotated[float, Field(ge=0, lt=1)] | None


class _Check(_Part):
    code: str
    severity: str


class _Territory(_Part):
    name: str
    volume_ml: NotNegative
    treated: bool


class _Voi(_Part):
    name: str
    kind: str
    volume_ml: Positive
    mask_ml: Positive | None
    mean_gy: Finite | None
    d_gy: dict[str, Finite | None]
    dvh_dose_gy: list[Finite]
    dvh_volume_percent: list[Finite]


class _Objective(_Part):
    name: str
    voi: str
    role: str
    direction: Literal["at least", "at most"]
    kind: Literal["mean", "D", "V"]
    purpose: Literal["bound", "goal"]
    dose_gy: Positive
    volume_fraction: Annotated[float, Field(gt=0, le=1)] | None
    cumulative: bool
    value_gy: Finite
    value_fraction: Finite | None
    met: bool
    source: str


class _Input(_Part):
    file: str
    grid: str | None = None
    series_uid: str | None = None
    frame_of_reference_uid: str | None = None
    sha256: str | None = None


class _Mark(_Part):
    key: str | None = None
    number: str | None = None
    name: str | None = None
    born: str | None = None


class _Provenance(_Part):
    created: str
    inputs: dict[str, _Input]
    patient: _Mark | None = None


class _DoseMap(_Part):
    file: str
    sha256: str
    shape: Annotated[list[Annotated[int, Field(gt=0)]], Field(min_length=3, max_length=3)]
    world_from_voxel: Annotated[
        list[Annotated[list[Finite], Field(min_length=4, max_length=4)]], Field(min_length=4, max_length=4)
    ]


class _WrittenMask(_Part):
    name: str
    sha256: str


class _Treatment(_Part):
    kind: Literal["plan", "verification"]
    patient_id: str | None = None
    protocol: str
    nuclide: str
    nuclide_record: str
    dose_method: Literal["kernel", "local", "cone"]
    injections: list[_Injection]
    territories: list[_Territory]
    objectives: list[_Objective]
    vois: list[_Voi]
    # Of the shunted activity, and of betas from the liver: neither is below 0.
    lung_dose_gy: NotNegative | None
    provenance: _Provenance
    unreviewed_masks: list[str]
    checks: list[_Check]
    dose_map: _DoseMap
    # Earlier files do not have it.
    written_masks: list[_WrittenMask] = Field(default_factory=list)

    @model_validator(mode="after")
    def _known_residual(self) -> Self:
        if self.kind == "plan" and any(row.residual_fraction is None for row in self.injections):
            raise ValueError("`residual_fraction` of an injection is missing; only a verification may lack it")
        return self


class _Plan(_Treatment):
    kind: Literal["plan"]


def read_plan(path: Path) -> TreatmentPlan:
    """Reads the results.json of a plan.

    Raises:
      ImageFormatError: the file cannot be read, is not a plan of this software or is of another version of the format.
    """
    return _read(path, _Plan, "plan")


def read_treatment(path: Path) -> TreatmentPlan:
    """Reads the results.json of a plan or a verification.

    Raises:
      ImageFormatError: the file cannot be read, is neither of this software or is of another version of the format.
    """
    return _read(path, _Treatment, "plan or verification")


def _read(path: Path, model: type[_Treatment], what: str) -> TreatmentPlan:
    table = _table(path)
    try:
        plan = model.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ImageFormatError(
            f"{path}: not the results.json of a {what} ({where}: {first['msg']}); use that of "
            f"{'`sirtjax plan`' if model is _Plan else '`sirtjax plan` or `sirtjax verify`'}"
        ) from error
    rows: list[PlannedVoi] = table["vois"]
    mark = plan.provenance.patient
    return TreatmentPlan(
        kind=plan.kind,
        patient_id=plan.patient_id or "",
        patient=PatientFingerprint() if mark is None else PatientFingerprint(**mark.model_dump()),
        protocol=plan.protocol,
        nuclide=plan.nuclide,
        nuclide_record=plan.nuclide_record,
        dose_method=plan.dose_method,
        created=plan.provenance.created,
        planned_mbq={row.territory: row.activity_mbq for row in plan.injections if row.activity_mbq > 0},
        residual_fraction={
            row.territory: row.residual_fraction for row in plan.injections if row.residual_fraction is not None
        },
        territories=tuple(TerritoryResult(**row.model_dump()) for row in plan.territories),
        objectives=tuple(ObjectiveResult(**row.model_dump()) for row in plan.objectives),
        vois={str(row["name"]): row for row in rows},
        lung_dose_gy=plan.lung_dose_gy,
        inputs={role: cast("InputFile", one.model_dump()) for role, one in plan.provenance.inputs.items()},
        unreviewed_masks=tuple(plan.unreviewed_masks),
        errors=tuple(sorted({check.code for check in plan.checks if check.severity == "error"})),
        dose_map=_dose_map(plan.dose_map),
        mask_sha256={row.name: row.sha256 for row in plan.written_masks},
        days=tuple(sorted(set(_days(table)))),
    )


def _days(table: dict[str, Any]) -> Iterator[date]:
    """Yields the treatment date of the record and the days of the injections of the case."""
    record, case = table.get("record"), table["provenance"].get("case")
    injections = case.get("injections") if isinstance(case, dict) else None
    stated = [record.get("treatment_date")] if isinstance(record, dict) else []
    stated += [row.get("time") for row in injections if isinstance(row, dict)] if isinstance(injections, list) else []
    for text in stated:
        try:
            yield datetime.fromisoformat(str(text)).date()
        except ValueError:
            continue


def _dose_map(found: _DoseMap) -> DoseMapRecord:
    i, j, k = found.shape
    rows = tuple(tuple(row) for row in found.world_from_voxel)
    # A name only: the dose is in the folder of the plan.
    return DoseMapRecord(file=Path(found.file).name, sha256=found.sha256, shape=(i, j, k), world_from_voxel=rows)


def _table(path: Path) -> dict[str, Any]:
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "not a regular file"
        raise ImageFormatError(f"{path}: cannot read the plan ({kind}); use the results.json of `sirtjax plan`")
    try:
        table = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "not UTF-8 text"
        raise ImageFormatError(f"{path}: cannot read the plan ({reason})") from error
    except ValueError as error:
        raise ImageFormatError(
            f"{path}: not the results.json of a plan (not JSON); use that of `sirtjax plan`"
        ) from error
    schema = table.get("schema") if isinstance(table, dict) else None
    if not isinstance(table, dict) or not str(schema).startswith(SCHEMA.partition("/")[0] + "/"):
        raise ImageFormatError(f"{path}: not the results.json of a plan ({SCHEMA}); use that of `sirtjax plan`")
    if schema != SCHEMA:
        raise ImageFormatError(f"{path}: a plan in the format {schema}, expected {SCHEMA}; plan the case again")
    return table
