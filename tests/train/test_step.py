import dataclasses
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import toy

from sirtjax import losses, train


def length(tree):
    return np.sqrt(sum(np.sum(np.square(leaf)) for leaf in jax.tree.leaves(tree)))


def one_step(made, *, forward=toy.forward, feed=toy.BANK, prepare=None, state=None):
    mesh = train.sample_mesh(devices=jax.devices()[:1])
    prepare = toy.source(made, mesh).prepare if prepare is None else prepare
    step = train.make_step(forward, prepare, recipe=made, mesh=mesh, steps_per_epoch=4)
    state = train.first_state(toy.variables(), optimiser=made.optimiser, seed=made.seed) if state is None else state
    after, metrics = step(jax.device_put(state), feed)
    return jax.tree.map(np.asarray, after), {name: float(value) for name, value in metrics.items()}


def changed(made, table, **values):
    return made.model_copy(update={table: getattr(made, table).model_copy(update=values)})


@lru_cache
def fixed_batch(count=4):
    keys = jax.random.split(jax.random.key(5), count)
    return jax.jit(jax.vmap(lambda key: toy.sample(key, toy.BANK)))(keys)


def given(key, feed, part):
    """Parts of a batch that is fed whole."""
    return jax.tree.map(lambda x: x[part], feed)


def plain(variables, x, key):
    return (toy.apply(variables, x),), variables["statistics"]


def by_hand(images, onehot):
    variables = toy.variables()

    def loss(params):
        logits = toy.apply({"params": params}, images)
        return losses.soft_dice_loss(logits, onehot) + 0.5 * losses.cross_entropy_loss(logits, onehot)

    return jax.jit(jax.value_and_grad(loss))(variables["params"])


@pytest.mark.slow
def test_a_step_of_plain_descent_by_hand():
    made = changed(toy.recipe(), "optimiser", kind="sgd", learning_rate=0.1)
    images, onehot = fixed_batch()
    after, metrics = one_step(made, forward=plain, prepare=given, feed=(images[None], onehot[None]))
    loss, slopes = by_hand(images, onehot)
    assert metrics["loss"] == pytest.approx(float(loss), rel=1e-5)
    assert metrics["gradient_norm"] == pytest.approx(float(length(slopes)), rel=1e-4)
    assert metrics["learning_rate"] == pytest.approx(0.1)
    expected = jax.tree.map(lambda p, g: p - 0.1 * g, toy.variables()["params"], slopes)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), after.variables["params"], expected)
    assert int(after.step) == 1


@pytest.mark.slow
def test_adam_is_that_of_optax():
    made = toy.recipe()
    images, onehot = fixed_batch()
    after, _ = one_step(made, forward=plain, prepare=given, feed=(images[None], onehot[None]))
    _, slopes = by_hand(images, onehot)
    params, rule = toy.variables()["params"], optax.adam(0.01)
    updates, _ = rule.update(slopes, rule.init(params), params)
    expected = optax.apply_updates(params, updates)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), after.variables["params"], expected)


@pytest.mark.slow
def test_parts_of_a_batch_add_up_to_it():
    images, onehot = fixed_batch()
    whole, loss = one_step(toy.recipe(), forward=plain, prepare=given, feed=(images[None], onehot[None]))
    made = toy.recipe(accumulation_steps=2)
    halves = tuple(x.reshape(2, 2, *x.shape[1:]) for x in (images, onehot))
    parts, same = one_step(made, forward=plain, prepare=given, feed=halves)
    assert same["loss"] == pytest.approx(loss["loss"], rel=1e-5)
    assert same["gradient_norm"] == pytest.approx(loss["gradient_norm"], rel=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), parts.variables, whole.variables)


@pytest.mark.slow
def test_statistics_go_from_part_to_part():
    images, onehot = fixed_batch()
    halves = tuple(x.reshape(2, 2, *x.shape[1:]) for x in (images, onehot))
    after, _ = one_step(toy.recipe(accumulation_steps=2), prepare=given, feed=halves)
    first, second = (float(jnp.mean(x)) for x in halves[0])
    assert float(after.variables["statistics"]["mean"]) == pytest.approx(0.9 * 0.1 * first + 0.1 * second, rel=1e-5)


@pytest.mark.slow
def test_long_gradients_are_shortened():
    made = changed(toy.recipe(), "optimiser", kind="sgd", learning_rate=1.0, clip_norm=1e-3)
    images, onehot = fixed_batch()
    after, metrics = one_step(made, forward=plain, prepare=given, feed=(images[None], onehot[None]))
    assert metrics["gradient_norm"] > 1e-3
    moved = jax.tree.map(lambda a, b: a - b, after.variables["params"], toy.variables()["params"])
    assert float(length(moved)) == pytest.approx(1e-3, rel=1e-2)


@pytest.mark.slow
def test_half_precision_in_the_network_alone():
    seen = []

    def watching(variables, x, key):
        seen.extend([x.dtype, variables["params"]["one"]["kernel"].dtype, variables["statistics"]["mean"].dtype])
        return plain(variables, x, key)

    images, onehot = fixed_batch()
    fed = {"prepare": given, "feed": (images[None], onehot[None])}
    _, loss = one_step(toy.recipe(), forward=plain, **fed)
    after, rough = one_step(toy.recipe(precision="bfloat16"), forward=watching, **fed)
    assert set(seen[:2]) == {jnp.bfloat16.dtype} and seen[2] == jnp.float32
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(after.variables))
    assert rough["loss"] == pytest.approx(loss["loss"], rel=0.02) and rough["loss"] != loss["loss"]


@pytest.mark.slow
def test_a_running_mean_of_the_weights():
    made = changed(toy.recipe(), "optimiser", ema_decay=0.99)
    images, onehot = fixed_batch()
    after, _ = one_step(made, forward=plain, prepare=given, feed=(images[None], onehot[None]))
    start, moved = toy.variables()["params"], after.variables["params"]
    # Ahead of the tenth step and more it keeps (1 + step) / (10 + step).
    jax.tree.map(
        lambda a, s, p: np.testing.assert_allclose(a, 0.1 * s + 0.9 * p, atol=1e-6), after.average, start, moved
    )
    assert after.judged()["params"] is after.average
    without = dataclasses.replace(after, average={})
    assert without.judged()["params"] is after.variables["params"]


@pytest.mark.slow
def test_every_step_and_every_seed_draws_its_own_samples():
    made = toy.recipe()
    mesh = train.sample_mesh(devices=jax.devices()[:1])
    step = train.make_step(toy.forward, toy.source(made, mesh).prepare, recipe=made, mesh=mesh, steps_per_epoch=4)

    def loss(seed, done):
        state = train.first_state(toy.variables(), optimiser=made.optimiser, seed=seed)
        return float(step(jax.device_put(dataclasses.replace(state, step=np.int32(done))), toy.BANK)[1]["loss"])

    assert loss(3, 0) == loss(3, 0)
    assert len({loss(3, 0), loss(3, 1), loss(4, 0)}) == 3
