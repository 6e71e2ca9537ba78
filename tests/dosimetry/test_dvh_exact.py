import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from sirtjax.dosimetry import (
    dose_at_volume_fraction_gy,
    dvh_from_arrays,
    mean_dose_gy,
    pack_voi,
    volume_fraction_at_dose,
)
from sirtjax.errors import InputError

DOSE = jnp.array([30.0, 10.0, 40.0, 20.0])
WEIGHT = jnp.array([1.0, 1.0, 0.5, 1.0])


def _voi(count=300, seed=0):
    rng = np.random.default_rng(seed)
    return rng.gamma(3.0, 30.0, (count, 1, 1)).astype(np.float32), rng.uniform(0.05, 1, (count, 1, 1))


def test_by_hand():
    assert mean_dose_gy(DOSE, WEIGHT) == pytest.approx(80 / 3.5)
    assert volume_fraction_at_dose(DOSE, WEIGHT, 20.0) == pytest.approx(2.5 / 3.5)
    # In units of 3.5 the voxels' middles are at 0.25, 1, 2 and 3, hottest first.
    for reached, dose in ((0, 40), (0.25, 40), (1, 30), (1.5, 25), (3, 10), (3.5, 10)):
        assert dose_at_volume_fraction_gy(DOSE, WEIGHT, reached / 3.5) == pytest.approx(dose)


@pytest.mark.parametrize("fraction", [0.0, 0.02, 0.5, 0.7, 0.97, 0.98, 0.99, 1.0])
def test_agrees_with_the_host_and_ignores_padding(fraction):
    dose, weight = _voi()
    host = dvh_from_arrays(dose, weight, 1.0, subsamples=1)
    packed = pack_voi(dose, weight)
    assert packed[0].shape == (2048,)
    found = jax.jit(dose_at_volume_fraction_gy)(*packed, fraction)
    assert found == pytest.approx(host.dose_at_percent_gy(100 * fraction), rel=1e-5)
    assert found == pytest.approx(float(dose_at_volume_fraction_gy(*packed, fraction)), rel=1e-6)
    assert jax.jit(mean_dose_gy)(*packed) == pytest.approx(host.mean_gy, rel=1e-5)


@pytest.mark.slow
def test_maps_over_vois_and_fractions():
    dose, weight = (np.stack(a) for a in zip(*(pack_voi(*_voi(seed=s)) for s in range(3)), strict=True))
    both = jax.vmap(jax.vmap(dose_at_volume_fraction_gy, (None, None, 0)), (0, 0, None))
    found = both(dose, weight, jnp.array([0.3, 0.7]))
    assert found.shape == (3, 2)
    assert found[2, 1] == pytest.approx(float(dose_at_volume_fraction_gy(dose[2], weight[2], 0.7)))


@pytest.mark.slow
def test_gradients():
    def quantile(dose, weight, fraction):
        return dose_at_volume_fraction_gy(dose, weight, fraction)

    check_grads(jax.jit(quantile), (DOSE, WEIGHT, 0.55), order=1, modes=("fwd", "rev"), rtol=2e-2, atol=1e-3)
    by_dose = jax.jit(jax.grad(quantile))(DOSE, WEIGHT, 0.55)
    assert by_dose.sum() == pytest.approx(1.0)  # a dose added everywhere is added to D55
    packed = pack_voi(np.asarray(DOSE), np.asarray(WEIGHT))
    for by in jax.jit(jax.grad(quantile, argnums=(0, 1)))(*packed, 0.55):
        assert np.isfinite(by).all()
    check_grads(jax.jit(lambda w: volume_fraction_at_dose(DOSE, w, 25.0)), (WEIGHT,), order=1, rtol=1e-2, atol=1e-3)
    check_grads(jax.jit(mean_dose_gy), (DOSE, WEIGHT), order=1, rtol=1e-2, atol=1e-3)


def test_a_second_lesion_compiles_nothing_new():
    # A function of its own, so that no other test's programs are counted.
    function = jax.jit(lambda *voi: dose_at_volume_fraction_gy(*voi))
    for count in (5, 90, 2000):
        function(*pack_voi(*_voi(count)), np.float32(0.7)).block_until_ready()
    assert function._cache_size() == 1


def test_refuses_an_empty_voi():
    with pytest.raises(InputError, match="1 to 8388608 voxels to be packed, got 0"):
        pack_voi(np.ones(5), np.zeros(5))
