"""The grid of a weight search: keys of a preset and their values."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sirtjax.errors import ConfigError
from sirtjax.parsing import ParseError, parse_toml

if TYPE_CHECKING:
    from sirtjax.registration import RegistrationConfig

WEIGHTS = "weights."
# The searches of the thesis: over both weights where masks guide, over the images' alone where none do.
DEFAULT_VALUES = "0,0.3,1,3,10"
DEFAULT_GUIDED, DEFAULT_FREE = ("weights.image", "weights.masks"), ("weights.image",)


@dataclass(frozen=True, kw_only=True)
class GridPoint:
    """One point.

    Attributes:
      settings: the swept keys and their values, as text.
      config: the preset with them.
    """

    settings: Mapping[str, str]
    config: RegistrationConfig


@dataclass(frozen=True, kw_only=True)
class Grid:
    """All points, and their axes.

    Attributes:
      axes: key -> its values, as text.
      points: all combinations, the last axis running fastest.
    """

    axes: Mapping[str, tuple[str, ...]]
    points: tuple[GridPoint, ...]

    @property
    def swept(self) -> tuple[str, ...]:
        """The swept weights by their short names; the image's where none is, for the one axis a sweep needs."""
        return tuple(key.removeprefix(WEIGHTS) for key in self.axes if key.startswith(WEIGHTS)) or ("image",)

    def structures(self) -> list[list[GridPoint]]:
        """Returns the points grouped by compiled program: points of a group differ in traced weights only."""
        found: dict[Any, list[GridPoint]] = {}
        for point in self.points:
            found.setdefault(point.config.structure(), []).append(point)
        return list(found.values())


def make_grid(config: RegistrationConfig, given: Sequence[str]) -> Grid:
    """Returns the grid of KEY=VALUES texts, or the default grid; every point is checked.

    Raises:
      ConfigError: the text does not have this form, contains a key twice, or a value that the preset does not allow.

    Examples:
      >>> from sirtjax import registration, studies
      >>> grid = studies.make_grid(registration.load_preset("cnn"), ["weights.image=0.3,1,3", "weights.masks=1,2"])
      >>> len(grid.points), dict(grid.points[0].settings)
      (6, {'weights.image': '0.3', 'weights.masks': '1'})
    """
    from sirtjax import registration

    keys = DEFAULT_FREE if config.guidance.masks == "none" else DEFAULT_GUIDED
    axes: dict[str, tuple[str, ...]] = {}
    for text in given or [f"{key}={DEFAULT_VALUES}" for key in keys]:
        key, equals, values = (part.strip() for part in text.partition("="))
        if not equals or not values:
            raise ConfigError(f"--grid {text}: expected a key and its values, such as weights.image=0,0.3,1,3")
        if key in axes:
            raise ConfigError(f"--grid {text}: {key} is there twice; give all its values at once")
        axes[key] = _values(values)
    points = []
    for combination in itertools.product(*axes.values()):
        settings = dict(zip(axes, combination, strict=True))
        try:
            changed = registration.apply_overrides(config, [f"{key}={value}" for key, value in settings.items()])
        except ConfigError as error:
            raise ConfigError(str(error).replace("--set", "--grid")) from error
        points.append(GridPoint(settings=settings, config=changed))
    return Grid(axes=axes, points=tuple(points))


def _values(text: str) -> tuple[str, ...]:
    """The values of a list without its brackets, each once, as text that TOML reads; words need no quotes."""
    try:
        values: Any = parse_toml(f"values = [{text}]")["values"]
    except ParseError:
        values = [part.strip() for part in text.split(",") if part.strip()]
    # 0 and 0.0 are one value.
    return tuple(dict.fromkeys(_plain(value) for value in values))


def _plain(value: Any) -> str:
    if isinstance(value, float | int) and not isinstance(value, bool):
        return f"{value:.12g}"
    return value if isinstance(value, str) else json.dumps(value, default=str)
