"""Networks in half precision: what stays in single precision, and how far the logits are from it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax.errors import ConfigError
from sirtjax.networks import apply, initialise, network_config
from sirtjax.networks._feature import moments

PLAIN = {"architecture": "plain-conv-unet", "classes": 2, "features": [4, 8], "deep_supervision": False}
POOLED = {"architecture": "thesis-unet", "classes": 2, "features": [4, 8]}
STRIDED = {
    "architecture": "monai-unet",
    "classes": 3,
    "features": [4, 8],
    "strides": [2],
    "units": 1,
    "normalisation": "batch",
}
CASES = [
    (PLAIN, (8, 8, 8)),
    pytest.param(POOLED, (9, 9, 9), marks=pytest.mark.slow),
    pytest.param(STRIDED, (8, 6, 8), marks=pytest.mark.slow),
]


def network_and_image(table, shape):
    config = network_config(table)
    image = np.random.default_rng(1).normal(size=(1, *shape, config.channels)).astype(np.float32)
    return config, initialise(config, seed=0), image


def types_of(function, *arguments):
    """Types of the results of all convolutions and matrix products, by the traced program."""
    seen = set()

    def walk(jaxpr):
        for equation in jaxpr.eqns:
            if equation.primitive.name in ("conv_general_dilated", "dot_general"):
                seen.add(str(equation.outvars[0].aval.dtype))
            for value in jax.tree.leaves(tuple(equation.params.values()), is_leaf=lambda v: hasattr(v, "eqns")):
                inner = getattr(value, "jaxpr", value)
                if hasattr(inner, "eqns"):
                    walk(inner)

    walk(jax.make_jaxpr(function)(*arguments).jaxpr)
    return seen


@pytest.mark.parametrize(("table", "shape"), CASES)
@pytest.mark.slow
def test_half_precision_is_near_and_single_is_unchanged(table, shape):
    config, variables, image = network_and_image(table, shape)
    run = jax.jit(apply, static_argnums=0, static_argnames="precision")
    single = np.asarray(run(config, variables, image))
    np.testing.assert_array_equal(run(config, variables, image, precision="float32"), single)
    half = run(config, variables, image, precision="bfloat16")
    assert half.dtype == jnp.float32 and half.shape == single.shape
    # Each of some ten layers rounds to 8 bits.
    apart = np.sqrt(np.mean((np.asarray(half) - single) ** 2)) / single.std()
    assert 1e-5 < apart < 0.03


def test_only_half_precision_has_half_convolutions():
    config, variables, image = network_and_image(PLAIN, (8, 8, 8))
    assert types_of(lambda v, x: apply(config, v, x), variables, image) == {"float32"}
    # On a CPU each convolution computes in single precision and rounds its result.
    assert "bfloat16" in types_of(lambda v, x: apply(config, v, x, precision="bfloat16"), variables, image)


def test_statistics_of_normalisations_are_single():
    image = 300 + np.random.default_rng(0).normal(size=(1, 8, 8, 8, 4)).astype(np.float32)
    rounded = jnp.asarray(image, jnp.bfloat16)
    mean, variance = moments(rounded)
    exact = np.asarray(rounded, np.float64)
    assert mean.dtype == variance.dtype == np.float32
    # 8 bits would round the mean to a multiple of 2.
    np.testing.assert_allclose(np.ravel(mean), exact.mean(axis=(0, 1, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(np.ravel(variance), exact.var(axis=(0, 1, 2, 3)), rtol=1e-3)


def test_variables_are_not_changed():
    config, variables, image = network_and_image(PLAIN, (8, 8, 8))
    before = [np.array(leaf) for leaf in jax.tree.leaves(variables)]
    jax.jit(apply, static_argnums=0, static_argnames="precision")(config, variables, image, precision="bfloat16")
    for leaf, old in zip(jax.tree.leaves(variables), before, strict=True):
        assert leaf.dtype == np.float32
        np.testing.assert_array_equal(leaf, old)


def test_an_unknown_precision_is_refused():
    config, variables, image = network_and_image(PLAIN, (8, 8, 8))
    with pytest.raises(ConfigError, match="precision is 'float16'; expected float32 or bfloat16"):
        apply(config, variables, image, precision="float16")
