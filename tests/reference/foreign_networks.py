"""Write foreign_networks.npz: PyTorch's own networks of random weights, and what they make of an image.

Made with torch 2.13.0, dynamic-network-architectures 0.4.4 and monai 1.6.1. Half precision keeps weights small.

Run: python tests/reference/foreign_networks.py
"""

from pathlib import Path
from typing import Any

import numpy as np

KERNELS = [[1, 3, 3], [3, 3, 3], [3, 3, 3]]
STRIDES = [[1, 1, 1], [1, 2, 1], [2, 2, 2]]
SHAPE = (4, 8, 6)
# Each network's config in this package; `make` builds it of the same numbers.
TABLES: dict[str, dict[str, Any]] = {
    "plain": {
        "architecture": "plain-conv-unet",
        "classes": 2,
        "features": [3, 4, 5],
        "kernels": KERNELS,
        "strides": STRIDES,
        "convolutions": [2, 1, 2],
        "decoder_convolutions": [2, 1],
    },
    "residual": {
        "architecture": "residual-encoder-unet",
        "classes": 2,
        "features": [4, 5, 5],
        "kernels": KERNELS,
        "strides": STRIDES,
        "blocks": [1, 2, 1],
        "decoder_convolutions": [1, 1],
        "deep_supervision": False,
    },
    "monai": {
        "architecture": "monai-unet",
        "classes": 2,
        "features": [3, 4, 5],
        "strides": [2, 1],
        "units": 2,
        "normalisation": "batch",
    },
    "monai-plain": {
        "architecture": "monai-unet",
        "classes": 2,
        "features": [3, 4, 5],
        "strides": [1, 2],
        "units": 0,
        "normalisation": "instance",
    },
}


def make(name: str, *, bias: bool = True) -> Any:
    """PyTorch's module, with random weights and statistics."""
    import torch
    from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
    from monai.networks.nets import UNet

    torch.manual_seed(len(name))
    table = TABLES[name]
    if name.startswith("monai"):
        net = UNet(
            spatial_dims=3,
            in_channels=1,
            out_channels=table["classes"],
            channels=table["features"],
            strides=table["strides"],
            num_res_units=table["units"],
            norm=table["normalisation"],
        )
    else:
        stages = len(table["features"])
        common = {
            "input_channels": 1,
            "n_stages": stages,
            "features_per_stage": table["features"],
            "conv_op": torch.nn.Conv3d,
            "kernel_sizes": table["kernels"],
            "strides": table["strides"],
            "num_classes": table["classes"],
            "n_conv_per_stage_decoder": table["decoder_convolutions"],
            "conv_bias": bias,
            "norm_op": torch.nn.InstanceNorm3d,
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "nonlin": torch.nn.LeakyReLU,
            "nonlin_kwargs": {"inplace": True},
            "deep_supervision": table.get("deep_supervision", True),
        }
        if name == "plain":
            net = PlainConvUNet(n_conv_per_stage=table["convolutions"], **common)
        else:
            net = ResidualEncoderUNet(n_blocks_per_stage=table["blocks"], **common)
    with torch.no_grad():
        for key, parameter in net.named_parameters():
            if parameter.ndim == 1:
                parameter.normal_(1.0 if key.endswith("weight") else 0.1, 0.3)
        for key, buffer in net.named_buffers():
            if key.endswith("running_mean"):
                buffer.normal_()
            elif key.endswith("running_var"):
                buffer.uniform_(0.5, 2.0)
    return net.half().float().eval()


def state_of(net: Any) -> dict[str, np.ndarray]:
    """The tensors of a module as arrays."""
    return {key: tensor.numpy() for key, tensor in net.state_dict().items()}


def logits_of(net: Any, x: np.ndarray) -> np.ndarray:
    """What PyTorch finds for images with channels last; the finest output of several."""
    import torch

    with torch.no_grad():
        found = net(torch.tensor(x).permute(0, 4, 1, 2, 3))
    found = found[0] if isinstance(found, list | tuple) else found
    return found.permute(0, 2, 3, 4, 1).numpy()


def draw_image() -> np.ndarray:
    """Two images of one channel."""
    return np.random.default_rng(0).normal(size=(2, *SHAPE, 1)).astype(np.float16).astype(np.float32)


def main() -> None:
    arrays = {}
    for name in TABLES:
        net = make(name)
        for key, array in state_of(net).items():
            # What is registered twice is left out, as a checkpoint's reader may.
            if "all_modules" not in key and not key.startswith("decoder.encoder."):
                arrays[f"{name}/state/{key}"] = array.astype(np.float16) if array.dtype == np.float32 else array
        arrays[f"{name}/logits"] = logits_of(net, draw_image()).astype(np.float32)
    np.savez_compressed(Path(__file__).with_suffix(".npz"), **arrays)


if __name__ == "__main__":
    main()
