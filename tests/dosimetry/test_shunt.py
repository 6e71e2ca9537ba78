import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from sirtjax import dosimetry as d
from sirtjax.errors import InputError


def test_planar_by_hand():
    # GM lung sqrt(400*900) = 600, GM liver sqrt(4900*14400) = 8400: LSF 600/9000.
    lung = d.geometric_mean_counts(400.0, 900.0)
    liver = d.geometric_mean_counts(4900.0, 14400.0)
    assert float(lung) == pytest.approx(600.0)
    assert float(d.lung_shunt_fraction(lung, liver)) == pytest.approx(600 / 9000)


def test_background_is_taken_off_each_view_and_stops_at_zero():
    counts = d.geometric_mean_counts(500.0, 1000.0, anterior_background_counts=100.0, posterior_background_counts=100.0)
    assert float(counts) == pytest.approx(600.0)
    assert float(d.geometric_mean_counts(50.0, 1000.0, anterior_background_counts=60.0)) == 0.0


@settings(max_examples=30, deadline=None)
@given(
    lsf=st.floats(0.001, 0.6),
    depths=st.tuples(st.floats(0.05, 0.95), st.floats(0.05, 0.95)),
    total=st.floats(1e3, 1e6),
)
def test_geometric_mean_does_not_see_the_depth(lsf, depths, total):
    # Both organs in a body of the same thickness, attenuated by exp(-mu x) towards each view.
    mu_thickness = 3.0
    views = [
        (part * np.exp(-mu_thickness * depth), part * np.exp(-mu_thickness * (1 - depth)))
        for part, depth in zip((lsf * total, (1 - lsf) * total), depths, strict=True)
    ]
    lung, liver = (d.geometric_mean_counts(*view) for view in views)
    assert float(d.lung_shunt_fraction(lung, liver)) == pytest.approx(lsf, rel=1e-4)


def test_spect_ratio_and_the_combined_fraction():
    assert d.lung_shunt_fraction(5.0, 95.0) == pytest.approx(0.05)
    # 1000 MBq at 5 % and 3000 MBq at 1 %: 80 of 4000 MBq.
    combined = d.combined_lung_shunt_fraction(jnp.asarray([1000.0, 3000.0]), jnp.asarray([0.05, 0.01]))
    assert float(combined) == pytest.approx(0.02)


def test_gradients_and_jit():
    def lsf(lung_ant, lung_post, liver):
        return d.lung_shunt_fraction(d.geometric_mean_counts(lung_ant, lung_post), liver)

    check_grads(lsf, (2.0, 3.0, 8.0), order=1, modes=["fwd", "rev"], atol=1e-2, rtol=1e-2)
    assert float(jax.jit(lsf)(2.0, 3.0, 8.0)) == pytest.approx(float(lsf(2.0, 3.0, 8.0)))


def test_measured_fractions_by_hand():
    lungs = d.ConjugateCounts(anterior=500.0, posterior=1000.0, anterior_background=100.0, posterior_background=100.0)
    liver = d.ConjugateCounts(anterior=4900.0, posterior=14400.0)
    assert d.planar_lung_shunt_fraction(lungs, liver) == pytest.approx(600 / 9000)
    assert d.spect_lung_shunt_fraction(30.0, 970.0) == pytest.approx(0.03)
    assert d.spect_lung_shunt_fraction(0.0, 970.0) == 0.0


def test_counts_that_can_not_be():
    good, bad = d.ConjugateCounts(anterior=9.0, posterior=4.0), d.ConjugateCounts(anterior=9.0, posterior=-4.0)
    with pytest.raises(InputError, match=r"planar counts of the lungs, posterior: -4\.0; expected counts of 0 or more"):
        d.planar_lung_shunt_fraction(bad, good)
    with pytest.raises(InputError, match="the liver has no counts above background"):
        d.planar_lung_shunt_fraction(good, d.ConjugateCounts(anterior=9.0, posterior=4.0, posterior_background=4.0))
    with pytest.raises(InputError, match="counts of the liver: nan"):
        d.spect_lung_shunt_fraction(1.0, float("nan"))
