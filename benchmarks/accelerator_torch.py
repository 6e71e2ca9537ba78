"""PyTorch's side of `accelerator.py`: one network and one task, in float32 and with AMP, channels last.

    python benchmarks/accelerator_torch.py TASK FOLDER [--repeats 5]

builds the network of the task with weights sampled by a fixed seed (`networks_peers.py`), runs it on the GPU if there
is one, and prints seconds as JSON. It writes the weights, the image and the results into FOLDER for the comparison.
AMP is autocast to bfloat16, which needs no scaling of the loss. Nothing of sirtjax is imported here.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from networks_peers import THREADS, make, used

PRECISIONS = ("float32", "amp")


def steps(
    net: torch.nn.Module, task: dict[str, Any], x: torch.Tensor, *, amp: bool
) -> tuple[Callable[[], torch.Tensor], torch.Tensor]:
    """The function to time and the result of its first call: logits, or the loss before the update."""
    device = x.device.type
    cast = torch.autocast(device, dtype=torch.bfloat16, enabled=amp)

    def forward() -> torch.Tensor:
        with torch.inference_mode(), cast:
            return net(x)

    if task["kind"] == "forward":
        return forward, forward()
    wanted = (np.random.default_rng(1).random((1, 1, *task["output"])) > 0.5).astype(np.float32)
    target, optimiser = torch.tensor(wanted, device=device), torch.optim.SGD(net.parameters(), lr=0.01)

    def step() -> torch.Tensor:
        optimiser.zero_grad(set_to_none=True)
        with cast:
            logits = net(x)
        share = torch.softmax(logits.float(), dim=1)[:, 1:]
        loss = 1 - 2 * (share * target).sum() / (share.sum() + target.sum())
        loss.backward()
        optimiser.step()
        return loss.detach()

    return step, step()


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("task", type=json.loads)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    torch.backends.cudnn.benchmark = True
    device = "cuda" if torch.cuda.is_available() else "cpu"
    task = options.task
    original = make(task["network"])
    np.savez(options.folder / "weights.npz", **{k: v.numpy() for k, v in original.state_dict().items()})
    image = np.random.default_rng(0).normal(size=(1, *task["shape"], 1)).astype(np.float32)
    np.save(options.folder / "image.npy", image)
    layout = {"memory_format": torch.channels_last_3d}
    x = torch.tensor(image).permute(0, 4, 1, 2, 3).to(device, **layout)
    facts: dict[str, Any] = {
        "version": torch.__version__,
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "tf32_convolutions": torch.backends.cudnn.allow_tf32,
    }
    for precision in PRECISIONS:
        net = copy.deepcopy(original).to(device, **layout)
        run, first = steps(net, task, x, amp=precision == "amp")
        found = first.float().permute(0, 2, 3, 4, 1) if task["kind"] == "forward" else first.float()
        np.save(options.folder / f"{precision}.npy", found.contiguous().cpu().numpy())
        # Two more calls: cuDNN tries its algorithms, and the memory is allocated.
        for _ in range(2):
            run()
        wait(device)
        times = []
        for _ in range(options.repeats):
            cpu, at = used()[0], time.perf_counter()
            run()
            wait(device)
            times.append((time.perf_counter() - at, used()[0] - cpu))
        wall, cpu_s = (statistics.median(column) for column in zip(*times, strict=True))
        facts[precision] = {"wall_s": wall, "cpu_s": cpu_s}
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
