"""The structure of MONAI's SegResNet, SegResNetDS and DynUNet, with the names that MONAI gives its arguments."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from sirtjax.networks._config_types import Count, Features, Network, Stages, Triple, as_triples

Blocks = Annotated[tuple[Count, ...], Field(min_length=2, max_length=12)]
# 1: an axis keeps its size; 2: it is halved.
Scale = Annotated[int, Field(ge=1, le=2)]
LARGEST_FEATURES = 320


class Normalised(Network):
    """A network with a choice of normalisation.

    `groups` is the number of groups of "group"; `affine` is false if the normalisations have no learned scale and
    shift.
    """

    normalisation: Literal["group", "instance", "batch"]
    groups: Count = 8
    affine: bool = True
    activation: Literal["relu", "leaky-relu"] = "relu"

    def _check_normalisation(self, features: tuple[int, ...]) -> None:
        if self.normalisation == "batch" and not self.affine:
            raise ValueError("`affine` must be true for batch normalisation")
        odd = [count for count in features if count % self.groups]
        if self.normalisation == "group" and odd:
            raise ValueError(f"`groups` is {self.groups}, which does not divide the {odd[0]} features of a level")


class SegResNetBase(Normalised):
    """Levels of residual blocks that normalise before they convolve, with twice the features each."""

    init_filters: Features = 8
    blocks_down: Blocks = (1, 2, 2, 4)
    blocks_up: Annotated[tuple[Count, ...], Field(min_length=1)]
    upsample_mode: Literal["nontrainable", "deconv"] = "nontrainable"

    @model_validator(mode="before")
    @classmethod
    def _one_block_per_level(cls, table: Any) -> Any:
        if not isinstance(table, dict):
            return table
        down = table.get("blocks_down", cls.model_fields["blocks_down"].default)
        return {"blocks_up": (1,) * (len(down) - 1), **table} if isinstance(down, list | tuple) else table

    @model_validator(mode="after")
    def _one_decoder_level_less(self) -> Self:
        levels = len(self.blocks_down)
        if len(self.blocks_up) != levels - 1:
            raise ValueError(f"`blocks_up` has {len(self.blocks_up)} entries, expected {levels - 1}, by `blocks_down`")
        self._check_normalisation(self.features)
        return self

    @property
    def features(self) -> tuple[int, ...]:
        """Features of each level."""
        return tuple(self.init_filters * 2**level for level in range(len(self.blocks_down)))


class SegResNetConfig(SegResNetBase):
    """MONAI's SegResNet: residual blocks, and trilinear interpolation or transposed convolutions upwards.

    Myronenko, 3D MRI brain tumor segmentation using autoencoder regularization, arXiv 1810.11654, without the
    autoencoder. Without `use_conv_final` the output is the features of the first level.
    """

    architecture: Literal["segresnet"] = "segresnet"
    normalisation: Literal["group", "instance", "batch"] = "group"
    use_conv_final: bool = True

    @model_validator(mode="after")
    def _classes_or_features(self) -> Self:
        if not self.use_conv_final and self.classes != self.init_filters:
            raise ValueError(f"without `use_conv_final` `classes` must be `init_filters`, {self.init_filters}")
        return self

    @property
    def kernels(self) -> tuple[Triple, ...]:
        """Kernel of each level's convolutions."""
        return ((3, 3, 3),) * len(self.blocks_down)

    @property
    def strides(self) -> tuple[Triple, ...]:
        """Step into each level."""
        return ((1, 1, 1), *((2, 2, 2),) * (len(self.blocks_down) - 1))


class SegResNetDSConfig(SegResNetBase):
    """MONAI's SegResNetDS, a SegResNet of Auto3DSeg for anisotropic voxels with several outputs.

    `scales` is the step down after each level, 1 or 2 per axis; MONAI derives it from its `resolution`. Kernels are 3
    along the axes of step 2, otherwise 1. `dsdepth` counts the outputs in training, from the finest on.
    """

    architecture: Literal["segresnet-ds"] = "segresnet-ds"
    init_filters: Features = 32
    normalisation: Literal["group", "instance", "batch"] = "batch"
    upsample_mode: Literal["nontrainable", "deconv"] = "deconv"
    scales: tuple[tuple[Scale, Scale, Scale], ...]
    dsdepth: Count = 1

    @model_validator(mode="before")
    @classmethod
    def _equal_scales(cls, table: Any) -> Any:
        if not isinstance(table, dict):
            return table
        down = table.get("blocks_down", cls.model_fields["blocks_down"].default)
        usual = {"scales": ((2, 2, 2),) * len(down)} if isinstance(down, list | tuple) else {}
        return {**usual, **table}

    @model_validator(mode="after")
    def _one_scale_per_level(self) -> Self:
        levels = len(self.blocks_down)
        if len(self.scales) != levels:
            raise ValueError(f"`scales` has {len(self.scales)} entries, expected {levels}, by `blocks_down`")
        if self.dsdepth >= levels:
            raise ValueError(f"`dsdepth` is {self.dsdepth}, expected at most {levels - 1}, by `blocks_down`")
        return self

    @property
    def kernels(self) -> tuple[Triple, ...]:
        """Kernel of each level's convolutions."""
        return tuple((2 * a - 1, 2 * b - 1, 2 * c - 1) for a, b, c in self.scales)

    @property
    def strides(self) -> tuple[Triple, ...]:
        """Step into each level."""
        return ((1, 1, 1), *self.scales[:-1])


class DynUNetConfig(Normalised):
    """MONAI's DynUNet, after nnU-Net: `res_block` adds the input of each encoder block to its output.

    `strides` are the steps into each level. The transposed convolutions have the same kernels and steps, as MONAI's
    `upsample_kernel_size`, and a bias if `trans_bias` is true.
    """

    architecture: Literal["dynunet"] = "dynunet"
    filters: Stages
    kernel_size: tuple[Triple, ...]
    strides: tuple[Triple, ...]
    upsample_kernel_size: tuple[Triple, ...]
    normalisation: Literal["group", "instance", "batch"] = "instance"
    activation: Literal["relu", "leaky-relu"] = "leaky-relu"
    res_block: bool = False
    trans_bias: bool = False

    @model_validator(mode="before")
    @classmethod
    def _usual_sizes(cls, table: Any) -> Any:
        """Kernels of three, upward kernels as the strides, and MONAI's features, if they are not stated."""
        if not isinstance(table, dict):
            return table
        sizes = {
            name: as_triples(table[name])
            for name in ("kernel_size", "strides", "upsample_kernel_size")
            if name in table
        }
        strides = sizes.get("strides")
        if not isinstance(strides, tuple):
            return {**table, **sizes}
        levels = len(strides)
        usual = {
            "filters": tuple(min(2 ** (5 + level), LARGEST_FEATURES) for level in range(levels)),
            "kernel_size": ((3, 3, 3),) * levels,
            "upsample_kernel_size": strides[1:],
        }
        return {**usual, **table, **sizes}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        levels = len(self.filters)
        for name, length in (("kernel_size", levels), ("strides", levels), ("upsample_kernel_size", levels - 1)):
            if len(getattr(self, name)) != length:
                raise ValueError(f"`{name}` has {len(getattr(self, name))} entries, expected {length}, by `filters`")
        if self.strides[0] != (1, 1, 1):
            raise ValueError(f"the first of `strides` must be 1, got {self.strides[0]}; the output would be smaller")
        even = [kernel for kernel in self.kernel_size if not all(k % 2 for k in kernel)]
        if even:
            raise ValueError(f"`kernel_size` must be odd, got {even[0]}")
        if self.upsample_kernel_size != self.strides[1:]:
            raise ValueError(
                f"`upsample_kernel_size` is {self.upsample_kernel_size}, expected `strides` without the first one, "
                f"{self.strides[1:]}"
            )
        for kernel, stride in zip(self.kernel_size, self.strides, strict=True):
            if any(s > k + 1 for k, s in zip(kernel, stride, strict=True)):
                raise ValueError(f"strides must exceed kernels by at most 1, got kernel {kernel}, stride {stride}")
        if self.res_block and max(max(stride) for stride in self.strides) > 2:
            raise ValueError("with `res_block` strides must be 1 or 2")
        self._check_normalisation(self.filters)
        return self

    @property
    def features(self) -> tuple[int, ...]:
        """Features of each level."""
        return self.filters
