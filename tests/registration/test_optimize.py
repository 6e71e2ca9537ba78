"""The loop of the optimiser: a step that is not finite must not spoil the others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax.registration._optimize import minimise

STEPS, GOAL = 120, jnp.array([3.0, -2.0])


def run(bad_steps, *, poison):
    """Minimises a paraboloid; at the bad steps the value, or only its gradient, is not finite."""
    bad = jnp.zeros(STEPS).at[jnp.array(bad_steps, int)].set(1.0)

    def objective(parameters, is_bad):
        value = jnp.sum((parameters - GOAL) ** 2)
        if poison == "value":
            value = value + jnp.where(is_bad > 0, jnp.nan, 0.0)
        else:
            # The root of zero has an infinite slope, the root of one adds a constant.
            nothing = parameters[0] * 0.0
            value = value + jnp.sqrt(jnp.where(is_bad > 0, nothing, 1.0 + nothing))
        return value, jnp.zeros(1)

    return jax.jit(lambda start: minimise(objective, start, bad, step_mm=0.5))(jnp.zeros(2))


@pytest.mark.parametrize("poison", ["value", "gradient"])
@pytest.mark.parametrize("bad_steps", [[0], [40, 41, 90], [STEPS - 1]])
def test_a_bad_step_is_skipped_and_the_others_go_on(bad_steps, poison):
    found, history = run(bad_steps, poison=poison)
    np.testing.assert_allclose(found, GOAL, atol=0.05)
    lost = ~np.isfinite(np.asarray(history)[:, 0])
    assert np.flatnonzero(lost).tolist() == bad_steps


def test_a_skipped_step_changes_neither_parameters_nor_momentum():
    """The steps after a bad one are those of a run that never saw it, but for the step size of the schedule."""
    with_bad, history = run([5], poison="value")
    _, clean = run([], poison="value")
    np.testing.assert_allclose(np.asarray(history)[:5], np.asarray(clean)[:5], rtol=1e-6)
    # Nothing moved in step 5: the next one starts from the value that the bad one would have had.
    np.testing.assert_allclose(np.asarray(history)[6, 0], np.asarray(clean)[5, 0], rtol=1e-6)
    assert np.isfinite(np.asarray(with_bad)).all()
