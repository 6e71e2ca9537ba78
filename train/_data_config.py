from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from sirtjax import phantom
from sirtjax.train._config import Count, Table


class SyntheticConfig(Table):
    """Digital patients, drawn anew for each step on the device that trains (`sirtjax.phantom.random_sample`).

    Attributes:
      kind: "synthetic".
      bank: the file of liver shapes (`sirtjax.phantom.save_shape_bank`); those it keeps back are validated on.
      synthesis: a preset of configs/synthesis by {preset = "name"} with keys to change, or a whole table.
      validation_cases: how many samples of held-back shapes are looked at.
    """

    kind: Literal["synthetic"]
    bank: Path
    synthesis: Any = Field(default_factory=lambda: phantom.load_synthesis_preset("default"))
    validation_cases: Count = 64

    @field_validator("synthesis", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        """The config of the samples from its table, or from a preset with changes."""
        if not isinstance(value, dict):
            raise ValueError(f"expected a table, got {value!r}")
        changes = dict(value)
        written = changes.pop("name", "default")  # of a table that a run wrote down
        name = str(changes.pop("preset", written))
        table = phantom.load_synthesis_preset(name).model_dump(mode="python", by_alias=True)
        table.pop("name")
        for key, new in changes.items():
            table[key] = {**table[key], **new} if isinstance(new, dict) and isinstance(table.get(key), dict) else new
        return phantom.synthesis_config(table, name=name)


DataConfig = SyntheticConfig
