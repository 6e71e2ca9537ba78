"""Sources of uncertainty: what is not known exactly, by how much, and how that is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from sirtjax.errors import InputError
from sirtjax.typing import Array, Numbers

Distribution = Literal["normal", "lognormal", "uniform"]
Evidence = Literal["measured", "assumed"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Source:
    """One source of uncertainty of a computation.

    An array is one source: its elements vary independently and share one line of the budget.

    Attributes:
      name: name of the argument that is uncertain.
      centre: (...) value without error, in its own unit.
      size: standard deviation in the unit of `centre`, one number or one per element. For "lognormal" it is that of
        the logarithm, which is close to the relative standard deviation.
      origin: publication or measurement that the size comes from.
      evidence: whether the size was measured for this patient or scanner, or is assumed.
      distribution: "normal"; "lognormal" for factors, with `centre` as median; "uniform" with the same standard
        deviation.
    """

    name: str
    centre: Numbers
    size: Numbers
    origin: str
    evidence: Evidence
    distribution: Distribution = "normal"

    def __post_init__(self) -> None:
        if not self.name or not self.origin.strip():
            raise InputError(f"source {self.name!r}: `name` and `origin` must not be empty")
        centre, size = np.asarray(self.centre), np.asarray(self.size)
        if not np.all(np.isfinite(centre)):
            raise InputError(f"source {self.name!r}: `centre` contains NaN or infinity")
        if not np.all(np.isfinite(size) & (size >= 0)):
            raise InputError(f"source {self.name!r}: expected a finite `size` of at least 0, got {size.tolist()}")
        if np.broadcast_shapes(centre.shape, size.shape) != centre.shape:
            raise InputError(f"source {self.name!r}: `size` {size.shape} does not fit the shape {centre.shape}")
        if self.distribution == "lognormal" and not np.all(centre > 0):
            raise InputError(f"source {self.name!r}: a lognormal source needs `centre` above 0, got {centre.tolist()}")

    @property
    def count(self) -> int:
        """Number of independent elements."""
        return int(np.size(self.centre))


def source_value(
    z: Float[Array, "..."], centre: Numbers, size: Numbers, distribution: Distribution
) -> Float[jax.Array, "..."]:
    """Computes the value of a source from a standard normal number.

    Args:
      z: (...) standard normal numbers; 0 gives `centre`.
      centre: (...) value without error.
      size: standard deviation, of the logarithm for "lognormal".
      distribution: distribution of the source, see `Source`.

    Examples:
      >>> from sirtjax import uncertainty
      >>> float(uncertainty.source_value(1.0, 100.0, 5.0, "normal"))
      105.0
    """
    middle, scaled = jnp.asarray(centre), jnp.asarray(size) * z
    found: jax.Array
    if distribution == "normal":
        found = middle + scaled
    elif distribution == "lognormal":
        found = middle * jnp.exp(scaled)
    else:  # a uniform distribution of half width sqrt(3) sd
        found = middle + jnp.asarray(size) * np.sqrt(3.0) * (2.0 * jax.scipy.stats.norm.cdf(z) - 1.0)
    return found


def check_sources(sources: Sequence[Source]) -> None:
    """Raises InputError without a source or if two have the same name."""
    names = [source.name for source in sources]
    if not names:
        raise InputError("sources: empty; a propagation needs at least one source of uncertainty")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"sources: {', '.join(map(repr, twice))} is named more than once")
