"""Samples against integrals, indices against the closed form of Ishigami's function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from sirtjax.errors import InputError
from sirtjax.uncertainty import Source, centred_interval, propagate, propagate_samples, uncertainty_budget
from sirtjax.uncertainty._budget import fractions_by_source
from sirtjax.uncertainty._function import layout_of, numbers_of
from sirtjax.uncertainty._sampling import run_samples


def source(name, centre, size, distribution="normal"):
    return Source(name=name, centre=centre, size=size, origin="test", evidence="assumed", distribution=distribution)


def moment(function, power):
    """Expectation of a power of a function of a standard normal number."""
    return integrate.quad(lambda z: function(z) ** power * stats.norm.pdf(z), -9, 9, limit=200)[0]


def test_moments_against_quadrature():
    def steep(z):
        return 100.0 / (1.0 + np.exp(3.0 * z + 1.0))

    found = propagate_samples(
        lambda values: 100.0 / (1.0 + jnp.exp(3.0 * values["x"] + 1.0)), [source("x", 0.0, 1.0)], jax.random.key(0)
    )
    mean = moment(steep, 1)
    deviation = np.sqrt(moment(steep, 2) - mean**2)
    assert found.mean[0] == pytest.approx(mean, abs=4 * found.mean_error[0] + 0.05)
    assert found.standard_deviation[0] == pytest.approx(deviation, rel=0.02)
    # Quantiles of a falling function are those of the number, reversed.
    np.testing.assert_allclose(found.interval[:, 0], steep(stats.norm.ppf([0.95, 0.05])), atol=0.3)
    assert found.bias[0] == pytest.approx(mean - steep(0.0), abs=0.2)


@pytest.mark.parametrize(
    ("distribution", "low", "high"), [("uniform", 1 - np.sqrt(3), 1 + np.sqrt(3)), ("lognormal", 0, np.inf)]
)
def test_distributions(distribution, low, high):
    found = propagate_samples(lambda v: v["x"], [source("x", 1.0, 1.0, distribution)], jax.random.key(5), count=1024)
    assert low <= found.samples.min() and found.samples.max() <= high
    reference = stats.uniform(low, high - low) if distribution == "uniform" else stats.lognorm(1.0)
    assert stats.kstest(found.samples[:, 0], reference.cdf).pvalue > 0.2


def test_the_monte_carlo_error_is_honest():
    # Twenty repetitions: the scatter of the means is the stated error.
    found = [
        propagate_samples(
            lambda v: jnp.exp(jnp.sum(v["x"])), [source("x", np.zeros(6), 0.3)], jax.random.key(k), count=64
        )
        for k in range(20)
    ]
    scatter = np.std([one.mean[0] for one in found], ddof=1)
    stated = np.sqrt(np.mean([one.mean_error[0] ** 2 for one in found]))
    assert 0.6 < scatter / stated < 1.6


def test_linear_and_sampled_differ_where_the_function_is_steep():
    def function(values):
        return jnp.stack([3.0 * values["x"], jnp.abs(values["x"])])

    found = propagate(function, [source("x", 0.3, 1.0)], jax.random.key(1), budget_count=None)
    assert found.differs.tolist() == [False, True] and found.budget is None


def ishigami(values):
    x, y, z = values["x"], values["y"], values["z"]
    return jnp.sin(x) + 7.0 * jnp.sin(y) ** 2 + 0.1 * z**4 * jnp.sin(x)


def test_budget_of_ishigami():
    sources = [source(name, 0.0, np.pi / np.sqrt(3), "uniform") for name in "xyz"]
    found = uncertainty_budget(ishigami, sources, jax.random.key(2), count=2048)
    exact = {"x": 0.3139, "y": 0.4424, "z": 0.0}
    for name, expected in exact.items():
        assert abs(found.fraction[name][0] - expected) < max(4 * found.error[name][0], 0.01), name
        assert found.error[name][0] < 0.06
    assert found.interactions[0] == pytest.approx(0.2437, abs=0.08)


def test_budget_of_arrays_and_several_outputs():
    def function(values):
        return jnp.stack([jnp.sum(values["field"]), values["factor"] * 10.0 + values["field"][0]])

    sources = [source("field", np.zeros(50), 1.0), source("factor", 1.0, 0.5)]
    found = uncertainty_budget(function, sources, jax.random.key(3), count=1024)
    np.testing.assert_allclose(found.fraction["field"], [1.0, 1 / 26], atol=0.05)
    np.testing.assert_allclose(found.fraction["factor"], [0.0, 25 / 26], atol=0.05)


def test_centred_intervals_cover_and_percentiles_do_not():
    """A measurement that is 20 % low with a scatter of 15 %: of 2000 truths, 90 % are covered."""
    rng = np.random.default_rng(6)
    truth = rng.uniform(50.0, 300.0, 2000)
    estimate = truth * 0.8 * np.exp(rng.normal(0.0, 0.15, truth.shape))
    ratios = 0.8 * np.exp(rng.normal(0.0, 0.15, (256, 1)))
    found = centred_interval(estimate, np.broadcast_to(ratios, (256, truth.size)))
    covered = np.mean((found.lower <= truth) & (truth <= found.upper))
    assert 0.87 < covered < 0.93
    low, high = np.quantile(estimate * ratios, [0.05, 0.95], axis=0)
    assert np.mean((low <= truth) & (truth <= high)) < 0.35
    np.testing.assert_allclose(found.relative_bias, np.exp(np.log(ratios).mean()) - 1, rtol=1e-6)


def test_few_simulations_widen_the_interval():
    rng = np.random.default_rng(7)
    hits = []
    for _ in range(1500):
        ratios, estimate = np.exp(rng.normal(0, 0.2, (16, 1))), np.exp(rng.normal(0, 0.2, 1))
        one = centred_interval(estimate, ratios)
        hits.append(one.lower[0] <= 1.0 <= one.upper[0])
    assert 0.88 < np.mean(hits) < 0.92


def test_wrong_inputs():
    x = [source("x", 1.0, 0.1)]
    with pytest.raises(InputError, match="power of two from 64, got 100"):
        propagate_samples(lambda v: v["x"], x, jax.random.key(0), count=100)
    with pytest.raises(InputError, match=r"\d+ of 64 have an output that is NaN"):
        propagate_samples(lambda v: jnp.log(v["x"] - 1.0), x, jax.random.key(0), count=64)
    with pytest.raises(InputError, match=r"outputs \[1\]: no source changes them"):
        uncertainty_budget(lambda v: jnp.stack([v["x"], 3.0 + 0 * v["x"]]), x, jax.random.key(0), count=64)
    many = [source(f"x{k}", np.zeros(64), 1.0) for k in range(332)]
    with pytest.raises(InputError, match="at most 21201"):
        propagate_samples(lambda v: v["x0"], many, jax.random.key(0))
    with pytest.raises(InputError, match="at least 16 simulations"):
        centred_interval(np.ones(1), np.ones((8, 1)))
    with pytest.raises(InputError, match="ratios: expected finite values above 0"):
        centred_interval(np.ones(1), np.zeros((32, 1)))
    with pytest.raises(InputError, match="level"):
        centred_interval(np.ones(1), np.ones((32, 1)), level=90.0)


def test_an_output_that_varies_in_few_samples_has_no_error_of_its_budget():
    # One or two of 64 samples are beyond the step: without them it is constant, which must not stop a plan.
    def function(values):
        return jnp.stack([values["x"] + values["y"], jnp.where(values["x"] > 2.0, 1.0, 0.0)])

    sources = [source("x", 0.0, 1.0), source("y", 0.0, 1.0)]
    found = [fractions_by_source(function, sources, jax.random.key(seed), count=64) for seed in range(8)]
    rare = np.array([one.error["x"] for one in found])
    assert np.isnan(rare[:, 1]).any() and np.isfinite(rare[:, 0]).all()


def test_a_source_without_effect_has_no_part_of_the_budget():
    sources = [
        Source(name=name, centre=0.0, size=size, origin="test", evidence="assumed")
        for name, size in (("a", 1.0), ("b", 0.5), ("still", 1.0))
    ]

    def pipeline(values):
        return jnp.exp(0.5 * (values["a"] + values["b"]))

    found = uncertainty_budget(pipeline, sources, jax.random.key(4), count=64)
    assert abs(float(found.fraction["still"][0])) < 1e-6
    assert abs(sum(float(row[0]) for row in found.fraction.values()) - 1.0) < 0.15
    # Closed form of a log-normal product: (exp(s^2) - 1) over (exp(total) - 1).
    assert float(found.fraction["a"][0]) == pytest.approx((np.exp(0.25) - 1) / (np.exp(0.3125) - 1), abs=0.15)


@pytest.mark.parametrize("batch_size", [1, 6, 100])
@pytest.mark.parametrize("count", [1, 64, 131])
def test_every_point_is_run_for_any_number_and_batch(count, batch_size):
    sources = [source("x", np.ones(2), 0.5), source("y", 3.0, 0.1, "lognormal")]
    points = np.random.default_rng(count).standard_normal((count, 3)).astype(np.float32)
    found = run_samples(
        points, *numbers_of(sources), (), pipeline=sum_of, layout=layout_of(sources), batch_size=batch_size
    )
    by_hand = (1.0 + 0.5 * points[:, :2]).sum(axis=1) * 3.0 * np.exp(0.1 * points[:, 2])
    np.testing.assert_allclose(found, by_hand[:, None], rtol=1e-5, atol=1e-5)


def sum_of(values):
    return jnp.sum(values["x"]) * values["y"]


def test_samples_and_budget_of_any_count_are_one_program():
    traced = []

    def function(values):
        traced.append(1)
        return values["x"] + values["y"]

    sources = [source("x", 0.0, 1.0), source("y", 0.0, 1.0), source("still", 0.0, 0.0)]
    propagate_samples(function, sources, jax.random.key(0), count=64)
    first = len(traced)
    propagate_samples(function, sources, jax.random.key(0), count=256)
    uncertainty_budget(function, sources, jax.random.key(0), count=128)
    fractions_by_source(function, sources, jax.random.key(0), count=64, varied=["x", "y"])
    assert len(traced) == first > 0


def test_a_budget_of_some_sources_is_that_without_the_others():
    def function(values):
        return values["a"] + 2.0 * values["b"] + 5.0 * values["other"]

    a, other, b = source("a", 0.0, 1.0), source("other", 1.0, 1.0), source("b", 0.0, 1.0)
    found = fractions_by_source(function, [a, other, b], jax.random.key(1), count=256, varied=["a", "b"])

    def fixed(values):
        return function(values | {"other": 1.0})

    alone = fractions_by_source(fixed, [a, b], jax.random.key(1), count=256)
    assert found.fraction.keys() == {"a", "b"}
    for name in ("a", "b"):
        np.testing.assert_allclose(found.fraction[name], alone.fraction[name], rtol=1e-4)
        np.testing.assert_allclose(found.error[name], alone.error[name], rtol=1e-3)
    with pytest.raises(InputError, match="at least one source"):
        fractions_by_source(function, [a, other, b], jax.random.key(1), varied=[])
    with pytest.raises(InputError, match="varied: no source is called c"):
        fractions_by_source(function, [a, other, b], jax.random.key(1), varied=["a", "c"])
