"""Write monai_unet.pth, a state dict of MONAI's UNet wrapped as Lightning does, and monai_unet.npz, what it answers.

Made with MONAI 1.6.1 and PyTorch 2.13.0. Run: python tests/reference/monai_unet.py
"""

from pathlib import Path

import numpy as np
import torch
from monai.networks.nets import UNet

torch.manual_seed(0)
net = UNet(
    spatial_dims=3, in_channels=1, out_channels=2, channels=(3, 4, 6), strides=(2, 2), num_res_units=2, norm="BATCH"
).eval()
for name, value in [*net.named_parameters(), *net.named_buffers()]:
    if "adn.N" in name and value.dtype.is_floating_point:
        value.data = torch.rand_like(value) + 0.5  # running statistics, too
image = torch.randn(1, 1, 16, 12, 8)
with torch.no_grad():
    logits = net(image)
here = Path(__file__)
wrapped = {f"net.{name}": value for name, value in net.state_dict().items()}
torch.save({"epoch": 3, "state_dict": wrapped, "hyper_parameters": {"lr": 1e-3}}, here.with_suffix(".pth"))
np.savez_compressed(here.with_suffix(".npz"), image=image[0, 0].numpy(), logits=np.moveaxis(logits[0].numpy(), 0, -1))
