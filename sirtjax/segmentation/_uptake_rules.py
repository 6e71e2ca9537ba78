from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

from sirtjax.errors import ConfigError
from sirtjax.parsing import parse_toml


@dataclass(frozen=True, kw_only=True)
class UptakeRule:
    """A rule that segments lesions by uptake; the numbers that its kind doesn't use are None.

    Attributes:
      name: key in `configs/segmentation/uptake.toml`.
      kind: "fixed", "of-maximum" or "liver-reference".
      source: source of the rule.
      threshold: threshold in SUV, for "fixed".
      fraction: fraction of the maximum, for "of-maximum".
      mean_factor: factor on the mean of the reference, for "liver-reference".
      sd_factor: factor on the standard deviation of the reference.
      sphere_diameter_mm: diameter of the reference sphere.
    """

    name: str
    kind: Literal["fixed", "of-maximum", "liver-reference"]
    source: str
    threshold: float | None = None
    fraction: float | None = None
    mean_factor: float | None = None
    sd_factor: float | None = None
    sphere_diameter_mm: float | None = None


def get_uptake_rule(name: str) -> UptakeRule:
    """Returns the uptake rule with this name.

    Raises:
      ConfigError: no rule has that name.

    Examples:
      >>> from sirtjax import segmentation
      >>> rules = [segmentation.get_uptake_rule(name) for name in segmentation.list_uptake_rules()]
      >>> sorted({rule.kind for rule in rules})
      ['fixed', 'liver-reference', 'of-maximum']
    """
    known = _table()
    if name not in known:
        raise ConfigError(f"no uptake rule is named {name!r}; known: {', '.join(known)}")
    return UptakeRule(name=name, **known[name])


def list_uptake_rules() -> tuple[str, ...]:
    """Names of all uptake rules."""
    return tuple(_table())


@cache
def _table() -> dict[str, dict[str, Any]]:
    text = (resources.files("sirtjax.configs") / "segmentation" / "uptake.toml").read_text("utf-8")
    table: dict[str, Any] = parse_toml(text)
    return table
