"""One function over many elements, one by one or all at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax.ops import map_elements

ROWS = jnp.asarray(np.random.default_rng(0).normal(size=(7, 5)), jnp.float32)


def parts(row):
    return {"sum": jnp.sum(row), "sorted": jnp.sort(row)}


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_each_element_is_mapped(monkeypatch, backend):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    found = jax.jit(lambda rows: map_elements(parts, rows))(ROWS)
    np.testing.assert_allclose(found["sum"], np.asarray(ROWS).sum(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(found["sorted"], np.sort(np.asarray(ROWS), axis=1))


@pytest.mark.parametrize(("backend", "loops"), [("cpu", 1), ("gpu", 0)])
def test_only_a_cpu_gets_a_loop(monkeypatch, backend, loops):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    program = jax.jit(lambda rows: map_elements(jnp.sum, rows)).lower(ROWS).as_text()
    assert program.count("stablehlo.while") == loops


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_derivatives_are_those_of_each_element(monkeypatch, backend):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    found = jax.grad(lambda rows: jnp.sum(map_elements(lambda row: jnp.sum(row**3), rows)))(ROWS)
    np.testing.assert_allclose(found, 3 * np.asarray(ROWS) ** 2, rtol=1e-5)
