"""The validation of a registration network: overlap of the warped liver, and error of a known displacement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from sirtjax import networks, spatial
from sirtjax.networks import CascadeConfig
from sirtjax.train._joint_loss import JointPair
from sirtjax.train._state import Variables


@dataclass(frozen=True, kw_only=True)
class JointScores:
    """Scores of each validation pair.

    Attributes:
      names: names of the pairs.
      dsc: Dice similarity of the warped and the reference liver where both images show the patient; NaN if a liver is
        missing.
      error_mm: mean distance to the known displacement in the liver; NaN if it is not known.
    """

    names: tuple[str, ...]
    dsc: Float[np.ndarray, " pairs"]
    error_mm: Float[np.ndarray, " pairs"]

    @property
    def mean_dsc(self) -> float:
        """Mean over all pairs with a value; NaN if none has."""
        known = self.dsc[np.isfinite(self.dsc)]
        return float(known.mean()) if known.size else float("nan")

    @property
    def min_dsc(self) -> float:
        """Smallest value; NaN if there is none."""
        known = self.dsc[np.isfinite(self.dsc)]
        return float(known.min()) if known.size else float("nan")

    @property
    def mean_error_mm(self) -> float:
        """Mean over all pairs whose displacement is known; NaN if none is."""
        known = self.error_mm[np.isfinite(self.error_mm)]
        return float(known.mean()) if known.size else float("nan")


def make_joint_scores(
    network: CascadeConfig, *, spacing_mm: float
) -> Callable[[Variables, JointPair], tuple[float, float]]:
    """Returns a function from variables and a pair to the DSC and the error (mm) of the last displacement.

    Args:
      network: the cascades.
      spacing_mm: distance between voxels along each axis.
    """
    spacing = (spacing_mm,) * 3

    @jax.jit
    def scores(variables: Variables, pair: JointPair) -> tuple[jax.Array, jax.Array]:
        fields = networks.cascade_displacements(network, variables, *pair.sides(), spacing, start_mm=pair.start_mm)
        return displacement_scores(fields[-1], pair, spacing_mm=spacing_mm)

    def found(variables: Variables, pair: JointPair) -> tuple[float, float]:
        dsc, error_mm = scores(variables, pair)
        return float(dsc), float(error_mm)

    return found


def displacement_scores(
    field_mm: Float[jax.Array, "i j k 3"], pair: JointPair, *, spacing_mm: float
) -> tuple[Float[jax.Array, ""], Float[jax.Array, ""]]:
    """Returns the DSC of the warped liver and the mean error in the liver (mm).

    Args:
      field_mm: (i, j, k, 3) displacement along the axes of the grid.
      pair: images and livers.
      spacing_mm: distance between voxels along each axis.

    Returns:
      Both scores, NaN if a liver is missing or the displacement is not known.
    """
    seen = jnp.asarray(pair.seen)
    warped = spatial.sample_on_grid(pair.floating_liver[..., None], field_mm, (spacing_mm,) * 3)[..., 0]
    one, two = (warped > 0.5) & seen, (jnp.asarray(pair.reference_liver) > 0.5) & seen
    sizes = jnp.sum(one), jnp.sum(two)
    dsc = 2.0 * jnp.sum(one & two) / jnp.maximum(sizes[0] + sizes[1], 1)
    dsc = jnp.where(jnp.any(pair.floating_liver > 0.5) & (sizes[1] > 0), dsc, jnp.nan)
    if pair.displacement_mm is None:
        return dsc, jnp.float32(jnp.nan)
    missed = jnp.sqrt(jnp.sum((field_mm - pair.displacement_mm) ** 2, axis=-1))
    known = (sizes[1] > 0) if pair.known is None else (sizes[1] > 0) & pair.known
    error = jnp.sum(missed * two) / jnp.maximum(sizes[1], 1)
    return dsc, jnp.where(known, error, jnp.nan)
