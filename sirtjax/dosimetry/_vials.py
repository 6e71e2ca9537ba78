"""The vials that can be ordered for a device: sizes, calibration week and shelf life, each with its source."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, ValidationError

from sirtjax.config import Table, preset_names, preset_table
from sirtjax.dosimetry._nuclides import get_nuclide
from sirtjax.errors import ConfigError
from sirtjax.parsing import ParseError, parse_toml

Dispensing = Literal["whole", "divided", "custom"]
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_Weekday = Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_Citation = Annotated[str, Field(min_length=3)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True, kw_only=True)
class VialSize:
    """A size of vial.

    Attributes:
      activity_mbq: activity at the calibration time.
      source: source of the activity.
    """

    activity_mbq: float
    source: str


@dataclass(frozen=True, kw_only=True)
class CalibrationWeek:
    """A calibration time that recurs every week.

    Attributes:
      weekday: English name of the day.
      time: local time of the day.
      time_zone: IANA time zone of the time, such as "America/Toronto".
      source: source of the day and the time.
    """

    weekday: str
    time: time
    time_zone: str
    source: str


@dataclass(frozen=True, kw_only=True)
class VialSupply:
    """The vials of one device.

    Attributes:
      name: name of the data file.
      device: "resin", "glass" or "holmium".
      product: product name.
      nuclide: name of the nuclide record with the half-life.
      dispensing: "whole" vials are injected, "divided" ones are drawn up in part, "custom" ones are made to order.
      dispensing_source: source of `dispensing`.
      sizes: sizes by ascending activity; empty for "custom".
      calibration: weekly calibration; None if the file states none.
      shelf_life_h: hours after the calibration time until which a vial can be used; None if the file states none.
      shelf_life_source: source of the shelf life; empty without one.
      notes: further statements.
      spheres_million_per_mbq: number of spheres per activity at the calibration time; None if the file states none.
      spheres_source: source of the number of spheres; empty without one.
      vial_ml: volume of the suspension in a vial; None if the file states none.
      volume_source: source of the volume; empty without one.
    """

    name: str
    device: Literal["resin", "glass", "holmium"]
    product: str
    nuclide: str
    dispensing: Dispensing
    dispensing_source: str
    sizes: tuple[VialSize, ...]
    calibration: CalibrationWeek | None
    shelf_life_h: float | None
    shelf_life_source: str
    notes: tuple[str, ...]
    spheres_million_per_mbq: float | None = None
    spheres_source: str = ""
    vial_ml: float | None = None
    volume_source: str = ""


class _Size(Table):
    activity_mbq: _Positive
    source: _Citation


class _Dispensing(Table):
    value: Dispensing
    source: _Citation


class _Calibration(Table):
    weekday: _Weekday
    time: time
    time_zone: str
    source: _Citation


class _ShelfLife(Table):
    value_h: _Positive
    source: _Citation


class _Spheres(Table):
    million: _Positive
    activity_mbq: _Positive
    source: _Citation


class _Volume(Table):
    value_ml: _Positive
    source: _Citation


class _File(Table):
    schema_version: Annotated[Literal[1], Field(alias="schema")]
    device: Literal["resin", "glass", "holmium"]
    product: str
    nuclide: str
    dispensing: _Dispensing
    vials: tuple[_Size, ...] = ()
    calibration: _Calibration | None = None
    shelf_life: _ShelfLife | None = None
    spheres: _Spheres | None = None
    volume: _Volume | None = None
    notes: tuple[str, ...] = ()


def load_vials(name_or_path: str | Path) -> VialSupply:
    """Returns the vials of a device, from the bundled data or from a file.

    Args:
      name_or_path: "glass", "resin" or "holmium"; or the path of a .toml file with the same tables.

    Raises:
      ConfigError: there is no such device or file, or the file has a key or value it should not have.

    Examples:
      >>> from sirtjax import dosimetry
      >>> [one.activity_mbq for one in dosimetry.load_vials("glass").sizes]
      [3000.0, 5000.0, 7000.0, 10000.0, 15000.0, 20000.0]
    """
    text = str(name_or_path)
    if not text.endswith(".toml"):
        names = preset_names("vials")
        if text not in names:
            raise ConfigError(
                f"no vials are known for device '{text}'; choose one of {', '.join(names)} or a .toml file"
            )
        return _supply(text, preset_table("vials", text))
    path = Path(text)
    try:
        table = parse_toml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ParseError) as error:
        raise ConfigError(f"{path}: cannot read the vials ({error}); provide a TOML file") from error
    return _supply(path.name, table)


def _supply(name: str, table: dict[str, object]) -> VialSupply:
    try:
        file = _File.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"vials {name}: {where}: {first['msg']}; see configs/vials/glass.toml") from error
    get_nuclide(file.nuclide)
    if (file.dispensing.value == "custom") != (not file.vials):
        raise ConfigError(
            f'vials {name}: {len(file.vials)} sizes for dispensing "{file.dispensing.value}"; only "custom" has none'
        )
    week = file.calibration
    if week is not None:
        time_zone(week.time_zone)
    return VialSupply(
        name=name,
        device=file.device,
        product=file.product,
        nuclide=file.nuclide,
        dispensing=file.dispensing.value,
        dispensing_source=file.dispensing.source,
        sizes=tuple(
            VialSize(activity_mbq=one.activity_mbq, source=one.source)
            for one in sorted(file.vials, key=lambda one: one.activity_mbq)
        ),
        calibration=None if week is None else CalibrationWeek(**week.model_dump()),
        shelf_life_h=None if file.shelf_life is None else file.shelf_life.value_h,
        shelf_life_source="" if file.shelf_life is None else file.shelf_life.source,
        notes=file.notes,
        spheres_million_per_mbq=None if file.spheres is None else file.spheres.million / file.spheres.activity_mbq,
        spheres_source="" if file.spheres is None else file.spheres.source,
        vial_ml=None if file.volume is None else file.volume.value_ml,
        volume_source="" if file.volume is None else file.volume.source,
    )


def time_zone(name: str) -> ZoneInfo:
    """Returns the time zone of an IANA name, such as "Europe/Zurich".

    Raises:
      ConfigError: the name is not a time zone, or the computer has no time zone data.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ConfigError(
            f"time zone '{name}' is not known; use an IANA name such as Europe/Zurich (Windows: pip install tzdata)"
        ) from error


def parse_time(text: str, *, zone: str | None = None) -> datetime:
    """Returns the time of an ISO 8601 text, with its time zone.

    Args:
      text: date and time such as "2026-11-25T10:00" or "2026-11-25T10:00+01:00".
      zone: IANA time zone of a text that states no offset.

    Raises:
      ConfigError: the text is not a date with a time, has no time zone, or is in the hour of a clock change.

    Examples:
      >>> from sirtjax import dosimetry
      >>> dosimetry.parse_time("2026-11-25T10:00+01:00").isoformat()
      '2026-11-25T10:00:00+01:00'
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"time '{text}' is not a date and time; write it as 2026-11-25T10:00+01:00") from None
    if len(text) <= len("2026-11-25"):
        raise ConfigError(f"time '{text}' has no time of day; write it as 2026-11-25T10:00+01:00")
    if found.tzinfo is not None:
        return found
    if zone is None:
        raise ConfigError(f"time '{text}' has no time zone; add an offset such as +01:00, or --time-zone Europe/Zurich")
    local = found.replace(tzinfo=time_zone(zone))
    if local.utcoffset() != local.replace(fold=1).utcoffset():
        raise ConfigError(f"time '{text}' is not unique in {zone} (clocks change); add an offset such as +01:00")
    return local


def weekly_calibrations(week: CalibrationWeek, *, start: datetime, end: datetime) -> tuple[datetime, ...]:
    """Lists the calibration times between two times, both included.

    Args:
      week: weekday, local time and time zone of the calibration.
      start: start of the interval, with a time zone.
      end: end of the interval, with a time zone.

    Returns:
      Times in the zone of `week`: their offset from UTC changes with daylight saving time.
    """
    zone = time_zone(week.time_zone)
    first, last = start.astimezone(zone).date(), end.astimezone(zone).date()
    days = (date.fromordinal(number) for number in range(first.toordinal() - 1, last.toordinal() + 2))
    times = (datetime.combine(day, week.time, tzinfo=zone) for day in days if WEEKDAYS[day.weekday()] == week.weekday)
    low, high = start.astimezone(UTC), end.astimezone(UTC)
    return tuple(one for one in times if low <= one.astimezone(UTC) <= high)


def hours_after(start: datetime, elapsed_h: float) -> datetime:
    """Returns the time some hours after another, in its time zone.

    Hours are counted in UTC, so a clock change between the two times shifts the local time.
    """
    return (start.astimezone(UTC) + timedelta(hours=elapsed_h)).astimezone(start.tzinfo)
