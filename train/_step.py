from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Float, PRNGKeyArray, PyTree, Real

from sirtjax.train._config import Recipe
from sirtjax.train._devices import divided, replicated
from sirtjax.train._objective import objective
from sirtjax.train._optimiser import learning_rate, make_optimiser
from sirtjax.train._state import TrainState, Variables
from sirtjax.typing import Array

Images = Float[jax.Array, "n i j k channels"]
# (variables, images, key) to (outputs, statistics); an output may have fewer voxels than the images.
Forward = Callable[[Variables, Images, PRNGKeyArray], tuple[tuple[Float[Array, "n _ _ _ classes"], ...], PyTree]]
# (key, feed, part) to (images, onehot) of one part of the batch.
Prepare = Callable[
    [PRNGKeyArray, PyTree, Real[Array, ""]], tuple[Float[Array, "n i j k channels"], Float[Array, "n i j k classes"]]
]
Metrics = dict[str, Float[Array, ""]]
Step = Callable[[TrainState, PyTree], tuple[TrainState, Metrics]]


def make_step(
    forward: Forward, prepare: Prepare, *, recipe: Recipe, mesh: Mesh, steps_per_epoch: int
) -> jax.stages.Wrapped:
    """Returns one update as a compiled function of the state and of the batch.

    The state is given up to the function: its memory is used for the result. All devices compute one program over
    a batch divided among them, so that means over the batch are the same as on one device except for rounding.

    Args:
      forward: network in training mode.
      prepare: function from the input of a step to images and labels, on the device; called once for each part of the
        batch.
      recipe: loss, optimiser and course.
      mesh: devices.
      steps_per_epoch: number of steps of an epoch, for the learning rate.

    Returns:
      A function from (state, feed) to the next state and "loss", "gradient_norm" and "learning_rate".
    """
    tx = make_optimiser(recipe.optimiser)
    trainer = recipe.trainer

    def loss_of(params: Any, statistics: Any, images: Array, onehot: Array, key: jax.Array) -> tuple[Array, Any]:
        variables = {"params": _as(params, trainer.precision), "statistics": statistics}
        outputs, after = forward(variables, _as(images, trainer.precision), key)
        full = tuple(logits.astype(jnp.float32) for logits in outputs)
        return objective(full, onehot, config=recipe.loss), _as(after, "float32")

    def part_of(state: TrainState, statistics: Any, key: Array, feed: Any, part: Array) -> tuple[Array, Any, Any]:
        to_sample, to_network = jax.random.split(jax.random.fold_in(key, part))
        images, onehot = (divided(x, mesh) for x in prepare(to_sample, feed, part))
        run = jax.value_and_grad(loss_of, has_aux=True)
        (loss, after), gradients = run(state.variables["params"], statistics, images, onehot, to_network)
        return loss, after, gradients

    def step(state: TrainState, feed: Any) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(jax.random.wrap_key_data(jnp.asarray(state.key)), state.step)
        loss, statistics, gradients = _over_parts(
            lambda statistics, part: part_of(state, statistics, key, feed, part),
            state.variables,
            trainer.accumulation_steps,
        )
        rate = learning_rate(
            state.step,
            state.plateau,
            config=recipe.optimiser,
            steps=trainer.epochs * steps_per_epoch,
            steps_per_epoch=steps_per_epoch,
        )
        params = state.variables["params"]
        direction, moments = tx.update(gradients, state.optimiser, params)
        params = jax.tree.map(lambda p, d: p + rate * d, params, direction)
        after = replace(
            state,
            step=state.step + 1,
            variables={"params": params, "statistics": statistics},
            average=_averaged(state.average, params, state.step, recipe.optimiser.ema_decay),
            optimiser=moments,
        )
        metrics = {"loss": loss, "gradient_norm": _length(gradients), "learning_rate": rate}
        return after, metrics

    everywhere = replicated(mesh)
    return jax.jit(step, donate_argnums=0, out_shardings=(everywhere, everywhere))


def _over_parts(run: Callable[[Any, Array], tuple[Array, Any, Any]], variables: Variables, parts: int) -> Any:
    """Mean loss and gradients over the parts of a batch, and the statistics after the last."""
    if parts == 1:
        loss, statistics, gradients = run(variables["statistics"], jnp.int32(0))
        return loss, statistics, gradients

    def one(carry: Any, part: Array) -> tuple[Any, None]:
        loss, statistics, gradients = carry
        more, statistics, slopes = run(statistics, part)
        return (loss + more, statistics, jax.tree.map(jnp.add, gradients, slopes)), None

    nothing = jax.tree.map(jnp.zeros_like, variables["params"])
    start = (jnp.float32(0.0), variables["statistics"], nothing)
    (loss, statistics, gradients), _ = lax.scan(one, start, jnp.arange(parts, dtype=jnp.int32))
    return loss / parts, statistics, jax.tree.map(lambda g: g / parts, gradients)


def _length(tree: Any) -> Array:
    return jnp.sqrt(sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(tree)))


def _averaged(average: Any, params: Any, step: np.int32 | Array, decay: float | None) -> Any:
    if decay is None:
        return average
    # The first steps follow closely, or the mean would keep the random start for 1 / (1 - decay) steps.
    keep = jnp.minimum(decay, (1 + step) / (10 + step)).astype(jnp.float32)
    return jax.tree.map(lambda a, p: keep * a + (1 - keep) * p, average, params)


def _as(tree: Any, precision: str) -> Any:
    return jax.tree.map(lambda x: x.astype(precision) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree)
