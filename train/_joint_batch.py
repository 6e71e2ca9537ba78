"""The update of a registration network by a batch of pairs, which several devices divide among themselves."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Float, Integer, PyTree

from sirtjax.networks import CascadeConfig
from sirtjax.train._devices import AXIS, replicated
from sirtjax.train._joint_config import JointOptimiserConfig
from sirtjax.train._joint_course import joint_optimiser
from sirtjax.train._joint_loss import JointLossConfig, JointPair
from sirtjax.train._joint_step import JointState, joint_gradients, updated
from sirtjax.typing import Array

# Pairs along a first axis, the cascade that changes (None: all of them) and the learning rate.
JointFeed = tuple[JointPair, Integer[Array, ""] | None, Float[Array, ""]]


def make_joint_step(
    network: CascadeConfig, *, loss: JointLossConfig, optimiser: JointOptimiserConfig, spacing_mm: float, mesh: Mesh
) -> jax.stages.Wrapped:
    """Returns one update as a compiled function of the state and of a batch.

    The state is given up to the function: its memory is used for the result. Each device computes the gradients of its
    own pairs, on a CPU one after the other. The mean over the batch is the same as on one device except for rounding.

    Args:
      network: the cascades.
      loss: weights of the loss.
      optimiser: length of gradients and running mean.
      spacing_mm: distance between voxels along each axis.
      mesh: devices.

    Returns:
      A function from the state and (pairs, cascade, learning rate) to the next state, and to the parts of the loss
      with "loss" and "gradient_norm", as `joint_update` returns them.
    """
    spacing = (spacing_mm,) * 3

    def of_device(variables: Any, pairs: JointPair, cascade: Any) -> Any:
        def one(pair: JointPair) -> Any:
            return joint_gradients(variables, pair, spacing, config=network, loss=loss, cascade=cascade)

        found = _mean(one, pairs)
        return lax.pmean(found, AXIS) if mesh.size > 1 else found

    every, part = PartitionSpec(), PartitionSpec(AXIS)
    run: Any = of_device
    if mesh.size > 1:
        run = jax.shard_map(of_device, mesh=mesh, in_specs=(every, part, every), out_specs=every, check_vma=False)

    def step(state: JointState, feed: JointFeed) -> tuple[JointState, dict[str, Array]]:
        pairs, cascade, rate = feed
        gradients, metrics = run(state.variables, pairs, cascade)
        tx = joint_optimiser(optimiser, rate)
        after = updated(state, gradients, tx=tx, cascade=cascade, ema_decay=optimiser.ema_decay)
        return after, {**metrics, "gradient_norm": optax.tree.norm(gradients)}

    everywhere = replicated(mesh)
    return jax.jit(step, donate_argnums=0, out_shardings=(everywhere, everywhere))


def _mean(function: Any, pairs: PyTree) -> Any:
    """Mean of a function over pairs: one after the other with the memory of one on a CPU, together elsewhere."""
    count = jax.tree.leaves(pairs)[0].shape[0]
    if count == 1:
        return function(jax.tree.map(lambda x: x[0], pairs))
    if jax.default_backend() != "cpu":
        return jax.tree.map(lambda x: jnp.mean(x, axis=0), jax.vmap(function)(pairs))
    like = jax.eval_shape(function, jax.tree.map(lambda x: x[0], pairs))

    def more(total: Any, pair: JointPair) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, function(pair)), None

    start = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), like)
    return jax.tree.map(lambda x: x / count, lax.scan(more, start, pairs)[0])
