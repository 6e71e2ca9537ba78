"""The validation of a registration network: overlap of its livers, and error of a known displacement."""

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
      segmentation_dsc: Dice similarity of the liver that the network segments; NaN if it does not.
    """

    names: tuple[str, ...]
    dsc: Float[np.ndarray, " pairs"]
    error_mm: Float[np.ndarray, " pairs"]
    segmentation_dsc: Float[np.ndarray, " pairs"]

    @property
    def mean_dsc(self) -> float:
        """Mean over all pairs with a value; NaN if none has."""
        return _mean(self.dsc)

    @property
    def min_dsc(self) -> float:
        """Smallest value; NaN if there is none."""
        known = self.dsc[np.isfinite(self.dsc)]
        return float(known.min()) if known.size else float("nan")

    @property
    def mean_error_mm(self) -> float:
        """Mean over all pairs whose displacement is known; NaN if none is."""
        return _mean(self.error_mm)

    @property
    def mean_segmentation_dsc(self) -> float:
        """Mean over all pairs with a liver mask; NaN if the network does not segment."""
        return _mean(self.segmentation_dsc)


def make_joint_scores(
    network: CascadeConfig, *, spacing_mm: float
) -> Callable[[Variables, JointPair], tuple[float, float, float]]:
    """Returns a function from variables and a pair to DSC, error (mm) and DSC of the segmentation.

    All of them are of the last cascade.

    Args:
      network: the cascades.
      spacing_mm: distance between voxels along each axis.
    """
    spacing = (spacing_mm,) * 3

    @jax.jit
    def scores(variables: Variables, pair: JointPair) -> tuple[jax.Array, jax.Array, jax.Array]:
        outputs = networks.cascade_outputs(network, variables, *pair.sides(), spacing, start_mm=pair.start_mm)
        dsc, error_mm = displacement_scores(outputs.displacement_mm[-1], pair, spacing_mm=spacing_mm)
        if outputs.liver is None:
            return dsc, error_mm, jnp.float32(jnp.nan)
        seen, true = jnp.asarray(pair.seen), jnp.asarray(pair.reference_liver) > 0.5
        return dsc, error_mm, _dice((outputs.liver[-1] > 0.5) & seen, true & seen)

    def found(variables: Variables, pair: JointPair) -> tuple[float, float, float]:
        dsc, error_mm, segmentation_dsc = scores(variables, pair)
        return float(dsc), float(error_mm), float(segmentation_dsc)

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
    dsc = jnp.where(jnp.any(pair.floating_liver > 0.5), _dice(one, two), jnp.nan)
    if pair.displacement_mm is None:
        return dsc, jnp.float32(jnp.nan)
    missed = jnp.sqrt(jnp.sum((field_mm - pair.displacement_mm) ** 2, axis=-1))
    size = jnp.sum(two)
    known = (size > 0) if pair.known is None else (size > 0) & pair.known
    error = jnp.sum(missed * two) / jnp.maximum(size, 1)
    return dsc, jnp.where(known, error, jnp.nan)


def _dice(found: jax.Array, true: jax.Array) -> jax.Array:
    """Dice similarity, NaN if the true mask is empty."""
    dice = 2.0 * jnp.sum(found & true) / jnp.maximum(jnp.sum(found) + jnp.sum(true), 1)
    return jnp.where(jnp.any(true), dice, jnp.nan)


def _mean(values: Float[np.ndarray, " pairs"]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")
