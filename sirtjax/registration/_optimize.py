from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Float, PyTree, Shaped

from sirtjax.typing import Array, Scalar

Parameters: TypeAlias = PyTree
# (parameters, sample) -> (value, its terms).
Objective = Callable[[Parameters, Shaped[Array, "*sample"]], tuple[Float[Array, ""], Float[Array, " terms"]]]

# Adam forgets slopes after about ten steps and their size after a hundred, and ends at a twentieth of its first step.
MOMENTUM, SIZE_MEMORY, LAST_STEP = 0.9, 0.99, 0.05
# Adam divides by the root of its squared slopes. Where a slope is always zero, this gives that root a derivative, and
# changes no step.
ROOT_FLOOR = 1e-24


def minimise(
    objective: Objective, parameters: Parameters, samples: Shaped[Array, " steps *sample"], *, step_mm: Scalar
) -> tuple[Parameters, Float[Array, "steps terms"]]:
    """Minimises an objective with Adam and a cosine decay, as a scan of fixed length.

    This is the only loop of a registration. Pure; not jitted here.

    Differentiable in what the objective closes over. Of each step only the parameters and Adam's state are kept for
    that, and the rest is recomputed.

    A step whose value or gradient is not finite is skipped: the parameters and Adam's state stay unchanged, the next
    step continues from them, and the history holds NaN for the value of the skipped step.

    Args:
      objective: (parameters, sample) -> (value, terms (t,)).
      parameters: initial parameters, in units of mm.
      samples: (steps, ...) random sample of each step, drawn beforehand: a generator within the loop would add hundreds
        of operations to every step.
      step_mm: size of the first steps.

    Returns:
      The parameters after the last step, and the history (steps, 1 + t) of the value and its terms.
    """
    steps = samples.shape[0]
    schedule = optax.cosine_decay_schedule(step_mm, steps, alpha=LAST_STEP)
    optimiser = optax.adam(schedule, b1=MOMENTUM, b2=SIZE_MEMORY, eps_root=ROOT_FLOOR)

    @partial(jax.checkpoint, prevent_cse=False)
    def step(carry: Any, sample: Array) -> tuple[Any, Array]:
        parameters, state = carry
        (value, terms), slope = jax.value_and_grad(objective, has_aux=True)(parameters, sample)
        updates, later = optimiser.update(slope, state)
        moved = optax.apply_updates(parameters, updates)
        finite = jnp.isfinite(value) & jnp.isfinite(sum(jnp.vdot(one, one) for one in jax.tree.leaves(slope)))
        kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), (moved, later), (parameters, state))
        # A slope that overflows must show in the history too, where the value may still be finite.
        return kept, jnp.concatenate([jnp.where(finite, value, jnp.nan)[None], terms])

    (parameters, _), history = jax.lax.scan(step, (parameters, optimiser.init(parameters)), samples)
    return parameters, history
