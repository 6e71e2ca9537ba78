"""The choice between several starts, by the affine stage from each."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np

from sirtjax.registration._config import RegistrationConfig
from sirtjax.registration._ready import Ready
from sirtjax.registration._result import RegistrationResult, Status
from sirtjax.registration._solve import Solution, solve_compiled, weights_from_config
from sirtjax.registration._start_field import affine_stage_of

OTHER_START = "started from another alignment than the search chose: the images agree better after the affine stage"
# The affine map of a candidate must keep this fraction of the compared nodes inside the floating image.
LEAST_OVERLAP = 0.3


def solved_host(ready: Ready, *, config: RegistrationConfig, seed: int) -> Solution:
    """Returns the solution of a patient in NumPy arrays."""
    solution = solve_compiled(
        ready.pair,
        weights_from_config(config.weights),
        jax.random.key(seed),
        config=config.structure(),
        start=ready.coefficients,
    )
    found: Solution = jax.tree.map(np.asarray, jax.block_until_ready(solution))
    return found


def with_better_start(ready: Ready, *, config: RegistrationConfig, seed: int) -> Ready:
    """Returns the patient with the start from which the affine stage makes the images agree best.

    The coarse search compares small fields of view less reliably than the affine stage. A patient without other starts
    is returned unchanged, at no cost.

    Args:
      ready: result of `make_ready`.
      config: preset.
      seed: seed of the affine stage.
    """
    if not ready.other_starts or config.affine.model == "none":
        return ready
    only = affine_stage_of(config)
    best, least = ready, _disagreement(solved_host(ready, config=only, seed=seed))
    for start in ready.other_starts:
        other = replace(ready.from_start(start, config=config), notes=(*ready.notes, OTHER_START))
        value = _disagreement(solved_host(other, config=only, seed=seed))
        if value < least:
            best, least = other, value
    return best


def successful(again: RegistrationResult, first: RegistrationResult) -> RegistrationResult:
    """Returns the result of a restart if it is a success, otherwise the first one.

    A restart that succeeds except for a landmark in doubt is returned too.

    Args:
      again: result of the restart.
      first: result that it is to replace.
    """
    return again if again.status in (Status.SUCCESS, Status.MASK_IN_DOUBT) else first


def _disagreement(solution: Solution) -> float:
    """The image term after the affine stage; infinite if it is not finite or the images hardly overlap."""
    value = float(solution.terms[1, 0])
    return value if np.isfinite(value) and float(solution.overlap) >= LEAST_OVERLAP else np.inf
