"""MONAI's SegResNet, SegResNetDS and DynUNet: outputs equal to MONAI's, settings from weights, and refused weights."""

import importlib.util
import re
from pathlib import Path

import jax
import numpy as np
import pytest

from sirtjax.errors import ConfigError
from sirtjax.networks import (
    _dynunet,
    apply,
    from_monai,
    initialise,
    monai_architecture,
    monai_settings,
    network_config,
    output_shape,
)

REFERENCE = Path(__file__).parents[1] / "reference"
_spec = importlib.util.spec_from_file_location("monai_networks", REFERENCE / "monai_networks.py")
monai = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(monai)
# Relative to the largest logit.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def frozen():
    with np.load(REFERENCE / "monai_networks.npz") as file:
        arrays = dict(file)
    return {
        name: (monai.unpack(arrays[f"{name}/values"], arrays[f"{name}/shapes"]), arrays[f"{name}/logits"])
        for name in monai.FROZEN
    }


def config_of(name, state):
    table = monai.NETWORKS[name][2]
    return network_config({**monai_settings(state, table["architecture"]), **table})


def difference(config, state, x, logits):
    """Largest difference of the outputs, relative to the largest logit."""
    variables = from_monai(state, config)
    assert jax.tree.structure(variables) == jax.tree.structure(initialise(config, seed=0))
    # A function of its own, so that nothing compiled before is used again.
    found = jax.jit(lambda variables, x: apply(config, variables, x))(variables, x)
    assert found.shape == logits.shape
    return np.abs(found - logits).max() / np.abs(logits).max()


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "segresnet-ds" else pytest.mark.slow) for name in monai.FROZEN]
)
@pytest.mark.slow
def test_outputs_are_those_of_monai(frozen, name):
    state, logits = frozen[name]
    assert difference(config_of(name, state), state, monai.draw_image(name)[:1], logits) < TOLERANCE


@pytest.mark.peers
@pytest.mark.parametrize("name", monai.NETWORKS)
def test_outputs_are_those_of_monai_here(name):
    net = monai.make(name)
    state, x = monai.state_of(net), monai.draw_image(name)
    config = config_of(name, state)
    assert output_shape(config, x.shape[1:4]) == x.shape[1:4]
    assert difference(config, state, x, monai.logits_of(net, x)) < TOLERANCE


@pytest.mark.peers
@pytest.mark.parametrize("name", monai.NETWORKS)
def test_weights_determine_the_arguments_that_monai_was_called_with(name):
    _, arguments, table, _ = monai.NETWORKS[name]
    config = config_of(name, monai.state_of(monai.make(name)))
    for key in ("blocks_down", "blocks_up", "init_filters", "filters", "res_block", "trans_bias", "upsample_mode"):
        if key in arguments:
            assert getattr(config, key) == arguments[key], key
    for key in ("kernel_size", "strides", "upsample_kernel_size"):
        if key in arguments:
            wanted = tuple((size,) * 3 if isinstance(size, int) else size for size in arguments[key])
            assert getattr(config, key) == wanted, key
    assert config.channels == arguments.get("in_channels", 1)
    assert config.classes == table.get("classes", arguments.get("out_channels", 2))
    assert config.normalisation in str(arguments.get("norm", arguments.get("norm_name", config.normalisation))).lower()


@pytest.mark.slow
def test_the_comparison_notices_a_decoder_that_joins_in_the_other_order(frozen, monkeypatch):
    """All levels of this network have equal features, so shapes cannot show it."""
    state, logits = frozen["dynunet"]
    joined = _dynunet.joined
    monkeypatch.setattr(_dynunet, "joined", lambda up, skip: joined(skip, up))
    assert difference(config_of("dynunet", state), state, monai.draw_image("dynunet")[:1], logits) > 1e-2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("downsamples.1.conv2.conv", "bottleneck.conv2.conv"),
        ("upsamples.0.conv_block.norm1", "upsamples.1.conv_block.norm1"),
    ],
)
def test_the_comparison_notices_levels_in_another_order(frozen, first, second):
    state, logits = frozen["dynunet"]
    one, other = f"{first}.weight", f"{second}.weight"
    swapped = {**state, one: state[other], other: state[one]}
    assert difference(config_of("dynunet", state), swapped, monai.draw_image("dynunet")[:1], logits) > 1e-2


def test_settings_come_from_the_weights(frozen):
    found = monai_settings(frozen["segresnet-ds"][0], "segresnet-ds")
    assert found["scales"] == [[2, 2, 1], [2, 2, 2], [2, 2, 2]]
    assert (found["blocks_down"], found["blocks_up"], found["dsdepth"]) == ([1, 2, 1], [1, 1], 2)
    found = monai_settings(frozen["dynunet"][0], "dynunet")
    assert found["strides"] == [[1, 1, 1], [1, 2, 2], [1, 2, 2], [2, 2, 1]]
    assert (found["kernel_size"][0], found["res_block"], found["trans_bias"]) == ([1, 3, 3], True, True)
    found = monai_settings(frozen["segresnet"][0], "segresnet")
    assert (found["channels"], found["classes"], found["init_filters"]) == (2, 3, 2)
    assert (found["upsample_mode"], found["affine"]) == ("nontrainable", True) and "normalisation" not in found


def test_architectures_are_recognised_by_their_names(frozen):
    for name, (state, _) in frozen.items():
        assert monai_architecture(state) == (name, "")
        assert monai_architecture([f"module.net.{key}" for key in state]) == (name, "module.net.")
    assert monai_architecture(["model.0.conv.unit0.conv.weight", "encoder.stages.0.0.convs.0.conv.weight"]) is None
    names = [f"{start}{key}" for start in ("net.", "ema.") for key in frozen["dynunet"][0]]
    with pytest.raises(ConfigError, match=r"contains 2 networks \(names begin with 'ema\.', 'net\.'\)"):
        monai_architecture(names)


def test_missing_unexpected_and_misshapen_tensors_are_named(frozen):
    for name, (state, _) in frozen.items():
        config = config_of(name, state)
        for key in state:
            less = {other: array for other, array in state.items() if other != key}
            if "deep_supervision_heads" in key:
                assert from_monai(less, config)
                continue
            with pytest.raises(ConfigError, match=f"missing {re.escape(key)}; check its config"):
                from_monai(less, config)
        with pytest.raises(ConfigError, match=r"unexpected other\.weight"):
            from_monai({**state, "other.weight": np.zeros(2)}, config)
        key = next(key for key, array in state.items() if array.ndim == 5)
        with pytest.raises(ConfigError, match=rf"{re.escape(key)} is \(7, 7\), expected"):
            from_monai({**state, key: np.zeros((7, 7))}, config)


def test_weights_of_another_architecture_are_refused(frozen):
    for name in frozen:
        config = config_of(name, frozen[name][0])
        for other in frozen:
            if other != name:
                with pytest.raises(ConfigError, match=r"missing .* unexpected "):
                    from_monai(frozen[other][0], config)


@pytest.mark.parametrize("name", monai.FROZEN)
def test_an_encoder_without_decoder_is_refused(frozen, name):
    state = {key: array for key, array in frozen[name][0].items() if not re.match(r"up|conv_final|output_block", key)}
    with pytest.raises(ConfigError, match=r"are only the encoder of a network: no tensor of up\w+; a segmentation"):
        monai_settings(state, name)


@pytest.mark.parametrize(
    ("name", "change", "complaint"),
    [
        ("segresnet", {"vae_fc1.weight": np.zeros((2, 2))}, "are those of a SegResNetVAE, which is not supported"),
        ("segresnet-ds", {"up_layers_auto.0.head.bias": np.zeros(2)}, "are those of a SegResNetDS2, which is not"),
        ("segresnet", {"convInit.conv.weight": np.zeros((2, 2, 3, 3))}, r"shape \(2, 2, 3, 3\), expected 5 axes"),
        ("segresnet-ds", {"encoder.layers.0.blocks.0.conv1.weight": np.zeros((2, 2, 3, 5, 1))}, "kernel 3 x 5 x 1"),
        ("segresnet", {"down_layers.5.1.conv1.conv.weight": np.zeros((2, 2, 3, 3, 3))}, r"down_layers\.3 is missing"),
        (
            "dynunet",
            {"skip_layers.next_layer.downsample.conv1.conv.weight": np.zeros((3, 3, 3, 3, 1))},
            r"skip_layers\.next_layer\.downsample\.conv1\.conv\.weight differs from downsamples\.0\.conv1\.",
        ),
    ],
)
def test_weights_without_a_supported_network_are_refused(frozen, name, change, complaint):
    with pytest.raises(ConfigError, match=complaint):
        monai_settings({**frozen[name][0], **change}, name)


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ({"architecture": "segresnet", "blocks_up": [1]}, "`blocks_up` has 1 entries, expected 3, by `blocks_down`"),
        ({"architecture": "segresnet", "init_filters": 12}, "`groups` is 8, which does not divide the 12 features"),
        ({"architecture": "segresnet", "use_conv_final": False}, "`classes` must be `init_filters`, 8"),
        (
            {"architecture": "segresnet", "upsample_mode": "pixelshuffle"},
            "upsample_mode: Input should be 'nontrainable'",
        ),
        ({"architecture": "segresnet-ds", "scales": [[2, 2, 2]]}, "`scales` has 1 entries, expected 4"),
        ({"architecture": "segresnet-ds", "dsdepth": 4}, "`dsdepth` is 4, expected at most 3"),
        ({"architecture": "segresnet-ds", "affine": False}, "`affine` must be true for batch normalisation"),
        ({"architecture": "dynunet", "strides": [2, 2, 2]}, r"the first of `strides` must be 1, got \(2, 2, 2\)"),
        ({"architecture": "dynunet", "strides": [1, 2], "kernel_size": [3, 4]}, "must be odd"),
        ({"architecture": "dynunet", "strides": [1, 3], "kernel_size": [3, 1]}, "exceed kernels by at most 1"),
        ({"architecture": "dynunet", "strides": [1, 3], "res_block": True}, "with `res_block` strides must be 1 or 2"),
        ({"architecture": "dynunet", "strides": [1, 2], "upsample_kernel_size": [3]}, "expected `strides` without"),
        (
            {"architecture": "dynunet", "strides": [1, 2], "filters": [4, 8, 8]},
            "`kernel_size` has 2 entries, expected 3",
        ),
        ({"architecture": "dynunet"}, "strides: Field required"),
    ],
)
def test_wrong_tables_are_refused(table, complaint):
    with pytest.raises(ConfigError, match=complaint):
        network_config({"classes": 2, **table})
