"""Write monai_networks.npz: MONAI's SegResNet, SegResNetDS and DynUNet of random weights, and their outputs.

Made with torch 2.13.0 and monai 1.6.1. Half precision keeps weights small.

Run: python tests/reference/monai_networks.py
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

# Name -> class of MONAI, its arguments, this package's table, and the shape of an image.
NETWORKS: dict[str, tuple[str, dict[str, Any], dict[str, Any], tuple[int, int, int]]] = {
    "segresnet": (
        "SegResNet",
        {
            "in_channels": 2,
            "out_channels": 3,
            "init_filters": 2,
            "blocks_down": (1, 2, 1),
            "blocks_up": (1, 2),
            "norm": ("GROUP", {"num_groups": 2}),
            "dropout_prob": 0.2,
        },
        {"architecture": "segresnet", "groups": 2},
        (8, 4, 12),
    ),
    "segresnet-ds": (
        "SegResNetDS",
        {
            "in_channels": 1,
            "out_channels": 2,
            "init_filters": 2,
            "blocks_down": (1, 2, 1),
            "norm": "INSTANCE",
            "dsdepth": 2,
            "resolution": (1.0, 1.2, 2.5),
        },
        {"architecture": "segresnet-ds", "normalisation": "instance"},
        (8, 4, 6),
    ),
    "dynunet": (
        "DynUNet",
        {
            "in_channels": 1,
            "out_channels": 3,
            # Equal features: shapes do not tell levels or halves of a joined feature apart.
            "filters": (3, 3, 3, 3),
            "kernel_size": ((1, 3, 3), (3, 3, 1), 3, 3),
            "strides": (1, (1, 2, 2), (1, 2, 2), (2, 2, 1)),
            "upsample_kernel_size": ((1, 2, 2), (1, 2, 2), (2, 2, 1)),
            "res_block": True,
            "trans_bias": True,
            "deep_supervision": True,
            "deep_supr_num": 2,
        },
        {"architecture": "dynunet"},
        (6, 8, 12),
    ),
    # Further ones are not in the file: their references are made where MONAI is installed.
    "segresnet-default": (
        "SegResNet",
        {"init_filters": 16, "in_channels": 1, "out_channels": 2},
        {"architecture": "segresnet"},
        (16, 24, 8),
    ),
    "segresnet-deconv": (
        "SegResNet",
        {
            "init_filters": 4,
            "out_channels": 2,
            "blocks_down": (2, 1),
            "blocks_up": (2,),
            "norm": "BATCH",
            "act": "LEAKYRELU",
            "upsample_mode": "deconv",
        },
        {"architecture": "segresnet", "activation": "leaky-relu"},
        (6, 4, 8),
    ),
    "segresnet-features": (
        "SegResNet",
        {
            "init_filters": 4,
            "out_channels": 2,
            "blocks_down": (1, 1),
            "blocks_up": (1,),
            "norm": "INSTANCE",
            "use_conv_final": False,
        },
        {"architecture": "segresnet", "normalisation": "instance", "use_conv_final": False, "classes": 4},
        (6, 4, 8),
    ),
    "segresnet-ds-default": (
        "SegResNetDS",
        {"init_filters": 8, "blocks_up": (1, 2, 1), "upsample_mode": "nontrainable", "dsdepth": 3},
        {"architecture": "segresnet-ds"},
        (8, 16, 24),
    ),
    "segresnet-ds-thick": (
        "SegResNetDS",
        {
            "init_filters": 8,
            "in_channels": 2,
            "upsample_mode": "nontrainable",
            "norm": ("GROUP", {"num_groups": 4}),
            "act": "leakyrelu",
            "blocks_down": (1, 2, 2),
            "resolution": (1, 1, 5),
        },
        {"architecture": "segresnet-ds", "normalisation": "group", "groups": 4, "activation": "leaky-relu"},
        # No step along the last axis: any size is accepted.
        (12, 8, 5),
    ),
    "dynunet-default": (
        "DynUNet",
        {
            "in_channels": 2,
            "out_channels": 2,
            "kernel_size": (3, 3, 3),
            "strides": (1, 2, 2),
            "upsample_kernel_size": (2, 2),
        },
        {"architecture": "dynunet"},
        (4, 8, 12),
    ),
    "dynunet-batch": (
        "DynUNet",
        {
            "in_channels": 1,
            "out_channels": 2,
            "filters": (4, 6, 8),
            "kernel_size": (5, (3, 5, 1), 3),
            "strides": (1, (3, 2, 1), (1, 3, 1)),
            "upsample_kernel_size": ((3, 2, 1), (1, 3, 1)),
            "norm_name": "batch",
            "act_name": "relu",
        },
        {"architecture": "dynunet", "activation": "relu"},
        # Steps of 3 and none: odd sizes.
        (9, 6, 7),
    ),
    "dynunet-group": (
        "DynUNet",
        {
            "in_channels": 1,
            "out_channels": 2,
            "filters": (4, 8, 8),
            "kernel_size": (3, 3, 3),
            "strides": (1, (2, 2, 1), (2, 1, 1)),
            "upsample_kernel_size": ((2, 2, 1), (2, 1, 1)),
            "norm_name": ("group", {"num_groups": 2}),
            "res_block": True,
        },
        {"architecture": "dynunet", "normalisation": "group", "groups": 2},
        (8, 6, 5),
    ),
    "dynunet-plain": (
        "DynUNet",
        {
            "in_channels": 1,
            "out_channels": 2,
            "filters": (4, 8, 8),
            "kernel_size": (3, 3, 3),
            "strides": (1, 2, 2),
            "upsample_kernel_size": (2, 2),
            "norm_name": "instance",
        },
        {"architecture": "dynunet"},
        (8, 12, 4),
    ),
}
FROZEN = ("segresnet", "segresnet-ds", "dynunet")


def make(name: str) -> Any:
    """MONAI's module, with random weights and statistics."""
    import torch
    from monai.networks import nets

    torch.manual_seed(len(name))
    kind, arguments, *_ = NETWORKS[name]
    net = getattr(nets, kind)(spatial_dims=3, **arguments)
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


def draw_image(name: str) -> np.ndarray:
    """Two images for a network, channels last."""
    _, arguments, _, shape = NETWORKS[name]
    size = (2, *shape, arguments.get("in_channels", 1))
    return np.random.default_rng(0).normal(size=size).astype(np.float16).astype(np.float32)


def logits_of(net: Any, x: np.ndarray) -> np.ndarray:
    """MONAI's output for images with channels last."""
    import torch

    with torch.no_grad():
        return net(torch.tensor(x).permute(0, 4, 1, 2, 3)).permute(0, 2, 3, 4, 1).numpy()


def pack(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Tensors as one array in half precision, and their names and shapes as JSON."""
    # A DynUNet registers most tensors twice.
    kept = {key: array for key, array in state.items() if not key.startswith("skip_layers.")}
    values = np.concatenate([array.ravel() for array in kept.values()]).astype(np.float16)
    shapes = json.dumps({key: array.shape for key, array in kept.items()})
    return {"values": values, "shapes": np.frombuffer(shapes.encode(), np.uint8)}


def unpack(values: np.ndarray, shapes: np.ndarray) -> dict[str, np.ndarray]:
    """The tensors of `pack`, in single precision."""
    named = json.loads(shapes.tobytes())
    ends = np.cumsum([int(np.prod(shape)) for shape in named.values()])
    parts = np.split(values.astype(np.float32), ends[:-1])
    return {key: part.reshape(shape) for (key, shape), part in zip(named.items(), parts, strict=True)}


def main() -> None:
    arrays = {}
    for name in FROZEN:
        net = make(name)
        packed = pack(state_of(net)) | {"logits": logits_of(net, draw_image(name)[:1]).astype(np.float32)}
        arrays |= {f"{name}/{key}": array for key, array in packed.items()}
    np.savez_compressed(Path(__file__).with_suffix(".npz"), **arrays)


if __name__ == "__main__":
    main()
