from __future__ import annotations

from sirtjax import networks
from sirtjax.networks import DeepMedicConfig, NetworkConfig

Shape = tuple[int, int, int]
# Largest factor on DeepMedic's output along an axis, and number of voxels that it must not lead beyond. On one core of
# a CPU a million voxels take 70 s in outputs of 15 voxels, as in training, 16 s and 0.3 GB in outputs of 45, and 23 s
# and 1.1 GB in outputs of 75.
TIMES, LARGEST = 3, 54


def tile_shape(network: NetworkConfig, patch_shape: Shape) -> Shape:
    """Returns the input size with which a trained network processes a whole image.

    As large as the patches it was trained with: what it pads, and what it normalises over a patch, depends on their
    size. DeepMedic does neither, and most of what it reads for a small output it reads again for the next.

    Args:
      network: the network.
      patch_shape: voxels of the patches in training.

    Raises:
      ConfigError: the network takes no such patches.
    """
    given = networks.output_shape(network, patch_shape)
    if not isinstance(network, DeepMedicConfig):
        return patch_shape
    i, j, k = (max(1, min(TIMES, LARGEST // n)) * n for n in given)
    found: Shape = networks.input_shape(network, (i, j, k))
    return found
