"""Import of MONAI's SegResNet, SegResNetDS and DynUNet: the description, the bundle and the weights must agree."""

import importlib.util
import json

import jax
import numpy as np
import pytest
from nnunet_models import REFERENCE

from sirtjax import segmentation
from sirtjax.errors import ModelError
from sirtjax.segmentation import _import_monai

_spec = importlib.util.spec_from_file_location("monai_networks", REFERENCE / "monai_networks.py")
monai = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(monai)

DESCRIPTION = """
name = "site-liver"
task = "liver"
labels = {{ {labels} }}
channels = {channels}

[preprocessing]
kind = "fixed"
spacing_mm = [1.5, 1.5, 2.0]
intensities = [{{ modality = "CT", window = [-200.0, 250.0] }}]

[tiles]
shape = [16, 16, 16]

[network]
{network}
"""
LABELS = {2: "liver = 1", 3: "liver = 1, lesion = 2"}


@pytest.fixture(scope="module")
def states():
    with np.load(REFERENCE / "monai_networks.npz") as file:
        return {name: monai.unpack(file[f"{name}/values"], file[f"{name}/shapes"]) for name in monai.FROZEN}


@pytest.fixture
def imported(tmp_path, monkeypatch):
    """Imports weights without the archive around them; `path` is where they would be."""

    def run(state, network="", *, channels=1, classes=2, path="best.pt"):
        monkeypatch.setattr(_import_monai, "read_torch_file", lambda file: state)
        text = DESCRIPTION.format(
            labels=LABELS[classes], channels=json.dumps(["image", "other"][:channels]), network=network
        )
        (tmp_path / "model.toml").write_text(text)
        return segmentation.import_monai(tmp_path / path, tmp_path / "model.toml")

    return run


SEGRESNET = {"channels": 2, "classes": 3}


def test_weights_alone_describe_most_of_a_network(states, imported):
    config = imported(states["dynunet"], classes=3).spec.network
    assert (config.architecture, config.filters, config.res_block) == ("dynunet", (3, 3, 3, 3), True)
    assert config.strides == ((1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 1)) and config.normalisation == "instance"
    config = imported(states["segresnet"], "groups = 2", **SEGRESNET).spec.network
    assert (config.architecture, config.normalisation, config.groups) == ("segresnet", "group", 2)
    config = imported(states["segresnet-ds"], 'normalisation = "instance"').spec.network
    assert (config.architecture, config.dsdepth, config.scales[0]) == ("segresnet-ds", 2, (2, 2, 1))


def test_a_checkpoint_of_a_training_program_is_unwrapped(states, imported):
    state = {f"_model.{key}": array for key, array in states["dynunet"].items()} | {"loss.weight": np.ones(2)}
    wrapped = imported({"epoch": 3, "state_dict": state}, classes=3)
    for a, b in zip(*map(jax.tree.leaves, (wrapped.folds, imported(states["dynunet"], classes=3).folds)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("name", "network", "sizes", "complaint"),
    [
        (
            "segresnet",
            "init_filters = 16",
            SEGRESNET,
            r"model\.toml: network\.init_filters is 16, but .*best\.pt has 2; correct or remove it",
        ),
        (
            "dynunet",
            "strides = [1, 2, 2, 2]",
            {"classes": 3},
            r"network\.strides is \[\[1, 1, 1\], \[2, 2, 2\], .*best",
        ),
        ("dynunet", "res_block = false", {"classes": 3}, r"network\.res_block is False, but .*best\.pt has True"),
        ("dynunet", 'normalisation = "batch"', {"classes": 3}, r"missing .*norm1\.running_mean"),
        ("dynunet", "", {"classes": 2}, r"the network has 3 classes, expected 2 for these labels"),
        (
            "dynunet",
            'architecture = "segresnet"',
            {"classes": 3},
            r'network\.architecture is .segresnet., but .*best\.pt has the weights of a DynUNet; set it to "dynunet"',
        ),
        ("dynunet", 'architecture = "monai-unet"', {"classes": 3}, "has the weights of a DynUNet"),
        ("segresnet", "", SEGRESNET, r"network\.segresnet: `groups` is 8, which does not divide the 2 features"),
        ("segresnet-ds", "", {}, r"model\.toml: network\.normalisation is missing, and weights do not tell it; add "),
        ("segresnet-ds", 'normalisation = "layer"', {}, r"normalisation: Input should be 'group', 'instance'"),
        ("segresnet", "dropout = 0.1\ngroups = 2", SEGRESNET, r"dropout: Extra inputs are not permitted"),
    ],
)
def test_contradictions_are_one_line(states, imported, name, network, sizes, complaint):
    with pytest.raises(ModelError, match=complaint) as told:
        imported(states[name], network, **sizes)
    assert "\n" not in str(told.value)


def test_incomplete_weights_are_refused(states, imported):
    state = states["dynunet"]
    without = {key: array for key, array in state.items() if key != "upsamples.1.conv_block.norm2.bias"}
    with pytest.raises(ModelError, match=r"best\.pt: its weights .* missing upsamples\.1\.conv_block\.norm2\.bias"):
        imported(without, classes=3)
    without = {key: array for key, array in state.items() if not key.startswith("downsamples.0.conv1.")}
    with pytest.raises(ModelError, match=r"best\.pt: .* downsamples\.0\.conv1\.conv\.weight is missing"):
        imported(without, classes=3)
    encoder = {key: array for key, array in state.items() if key.startswith(("input_block", "downsamples", "bott"))}
    with pytest.raises(ModelError, match=r"best\.pt: .* are only the encoder of a network: no tensor of upsamples"):
        imported(encoder, classes=3)
    alone = {key.removeprefix("encoder."): a for key, a in states["segresnet-ds"].items() if key.startswith("encoder.")}
    with pytest.raises(ModelError, match=r"best\.pt: .* are only part of a network: no tensor of up_layers"):
        imported(alone)


@pytest.fixture
def bundle(tmp_path):
    def write(network, **others):
        (tmp_path / "models").mkdir(exist_ok=True)
        (tmp_path / "configs").mkdir(exist_ok=True)
        text = network if isinstance(network, str) else json.dumps({"network_def": network, **others})
        (tmp_path / "configs" / "inference.json").write_text(text)
        return "models/model.pt"

    return write


def test_a_bundle_states_what_weights_do_not(states, imported, bundle):
    network = {
        "_target_": "monai.networks.nets.SegResNet",
        "spatial_dims": 3,
        "in_channels": "@channels",
        "out_channels": "$len(@labels)",
        "init_filters": 2,
        "blocks_up": [1, 2],
        "norm": ["GROUP", {"num_groups": 2}],
        "act": "LEAKYRELU",
        "dropout_prob": 0.2,
    }
    path = bundle(network, channels=2)
    config = imported(states["segresnet"], path=path, **SEGRESNET).spec.network
    assert (config.groups, config.activation, config.blocks_up) == (2, "leaky-relu", (1, 2))
    with pytest.raises(ModelError, match=r"network\.groups is 1, but .*inference\.json has 2; correct or remove it"):
        imported(states["segresnet"], "groups = 1", path=path, **SEGRESNET)
    bundle({**network, "init_filters": 8})
    with pytest.raises(ModelError, match=r"inference\.json: network_def: init_filters is 8, but .*model\.pt has 2"):
        imported(states["segresnet"], path=path, **SEGRESNET)


def test_a_bundle_describes_a_unet(imported, bundle):
    from sirtjax.io import read_torch_file

    state = read_torch_file(REFERENCE / "monai_unet.pth")
    network = {
        "_target_": "UNet",
        "spatial_dims": 3,
        "in_channels": 1,
        "out_channels": 2,
        "channels": [3, 4, 6],
        "strides": [2, 2],
        "num_res_units": 2,
        "norm": "batch",
    }
    config = imported(state, path=bundle(network)).spec.network
    assert (config.architecture, config.units, config.normalisation) == ("monai-unet", 2, "batch")
    with pytest.raises(ModelError, match=r"its weights are not those of .*unexpected"):
        imported(state, path=bundle({key: value for key, value in network.items() if key != "num_res_units"}))


@pytest.mark.parametrize(
    ("network", "complaint"),
    [
        ({"_target_": "SwinUNETR"}, r"inference\.json: its network is a SwinUNETR, expected UNet, SegResNet"),
        ({"_target_": "DynUNet", "spatial_dims": 2}, "spatial_dims is 2; only networks of 3 dimensions"),
        ({"_target_": "DynUNet", "norm_name": "$make()"}, "norm_name is code .*; add normalisation to the description"),
        ({"_target_": "DynUNet", "norm_name": "@norm"}, "norm_name is code .*; add normalisation to the description"),
        ({"_target_": "DynUNet", "norm_name": "layer"}, 'norm_name = "layer" is not supported for a DynUNet'),
        ({"_target_": "DynUNet", "act_name": ["leakyrelu", {"negative_slope": 0.2}]}, "0.2.* is not supported"),
        ({"_target_": "DynUNet", "magic": 1}, "magic = 1 is not supported for a DynUNet"),
        ("{", r"inference\.json: is not a readable JSON file"),
    ],
)
def test_bundles_that_are_not_supported_are_one_line(states, imported, bundle, network, complaint):
    with pytest.raises(ModelError, match=complaint) as told:
        imported(states["dynunet"], classes=3, path=bundle(network))
    assert "\n" not in str(told.value)


def test_code_in_a_bundle_is_replaced_by_the_description(states, imported, bundle):
    path = bundle({"_target_": "DynUNet", "norm_name": "$make()", "strides": "$steps"})
    config = imported(states["dynunet"], 'normalisation = "instance"', classes=3, path=path).spec.network
    assert config.normalisation == "instance" and config.strides[1] == (1, 2, 2)


@pytest.mark.peers
@pytest.mark.parametrize("name", ["segresnet-default", "segresnet-ds-default", "dynunet-default"])
def test_files_of_pytorch_are_imported(name, tmp_path):
    import torch

    net, x = monai.make(name), monai.draw_image(name)
    torch.save({"model": net.state_dict(), "optimizer": {}}, tmp_path / "best.pt")
    channels = json.dumps(["image", "other"][: x.shape[-1]])
    (tmp_path / "model.toml").write_text(DESCRIPTION.format(labels=LABELS[2], channels=channels, network=""))
    model = segmentation.import_monai(tmp_path / "best.pt", tmp_path / "model.toml")
    logits, expected = segmentation.network_function(model.spec.network)(model.folds[0], x), monai.logits_of(net, x)
    assert np.abs(logits - expected).max() < 1e-5 * np.abs(expected).max()
