"""Networks that cannot be imported are refused by name, from names of weights as MONAI 1.6 and nnU-Net write them."""

import pytest
from nnunet_models import REFERENCE

from sirtjax import io, segmentation
from sirtjax.errors import ModelError
from sirtjax.segmentation import _import_monai
from sirtjax.segmentation._foreign_architectures import foreign_architecture

NAMES = {
    "a SwinUNETR": ("encoder1.layer.conv1.conv.weight", "swinViT.patch_embed.proj.weight", "out.conv.conv.weight"),
    "a UNETR": ("vit.patch_embedding.position_embeddings", "encoder2.transp_conv_init.conv.weight"),
    "a VNet": ("in_tr.conv_block.conv.weight", "down_tr32.down_conv.weight", "out_tr.conv2.bias"),
    "an AttentionUnet": ("model.0.conv.0.conv.weight", "model.1.submodule.1.attention.W_g.0.conv.weight"),
    "a BasicUNet": ("conv_0.conv_0.conv.weight", "down_1.convs.conv_0.conv.weight", "upcat_1.convs.conv_0.conv.weight"),
    "a BasicUNetPlusPlus": ("conv_0_0.conv_0.conv.weight", "upcat_0_1.upsample.deconv.bias"),
    "a FlexibleUNet": ("encoder.bn1.weight", "decoder.blocks.0.convs.conv_0.conv.weight", "segmentation_head.0.weight"),
    "a HighResNet": ("blocks.0.adn.N.bias", "blocks.0.conv.weight", "blocks.4.layers.2.N.weight"),
    "a MedNeXt": ("stem.weight", "enc_stages.0.0.conv1.weight", "bottleneck.0.conv1.weight"),
    "a ViT": ("patch_embedding.position_embeddings", "blocks.0.attn.out_proj.weight"),
    "an nnU-Net v1": ("conv_blocks_context.0.blocks.0.conv.weight", "seg_outputs.0.weight"),
}  # fmt: skip
SUPPORTED = {
    "UNet": ("model.0.conv.unit0.conv.weight", "model.1.submodule.1.submodule.conv.unit0.conv.weight"),
    "SegResNet": ("convInit.conv.weight", "down_layers.0.1.conv1.conv.weight", "up_samples.0.0.conv.weight"),
    "SegResNetDS": ("encoder.conv_init.weight", "encoder.layers.0.blocks.0.conv1.weight", "up_layers.0.head.weight"),
    "DynUNet": ("input_block.conv1.conv.weight", "bottleneck.conv1.conv.weight", "upsamples.0.transp_conv.conv.weight"),
}


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "network.module."])
@pytest.mark.parametrize("name", NAMES)
def test_a_network_is_recognised_by_the_names_of_its_weights(name, prefix):
    found = foreign_architecture(prefix + one for one in NAMES[name])
    assert found == (
        f"{name}, which is not supported; import a UNet, SegResNet, SegResNetDS, DynUNet or nnU-Net v2, "
        "or segment with the other program and use its masks"
    )


@pytest.mark.parametrize("name", SUPPORTED)
def test_supported_and_unknown_networks_are_not_foreign(name):
    assert foreign_architecture(SUPPORTED[name]) is None
    assert foreign_architecture(["layer1.0.conv1.weight", "fc.weight"]) is None
    assert foreign_architecture([]) is None


@pytest.fixture
def refusal(tmp_path, monkeypatch):
    """The message that refuses the content of a file."""
    description = tmp_path / "model.toml"
    description.write_text('name = "a"\n')

    def refuse(content):
        monkeypatch.setattr(_import_monai, "read_torch_file", lambda file: content)
        with pytest.raises(ModelError) as told:
            segmentation.import_monai(tmp_path / "best.pth", description)
        assert str(told.value).startswith(f"{tmp_path / 'best.pth'}: ") and "\n" not in str(told.value)
        return str(told.value)

    return refuse


def test_the_import_names_the_network_it_refuses(refusal):
    for name, keys in NAMES.items():
        # Names that begin with "model." as those of a UNet do.
        weights = {f"model.{key}": 0 for key in keys}
        assert f"contains the weights of {name}, which is not supported; import" in refusal({"state_dict": weights})


def test_a_file_of_an_nnunet_leads_to_its_folder(refusal):
    advice = "contains the weights of an nnU-Net v2; import its folder, which contains plans.json"
    assert advice in refusal(io.read_torch_file(REFERENCE / "torch_checkpoint.pth"))
    names = ("encoder.stages.0.0.convs.0.conv.weight", "decoder.seg_layers.0.weight")
    assert advice in refusal(dict.fromkeys(names, 0))
    assert "contains no weights of a MONAI UNet" in refusal({"fc.weight": 0})


@pytest.mark.peers
def test_names_are_those_of_monai():
    from monai.networks import nets

    made = {
        "a SwinUNETR": nets.SwinUNETR(in_channels=1, out_channels=2, feature_size=12),
        "a UNETR": nets.UNETR(1, 2, (32, 32, 32), feature_size=8, hidden_size=24, mlp_dim=24, num_heads=2),
        "a VNet": nets.VNet(in_channels=1, out_channels=2),
        "an AttentionUnet": nets.AttentionUnet(3, 1, 2, (4, 8, 16), (2, 2)),
        "a BasicUNet": nets.BasicUNet(3, 1, 2, (4, 4, 8, 8, 8, 4)),
        "a BasicUNetPlusPlus": nets.BasicUNetPlusPlus(3, 1, 2, (4, 4, 8, 8, 8, 4)),
        "a FlexibleUNet": nets.FlexibleUNet(1, 2, "resnet10", spatial_dims=3),
        "a HighResNet": nets.HighResNet(3, 1, 2),
        "a MedNeXt": nets.MedNeXt(3, 8, 1, 2),
        "a ViT": nets.ViT(1, (32, 32, 32), (16, 16, 16), hidden_size=24, mlp_dim=24, num_heads=2, num_layers=1),
    }
    for name, network in made.items():
        keys = set(network.state_dict())
        assert foreign_architecture(keys).startswith(f"{name}, which"), name
        assert set(NAMES[name]) <= keys, name
    supported = {
        "UNet": nets.UNet(3, 1, 2, (4, 8, 16), (2, 2), num_res_units=2),
        "SegResNet": nets.SegResNet(),
        "SegResNetDS": nets.SegResNetDS(init_filters=8, blocks_down=(1, 1)),
        "DynUNet": nets.DynUNet(3, 1, 2, [3, 3, 3], [1, 2, 2], [2, 2]),
    }
    for name, network in supported.items():
        keys = set(network.state_dict())
        assert foreign_architecture(keys) is None, name
        assert set(SUPPORTED[name]) <= keys, name
