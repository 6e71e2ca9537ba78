"""One update of a registration network, as a pure function of its state and of a pair of images."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Float, Integer, PyTree

from sirtjax import networks
from sirtjax.networks import CascadeConfig
from sirtjax.train._joint_loss import JointLossConfig, JointPair, joint_loss
from sirtjax.typing import Array, Vector


class JointState(NamedTuple):
    """The state of the training of a registration network.

    Attributes:
      step: number of updates so far.
      variables: variables of all cascades.
      average: moving average of the parameters, which is used after training.
      optimiser: state of the optimiser.
    """

    step: Integer[Array, ""]
    variables: PyTree
    average: PyTree
    optimiser: PyTree


def first_joint_state(config: CascadeConfig, tx: optax.GradientTransformation, *, seed: int) -> JointState:
    """Returns the state before the first update: a network that returns the identity."""
    variables = networks.initialise_cascades(config, seed=seed)
    # A copy, so that a caller may give the state up to the next step.
    average = jax.tree.map(jnp.array, variables["params"])
    return JointState(jnp.int32(0), variables, average, tx.init(variables["params"]))


def joint_update(
    state: JointState,
    pair: JointPair,
    spacing_mm: Vector,
    *,
    config: CascadeConfig,
    loss: JointLossConfig,
    tx: optax.GradientTransformation,
    cascade: Integer[Array, ""] | int | None = None,
    ema_decay: float = 0.995,
) -> tuple[JointState, dict[str, Float[jax.Array, ""]]]:
    """Returns the next state after one pair. Pure; jit it with static configs.

    Args:
      state: current state.
      pair: images, livers and, if known, the displacement.
      spacing_mm: (3,) distance between voxels.
      config: the network.
      loss: weights of the loss.
      tx: optimiser.
      cascade: the only cascade to change, which may be traced: earlier ones are frozen and later ones are not used.
        Begin each cascade with a new state of the optimiser (`tx.init`), so that its moments are those of this cascade.
        None trains all of them together, by the mean of their losses.
      ema_decay: decay of the moving average per step.

    Returns:
      The next state, and the parts of the loss of the last trained cascade, with "loss" and "gradient_norm".
    """
    gradients, metrics = joint_gradients(state.variables, pair, spacing_mm, config=config, loss=loss, cascade=cascade)
    after = updated(state, gradients, tx=tx, cascade=cascade, ema_decay=ema_decay)
    return after, {**metrics, "gradient_norm": optax.tree.norm(gradients)}


def joint_gradients(
    variables: PyTree,
    pair: JointPair,
    spacing_mm: Vector,
    *,
    config: CascadeConfig,
    loss: JointLossConfig,
    cascade: Integer[Array, ""] | int | None = None,
) -> tuple[PyTree, dict[str, Float[jax.Array, ""]]]:
    """Computes the gradients of the loss of one pair, which are zero for cascades that are not trained.

    Args:
      variables: variables of all cascades.
      pair: images, livers and, if known, the displacement.
      spacing_mm: (3,) distance between voxels.
      config: the network.
      loss: weights of the loss.
      cascade: the only cascade to change; None trains all of them together.

    Returns:
      Gradients like the parameters, and the parts of the loss of the last trained cascade, with "loss".
    """
    params, statistics = variables["params"], variables["statistics"]
    if cascade is None:

        def all_together(params: Any) -> tuple[Array, Any]:
            outputs = networks.cascade_outputs(
                config, {"params": params, "statistics": statistics}, *pair.sides(), spacing_mm, start_mm=pair.start_mm
            )
            totals, parts = lax.map(
                lambda one: joint_loss(one.displacement_mm, pair, spacing_mm, config=loss, liver=one.liver), outputs
            )
            return jnp.mean(totals), jax.tree.map(lambda values: values[-1], parts)

        (total, parts), gradients = jax.value_and_grad(all_together, has_aux=True)(params)
        return gradients, {**parts, "loss": total}
    start = _frozen(config, variables, pair, spacing_mm, cascade)

    def alone(own: Any) -> tuple[Array, Any]:
        one = {"params": own, "statistics": networks.cascade_of(statistics, cascade)}
        found = networks.next_output(config, one, *pair.sides(), spacing_mm, start)
        field = networks.on_voxels(config, found.displacement_mm)
        return joint_loss(field, pair, spacing_mm, config=loss, liver=found.liver)

    own = networks.cascade_of(params, cascade)
    (total, parts), gradient = jax.value_and_grad(alone, has_aux=True)(own)
    gradients = networks.with_cascade(jax.tree.map(jnp.zeros_like, params), cascade, gradient)
    return gradients, {**parts, "loss": total}


def updated(
    state: JointState,
    gradients: PyTree,
    *,
    tx: optax.GradientTransformation,
    cascade: Integer[Array, ""] | int | None,
    ema_decay: float,
) -> JointState:
    """Returns the next state for gradients of `joint_gradients`.

    Args:
      state: current state.
      gradients: gradients of one pair, or their mean over several pairs.
      tx: optimiser.
      cascade: the only cascade to change; None changes all of them.
      ema_decay: decay of the moving average per step.
    """
    params, statistics = state.variables["params"], state.variables["statistics"]
    updates, optimiser = tx.update(gradients, state.optimiser, params)
    if cascade is not None:
        # Adam goes on moving what has no gradient any more; frozen cascades stay.
        still = jax.tree.map(jnp.zeros_like, updates)
        updates = networks.with_cascade(still, cascade, networks.cascade_of(updates, cascade))
    after = optax.apply_updates(params, updates)
    keep = jnp.minimum(ema_decay, (1 + state.step) / (10 + state.step))
    average = jax.tree.map(lambda a, p: keep * a + (1 - keep) * p, state.average, after)
    return JointState(state.step + 1, {"params": after, "statistics": statistics}, average, optimiser)


def _frozen(
    config: CascadeConfig, variables: Any, pair: JointPair, spacing_mm: Vector, cascade: Integer[Array, ""] | int
) -> jax.Array:
    """The displacement after the cascades before this one, without gradient."""
    reference, floating = pair.sides()

    def one(number: jax.Array, total: jax.Array) -> jax.Array:
        own = networks.cascade_of(variables, number)
        return networks.next_output(config, own, reference, floating, spacing_mm, total).displacement_mm

    first = networks.first_displacement(config, reference, start_mm=pair.start_mm)
    field: jax.Array = lax.fori_loop(0, cascade, one, first)
    return lax.stop_gradient(field)
