"""The best preset of a weight search as TOML, with a header that states how it was found."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sirtjax.registration import RegistrationConfig

WIDTH = 110


def preset_toml(config: RegistrationConfig, header: Sequence[str]) -> str:
    """Returns a preset as TOML, as `--config` reads it.

    Args:
      config: the preset; its name is the file's.
      header: lines of comment.

    Examples:
      >>> from sirtjax import registration, studies
      >>> text = studies.preset_toml(registration.load_preset("cnn"), ["best of the search"])
      >>> text.splitlines()[0], "[weights]" in text
      ('# best of the search', True)
    """
    table = config.model_dump(mode="json", by_alias=True, exclude_none=True)
    table.pop("name")
    lines = [f"# {line}" for line in header]
    lines += [f"{key} = {_value(value)}" for key, value in table.items() if not isinstance(value, dict)]
    for name, values in table.items():
        if isinstance(values, dict):
            lines += ["", f"[{name}]", *(f"{key} = {_value(value)}" for key, value in values.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        items = [_value(item) for item in value]
        line = f"[{', '.join(items)}]"
        return line if len(line) <= WIDTH else "[\n" + "".join(f"    {item},\n" for item in items) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    # JSON's strings, numbers and booleans are TOML's too.
    return json.dumps(value, ensure_ascii=False)
