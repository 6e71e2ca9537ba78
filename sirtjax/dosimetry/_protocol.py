"""Named protocols: the required doses, the constants and the limits, each number with its source.

A protocol file holds one device (constants, lung limits, a table of objectives) and its scenarios, which pick
objectives by key. The protocol "glass-hcc-lobectomy" is the scenario "hcc-lobectomy" of glass.toml.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from sirtjax.config import Table
from sirtjax.dosimetry._nuclides import Nuclide, get_nuclide
from sirtjax.dosimetry._objectives import DoseObjective, Role
from sirtjax.errors import ConfigError
from sirtjax.parsing import ParseError, parse_toml

Evidence = Literal["stated", "code", "derived", "unverified"]
Method = Literal["multi", "single"]
DoseMethod = Literal["kernel", "local"]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
PROTOCOL_SCHEMA = 3
Citation = Annotated[str, Field(min_length=3)]


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A number of a protocol.

    Attributes:
      value: value in `unit`.
      unit: unit as printed.
      source: source of the value.
      evidence: "stated" in the source, found in public "code", "derived" from the source, or "unverified".
    """

    value: float
    unit: str
    source: str
    evidence: Evidence


@dataclass(frozen=True, kw_only=True)
class ProtocolDoseMethod:
    """The dose method that the limits of a protocol belong to.

    Attributes:
      value: "local" deposition or "kernel".
      source: source that specifies the method.
      evidence: same as in `Quantity`.
    """

    value: DoseMethod
    source: str
    evidence: Evidence


@dataclass(frozen=True, kw_only=True)
class ProtocolObjective:
    """An objective and the patients it applies to.

    Attributes:
      objective: objective on a role.
      reserve_below: hepatic reserve (untreated fraction of the liver) below which it applies; None for all.
      reserve_above: hepatic reserve above which it applies; None for all.
      bilirubin_below_mg_dl, bilirubin_above_mg_dl: total bilirubin below or above which its source states it.
    """

    objective: DoseObjective
    reserve_below: float | None = None
    reserve_above: float | None = None
    bilirubin_below_mg_dl: float | None = None
    bilirubin_above_mg_dl: float | None = None


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A named protocol, as read from its file.

    Attributes:
      name: "device-scenario".
      title: title for readers.
      device: "resin", "glass" or "holmium".
      tumour: tumour type.
      approach: "segmentectomy", "lobectomy", "unilobar" or "bilobar".
      nuclide: name of the nuclide record whose constant is used.
      dose_method: method of the voxel dose that targets and limits belong to.
      liver_density: density of the liver, g/mL.
      standard_lung_mass: lung mass in g that is used if the lungs are not segmented; otherwise the mass is from the CT.
      lung_single: limit on the mean lung dose of one treatment, Gy.
      lung_cumulative: limit with earlier treatments, Gy.
      multi: objectives of the multi-compartment or voxel-level method.
      single: objectives of the single-compartment method.
      lung_shunt_steps: steps (LSF exceeded, factor on the activity) of the BSA method; empty if it has none.
      lung_shunt_source: source of those steps.
      activity_per_mass: activity per liver mass, MBq/kg, if the device has such a rule.
      notes: further statements of the source.
      schema_version: version of the file format.
    """

    name: str
    title: str
    device: Literal["resin", "glass", "holmium"]
    tumour: str
    approach: Literal["segmentectomy", "lobectomy", "unilobar", "bilobar"]
    nuclide: str
    dose_method: ProtocolDoseMethod
    liver_density: Quantity
    standard_lung_mass: Quantity
    lung_single: Quantity
    lung_cumulative: Quantity
    multi: tuple[ProtocolObjective, ...]
    single: tuple[ProtocolObjective, ...]
    lung_shunt_steps: tuple[tuple[float, float], ...]
    lung_shunt_source: str
    activity_per_mass: Quantity | None
    notes: tuple[str, ...]
    schema_version: int = PROTOCOL_SCHEMA

    @property
    def method(self) -> Method:
        """The method its source recommends: multi-compartment where that has objectives."""
        return "multi" if self.multi else "single"

    @property
    def nuclide_record(self) -> Nuclide:
        """The nuclide with the protocol's dose constant."""
        return get_nuclide(self.nuclide)

    def nuclide_record_named(self, constant: str | None) -> Nuclide:
        """Returns the record whose dose constant is used: the named one, or the protocol's if None.

        Raises:
          ConfigError: there is no such record, or it is of another nuclide than the protocol's.
        """
        record = self.nuclide_record if constant is None else get_nuclide(constant)
        if record.symbol != self.nuclide_record.symbol:
            raise ConfigError(
                f"dose constant '{record.name}' is of {record.symbol}, but protocol '{self.name}' is for "
                f"{self.nuclide_record.symbol}; choose a record of that nuclide or another protocol"
            )
        return record

    @property
    def unverified(self) -> tuple[str, ...]:
        """The values that are marked as not found in their source."""
        quantities = {
            "liver density": self.liver_density,
            "standard lung mass": self.standard_lung_mass,
            "lung limit, one treatment": self.lung_single,
            "lung limit, cumulative": self.lung_cumulative,
            "activity per mass": self.activity_per_mass,
        }
        rows = self.multi + self.single
        return tuple(
            [name for name, quantity in quantities.items() if quantity and quantity.evidence == "unverified"]
            + ["dose method"] * (self.dose_method.evidence == "unverified")
            + [row.objective.label for row in rows if row.objective.evidence == "unverified"]
        )

    def objectives(self, *, hepatic_reserve_fraction: float, method: Method | None = None) -> tuple[DoseObjective, ...]:
        """Returns the objectives that apply, lung limits last.

        Args:
          hepatic_reserve_fraction: fraction of the liver volume that is in no treated territory.
          method: "multi" or "single"; by default the one recommended.

        Raises:
          ConfigError: the reserve is not a fraction, or the protocol has no objectives for that method.
        """
        reserve = hepatic_reserve_fraction
        if not 0 <= reserve < 1:
            raise ConfigError(f"hepatic reserve is {reserve}; give the untreated fraction of the liver, 0 to below 1")
        chosen = self.method if method is None else method
        rows = self.multi if chosen == "multi" else self.single
        if not rows:
            raise ConfigError(
                f'protocol {self.name} has no {chosen}-compartment objectives; use method "{self.method}"'
            )
        applying = tuple(
            row.objective
            for row in rows
            if (row.reserve_below is None or reserve < row.reserve_below)
            and (row.reserve_above is None or reserve > row.reserve_above)
        )
        return applying + self.lung_objectives

    @property
    def lung_objectives(self) -> tuple[DoseObjective, ...]:
        """The limits on the mean lung dose: of this treatment, and with earlier ones."""
        return tuple(
            DoseObjective(
                voi="lungs",
                direction="at most",
                dose_gy=limit.value,
                cumulative=cumulative,
                source=limit.source,
                evidence="unverified" if limit.evidence == "unverified" else "stated",
            )
            for limit, cumulative in ((self.lung_single, False), (self.lung_cumulative, True))
        )


class _Quantity(Table):
    value: Positive
    unit: str
    source: Citation
    evidence: Evidence


class _DoseMethod(Table):
    value: DoseMethod
    source: Citation
    evidence: Evidence


class _Objective(Table):
    voi: Role
    direction: Literal["at least", "at most"]
    dose_gy: Positive
    source: Citation
    kind: Literal["mean", "D", "V"] = "mean"
    volume_fraction: Fraction | None = None
    purpose: Literal["bound", "goal"] = "bound"
    evidence: Literal["stated", "unverified"] = "stated"
    hepatic_reserve_below: Fraction | None = None
    hepatic_reserve_above: Fraction | None = None
    bilirubin_below_mg_dl: Positive | None = None
    bilirubin_above_mg_dl: Positive | None = None

    def row(self) -> ProtocolObjective:
        patients = {"hepatic_reserve_below", "hepatic_reserve_above", "bilirubin_below_mg_dl", "bilirubin_above_mg_dl"}
        fields = self.model_dump(exclude=patients)
        return ProtocolObjective(
            objective=DoseObjective(**fields),
            reserve_below=self.hepatic_reserve_below,
            reserve_above=self.hepatic_reserve_above,
            bilirubin_below_mg_dl=self.bilirubin_below_mg_dl,
            bilirubin_above_mg_dl=self.bilirubin_above_mg_dl,
        )


class _Step(Table):
    above: Fraction
    factor: Fraction


class _ShuntSteps(Table):
    steps: tuple[_Step, ...]
    source: Citation


class _Scenario(Table):
    title: str
    tumour: str
    approach: Literal["segmentectomy", "lobectomy", "unilobar", "bilobar"]
    multi: tuple[str, ...] = ()
    single: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class _File(Table):
    schema_version: Annotated[Literal[3], Field(alias="schema")]
    device: Literal["resin", "glass", "holmium"]
    nuclide: str
    dose_method: _DoseMethod
    liver_density: _Quantity
    standard_lung_mass: _Quantity
    lung_single: _Quantity
    lung_cumulative: _Quantity
    activity_per_mass: _Quantity | None = None
    lung_shunt: _ShuntSteps | None = None
    notes: tuple[str, ...] = ()
    objectives: dict[str, _Objective]
    scenarios: Annotated[dict[str, _Scenario], Field(min_length=1)]


def list_protocols() -> tuple[str, ...]:
    """Names of the protocols that come with the package."""
    return tuple(sorted(f"{stem}-{key}" for stem, file in _bundled().items() for key in file.scenarios))


def load_protocol(name_or_path: str | Path) -> Protocol:
    """Returns a named protocol, or one from a file.

    Args:
      name_or_path: name in `list_protocols`; or the path of a .toml file, followed by "#scenario" if the file has
        several.

    Raises:
      ConfigError: there is no such protocol or file, or the file has a key or value it should not have.

    Examples:
      >>> from sirtjax import dosimetry
      >>> protocol = dosimetry.load_protocol("glass-hcc-bilobar-high-bilirubin")
      >>> [(one.objective.voi, one.objective.direction, one.objective.dose_gy) for one in protocol.multi]
      [('tumour', 'at least', 205.0), ('whole_normal', 'at most', 50.0)]
    """
    text = str(name_or_path)
    if not text.partition("#")[0].endswith(".toml"):
        for stem, file in _bundled().items():
            if text.startswith(f"{stem}-") and text.removeprefix(f"{stem}-") in file.scenarios:
                return _protocol(file, text.removeprefix(f"{stem}-"), name=text, source=f"{stem}.toml")
        raise ConfigError(
            f"there is no protocol '{text}'; choose one of {', '.join(list_protocols())}, or give a .toml file"
        )
    place, _, key = text.partition("#")
    path = Path(place)
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{path}: cannot read the protocol ({reason}); give a TOML file") from error
    file = _parse(content, source=str(path))
    if not key and len(file.scenarios) > 1:
        first = next(iter(file.scenarios))
        raise ConfigError(f"{path}: has several scenarios; choose one, as in {path}#{first}")
    key = key or next(iter(file.scenarios))
    if key not in file.scenarios:
        raise ConfigError(f"{path}: has no scenario '{key}'; there are {', '.join(file.scenarios)}")
    return _protocol(file, key, name=f"{path.stem}-{key}", source=str(path))


def _bundled() -> dict[str, _File]:
    folder = resources.files("sirtjax.configs") / "protocols"
    files = sorted((item for item in folder.iterdir() if item.name.endswith(".toml")), key=lambda item: item.name)
    return {
        item.name.removesuffix(".toml"): _parse(item.read_text(encoding="utf-8"), source=item.name) for item in files
    }


def _parse(content: str, *, source: str) -> _File:
    try:
        table = parse_toml(content)
    except ParseError as error:
        raise ConfigError(f"{source}: not valid TOML: {error}") from error
    if table.get("schema") == PROTOCOL_SCHEMA - 1 and "dose_method" not in table:
        raise ConfigError(
            f"{source}: schema {PROTOCOL_SCHEMA - 1} does not state the dose method of the limits; set "
            f"schema = {PROTOCOL_SCHEMA} and "
            'add [dose_method] with value ("local" or "kernel"), source and evidence'
        )
    try:
        return _File.model_validate(table)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}" for problem in error.errors()
        )
        raise ConfigError(f"{source}: {problems}") from error


def _protocol(file: _File, key: str, *, name: str, source: str) -> Protocol:
    scenario = file.scenarios[key]
    get_nuclide(file.nuclide)
    shunt = file.lung_shunt
    return Protocol(
        name=name,
        title=scenario.title,
        device=file.device,
        tumour=scenario.tumour,
        approach=scenario.approach,
        nuclide=file.nuclide,
        dose_method=ProtocolDoseMethod(
            value=file.dose_method.value, source=file.dose_method.source, evidence=file.dose_method.evidence
        ),
        liver_density=_quantity(file.liver_density),
        standard_lung_mass=_quantity(file.standard_lung_mass),
        lung_single=_quantity(file.lung_single),
        lung_cumulative=_quantity(file.lung_cumulative),
        multi=_rows(file, scenario.multi, f"{source}: scenarios.{key}.multi"),
        single=_rows(file, scenario.single, f"{source}: scenarios.{key}.single"),
        lung_shunt_steps=() if shunt is None else tuple((step.above, step.factor) for step in shunt.steps),
        lung_shunt_source="" if shunt is None else shunt.source,
        activity_per_mass=None if file.activity_per_mass is None else _quantity(file.activity_per_mass),
        notes=file.notes + scenario.notes,
    )


def _quantity(table: _Quantity) -> Quantity:
    return Quantity(value=table.value, unit=table.unit, source=table.source, evidence=table.evidence)


def _rows(file: _File, keys: tuple[str, ...], place: str) -> tuple[ProtocolObjective, ...]:
    unknown = [key for key in keys if key not in file.objectives]
    if unknown:
        raise ConfigError(f"{place}: no objective {', '.join(unknown)}; there are {', '.join(file.objectives)}")
    return tuple(file.objectives[key].row() for key in keys)
