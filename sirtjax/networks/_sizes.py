"""The image sizes that a network accepts, and the sizes of its output."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sirtjax.errors import ConfigError
from sirtjax.networks._config import NetworkConfig
from sirtjax.networks._convolution import Three
from sirtjax.networks._pooled_unet import VALID_KERNELS


def output_shape(config: NetworkConfig, input_shape: Sequence[int]) -> Three:
    """Returns the output shape for an image of this shape.

    Raises:
      ConfigError: the network takes no image of this shape; names the nearest that it does.

    Examples:
      >>> from sirtjax import networks
      >>> config = networks.load_network_preset("deepmedic")
      >>> networks.input_shape(config, (15, 15, 15)), networks.output_shape(config, (315, 315, 315))
      ((315, 315, 315), (15, 15, 15))
    """
    found = [_output(config, axis, size) for axis, size in enumerate(input_shape)]
    if None in found:
        nearest = [_nearest(config, axis, size) for axis, size in enumerate(input_shape)]
        raise ConfigError(
            f"{config.architecture} takes no image of {_times(input_shape)} voxels; the nearest is {_times(nearest)}"
        )
    a, b, c = (size for size in found if size is not None)
    return a, b, c


def input_shape(config: NetworkConfig, output_shape: Sequence[int]) -> Three:
    """Returns the image shape that a network requires for an output of this shape.

    Raises:
      ConfigError: no image gives such an output; names the nearest output.
    """
    found = [_input(config, axis, size) for axis, size in enumerate(output_shape)]
    if None in found:
        nearest = [_nearest_output(config, axis, size) for axis, size in enumerate(output_shape)]
        raise ConfigError(
            f"{config.architecture} gives no output of {_times(output_shape)} voxels; the nearest is {_times(nearest)}"
        )
    a, b, c = (size for size in found if size is not None)
    return a, b, c


def _output(config: NetworkConfig, axis: int, size: int) -> int | None:
    """The output along an axis, or None if no image may have this size."""
    match config.architecture:
        case "deepmedic":
            found = size - 2 * len(config.features[0]) * max(config.factors)
            return found if found > 0 and found % max(config.factors) == 0 else None
        case "thesis-unet":
            levels = len(config.features) - 1
            if size % config.rate**levels:
                return None
            found = size // config.rate**levels
            for _ in range(levels):
                found = config.rate * found - 2
            return found if found > 0 else None
        case "highres-unet":
            return _valid_output(len(config.features) - 1, [kernel[axis] - 1 for kernel in VALID_KERNELS], size)
        case _:
            step = math.prod(stride[axis] for stride in config.strides)
            return size if size >= step and size % step == 0 else None


def _valid_output(levels: int, lost: Sequence[int], size: int) -> int | None:
    """The output of a network without padding, whose levels lose so many voxels on each side."""
    for level in range(levels + 1):
        size -= sum(lost)
        if size <= 0 or (level < levels and size % 2):
            return None
        size = size // 2 if level < levels else size
    for _ in range(levels):
        size = 2 * size - sum(lost)
    return size if size > 0 else None


def _input(config: NetworkConfig, axis: int, size: int) -> int | None:
    """The smallest image with this output along an axis."""
    return next((n for n in range(max(1, size), size + _MARGIN) if _output(config, axis, n) == size), None)


def _nearest(config: NetworkConfig, axis: int, size: int) -> int:
    near = sorted(range(1, size + _MARGIN), key=lambda n: (abs(n - size), -n))
    return next(n for n in near if _output(config, axis, n) is not None)


def _nearest_output(config: NetworkConfig, axis: int, size: int) -> int:
    found = (_output(config, axis, n) for n in range(1, size + _MARGIN))
    return min((n for n in found if n is not None), key=lambda n: (abs(n - size), -n))


# Voxels that a network may lose on the way, with its period.
_MARGIN = 512


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
