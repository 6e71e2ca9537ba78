"""A registration in numbers: what result.json holds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from sirtjax.registration import RegistrationResult

SCHEMA = 2
# Loss values keep the digits that float32 has.
LOSS_DIGITS = 7


def registration_record(result: RegistrationResult, *, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Returns all values of a registration except its transform, ready for JSON.

    Values that are not finite become None.

    Args:
      result: the registration.
      provenance: where it comes from: inputs with hashes, versions, preset, seconds. Added as it is.

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
    plain = _plain(record)
    return dict(plain)


def status_name(result: RegistrationResult) -> str:
    """Returns the status as written and shown, for example "affine rejected"."""
    return str(result.status.name).lower().replace("_", " ")


def flat_settings(config: Any) -> list[tuple[str, str]]:
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
    """JSON's own types, and null for what is not finite."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
