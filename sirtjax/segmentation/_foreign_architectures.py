"""Networks of other programs that cannot be imported from a file, recognised by the names of their weights."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Architecture -> patterns of parts of names, of which a file of its weights has all.
_SIGNATURES = {
    "a SwinUNETR": (r"swinViT\.",),
    "a UNETR": (r"vit\.patch_embedding\.", r"encoder\d\.transp_conv_init\."),
    "a UNesT": (r"nestViT\.",),
    "a VNet": (r"in_tr\.conv_block\.", r"down_tr\d+\.", r"out_tr\."),
    "an AttentionUnet": (r"submodule\.\d+\.attention\.W_g\.",),
    "a BasicUNetPlusPlus": (r"conv_0_0\.conv_0\.", r"upcat_0_1\."),
    "a BasicUNet": (r"conv_0\.conv_0\.", r"down_1\.convs\.", r"upcat_1\."),
    "a FlexibleUNet": (r"decoder\.blocks\.\d+\.convs\.", r"segmentation_head\."),
    "a HighResNet": (r"blocks\.0\.adn\.", r"blocks\.4\.layers\."),
    "a MedNeXt": (r"enc_(?:stages\.|block_)0\.", r"bottleneck\.0\.conv1\."),
    "a DiNTS": (r"dints_space\.",),
    "a ViT": (r"patch_embedding\.position_embeddings", r"blocks\.0\.attn\."),
    "an nnU-Net v1": (r"conv_blocks_context\.", r"seg_outputs\."),
}
# As a checkpoint, and without what nnU-Net writes around the weights.
_NNUNET = ((r"network_weights$",), (r"encoder\.stages\.0\.", r"decoder\.seg_layers\."))


def foreign_architecture(names: Iterable[str]) -> str | None:
    """Returns the unsupported architecture of weights and what to do; None if it is unknown.

    Args:
      names: names of the weights, with any prefix.

    Returns:
      A phrase that completes "contains the weights of ...".

    Examples:
      >>> from sirtjax.segmentation._foreign_architectures import foreign_architecture
      >>> foreign_architecture(["net.swinViT.patch_embed.proj.weight"]).partition(";")[0]
      'a SwinUNETR, which is not supported'
      >>> foreign_architecture(["model.0.conv.weight"]) is None
      True
    """
    joined = "\n".join(names)

    def has(signature: Iterable[str]) -> bool:
        return all(re.search(rf"(?:^|\.){part}", joined, re.MULTILINE) for part in signature)

    if any(has(signature) for signature in _NNUNET):
        return "an nnU-Net v2; import its folder, which contains plans.json, dataset.json and fold_*"
    found = next((name for name, signature in _SIGNATURES.items() if has(signature)), None)
    if found is None:
        return None
    return (
        f"{found}, which is not supported; import a UNet, SegResNet, SegResNetDS, DynUNet or nnU-Net v2, "
        "or segment with the other program and use its masks"
    )
