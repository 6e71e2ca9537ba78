"""A registration in numbers: what result.json holds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypedDict, cast

import numpy as np

if TYPE_CHECKING:
    from sirtjax.registration import RegistrationConfig, RegistrationResult

SCHEMA = 2
# Loss values keep the digits that float32 has.
LOSS_DIGITS = 7


class RegistrationRecord(TypedDict):
    """The content of result.json of a registration; None replaces values that are not finite.

    Attributes:
      schema: version of the format.
      status, cause, remedy: final status of the registration, its meaning and the remedy.
      notes: remarks on the input.
      quality: metrics by stage.
      fit: agreement of the images against wrong alignments.
      folding_fraction: fraction of the voxels that fold.
      affine_floating_from_reference: 4x4 matrix.
      stages: name and losses of each stage.
      config: the preset.
      provenance: inputs with hashes, versions, preset, seconds.
    """

    schema: int
    status: str
    cause: str
    remedy: str
    notes: list[str]
    quality: dict[str, dict[str, float | None]]
    fit: dict[str, float | None]
    folding_fraction: float | None
    affine_floating_from_reference: list[list[float]]
    stages: list[dict[str, object]]
    config: dict[str, object]
    provenance: dict[str, object]


def registration_record(result: RegistrationResult, *, provenance: Mapping[str, object]) -> RegistrationRecord:
    """Returns all values of a registration except its transform, ready for JSON.

    Values that are not finite become None.

    Args:
      result: the registration.
      provenance: inputs with hashes, versions, preset and seconds. Added unchanged.

    Returns:
      Nested dictionaries, lists, numbers and text.
    """
    record = {
        "schema": SCHEMA,
        "status": status_name(result),
        "cause": result.status.cause,
        "remedy": result.status.remedy,
        "notes": list(result.notes),
        "quality": {moment: dict(figures) for moment, figures in result.quality.items()},
        "fit": dict(result.fit),
        "folding_fraction": result.folding_fraction,
        "affine_floating_from_reference": np.asarray(result.affine.floating_from_reference, np.float64).tolist(),
        "stages": [
            {
                "name": stage.name,
                "losses": {
                    name: [float(f"{value:.{LOSS_DIGITS}g}") for value in np.asarray(values, np.float64).ravel()]
                    for name, values in stage.losses.items()
                },
            }
            for stage in result.stages
        ],
        "config": result.config.model_dump(mode="json", by_alias=True),
        "provenance": dict(provenance),
    }
    return cast(RegistrationRecord, _plain(record))


def status_name(result: RegistrationResult) -> str:
    """Returns the status as written and shown, for example "affine rejected"."""
    return str(result.status.name).lower().replace("_", " ")


def flat_settings(config: RegistrationConfig) -> list[tuple[str, str]]:
    """Returns the settings of a configuration as pairs of dotted key and value."""
    return list(_flat(config.model_dump(mode="json", by_alias=True)))


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _flat(item, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        for number, item in enumerate(value, start=1):
            yield from _flat(item, f"{key}[{number}]")
    elif isinstance(value, list):
        yield key, ", ".join(str(item) for item in value) or "none"
    else:
        yield key, "none" if value is None else str(value)


def _plain(value: Any) -> Any:
    """Converts values to types of JSON; numbers that are not finite become null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
