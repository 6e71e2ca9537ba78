"""The gamma index of two dose maps: agreement in dose or in distance (Low et al. 1998)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Float32
from numpy.typing import NDArray

from sirtjax.errors import InputError
from sirtjax.ops import FlatGrid, sample_flat_linear

Scope = Literal["local", "global"]

# Fixed shapes, so that all patients share one program: points and offsets of one call.
CHUNK, BLOCK = 4096, 256
# Voxels by which a point may be outside through rounding.
ROUNDING = 1e-3
# Beyond this value the search ends; larger indices are reported as this value.
MAX_GAMMA = 2.0
# Fraction of the distance between two searched points (Wendling et al. 2007, doi:10.1118/1.2721657).
STEP_FRACTION = 0.1


@dataclass(frozen=True, kw_only=True)
class GammaCriteria:
    """The criteria of a gamma analysis.

    Attributes:
      dose_percent: accepted dose difference, % of the normalisation.
      distance_mm: accepted distance, mm.
      scope: normalisation of the dose difference: "global" by one dose, "local" by the reference dose of each voxel.
      threshold_percent: reference doses below this percentage of the normalisation dose are not evaluated.
    """

    dose_percent: float = 5.0
    distance_mm: float = 5.0
    scope: Scope = "global"
    threshold_percent: float = 10.0


@dataclass(frozen=True, kw_only=True, eq=False)
class GammaMap:
    """The gamma index of each evaluated voxel.

    Attributes:
      values: (i, j, k) gamma index, at most `max_gamma`; NaN in voxels that were not evaluated.
      criteria: criteria of the analysis.
      normalisation_gy: dose that percentages of a global analysis and of the threshold refer to, Gy.
      max_gamma: end of the search; larger indices have this value.
    """

    values: Float32[np.ndarray, "i j k"]
    criteria: GammaCriteria
    normalisation_gy: float
    max_gamma: float

    @property
    def voxels(self) -> int:
        """Number of evaluated voxels."""
        return int(np.isfinite(self.values).sum())

    @property
    def passed_fraction(self) -> float:
        """Fraction of the evaluated voxels with an index of at most 1; NaN if none was evaluated."""
        found = self.values[np.isfinite(self.values)]
        return float((found <= 1.0).mean()) if found.size else float("nan")


def gamma_index(
    reference_gy: Float[np.ndarray, "i j k"],
    evaluated_gy: Float[np.ndarray, "i j k"],
    spacing_mm: Sequence[float],
    *,
    criteria: GammaCriteria | None = None,
    within: Bool[np.ndarray, "i j k"] | None = None,
    max_gamma: float = MAX_GAMMA,
    step_fraction: float = STEP_FRACTION,
) -> GammaMap:
    """Computes the gamma index of each voxel of a reference dose against an evaluated dose.

    The index is the smallest distance, in units of the criteria, between the reference voxel and any point of the
    evaluated dose, which is interpolated linearly on a lattice of `step_fraction` of the accepted distance. The
    index is never too small. It is too large by less than 0.87 * step_fraction * sqrt(1 + g^2), where g is the slope
    of the dose times the accepted distance divided by the accepted dose difference.

    Args:
      reference_gy: (i, j, k) reference dose, such as the planned one, Gy.
      evaluated_gy: (i, j, k) dose on the same grid that is searched, such as the delivered one, Gy.
      spacing_mm: voxel size along i, j, k; the axes are assumed to be perpendicular.
      criteria: dose difference, distance, scope and threshold. Default: 5 %, 5 mm, global, 10 %.
      within: (i, j, k) voxels to evaluate. Default: all voxels.
      max_gamma: end of the search, above 1; larger indices are reported as this value.
      step_fraction: distance between searched points as a fraction of the accepted distance.

    Raises:
      InputError: grids of different shapes, a criterion that is not positive, a dose that is not finite, or a
        reference dose of zero.

    Reference:
      Low et al., Med Phys 25 (1998) 656, doi:10.1118/1.598248.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import metrics
      >>> dose = np.full((8, 8, 8), 100.0, np.float32)
      >>> one = metrics.GammaCriteria(dose_percent=5.0, distance_mm=5.0, scope="global")
      >>> found = metrics.gamma_index(dose, 1.04 * dose, (3.0, 3.0, 3.0), criteria=one)
      >>> round(float(found.values.max()), 2), found.passed_fraction  # 4 % of a uniform dose is 0.8 of 5 %
      (0.8, 1.0)
    """
    chosen = criteria or GammaCriteria()
    reference, evaluated = np.asarray(reference_gy, np.float32), np.asarray(evaluated_gy, np.float32)
    region = np.ones(reference.shape, bool) if within is None else np.asarray(within, bool)
    _check(reference, evaluated, region, chosen, max_gamma, step_fraction)
    values = np.full(reference.shape, np.nan, np.float32)
    if not region.any():
        return GammaMap(values=values, criteria=chosen, normalisation_gy=0.0, max_gamma=max_gamma)
    highest = float(reference[region].max())
    if highest <= 0:
        raise InputError("the reference dose is zero in the evaluated region; check the dose map")
    region = region & (reference >= np.float32(chosen.threshold_percent / 100 * highest)) & (reference > 0)
    place = np.argwhere(region).astype(np.float32)
    dose = reference[region]
    allowed = chosen.dose_percent / 100 * (dose if chosen.scope == "local" else np.full_like(dose, highest))
    values[region] = _search(
        evaluated,
        place,
        dose,
        allowed.astype(np.float32),
        np.asarray(spacing_mm, np.float64),
        chosen.distance_mm,
        max_gamma,
        step_fraction,
    )
    return GammaMap(values=values, criteria=chosen, normalisation_gy=highest, max_gamma=max_gamma)


def _check(
    reference: NDArray[np.float32],
    evaluated: NDArray[np.float32],
    region: NDArray[np.bool_],
    criteria: GammaCriteria,
    max_gamma: float,
    step_fraction: float,
) -> None:
    if not reference.shape == evaluated.shape == region.shape:
        raise InputError(
            f"doses of shape {reference.shape} and {evaluated.shape}, region {region.shape}; resample them to one grid"
        )
    for name, value in (
        ("dose_percent", criteria.dose_percent),
        ("distance_mm", criteria.distance_mm),
        ("step_fraction", step_fraction),
    ):
        if not value > 0:
            raise InputError(f"{name}: not positive ({value}); a gamma index needs a positive number")
    if not max_gamma > 1:
        raise InputError(f"max_gamma: not above 1 ({max_gamma}); voxels that fail must have an index above 1")
    if not (np.isfinite(reference).all() and np.isfinite(evaluated).all()):
        raise InputError("a dose map has voxels that are NaN or infinite; replace them")


def _search(
    evaluated: NDArray[np.float32],
    place: NDArray[np.float32],
    dose: NDArray[np.float32],
    allowed: NDArray[np.float32],
    spacing_mm: NDArray[np.float64],
    distance_mm: float,
    max_gamma: float,
    step_fraction: float,
) -> NDArray[np.float32]:
    """The smallest index of each point, from the nearest offsets outwards: a point ends where no offset can be less."""
    grid = _padded(evaluated)
    offsets, squares = _offsets(max_gamma, step_fraction)
    steps = (offsets * distance_mm / spacing_mm).astype(np.float32)
    best = np.full(dose.shape, np.float32(max_gamma**2))
    open_points = np.arange(dose.size)
    for start in range(0, len(squares), BLOCK):
        open_points = open_points[best[open_points] > squares[start]]
        if not open_points.size:
            break
        block = slice(start, start + BLOCK)
        for first in range(0, open_points.size, CHUNK):
            chosen = open_points[first : first + CHUNK]
            fill = np.zeros(CHUNK, np.int64)
            fill[: chosen.size] = chosen
            found = _nearest(grid, place[fill], dose[fill], allowed[fill], steps[block], squares[block])
            best[chosen] = np.minimum(best[chosen], np.asarray(found)[: chosen.size])
    return np.sqrt(best)


def _offsets(max_gamma: float, step_fraction: float) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Lattice points of a ball in units of the distance, by rising distance, and the squares of their distances."""
    reach = int(np.floor(max_gamma / step_fraction + 1e-6))
    line = np.arange(-reach, reach + 1) * step_fraction
    lattice = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    squares = (lattice**2).sum(axis=1)
    order = np.argsort(squares, kind="stable")
    order = order[squares[order] <= (max_gamma * (1 + 1e-6)) ** 2]
    # Whole blocks: the last offset is repeated.
    order = np.concatenate([order, np.full(-len(order) % BLOCK, order[-1])])
    return lattice[order], squares[order].astype(np.float32)


def _padded(dose: NDArray[np.float32]) -> FlatGrid:
    """The dose in a row with room up to a power of two, and its shape as data: grids of one size share a program."""
    flat = np.zeros(1 << int(dose.size - 1).bit_length(), np.float32)
    flat[: dose.size] = dose.ravel()
    shape = np.asarray(dose.shape, np.int32)
    # Between the centres of the outer voxels only: beyond them the dose would be extrapolated.
    low = np.full(3, -ROUNDING, np.float32)
    return FlatGrid(jnp.asarray(flat), jnp.asarray(shape), jnp.asarray(low), jnp.asarray(shape - 1 - low))


@jax.jit
def _nearest(
    grid: FlatGrid,
    place: Float32[jax.Array, "points 3"],
    dose: Float32[jax.Array, " points"],
    allowed: Float32[jax.Array, " points"],
    steps: Float32[jax.Array, "offsets 3"],
    squares: Float32[jax.Array, " offsets"],
) -> Float32[jax.Array, " points"]:
    """The smallest squared index of each point over one block of offsets; beyond the grid the dose is unknown."""

    def one(
        best: Float32[jax.Array, " points"], offset: tuple[jax.Array, jax.Array]
    ) -> tuple[Float32[jax.Array, " points"], None]:
        step, square = offset
        at = (place[:, 0] + step[0], place[:, 1] + step[1], place[:, 2] + step[2])
        difference = (sample_flat_linear(grid, at, fill=jnp.inf) - dose) / allowed
        return jnp.minimum(best, difference * difference + square), None

    best, _ = jax.lax.scan(one, jnp.full(dose.shape, jnp.inf, jnp.float32), (steps, squares))
    return best
