import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax import dosimetry as d


def test_doses_add_over_injections():
    matrix = jnp.asarray([[0.1, 0.0], [0.02, 0.03]])
    np.testing.assert_allclose(d.superposed_dose_gy(matrix, jnp.asarray([1000.0, 500.0])), [100.0, 35.0], rtol=1e-6)


def test_maps_add_too():
    rng = np.random.default_rng(3)
    maps = rng.random((2, 3, 4, 2)).astype(np.float32)
    total = jax.jit(d.superposed_dose_gy)(maps, np.asarray([700.0, 300.0], np.float32))
    np.testing.assert_allclose(total, 700 * maps[..., 0] + 300 * maps[..., 1], rtol=1e-5)


def test_mean_over_compartments_counts_mass():
    # 800 g at 60 Gy and 1200 g untreated: 24 Gy.
    dose = d.mass_weighted_dose_gy(jnp.asarray([60.0, 0.0]), jnp.asarray([800.0, 1200.0]))
    assert float(dose) == pytest.approx(24.0)
    grad = jax.grad(lambda x: d.mass_weighted_dose_gy(x, jnp.asarray([800.0, 1200.0])))(jnp.asarray([60.0, 0.0]))
    np.testing.assert_allclose(grad, [0.4, 0.6], rtol=1e-6)
