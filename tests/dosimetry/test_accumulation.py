"""BED of several treatments, against numerical integration of dose rates and repair."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from integrated_bed import integrated_bed

from sirtjax import dosimetry

TISSUE = {"alpha_beta_gy": 2.5, "repair_half_time_h": 2.5}


def test_each_treatment_has_the_dose_rate_of_its_nuclide():
    doses, halves = [70.0, 45.0], [64.1, 26.8]
    apart = integrated_bed(doses, halves, [0.0, 60 * 24.0], **TISSUE)
    found = dosimetry.accumulate_bed(np.array(doses)[:, None], half_life_h=np.array(halves), **TISSUE)
    assert float(found[0]) == pytest.approx(apart, rel=2e-3)
    at_once = dosimetry.bed_gy(115.0, half_life_h=64.1, **TISSUE)
    assert float(at_once) > 1.2 * apart


def test_it_is_differentiable_and_can_be_batched():
    doses = jnp.asarray(np.random.default_rng(1).uniform(0, 200, (3, 4, 5, 6)), jnp.float32)
    halves = jnp.asarray([64.1, 26.8, 64.1])
    function = jax.jit(lambda d: dosimetry.accumulate_bed(d, half_life_h=halves, **TISSUE))
    slope = jax.grad(lambda d: function(d).sum())(doses)
    g = np.array([2.5 / (2.5 + h) for h in halves])[:, None, None, None]
    np.testing.assert_allclose(slope, 1 + 2 * np.asarray(doses) / 2.5 * g, rtol=1e-5)
    batched = jax.vmap(function)(jnp.stack([doses, 2 * doses]))
    np.testing.assert_allclose(batched[1], function(2 * doses), rtol=1e-6)
