"""Which voxels of the image an output voxel depends on, from the sizes of kernels and steps alone.

Reaches are followed backwards, from an interval of output positions along one axis to one of input positions.
"""

from __future__ import annotations

import math

from sirtjax.networks._config import NetworkConfig, PlainConvUNetConfig

Interval = tuple[int, int]


def receptive_field(config: NetworkConfig) -> tuple[int, int, int]:
    """Voxels of the image along each axis that an output voxel depends on; the most that any output voxel has.

    What normalisation brings in from the whole image is not counted.
    """
    a, b, c = (max(_extents(config, axis)) for axis in range(3))
    return a, b, c


def _extents(config: NetworkConfig, axis: int) -> list[int]:
    period = math.prod(stride[axis] for stride in config.strides)
    # Far from negative positions, so that integer division is plain.
    reached = [reach(config, axis, (64 * period + at, 64 * period + at)) for at in range(period)]
    return [high - low + 1 for low, high in reached]


def reach(config: NetworkConfig, axis: int, interval: Interval) -> Interval:
    """The input positions that output positions depend on, along one axis."""
    match config:
        case PlainConvUNetConfig():
            return _encoder_decoder(config, axis, interval)


def before_convolution(interval: Interval, kernel: int, stride: int) -> Interval:
    """What a convolution with padding of half its kernel reads."""
    low, high = interval
    return low * stride - kernel // 2, high * stride + kernel // 2


def _encoder_decoder(config: PlainConvUNetConfig, axis: int, interval: Interval) -> Interval:
    kernels = [kernel[axis] for kernel in config.kernels]
    strides = [stride[axis] for stride in config.strides]

    def encoded(stage: int, wanted: Interval) -> Interval:
        """Input positions that a stage's output depends on."""
        for level in range(stage, -1, -1):
            for _ in range(config.convolutions[level] - 1):
                wanted = before_convolution(wanted, kernels[level], 1)
            wanted = before_convolution(wanted, kernels[level], strides[level])
        return wanted

    reached = []
    for level, count in enumerate(reversed(config.decoder_convolutions)):
        for _ in range(count):
            interval = before_convolution(interval, kernels[level], 1)
        reached.append(encoded(level, interval))
        interval = interval[0] // strides[level + 1], interval[1] // strides[level + 1]
    reached.append(encoded(len(kernels) - 1, interval))
    return min(low for low, _ in reached), max(high for _, high in reached)
