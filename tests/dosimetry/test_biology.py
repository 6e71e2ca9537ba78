import math
import re
from statistics import NormalDist

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from sirtjax.dosimetry import (
    bed_gy,
    eubed_gy,
    eud_gy,
    generalised_eud_gy,
    get_response_parameters,
    liver_complication_probability,
    ntcp_lkb,
    response_sets,
    tcp_linear_logit,
    tcp_logit,
    tumour_control_probability,
)
from sirtjax.errors import ConfigError

DOSE = jnp.array([20.0, 60.0, 140.0])
WEIGHT = jnp.array([1.0, 0.5, 1.0])
LIVER = {"alpha_beta_gy": 2.5, "repair_half_time_h": 2.5, "half_life_h": 64.1}


def test_bed_by_hand():
    # 40 + 1600 / 2.5 * 2.5 / 66.6 = 64.024
    assert bed_gy(40.0, **LIVER) == pytest.approx(40 + 1600 / 66.6, rel=1e-6)
    # Instant repair leaves the dose, none at all that of one acute fraction.
    assert bed_gy(40.0, **{**LIVER, "repair_half_time_h": 0.0}) == pytest.approx(40.0)
    assert bed_gy(40.0, **{**LIVER, "repair_half_time_h": 1e9}) == pytest.approx(40 + 1600 / 2.5, rel=1e-5)


def test_holmium_is_worth_more_per_gray_than_yttrium():
    # A shorter half-life leaves less time for repair.
    assert bed_gy(60.0, **{**LIVER, "half_life_h": 26.8}) > bed_gy(60.0, **LIVER)


def test_eud_by_hand():
    alpha = 0.05
    mean = sum(w * math.exp(-alpha * d) for d, w in ((20, 1), (60, 0.5), (140, 1))) / 2.5
    assert eud_gy(DOSE, WEIGHT, alpha_per_gy=alpha) == pytest.approx(-math.log(mean) / alpha, rel=1e-5)
    assert eud_gy(jnp.full(4, 33.0), jnp.ones(4), alpha_per_gy=0.3) == pytest.approx(33.0, rel=1e-6)


def test_eud_survives_doses_whose_survival_underflows():
    # exp(-0.3 * 2000) is 0 even in float64; half the volume at 1000 Gy decides: 1000 + ln 2 / 0.3.
    found = eud_gy(jnp.array([1000.0, 2000.0]), jnp.ones(2), alpha_per_gy=0.3)
    assert found == pytest.approx(1000 + math.log(2) / 0.3, rel=1e-6)


def test_eubed_is_the_eud_of_the_bed():
    bed = np.asarray(DOSE) + np.square(np.asarray(DOSE)) / 66.6
    expected = -math.log(float((np.asarray(WEIGHT) * np.exp(-0.04 * bed)).sum() / 2.5)) / 0.04
    assert eubed_gy(DOSE, WEIGHT, alpha_per_gy=0.04, **LIVER) == pytest.approx(expected, rel=1e-5)


def test_generalised_eud_by_hand():
    assert generalised_eud_gy(DOSE, WEIGHT, exponent=1.0) == pytest.approx(190 / 2.5, rel=1e-5)
    quadratic = math.sqrt((400 + 0.5 * 3600 + 19600) / 2.5)
    assert generalised_eud_gy(DOSE, WEIGHT, exponent=2.0) == pytest.approx(quadratic, rel=1e-5)
    harmonic = 2.5 / (1 / 20 + 0.5 / 60 + 1 / 140)
    assert generalised_eud_gy(DOSE, WEIGHT, exponent=-1.0) == pytest.approx(harmonic, rel=1e-5)
    assert generalised_eud_gy(DOSE, WEIGHT, exponent=60.0) == pytest.approx(140, rel=0.02)
    cold = DOSE.at[0].set(0.0)
    assert generalised_eud_gy(cold, WEIGHT, exponent=-10.0) == pytest.approx(0.0, abs=1e-3)
    assert np.isfinite(jax.grad(lambda d: generalised_eud_gy(d, WEIGHT, exponent=2.0))(cold)).all()


def test_probabilities_by_hand():
    assert tcp_logit(250.0, d50_gy=250.0, gamma50=1.0) == pytest.approx(0.5)
    assert tcp_logit(500.0, d50_gy=250.0, gamma50=0.5) == pytest.approx(1 / (1 + 0.5**2), rel=1e-6)
    slope = jax.grad(lambda d: tcp_logit(d, d50_gy=250.0, gamma50=1.3))(250.0)
    assert slope * 250 == pytest.approx(1.3, rel=1e-5)  # what gamma50 means
    assert tcp_linear_logit(300.0, d50_gy=292.0, slope_per_gy=0.02) == pytest.approx(
        1 / (1 + math.exp(-0.16)), rel=1e-6
    )
    assert ntcp_lkb(40.0, td50_gy=52.0, m=0.28) == pytest.approx(NormalDist().cdf(-12 / (0.28 * 52)), rel=1e-4)
    assert tcp_logit(0.0, d50_gy=250.0, gamma50=1.0) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    "model",
    [
        lambda d, w: bed_gy(d, **LIVER).sum(),
        lambda d, w: eud_gy(d, w, alpha_per_gy=0.03),
        lambda d, w: eubed_gy(d, w, alpha_per_gy=0.003, **LIVER),
        lambda d, w: generalised_eud_gy(d, w, exponent=3.0),
        lambda d, w: tcp_logit(eud_gy(d, w, alpha_per_gy=0.03), d50_gy=60.0, gamma50=1.0),
        lambda d, w: tcp_linear_logit(d, d50_gy=60.0, slope_per_gy=0.02).sum(),
        lambda d, w: ntcp_lkb(generalised_eud_gy(d, w, exponent=1.0), td50_gy=60.0, m=0.3),
    ],
    ids=["bed", "eud", "eubed", "geud", "tcp", "tcp-linear", "ntcp"],
)
def test_gradients_and_jit(model):
    check_grads(jax.jit(model), (DOSE, WEIGHT), order=1, modes=("fwd", "rev"), rtol=3e-2, atol=2e-4, eps=0.03)
    assert jax.jit(model)(DOSE, WEIGHT) == pytest.approx(float(model(DOSE, WEIGHT)), rel=1e-5)


def test_padding_does_not_count():
    padded = jnp.pad(DOSE, (0, 3)), jnp.pad(WEIGHT, (0, 3))
    assert eud_gy(*padded, alpha_per_gy=0.03) == pytest.approx(float(eud_gy(DOSE, WEIGHT, alpha_per_gy=0.03)), rel=1e-5)
    assert generalised_eud_gy(*padded, exponent=2.0) == pytest.approx(
        float(generalised_eud_gy(DOSE, WEIGHT, exponent=2.0)), rel=1e-5
    )


def test_each_set_cites_a_publication():
    assert get_response_parameters("glass-tumour-dewaraja-dose").d50_gy == 292.0
    assert get_response_parameters("glass-tumour-dewaraja-bed").d50_gy == 441.0
    # Walrand 2014: BED for 50 % complications by kind of sphere.
    found = {kind: response_sets("NTCP", kind)[0].d50_gy for kind in ("ebrt", "resin", "glass")}
    assert found == {"ebrt": 115.0, "resin": 93.0, "glass": 250.0}
    sets = [one for end in ("TCP", "NTCP") for kind in ("ebrt", "resin", "glass") for one in response_sets(end, kind)]
    assert len(sets) == 10
    assert all(re.search(r"doi:10\.|https://", one.source) and re.search(r"\b20\d\d\b", one.source) for one in sets)


def test_models_are_bound_to_the_sphere_type():
    glass = get_response_parameters("glass-tumour")
    assert tumour_control_probability(250.0, glass, sphere_type="glass", gamma50=1.0) == pytest.approx(0.5)
    liver = get_response_parameters("resin-liver-walrand")
    assert liver_complication_probability(93.0, liver, sphere_type="resin", m=0.3) == pytest.approx(0.5)
    with pytest.raises(ConfigError, match="'glass-tumour' is TCP for glass, asked for TCP with resin"):
        tumour_control_probability(100.0, glass, sphere_type="resin", gamma50=1.0)
    with pytest.raises(ConfigError, match="asked for NTCP with glass"):
        liver_complication_probability(100.0, glass, sphere_type="glass", m=0.3)
    with pytest.raises(ConfigError, match="no known TCP parameters for holmium spheres"):
        response_sets("TCP", "holmium")
    with pytest.raises(ConfigError, match="no response model for endpoint 'TCP' and sphere type 'plastic'"):
        response_sets("TCP", "plastic")
    with pytest.raises(ConfigError, match="no response parameters are named 'y'"):
        get_response_parameters("y")
