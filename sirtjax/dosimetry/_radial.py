from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from sirtjax.errors import ConfigError
from sirtjax.typing import Numbers, Scalar

# Electrons per gram of liver over those of water, from the composition of adult liver in ICRU Report 46 (1992): H 10.2,
# C 13.9, N 3.0, O 71.6, Na 0.2, P 0.3, S 0.3, Cl 0.2, K 0.3 % of mass. Muscle and soft tissue give the same to 0.001.
TISSUE_ELECTRONS_PER_WATER = 0.991

_FILES = {
    "y90-graves2019-water": "y90_graves2019_water.csv",
    "ho166-derived-water": "ho166_derived_water.csv",
}


@dataclass(frozen=True, kw_only=True)
class RadialKernel:
    """Energy that a point source in an infinite medium leaves in the spherical shells about it.

    The shells end where the betas do. What the publication has beyond them, or lost in rounding, is
    bremsstrahlung that mostly leaves the liver; `fractions` counts it in proportion to the shells, so that
    the energy of a decay is neither lost nor made, at the price of a dose too high by `untabulated_fraction`
    close to the source.

    Attributes:
      name: the key of `radial_kernel`.
      source: the publication.
      medium_density_g_per_ml: density of the medium it was computed in, water.
      total_energy_mev: published energy per decay within all radii.
      outer_radius_mm: rising outer radii of the shells; the first shell starts at 0.
      energy_mev: energy per decay in each shell.
    """

    name: str
    source: str
    medium_density_g_per_ml: float
    total_energy_mev: float
    outer_radius_mm: tuple[float, ...]
    energy_mev: tuple[float, ...]

    @property
    def range_mm(self) -> float:
        """Outer radius of the last shell."""
        return self.outer_radius_mm[-1]

    @property
    def untabulated_fraction(self) -> float:
        """Fraction of the published energy that the shells do not hold."""
        return 1.0 - sum(self.energy_mev) / self.total_energy_mev

    @property
    def radius_mm(self) -> Float[np.ndarray, " shells"]:
        """Middle radius of each shell."""
        edges = np.asarray((0.0, *self.outer_radius_mm))
        middle: NDArray[np.float64] = (edges[1:] + edges[:-1]) / 2
        return middle

    @property
    def fractions(self) -> Float[np.ndarray, " shells"]:
        """Fraction of the energy in each shell; their sum is 1."""
        energy = np.asarray(self.energy_mev)
        share: NDArray[np.float64] = energy / energy.sum()
        return share


@cache
def get_radial_kernel(name: str) -> RadialKernel:
    """Returns a bundled radial dose point kernel by name.

    Raises:
      ConfigError: there is no kernel of this name; the message lists the names.
    """
    if name not in _FILES:
        raise ConfigError(f"unknown radial kernel '{name}'; choose one of {', '.join(_FILES)}")
    text = (resources.files("sirtjax.dosimetry") / "data" / _FILES[name]).read_text(encoding="utf-8")
    lines = text.splitlines()
    header = [line.removeprefix("# ") for line in lines if line.startswith("#")]
    values = dict(line.split(" = ") for line in header if " = " in line)
    rows = [line.split(",") for line in lines if line and not line.startswith("#")]
    return RadialKernel(
        name=name,
        source=next(line.removeprefix("Source: ") for line in header if line.startswith("Source: ")),
        medium_density_g_per_ml=float(values["medium_density_g_per_ml"]),
        total_energy_mev=float(values["total_energy_mev"]),
        outer_radius_mm=tuple(float(radius) for radius, _ in rows),
        energy_mev=tuple(float(energy) for _, energy in rows),
    )


def radius_scale(radial: RadialKernel, medium_density_g_per_ml: Numbers) -> Numbers:
    """Returns the radii of the point kernel in soft tissue of a density, relative to water.

    Betas lose energy to electrons, of which a gram of soft tissue holds 0.9 % fewer than a gram of water; so
    radii scale inversely with the density of electrons, not of mass. Scaling by mass makes the range 1 % short. That
    hardly moves self values, but where only the end of the range reaches it costs 7 % (6 mm voxels, offset 0 0 2).
    """
    return radial.medium_density_g_per_ml / (medium_density_g_per_ml * TISSUE_ELECTRONS_PER_WATER)


def sphere_self_fraction(
    sphere_radius_mm: Numbers, *, radial: RadialKernel, medium_density_g_per_ml: Scalar
) -> Float[jax.Array, "..."]:
    """Computes the energy fraction that a uniformly active sphere absorbs, in a uniform medium.

    Its mean dose over that of local deposition, if the background is cold. Exact for any isotropic kernel:
    the chance that a random point of the sphere, moved by r in a random direction, is still inside.

    Args:
      sphere_radius_mm: radius, positive; any shape.
      radial: point kernel.
      medium_density_g_per_ml: density inside and around, of soft tissue.

    Returns:
      Share in [0, 1], shape of `sphere_radius_mm`.
    """
    r = jnp.asarray(radial.radius_mm, jnp.float32)[None] * radius_scale(radial, medium_density_g_per_ml)
    fraction = jnp.asarray(radial.fractions, jnp.float32)
    sphere = jnp.asarray(sphere_radius_mm, jnp.float32)
    x = jnp.minimum(r / sphere.reshape(-1, 1), 2.0)
    kept = jnp.sum(fraction[None] * (1.0 - 0.75 * x + x**3 / 16.0), axis=-1)
    return kept.reshape(sphere.shape)
