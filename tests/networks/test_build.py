"""Networks as pure functions: variables, training and inference, sizes, receptive fields, presets."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sirtjax.errors import ConfigError
from sirtjax.networks import (
    abstract_variables,
    apply,
    apply_training,
    initialise,
    input_shape,
    list_network_presets,
    load_network_preset,
    network_config,
    output_shape,
    parameter_count,
)

# A tiny network of each family, and an image for it.
TINY = {
    "plain-conv-unet": (
        {
            "architecture": "plain-conv-unet",
            "classes": 2,
            "features": [4, 6, 8],
            "kernels": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
            "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
        },
        (6, 8, 12),
    ),
    "residual-encoder-unet": (
        {"architecture": "residual-encoder-unet", "classes": 2, "features": [4, 8], "blocks": [1, 1]},
        (8, 6, 10),
    ),
    "monai-unet": (
        {
            "architecture": "monai-unet",
            "classes": 2,
            "features": [4, 6, 8],
            "strides": [2, 1],
            "normalisation": "batch",
            "units": 1,
        },
        (8, 6, 10),
    ),
    "thesis-unet": (
        {"architecture": "thesis-unet", "classes": 2, "features": [6, 8], "residual": True},
        (12, 9, 15),
    ),
    "highres-unet": ({"architecture": "highres-unet", "classes": 2, "features": [6, 8]}, (20, 24, 12)),
    "deepmedic": (
        {
            "architecture": "deepmedic",
            "classes": 2,
            "factors": [1, 3],
            "features": [[6, 6], [6, 6]],
            "combined": [8],
            "dropout": 0.1,
        },
        (24, 21, 18),
    ),
    "y90-unet": (
        {"architecture": "y90-unet", "classes": 2, "features": [6, 8], "strides": [2], "dropout_from": 1},
        (8, 6, 10),
    ),
    "segresnet": (
        {
            "architecture": "segresnet",
            "classes": 2,
            "init_filters": 6,
            "blocks_down": [1, 1],
            "groups": 3,
        },
        (8, 6, 10),
    ),
    "segresnet-ds": (
        {
            "architecture": "segresnet-ds",
            "classes": 2,
            "init_filters": 6,
            "blocks_down": [1, 1],
            "scales": [[2, 2, 1], [2, 2, 2]],
        },
        (8, 6, 10),
    ),
    "dynunet": (
        {"architecture": "dynunet", "classes": 2, "filters": [6, 8], "strides": [1, [2, 1, 2]], "res_block": True},
        (8, 6, 10),
    ),
}


def tiny(name, **changes):
    table, shape = TINY[name]
    return network_config({**table, **changes}), shape


def image(config, shape, *, batch=1, seed=0):
    return np.random.default_rng(seed).normal(size=(batch, *shape, config.channels)).astype(np.float32)


def test_every_family_is_tested():
    assert set(TINY) == {load_network_preset(name).architecture for name in list_network_presets()}


@pytest.mark.parametrize("name", list_network_presets())
def test_preset_is_hashable_and_builds(name):
    config = load_network_preset(name)
    assert hash(config) == hash(load_network_preset(name))
    assert network_config(config.model_dump()) == config
    assert parameter_count(abstract_variables(config)) > 1e5


@pytest.mark.parametrize("name", TINY)
def test_variables_are_plain_and_as_announced(name):
    config, _ = tiny(name)
    variables = initialise(config, seed=1)
    assert set(variables) == {"params", "statistics"}
    announced = abstract_variables(config)
    assert jax.tree.structure(announced) == jax.tree.structure(variables)
    assert [leaf.shape for leaf in jax.tree.leaves(announced)] == [leaf.shape for leaf in jax.tree.leaves(variables)]
    other = initialise(config, seed=2)
    assert any(not np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, (variables, other)), strict=True))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ("plain-conv-unet", "deepmedic", "y90-unet") else pytest.mark.slow)
        for name in TINY
    ],
)
@pytest.mark.slow
def test_inference_is_deterministic_and_keeps_images_apart(name):
    config, shape = tiny(name)
    variables = initialise(config, seed=0)
    x = image(config, shape, batch=2)
    run = jax.jit(apply, static_argnums=0)
    logits = run(config, variables, x)
    assert logits.shape == (2, *output_shape(config, shape), config.classes)
    np.testing.assert_array_equal(run(config, variables, x), logits)
    np.testing.assert_allclose(run(config, variables, x[::-1])[::-1], logits, atol=1e-5)


def steps_to_overfit(config, shape, *, steps, rate=1e-2):
    """Cross-entropy of the finest output before and after training on one case, and the share of voxels right."""
    variables = initialise(config, seed=0)
    out = output_shape(config, shape)
    at = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in out), indexing="ij"))
    inside = (np.square(at).sum(axis=0) < 0.7).astype(np.int32)
    margins = [(n - m) // 2 for n, m in zip(shape, out, strict=True)]
    x = image(config, shape, seed=3) * 0.3
    middle = tuple(slice(a, a + m) for a, m in zip(margins, out, strict=True))
    x[(0, *middle)] += inside[..., None]
    optimiser = optax.adam(rate)

    @jax.jit
    def step(variables, state, key):
        def loss(params):
            outputs, statistics = apply_training(config, {**variables, "params": params}, x, key=key)
            return optax.softmax_cross_entropy_with_integer_labels(outputs[0][0], inside).mean(), statistics

        (value, statistics), gradient = jax.value_and_grad(loss, has_aux=True)(variables["params"])
        changes, state = optimiser.update(gradient, state)
        return {"params": optax.apply_updates(variables["params"], changes), "statistics": statistics}, state, value

    state, values = optimiser.init(variables["params"]), []
    for index in range(steps):
        variables, state, value = step(variables, state, jax.random.key(index))
        values.append(float(value))
    found = np.argmax(jax.jit(apply, static_argnums=0)(config, variables, x)[0], axis=-1)
    return values, float((found == inside).mean())


@pytest.mark.slow
# A SegResNetDS has the layers of a SegResNet, and takes a minute to compile.
@pytest.mark.parametrize("name", [name for name in TINY if name != "segresnet-ds"])
def test_overfits_one_case(name):
    config, shape = tiny(name)
    values, right = steps_to_overfit(config, shape, steps=60)
    assert values[-1] < 0.25 * values[0]
    assert right > 0.97


@pytest.mark.slow
@pytest.mark.parametrize(("normalisation", "same"), [("none", True), ("instance", False)])
def test_without_normalisation_what_lies_far_away_changes_nothing(normalisation, same):
    config = network_config(
        {
            "architecture": "plain-conv-unet",
            "classes": 2,
            "features": [3, 4],
            "convolutions": [1, 1],
            "decoder_convolutions": [1],
            "normalisation": normalisation,
        }
    )
    variables = initialise(config, seed=1)
    x = image(config, (8, 8, 32))
    lit = x.copy()
    lit[:, 2:6, 2:6, 26:30] += 20.0
    here, there = (apply(config, variables, one)[..., :16, :] for one in (x, lit))
    assert np.allclose(here, there, atol=1e-6) == same
    assert np.std(here) > 1e-3


def test_wrong_variables_are_named():
    config, shape = tiny("plain-conv-unet")
    variables = initialise(config, seed=0)
    head = variables["params"]["decoder"]["heads"]["0"]
    head["extra"] = head["b"]
    head["b"] = jnp.zeros(5)
    del variables["params"]["encoder"]["0"]["units"]["1"]
    pattern = (
        r"params do not belong to this network: missing encoder\.0\.units\.1\.conv\.w, .* "
        r"unexpected decoder\.heads\.0\.extra; decoder\.heads\.0\.b is \(5,\), expected \(2,\)"
    )
    with pytest.raises(ConfigError, match=pattern):
        apply(config, variables, image(config, shape))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"feature": 3}, "network: .*feature: Extra inputs are not permitted"),
        ({"classes": 0}, "network: .*classes: Input should be greater than or equal to 1"),
        ({"strides": [[1, 1, 1]]}, r"network: .*`strides` has 1 entries, expected 3, by the stages"),
        ({"kernels": [[2, 3, 3]] * 3}, r"network: .*kernels must be odd, got \(2, 3, 3\)"),
    ],
)
def test_wrong_table_is_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        network_config({**TINY["plain-conv-unet"][0], **change})


def test_sizes_that_do_not_divide_are_refused_with_the_nearest():
    config, _ = tiny("plain-conv-unet")
    assert output_shape(config, (6, 8, 12)) == input_shape(config, (6, 8, 12)) == (6, 8, 12)
    with pytest.raises(ConfigError, match="takes no image of 5 x 8 x 13 voxels; the nearest is 6 x 8 x 12"):
        output_shape(config, (5, 8, 13))
    with pytest.raises(ConfigError, match="gives no output of 5 x 8 x 13 voxels; the nearest is 6 x 8 x 12"):
        input_shape(config, (5, 8, 13))


def test_deep_supervision_gives_coarser_outputs_in_training():
    def outputs(config, shape):
        train = partial(jax.eval_shape, partial(apply_training, config))
        x = jax.ShapeDtypeStruct((1, *shape, 1), jnp.float32)
        found, statistics = train(abstract_variables(config), x, key=jax.random.key(0))
        assert statistics == {}
        return [y.shape for y in found]

    assert outputs(*tiny("plain-conv-unet")) == [(1, 6, 8, 12, 2), (1, 6, 4, 6, 2)]
    deeper = {"blocks_down": [1, 1, 1], "scales": [[2, 2, 1], [2, 1, 2], [2, 2, 2]], "dsdepth": 2}
    supervised = tiny("segresnet-ds", normalisation="instance", **deeper)
    assert outputs(*supervised) == [(1, 8, 6, 10, 2), (1, 4, 3, 10, 2)]
    assert outputs(*tiny("plain-conv-unet", deep_supervision=False)) == [(1, 6, 8, 12, 2)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["plain-conv-unet", "residual-encoder-unet", "thesis-unet", "highres-unet", "segresnet", "dynunet"]
)
def test_networks_without_batch_statistics_are_in_training_what_they_are_in_inference(name):
    config, shape = tiny(name)
    variables = initialise(config, seed=0)
    x = image(config, shape)
    outputs, _ = jax.jit(apply_training, static_argnums=0)(config, variables, x, key=jax.random.key(0))
    np.testing.assert_allclose(outputs[0], jax.jit(apply, static_argnums=0)(config, variables, x), atol=1e-5)
