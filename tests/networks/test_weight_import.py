"""Weights of nnU-Net and MONAI against what PyTorch's own modules made of them, frozen and, where it is there, live."""

import importlib.util
from pathlib import Path

import jax
import numpy as np
import pytest

from sirtjax.errors import ConfigError
from sirtjax.networks import apply, from_monai, from_nnunet, initialise, network_config

REFERENCE = Path(__file__).parents[1] / "reference"
_spec = importlib.util.spec_from_file_location("foreign_networks", REFERENCE / "foreign_networks.py")
foreign = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(foreign)


@pytest.fixture(scope="module")
def frozen():
    with np.load(REFERENCE / "foreign_networks.npz") as file:
        return dict(file)


def state_of(frozen, name):
    start = f"{name}/state/"
    return {key.removeprefix(start): array.astype(np.float32) for key, array in frozen.items() if key.startswith(start)}


def read(name, state, **changes):
    config = network_config({**foreign.TABLES[name], **changes})
    return config, (from_monai if name.startswith("monai") else from_nnunet)(state, config)


def assert_same(config, variables, logits):
    assert jax.tree.structure(variables) == jax.tree.structure(initialise(config, seed=0))
    found = jax.jit(apply, static_argnums=0)(config, variables, foreign.draw_image())
    np.testing.assert_allclose(found, logits, atol=1e-5 * np.abs(logits).max())


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in ("plain", "monai") else pytest.mark.slow) for name in foreign.TABLES],
)
@pytest.mark.slow
def test_logits_are_those_of_pytorch(frozen, name):
    assert_same(*read(name, state_of(frozen, name)), frozen[f"{name}/logits"])


@pytest.mark.peers
@pytest.mark.parametrize("name", foreign.TABLES)
def test_logits_are_those_of_pytorch_here(name):
    net = foreign.make(name, bias=False)
    # As saved by distributed and by compiled training.
    state = {f"module._orig_mod.{key}": array for key, array in foreign.state_of(net).items()}
    assert_same(*read(name, state), foreign.logits_of(net, foreign.draw_image()))


def test_lower_outputs_may_be_left_out(frozen):
    _, variables = read("plain", state_of(frozen, "plain"), deep_supervision=False)
    assert list(variables["params"]["decoder"]["heads"]) == ["0"]
    _, all_of_them = read("plain", state_of(frozen, "plain"))
    np.testing.assert_array_equal(
        variables["params"]["decoder"]["heads"]["0"]["w"], all_of_them["params"]["decoder"]["heads"]["1"]["w"]
    )


def test_missing_unexpected_and_misshapen_tensors_are_named(frozen):
    state = state_of(frozen, "plain")
    del state["encoder.stages.0.0.convs.1.norm.weight"]
    state["encoder.stem.convs.0.conv.weight"] = np.zeros(3, np.float32)
    state["decoder.transpconvs.0.weight"] = np.zeros((5, 4, 2, 2, 1), np.float32)
    pattern = (
        r"tensors do not belong to this network: missing encoder\.stages\.0\.0\.convs\.1\.norm\.weight; "
        r"unexpected encoder\.stem\.convs\.0\.conv\.weight; "
        r"decoder\.transpconvs\.0\.weight is \(5, 4, 2, 2, 1\), expected \(5, 4, 2, 2, 2\); check its config"
    )
    with pytest.raises(ConfigError, match=pattern):
        read("plain", state)


def test_another_monai_network_is_refused(frozen):
    with pytest.raises(ConfigError, match=r"missing model\.0\.adn\.N\.bias, model\.0\.adn\.N\.running_mean, .* more"):
        read("monai-plain", state_of(frozen, "monai-plain"), normalisation="batch")
    with pytest.raises(
        ConfigError, match=r"unexpected model\.0\.conv\.unit0\.adn\.N\.bias, .* more; .*check its config"
    ):
        read("monai", state_of(frozen, "monai"), normalisation="instance")
