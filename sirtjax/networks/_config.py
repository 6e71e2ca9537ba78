"""What a network is made of: one frozen config for each family, told apart by `architecture`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Count = Annotated[int, Field(ge=1)]
Features = Annotated[int, Field(ge=1, le=4096)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Triple = tuple[Count, Count, Count]
Stages = Annotated[tuple[Features, ...], Field(min_length=2, max_length=12)]


class Network(BaseModel):
    """What all networks have: channels of the image, and classes with background among them where it is one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: Count = 1
    classes: Count


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
    """nnU-Net v2's PlainConvUNet: convolution, instance normalisation, leaky ReLU; transposed convolutions upwards.

    Isensee et al., nnU-Net, Nature Methods 18:203, 2021, doi:10.1038/s41592-020-01008-z. `convolutions` counts those of
    each encoder stage, the first of them strided by the stage's `strides`; `decoder_convolutions` those of each
    decoder stage from the lowest up. With `deep_supervision` every decoder stage has an output in training.
    """

    architecture: Literal["plain-conv-unet"] = "plain-conv-unet"
    convolutions: tuple[Count, ...]
    decoder_convolutions: tuple[Count, ...]
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


NetworkConfig = Annotated[PlainConvUNetConfig, Field()]
