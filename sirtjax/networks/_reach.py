"""The voxels of the image on which an output voxel depends, from the sizes of kernels and steps.

Reaches are followed backwards, from an interval of output positions along one axis to one of input positions.
"""

from __future__ import annotations

import math

from sirtjax.networks._config import (
    DeepMedicConfig,
    DynUNetConfig,
    HighResUNetConfig,
    MonaiUNetConfig,
    NetworkConfig,
    PlainConvUNetConfig,
    ResidualEncoderUNetConfig,
    SegResNetConfig,
    SegResNetDSConfig,
    ThesisUNetConfig,
    Y90UNetConfig,
)
from sirtjax.networks._convolution import Three
from sirtjax.networks._pooled_unet import KEPT_KERNELS, VALID_KERNELS

Interval = tuple[int, int]


def receptive_field(config: NetworkConfig) -> tuple[int, int, int]:
    """Returns the maximum extent of image voxels, per axis, on which an output voxel depends.

    What normalisation brings in from the whole image is not counted.
    """
    a, b, c = (max(_extents(config, axis)) for axis in range(3))
    return a, b, c


def _extents(config: NetworkConfig, axis: int) -> list[int]:
    reached = [reach(config, axis, (at, at)) for at in range(period(config)[axis])]
    return [high - low + 1 for low, high in reached]


def period(config: NetworkConfig) -> Three:
    """Outputs so many voxels apart along each axis depend on voxels of the image in the same pattern."""
    match config:
        case DeepMedicConfig():
            return (max(config.factors),) * 3
        case ThesisUNetConfig():
            return (config.rate ** (len(config.features) - 1),) * 3
        case HighResUNetConfig():
            return (2 ** (len(config.features) - 1),) * 3
        case _:
            a, b, c = (math.prod(stride[axis] for stride in config.strides) for axis in range(3))
            return a, b, c


def reach(config: NetworkConfig, axis: int, interval: Interval) -> Interval:
    """Returns the input positions on which output positions depend, along one axis."""
    match config:
        case PlainConvUNetConfig() | ResidualEncoderUNetConfig():
            return _encoder_decoder(config, axis, interval)
        case MonaiUNetConfig() | Y90UNetConfig():
            return _strided(config, axis, interval)
        case SegResNetConfig() | SegResNetDSConfig():
            return _segresnet(config, axis, interval)
        case DynUNetConfig():
            return _dynunet(config, axis, interval)
        case ThesisUNetConfig() | HighResUNetConfig():
            return _pooled(config, axis, interval)
        case DeepMedicConfig():
            return _pathways(config, interval)


def before_convolution(interval: Interval, kernel: int, stride: int) -> Interval:
    """Returns the input interval of a convolution with padding of half its kernel."""
    low, high = interval
    return low * stride - kernel // 2, high * stride + kernel // 2


def before_transposed(interval: Interval, kernel: int, stride: int) -> Interval:
    """Returns the input interval of a transposed convolution that multiplies the size by its stride."""
    removed = (kernel - stride + 1) // 2
    low, high = interval[0] + removed, interval[1] + removed
    return -((kernel - 1 - low) // stride), high // stride


def union(*intervals: Interval) -> Interval:
    """Returns the interval from the lowest to the highest position."""
    return min(low for low, _ in intervals), max(high for _, high in intervals)


def _encoder_decoder(
    config: PlainConvUNetConfig | ResidualEncoderUNetConfig, axis: int, interval: Interval
) -> Interval:
    kernels = [kernel[axis] for kernel in config.kernels]
    strides = [stride[axis] for stride in config.strides]

    def unit(stage: int, wanted: Interval, step: int) -> Interval:
        return before_convolution(wanted, kernels[stage], step)

    def encoded(stage: int, wanted: Interval) -> Interval:
        """Input positions that a stage's output depends on."""
        for level in range(stage, -1, -1):
            if isinstance(config, PlainConvUNetConfig):
                for index in range(config.convolutions[level])[::-1]:
                    wanted = unit(level, wanted, 1 if index else strides[level])
                continue
            for index in range(config.blocks[level])[::-1]:
                step = 1 if index else strides[level]
                pooled = wanted[0] * step, wanted[1] * step + step - 1
                wanted = union(unit(level, unit(level, wanted, 1), step), pooled)
        return wanted if isinstance(config, PlainConvUNetConfig) else unit(0, wanted, 1)

    reached = []
    for level, count in enumerate(reversed(config.decoder_convolutions)):
        for _ in range(count):
            interval = unit(level, interval, 1)
        reached.append(encoded(level, interval))
        # A transposed convolution whose kernels touch without overlapping.
        interval = interval[0] // strides[level + 1], interval[1] // strides[level + 1]
    return union(*reached, encoded(len(kernels) - 1, interval))


def _strided(config: MonaiUNetConfig | Y90UNetConfig, axis: int, interval: Interval) -> Interval:
    strides = [stride[axis] for stride in config.strides]

    def encoded(level: int, wanted: Interval) -> Interval:
        for at in range(level, -1, -1):
            step = strides[at] if at < len(strides) else 1
            for index in range(max(1, config.units))[::-1]:
                wanted = before_convolution(wanted, 3, 1 if index else step)
        return wanted

    reached = []
    for level, step in enumerate(strides):
        if config.units:
            interval = before_convolution(interval, 3, 1)
        # Kernels of three around every `step`-th position.
        interval = -(-(interval[0] - 1) // step), (interval[1] + 1) // step
        reached.append(encoded(level, interval))
    return union(*reached, encoded(len(strides), interval))


def _segresnet(config: SegResNetConfig | SegResNetDSConfig, axis: int, interval: Interval) -> Interval:
    kernels = [kernel[axis] for kernel in config.kernels]
    steps = [stride[axis] for stride in config.strides]

    def blocks(level: int, wanted: Interval, count: int) -> Interval:
        for _ in range(2 * count):
            wanted = before_convolution(wanted, kernels[level], 1)
        return wanted

    def encoded(level: int, wanted: Interval) -> Interval:
        for at in range(level, -1, -1):
            wanted = blocks(at, wanted, config.blocks_down[at])
            wanted = before_convolution(wanted, kernels[max(0, at - 1)], steps[at])
        return wanted

    reached = []
    for level, count in enumerate(reversed(config.blocks_up)):
        interval = blocks(level, interval, count)
        reached.append(encoded(level, interval))
        step = steps[level + 1]
        if config.upsample_mode == "deconv":
            kernel = kernels[level] if isinstance(config, SegResNetDSConfig) else step
            interval = before_transposed(interval, kernel, step)
        elif step == 2:
            # Interpolation between the two nearest voxels.
            interval = (interval[0] - 1) // 2, (interval[1] + 1) // 2
    return union(*reached, encoded(len(kernels) - 1, interval))


def _dynunet(config: DynUNetConfig, axis: int, interval: Interval) -> Interval:
    kernels = [kernel[axis] for kernel in config.kernel_size]
    steps = [stride[axis] for stride in config.strides]

    def encoded(level: int, wanted: Interval) -> Interval:
        for at in range(level, -1, -1):
            low, high = before_convolution(wanted, kernels[at], 1)
            padding = (kernels[at] - steps[at] + 1) // 2
            wanted = low * steps[at] - padding, high * steps[at] - padding + kernels[at] - 1
        return wanted

    reached = []
    for level in range(len(kernels) - 1):
        for _ in range(2):
            interval = before_convolution(interval, kernels[level + 1], 1)
        reached.append(encoded(level, interval))
        interval = before_transposed(interval, steps[level + 1], steps[level + 1])
    return union(*reached, encoded(len(kernels) - 1, interval))


def _pooled(config: ThesisUNetConfig | HighResUNetConfig, axis: int, interval: Interval) -> Interval:
    """Positions of the decoder are mapped to those of the encoder by the crop at the low side."""
    thesis = isinstance(config, ThesisUNetConfig)
    rate = config.rate if isinstance(config, ThesisUNetConfig) else 2
    kernels = [kernel[axis] for kernel in (KEPT_KERNELS if thesis else VALID_KERNELS)]
    lost = 0 if thesis else sum(kernel - 1 for kernel in kernels)
    around = sum(kernel - 1 for kernel in kernels) - lost
    levels = len(config.features)

    def pair(wanted: Interval) -> Interval:
        return wanted[0] - around // 2, wanted[1] + around // 2 + lost

    def encoded(level: int, wanted: Interval) -> Interval:
        wanted = pair(wanted)
        for _ in range(level):
            wanted = pair((wanted[0] * rate, wanted[1] * rate + rate - 1))
        return wanted

    # Voxels removed from the encoder's feature at the low side of each level, where the decoder joins it.
    cut = [0] * levels
    for level in range(levels - 2, -1, -1):
        lowest = level == levels - 2
        cut[level] = rate * cut[level + 1] + 1 if thesis else rate * (lost // 2 if lowest else cut[level + 1] + lost)
    reached = []
    for level in range(levels - 1):
        interval = pair(interval)
        reached.append(encoded(level, (interval[0] + cut[level], interval[1] + cut[level])))
        # Smoothed repetition reads two voxels more.
        interval = interval[0] // rate, (interval[1] + (2 if thesis else 0)) // rate
    return union(*reached, encoded(levels - 1, interval))


def _pathways(config: DeepMedicConfig, interval: Interval) -> Interval:
    margin, reached = 2 * len(config.features[0]), []
    for factor in config.factors:
        # The image of a pathway begins where its margin of the largest one's does.
        begin = len(config.features[0]) * (max(config.factors) - factor)
        low, high = interval[0] // factor, interval[1] // factor + margin
        reached.append((begin + low * factor, begin + high * factor + factor - 1))
    return union(*reached)
