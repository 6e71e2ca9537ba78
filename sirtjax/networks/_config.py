"""The structure of a network: one frozen config for each family, distinguished by `architecture`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from sirtjax.networks._config_monai import DynUNetConfig as DynUNetConfig
from sirtjax.networks._config_monai import SegResNetConfig as SegResNetConfig
from sirtjax.networks._config_monai import SegResNetDSConfig as SegResNetDSConfig
from sirtjax.networks._config_types import Count as Count
from sirtjax.networks._config_types import Features, Network, Rate, Stages, Triple, as_triples


class _EncoderDecoder(Network):
    """Stages of an encoder, each entered by a strided convolution, and of a decoder that joins their features."""

    features: Stages
    kernels: tuple[Triple, ...]
    strides: tuple[Triple, ...]

    @model_validator(mode="before")
    @classmethod
    def _usual_sizes(cls, table: Any) -> Any:
        """Kernels of three and steps of two, where nothing else is said."""
        if not isinstance(table, dict) or not isinstance(table.get("features"), list | tuple):
            return table
        stages = len(table["features"])
        usual = {"kernels": [(3, 3, 3)] * stages, "strides": [(1, 1, 1)] + [(2, 2, 2)] * (stages - 1)}
        return {**usual, **table}

    def _check_lengths(self, **expected: int) -> Self:
        for name, length in expected.items():
            if len(getattr(self, name)) != length:
                raise ValueError(f"`{name}` has {len(getattr(self, name))} entries, expected {length}, by the stages")
        even = [kernel for kernel in self.kernels if not all(k % 2 for k in kernel)]
        if even:
            raise ValueError(f"kernels must be odd, got {even[0]}")
        return self


class PlainConvUNetConfig(_EncoderDecoder):
    """nnU-Net v2's PlainConvUNet: instance normalisation, leaky ReLU, transposed convolutions upwards.

    Isensee et al., nnU-Net, Nature Methods 18:203, 2021, doi:10.1038/s41592-020-01008-z. `convolutions` counts those of
    each encoder stage, the first of them strided by the stage's `strides`; `decoder_convolutions` those of each
    decoder stage from the lowest up. With `deep_supervision` every decoder stage has an output in training.

    `normalisation` "none", which nnU-Net does not have, only scales and shifts each feature by learned numbers: for
    images whose contrast means something, and that may show nothing, which an instance normalisation would amplify.
    """

    architecture: Literal["plain-conv-unet"] = "plain-conv-unet"
    convolutions: tuple[Count, ...]
    decoder_convolutions: tuple[Count, ...]
    normalisation: Literal["instance", "none"] = "instance"
    deep_supervision: bool = True

    @model_validator(mode="before")
    @classmethod
    def _usual_counts(cls, table: Any) -> Any:
        if not isinstance(table, dict) or not isinstance(table.get("features"), list | tuple):
            return table
        stages = len(table["features"])
        return {"convolutions": (2,) * stages, "decoder_convolutions": (2,) * (stages - 1), **table}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        stages = len(self.features)
        return self._check_lengths(kernels=stages, strides=stages, convolutions=stages, decoder_convolutions=stages - 1)


class ResidualEncoderUNetConfig(_EncoderDecoder):
    """nnU-Net v2's ResidualEncoderUNet: a stem, then stages of residual blocks of two convolutions.

    Isensee et al., nnU-Net Revisited, MICCAI 2024, arXiv 2404.09556. `blocks` counts those of each encoder stage; the
    rest is as in the plain U-Net.
    """

    architecture: Literal["residual-encoder-unet"] = "residual-encoder-unet"
    blocks: tuple[Count, ...]
    decoder_convolutions: tuple[Count, ...]
    deep_supervision: bool = True

    @model_validator(mode="before")
    @classmethod
    def _usual_counts(cls, table: Any) -> Any:
        if not isinstance(table, dict) or not isinstance(table.get("features"), list | tuple):
            return table
        return {"decoder_convolutions": (1,) * (len(table["features"]) - 1), **table}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        stages = len(self.features)
        return self._check_lengths(kernels=stages, strides=stages, blocks=stages, decoder_convolutions=stages - 1)


class _StridedUNet(Network):
    """Levels of residual units joined by strided and transposed convolutions of 3 x 3 x 3.

    `strides` lead from each level to the next, beginning with the image; the lowest level is not strided any more.
    `units` counts the convolutions of each residual unit of the encoder; with none, a level is one convolution.
    """

    features: Stages
    strides: tuple[Triple, ...]
    units: Annotated[int, Field(ge=0)] = 2

    @model_validator(mode="before")
    @classmethod
    def _strides_as_triples(cls, table: Any) -> Any:
        if not isinstance(table, dict) or not isinstance(table.get("features"), list | tuple):
            return table
        return {**table, "strides": as_triples(table.get("strides", [2] * (len(table["features"]) - 1)))}

    @model_validator(mode="after")
    def _one_stride_between_levels(self) -> Self:
        if len(self.strides) != len(self.features) - 1:
            raise ValueError(f"`strides` has {len(self.strides)} entries, expected {len(self.features) - 1}")
        return self


class MonaiUNetConfig(_StridedUNet):
    """MONAI's UNet in three dimensions, with kernels of three: what its trained weights are read into.

    Kerfoot et al., Left-Ventricle Quantification Using Residual U-Net, STACOM 2018, doi:10.1007/978-3-030-12029-0_40.
    """

    architecture: Literal["monai-unet"] = "monai-unet"
    normalisation: Literal["instance", "batch"] = "instance"
    activation: Literal["prelu", "leaky-relu"] = "prelu"
    dropout: Rate = 0.0


class Y90UNetConfig(_StridedUNet):
    """The U-Net of the Y-90 paper (liver on CT of radioembolisation patients, 1 mm, patches of 128^3).

    The paper says: MONAI, four down- and up-sampling steps by strided and transposed convolutions, residual units of
    two convolutions, leaky ReLU, a dropout rate of 0.1 in deeper layers, softmax. It leaves open, and was chosen here:
    the features, MONAI's usual 16 to 256; steps of 2; instance normalisation; which layers are the deeper ones: the
    levels from `dropout_from` on, counted from 0.
    """

    architecture: Literal["y90-unet"] = "y90-unet"
    features: Stages = (16, 32, 64, 128, 256)
    strides: tuple[Triple, ...] = ((2, 2, 2),) * 4
    dropout: Rate = 0.1
    dropout_from: Annotated[int, Field(ge=0)] = 2


class DeepMedicConfig(Network):
    """DeepMedic with three pathways, fully convolutional (liver on CT of 1.4 mm).

    Each pathway sees the image averaged over blocks of its factor, through layers of 3 x 3 x 3 without padding; the
    coarser ones are repeated up, and 1 x 1 x 1 layers combine them. A segment of 15^3 voxels is read from 35^3, 23^3
    and 21^3: an image is 300 voxels larger than its output. After Kamnitsas et al., Med Image Anal 36:61, 2017,
    doi:10.1016/j.media.2016.10.004, with a third pathway as in the thesis, chapter 3.

    The thesis says that features grow in deeper layers of the second and third pathway, and leaves open, chosen here:
    their numbers, those of DeepMedic's own configuration and above; its batch normalisation, PReLU and dropout of 0.5
    before the last two layers; averaging as the way to sample down.
    """

    architecture: Literal["deepmedic"] = "deepmedic"
    factors: Annotated[tuple[Count, ...], Field(min_length=1)] = (1, 5, 15)
    features: tuple[tuple[Features, ...], ...]
    combined: Annotated[tuple[Features, ...], Field(min_length=1)] = (150, 150)
    dropout: Rate = 0.5

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.features) != len(self.factors):
            raise ValueError(
                f"`features` has {len(self.features)} pathways, expected {len(self.factors)}, by `factors`"
            )
        if len({len(pathway) for pathway in self.features}) != 1 or not self.features[0]:
            raise ValueError("all pathways must have as many layers")
        if any(max(self.factors) % factor for factor in self.factors):
            raise ValueError(f"every factor must divide the largest, got {self.factors}")
        return self


class ThesisUNetConfig(Network):
    """The U-Net for images of 3 mm and whole livers: 189 x 162 x 162 to 163 x 136 x 136 voxels.

    Levels `rate` apart, two convolutions of 3 x 3 x 3 on each side; up-sampling by repetition, smoothed by the mean
    over 3 x 3 x 3 without padding, which is what makes the output smaller. `residual` adds the input of each two
    convolutions to their output: the form for lesions.

    The thesis (chapters 4 and 7) leaves open, chosen here: features, instance normalisation, leaky ReLU, the maximum as
    the way down, and the smoothing, with which its sizes come out exactly.
    """

    architecture: Literal["thesis-unet"] = "thesis-unet"
    features: Stages = (16, 32, 64, 128)
    rate: Annotated[int, Field(ge=2, le=4)] = 3
    residual: bool = False


class HighResUNetConfig(Network):
    """The U-Net for lesions at 1 x 1 x 3 mm: 180 x 172 x 86 to 92 x 84 x 42 voxels, no padding.

    Levels 2 apart, up-sampling by repetition, residual connections around each two convolutions. The thesis (chapter 7)
    leaves open, chosen here: features, instance normalisation, leaky ReLU, the maximum as the way down, and kernels of
    3 x 3 x 3 followed by 3 x 3 x 1, the ones with which its sizes come out exactly.
    """

    architecture: Literal["highres-unet"] = "highres-unet"
    features: Stages = (16, 32, 64, 128)


NetworkConfig = Annotated[
    DeepMedicConfig
    | ThesisUNetConfig
    | HighResUNetConfig
    | Y90UNetConfig
    | PlainConvUNetConfig
    | ResidualEncoderUNetConfig
    | MonaiUNetConfig
    | SegResNetConfig
    | SegResNetDSConfig
    | DynUNetConfig,
    Field(discriminator="architecture"),
]
