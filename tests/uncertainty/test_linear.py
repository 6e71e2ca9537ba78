import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax.errors import InputError
from sirtjax.uncertainty import Source, propagate_linear


def source(name, centre, size, distribution="normal"):
    return Source(name=name, centre=centre, size=size, origin="test", evidence="assumed", distribution=distribution)


def test_linear_function_by_hand():
    weights = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]])

    def function(values):
        return {"a": weights @ jnp.concatenate([values["x"], values["y"][None]])}

    sources = [source("x", [1.0, 2.0], [0.1, 0.3]), source("y", 4.0, 2.0)]
    found = propagate_linear(function, sources, jax.random.key(0))
    np.testing.assert_allclose(found.value, weights @ [1.0, 2.0, 4.0], rtol=1e-6)
    np.testing.assert_allclose(found.standard_deviation, np.sqrt([0.01 + 0.36 + 1.0, 0.81 + 4.0]), rtol=1e-6)
    np.testing.assert_allclose(found.variances["x"], [0.37, 0.81], rtol=1e-5)
    np.testing.assert_allclose(found.variances["y"], [1.0, 4.0], rtol=1e-5)
    np.testing.assert_allclose(found.bias, 0.0, atol=1e-5)


@pytest.mark.parametrize(("distribution", "bias"), [("normal", 0.5 * 0.2**2), ("lognormal", 2 * 0.2**2)])
def test_bias_of_curved_functions(distribution, bias):
    # exp(x) for normal x; x^2 for lognormal x is exp(2 s z). To second order: half the second derivative.
    def function(values):
        return jnp.exp(values["x"]) if distribution == "normal" else values["x"] ** 2

    centre = 0.0 if distribution == "normal" else 1.0
    found = propagate_linear(function, [source("x", centre, 0.2, distribution)], jax.random.key(0))
    np.testing.assert_allclose(found.bias, [bias], rtol=1e-5)


def test_bias_of_a_source_with_many_elements():
    # Sum of squares of n elements: n u^2, whatever the random directions, because the second derivatives are diagonal.
    def function(values):
        return jnp.sum(values["field"] ** 2)

    found = propagate_linear(function, [source("field", np.zeros(300), 0.5)], jax.random.key(1))
    np.testing.assert_allclose(found.bias, [75.0], rtol=1e-4)


def test_random_directions_with_coupled_elements():
    matrix = np.random.default_rng(2).normal(size=(40, 40))
    matrix = matrix + matrix.T

    def function(values):
        return values["field"] @ matrix @ values["field"] + 20.0 * jnp.sum(values["field"] ** 2)

    one = propagate_linear(function, [source("field", np.zeros(40), 1.0)], jax.random.key(3), probes=2000)
    assert one.bias[0] == pytest.approx(np.trace(matrix) + 800.0, rel=0.02)


def test_more_outputs_than_inputs_and_the_reverse():
    matrix = np.random.default_rng(4).normal(size=(3, 200))

    def function(values):
        return matrix @ values["x"]

    found = propagate_linear(function, [source("x", np.ones(200), 1.0)], jax.random.key(0))
    np.testing.assert_allclose(found.standard_deviation, np.linalg.norm(matrix, axis=1), rtol=1e-5)


def test_outputs_and_sources_without_effect_have_zeros_and_the_others_their_derivatives():
    # Reverse mode: the second output depends on no source, the third only on the difference of two elements.
    def function(values):
        x = values["x"]
        return jnp.stack([jnp.sum(x**2), 3.0 + 0.0 * x[0], x[0] - x[1], values["still"] ** 2])

    for seed in range(3):
        sources = [source("x", np.arange(200.0), 0.5), source("still", 4.0, 0.0)]
        found = propagate_linear(function, sources, jax.random.key(seed), probes=4)
        by_hand = [0.5 * np.linalg.norm(2.0 * np.arange(200.0)), 0.0, 0.5 * np.sqrt(2.0), 0.0]
        np.testing.assert_allclose(found.standard_deviation, by_hand, rtol=1e-5)
        np.testing.assert_allclose(found.bias, [50.0, 0.0, 0.0, 0.0], rtol=1e-4)
        np.testing.assert_allclose(found.variances["still"], 0.0)


def test_a_second_patient_compiles_nothing():
    calls = []

    def function(values, data):
        calls.append(1)
        return data * values["x"]

    propagate_linear(function, [source("x", 1.0, 0.1)], jax.random.key(0), args=(np.ones(5),))
    traced = len(calls)
    found = propagate_linear(function, [source("x", 3.0, 0.2)], jax.random.key(1), args=(np.full(5, 7.0),))
    np.testing.assert_allclose(found.value, 21.0, rtol=1e-6)
    np.testing.assert_allclose(found.standard_deviation, 1.4, rtol=1e-5)
    assert len(calls) == traced > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": -1.0}, "finite `size` of at least 0"),
        ({"size": np.inf}, "finite `size`"),
        ({"centre": np.nan}, "NaN or infinity"),
        ({"origin": " "}, "must not be empty"),
        ({"size": [1.0, 2.0]}, "does not fit the shape"),
        ({"centre": 0.0, "distribution": "lognormal"}, "above 0"),
    ],
)
def test_wrong_sources(change, message):
    values = {"name": "x", "centre": 1.0, "size": 0.1, "origin": "test", "evidence": "assumed"} | change
    with pytest.raises(InputError, match=message):
        Source(**values)


def test_wrong_lists():
    with pytest.raises(InputError, match="at least one source"):
        propagate_linear(lambda values: values, [], jax.random.key(0))
    twice = [source("x", 1.0, 0.1), source("x", 2.0, 0.1)]
    with pytest.raises(InputError, match="'x' is named more than once"):
        propagate_linear(lambda values: values["x"], twice, jax.random.key(0))
