import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import ValidationError

from sirtjax import train


def config(kind="sgd", **values):
    schedule = values.pop("schedule", {})
    return train.OptimiserConfig.model_validate({"kind": kind, "learning_rate": 0.1, "schedule": schedule, **values})


def rates(made, *, plateau=1.0, steps=12, per_epoch=4):
    return [
        float(train.learning_rate(n, plateau, config=made, steps=steps, steps_per_epoch=per_epoch))
        for n in range(steps)
    ]


def test_schedules_by_hand():
    np.testing.assert_allclose(rates(config()), [0.1] * 12)
    steps = rates(config(schedule={"kind": "steps", "factor": 0.5, "every_epochs": 2}))
    np.testing.assert_allclose(steps, [0.1] * 8 + [0.05] * 4, rtol=1e-6)
    cosine = rates(config(schedule={"kind": "cosine", "final": 0.1}), steps=5)
    expected = [0.1 * (0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * n / 4))) for n in range(5)]
    np.testing.assert_allclose(cosine, expected, rtol=1e-5)
    assert cosine[0] == pytest.approx(0.1) and cosine[-1] == pytest.approx(0.01)
    warm = rates(config(schedule={"warmup_steps": 4}))
    np.testing.assert_allclose(warm, [0.025, 0.05, 0.075] + [0.1] * 9, rtol=1e-6)
    np.testing.assert_allclose(rates(config(), plateau=0.25), [0.025] * 12, rtol=1e-6)


@pytest.mark.parametrize(
    ("patience", "stale", "expected"),
    [(0, [0, 1, 2, 0, 1], [1, 0.2, 0.04, 0.04, 0.008]), (1, [1, 2, 3, 4], [1, 0.2, 0.2, 0.04])],
)
def test_plateaus_by_hand(patience, stale, expected):
    schedule = train.ScheduleConfig(kind="plateau", factor=0.2, patience=patience)
    found, factor = [], 1.0
    for count in stale:
        factor = train.after_plateau(factor, count, schedule=schedule)
        found.append(factor)
    np.testing.assert_allclose(found, expected)


def test_plateaus_end_somewhere_and_others_have_none():
    least = train.ScheduleConfig(kind="plateau", factor=0.2, final=0.1)
    assert train.after_plateau(0.2, 1, schedule=least) == pytest.approx(0.1)
    assert train.after_plateau(1.0, 3, schedule=train.ScheduleConfig()) == 1.0


def test_weights_decay_but_not_biases():
    rule = train.make_optimiser(config("adamw", weight_decay=0.5))
    params = {"kernel": jnp.full((2, 2), 4.0), "bias": jnp.full(2, 4.0)}
    nothing = {"kernel": jnp.zeros((2, 2)), "bias": jnp.zeros(2)}
    direction, _ = rule.update(nothing, rule.init(params), params)
    np.testing.assert_allclose(direction["kernel"], -2.0)
    np.testing.assert_allclose(direction["bias"], 0.0)


def test_momentum_by_hand():
    rule = train.make_optimiser(config(momentum=0.9))
    params = jnp.zeros(1)
    state = rule.init(params)
    found = []
    for _ in range(3):
        direction, state = rule.update(jnp.ones(1), state, params)
        found.append(float(direction[0]))
    np.testing.assert_allclose(found, [-1.0, -1.9, -2.71], rtol=1e-6)


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ({"kind": "adam", "weight_decay": 0.1}, "`weight_decay` belongs to kind = 'adamw'"),
        ({"kind": "adam", "momentum": 0.1}, "`momentum` and `nesterov` belong to kind = 'sgd'"),
        ({"schedule": {"kind": "steps"}}, "`every_epochs` belongs to kind = 'steps'"),
        ({"learning_rate": 0}, "greater than 0"),
        ({"colour": 1}, "Extra inputs"),
    ],
)
def test_what_does_not_belong_together_is_refused(table, complaint):
    with pytest.raises(ValidationError, match=complaint):
        config(**table)
