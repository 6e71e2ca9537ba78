"""The mean over the pairs of a batch, one after the other or together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax.train._joint_batch import _mean


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
@pytest.mark.parametrize("count", [1, 4])
def test_the_mean_is_that_of_the_pairs(monkeypatch, backend, count):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    pairs = {"a": jnp.arange(3.0 * count).reshape(count, 3), "b": jnp.arange(float(count))}
    weights = jnp.asarray([1.0, -2.0, 0.5])

    def one(pair):
        return jax.grad(lambda w: jnp.sum(w**2 * pair["a"]) * pair["b"])(weights), {"b": pair["b"]}

    gradient, parts = jax.jit(lambda pairs: _mean(one, pairs))(pairs)
    expected = [2 * np.asarray(weights) * np.asarray(pairs["a"][n]) * n for n in range(count)]
    np.testing.assert_allclose(gradient, np.mean(expected, axis=0), rtol=1e-6)
    assert float(parts["b"]) == pytest.approx((count - 1) / 2)
