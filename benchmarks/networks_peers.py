"""PyTorch's side of `networks.py`: one network, one task, one memory layout, in one process.

    python benchmarks/networks_peers.py TASK FOLDER LAYOUT [--repeats 3]

makes the network of the task with weights drawn by a fixed seed, runs it, and prints seconds and memory as JSON. With
the layout "contiguous" it also writes weights, image and logits into FOLDER for the others to be compared with.
Nothing of sirtjax is imported here; run it with a Python that has torch, monai and dynamic-network-architectures.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

THREADS = 2
RATE = 3


class Pair(nn.Module):
    """Two convolutions with instance normalisation and leaky ReLU; the names are those of our parameters."""

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(channels, features, 3, padding=1, bias=False)
        self.first_norm = nn.InstanceNorm3d(features, affine=True)
        self.second = nn.Conv3d(features, features, 3, padding=1, bias=False)
        self.second_norm = nn.InstanceNorm3d(features, affine=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The layers in their order."""
        x = functional.leaky_relu(self.first_norm(self.first(x)), 0.01, inplace=True)
        return functional.leaky_relu(self.second_norm(self.second(x)), 0.01, inplace=True)


class ThesisUNet(nn.Module):
    """The U-Net for images of 3 mm, as `configs/networks/thesis-unet.toml` has it."""

    def __init__(self, features: list[int], classes: int) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(Pair(a, b) for a, b in zip([1, *features], features, strict=False))
        self.decoder = nn.ModuleList(Pair(a + b, a) for a, b in zip(features[-2::-1], features[:0:-1], strict=True))
        self.head = nn.Conv3d(features[0], classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The layers in their order."""
        skips = []
        for index, stage in enumerate(self.encoder):
            x = stage(functional.max_pool3d(x, RATE) if index else x)
            skips.append(x)
        for stage, skip in zip(self.decoder, skips[-2::-1], strict=True):
            x = functional.avg_pool3d(functional.interpolate(x, scale_factor=RATE, mode="nearest"), 3, stride=1)
            a, b, c = ((n - m) // 2 for n, m in zip(skip.shape[2:], x.shape[2:], strict=True))
            i, j, k = x.shape[2:]
            x = stage(torch.cat([x, skip[:, :, a : a + i, b : b + j, c : c + k]], dim=1))
        return self.head(x)


def make(table: dict[str, Any]) -> nn.Module:
    """PyTorch's own network for a config of ours."""
    torch.manual_seed(0)
    features, classes = table["features"], table["classes"]
    if table["architecture"] == "thesis-unet":
        return ThesisUNet(features, classes)
    if table["architecture"] == "monai-unet":
        from monai.networks.nets import UNet

        return UNet(3, 1, classes, features, table["strides"], num_res_units=table["units"], norm="instance")
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    stages = len(features)
    return PlainConvUNet(
        input_channels=1,
        n_stages=stages,
        features_per_stage=features,
        conv_op=nn.Conv3d,
        kernel_sizes=3,
        strides=[1] + [2] * (stages - 1),
        n_conv_per_stage=2,
        num_classes=classes,
        n_conv_per_stage_decoder=2,
        conv_bias=True,
        norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
    )


def used() -> tuple[float, float]:
    """CPU seconds of this process so far, and its peak memory in MB."""
    found = resource.getrusage(resource.RUSAGE_SELF)
    return found.ru_utime + found.ru_stime, found.ru_maxrss * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("task", type=json.loads)
    parser.add_argument("folder", type=Path)
    parser.add_argument("layout", choices=["contiguous", "channels-last"])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("SIRTJAX_BENCH_THREADS", THREADS)))
    task = options.task
    net = make(task["network"])
    image = np.random.default_rng(0).normal(size=(1, *task["shape"], 1)).astype(np.float32)
    x = torch.tensor(image).permute(0, 4, 1, 2, 3).contiguous()
    if options.layout == "channels-last":
        net, x = net.to(memory_format=torch.channels_last_3d), x.to(memory_format=torch.channels_last_3d)
    base_mb = used()[1]
    target, optimiser = None, torch.optim.SGD(net.parameters(), lr=0.01)

    def forward() -> torch.Tensor:
        with torch.inference_mode():
            return net(x)

    def step() -> torch.Tensor:
        optimiser.zero_grad(set_to_none=True)
        share = torch.softmax(net(x), dim=1)[:, 1:]
        loss = 1 - 2 * (share * target).sum() / (share.sum() + target.sum())
        loss.backward()
        optimiser.step()
        return loss.detach()

    if options.layout == "contiguous":
        np.savez(options.folder / "weights.npz", **{k: v.numpy() for k, v in net.state_dict().items()})
    first = forward() if task["kind"] == "forward" else None
    if task["kind"] == "training":
        shape = task["output"]
        target = torch.tensor((np.random.default_rng(1).random((1, 1, *shape)) > 0.5).astype(np.float32))
        first = step()
    if options.layout == "contiguous":
        np.save(options.folder / "image.npy", image)
        found = first.permute(0, 2, 3, 4, 1) if task["kind"] == "forward" else first
        np.save(options.folder / "found.npy", found.contiguous().numpy())
    del first
    run, rows = forward if task["kind"] == "forward" else step, []
    for _ in range(options.repeats):
        cpu, wall = used()[0], time.perf_counter()
        run()
        rows.append((used()[0] - cpu, time.perf_counter() - wall))
    figures = {"cpu_s": min(r[0] for r in rows), "wall_s": min(r[1] for r in rows)}
    print(json.dumps({**figures, "peak_mb": used()[1], "base_mb": base_mb, "version": torch.__version__}))


if __name__ == "__main__":
    main()
