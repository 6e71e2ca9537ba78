"""Write torch_checkpoint.pth, a small file of torch.save with what checkpoints hold; made with PyTorch 2.13.0.

Run: python tests/reference/torch_checkpoint.py
"""

from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch

weights = OrderedDict(
    w=torch.arange(24.0).reshape(2, 3, 4),
    transposed=torch.arange(24.0).reshape(4, 6).t(),
    half=torch.tensor([0.5, -2.0, 65504.0]).half(),
    brain=torch.tensor([1.5, -3.0]).bfloat16(),
    count=torch.tensor(7),
    empty=torch.zeros(0, 3),
)
weights._metadata = OrderedDict([("", {"version": 1})])
checkpoint = {
    "network_weights": weights,
    "current_epoch": 3,
    "_best_ema": np.float64(0.25),
    "inference_allowed_mirroring_axes": (0, 1, 2),
    "device": torch.device("cpu"),
    "parameter": torch.nn.Parameter(torch.ones(2)),
    "array": np.arange(3),
}
torch.save(checkpoint, Path(__file__).with_suffix(".pth"))
