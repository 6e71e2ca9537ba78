from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Real

from sirtjax.errors import ConfigError
from sirtjax.ops import namespace
from sirtjax.parsing import ParseError, parse_toml
from sirtjax.typing import Array


@dataclass(frozen=True, kw_only=True)
class DensityCurve:
    """CT number to mass density, linear between points and constant beyond them.

    A step table or one that falls somewhere makes the dose jump between neighbouring voxels (normal liver at
    1.12 g/mL is 6 % too little dose), so both CT number and density must rise.

    Attributes:
      name: the key of `density_curve`, or the name a site gives.
      source: source of the points: scanner, tube voltage, and who measured them.
      points: pairs of CT number in HU and density in g/mL.

    Raises:
      ConfigError: there are fewer than two points, or they are not finite, not rising or not positive in density.
    """

    name: str
    source: str
    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        table = np.asarray(self.points, np.float64)
        if table.ndim != 2 or table.shape[0] < 2 or table.shape[1] != 2 or not np.isfinite(table).all():
            raise ConfigError(
                f"density curve '{self.name}': points must be two or more pairs [HU, g/mL], got {self.points}"
            )
        if table[:, 1].min() <= 0:
            raise ConfigError(f"density curve '{self.name}': densities must be positive, got {table[:, 1].min():g}")
        falls = np.flatnonzero((np.diff(table, axis=0) <= 0).any(axis=1))
        if falls.size:
            before, after = table[falls[0]], table[falls[0] + 1]
            raise ConfigError(
                f"density curve '{self.name}': HU and g/mL must both rise, but "
                f"({before[0]:g}, {before[1]:g}) is followed by ({after[0]:g}, {after[1]:g}); "
                "correct the points"
            )

    @property
    def hu(self) -> tuple[float, ...]:
        """CT numbers of the points."""
        return tuple(hu for hu, _ in self.points)

    @property
    def density_g_per_ml(self) -> tuple[float, ...]:
        """Densities of the points."""
        return tuple(density for _, density in self.points)


def density_g_per_ml(hu: Real[Array, "*grid"], curve: DensityCurve) -> Float[Array, "*grid"]:
    """Computes the mass density of each voxel from its CT number.

    Args:
      hu: (i, j, k) CT numbers in Hounsfield units; padding values such as -3024 come out as the lowest point.
      curve: the scanner's calibration.

    Returns:
      (i, j, k) g/mL, between the curve's first and last density.
    """
    xp = namespace(hu)
    points = np.asarray(curve.points, np.float32)
    result: Float[Array, "*grid"] = xp.interp(xp.asarray(hu, np.float32), points[:, 0], points[:, 1]).astype(np.float32)
    return result


def read_density_curve(path: str | Path) -> DensityCurve:
    """Reads a density curve from a TOML file with the keys name, source and points.

    Raises:
      ConfigError: the file cannot be read, is not TOML, or contains wrong keys or points.
    """
    return _parse(Path(path))


def get_density_curve(name: str) -> DensityCurve:
    """Returns a bundled density curve by name.

    Raises:
      ConfigError: there is no density curve of this name; the message lists the names.
    """
    folder = resources.files("sirtjax.configs") / "dosimetry" / "density"
    files = {f.name.removesuffix(".toml"): f for f in folder.iterdir() if f.name.endswith(".toml")}
    if name not in files:
        raise ConfigError(f"unknown density curve '{name}'; choose one of {', '.join(sorted(files))}")
    return _parse(files[name])


def _parse(file: Traversable) -> DensityCurve:
    try:
        table: dict[str, Any] = parse_toml(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ParseError) as error:
        raise ConfigError(f"{file}: not a readable TOML density curve ({error})") from error
    if set(table) != {"name", "source", "points"}:
        raise ConfigError(f"{file}: a density curve has the keys name, source and points, got {', '.join(table)}")
    try:
        points = tuple((float(hu), float(density)) for hu, density in table["points"])
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{file}: points must be pairs [HU, g/mL] of numbers") from error
    return DensityCurve(name=str(table["name"]), source=str(table["source"]), points=points)
