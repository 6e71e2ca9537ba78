"""The description of a cascade of registration networks."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sirtjax.config import Table
from sirtjax.networks._config import Count, PlainConvUNetConfig
from sirtjax.networks._correlation import CorrelationConfig

# Two images, each voxel of a block as a channel of its own.
IMAGES, AXES = 2, 3


class CascadeConfig(Table):
    """A registration network: equal U-Nets in a row; each sees the image that the earlier ones warped.

    Each U-Net works on blocks of voxels and predicts one displacement per block, which cubic splines interpolate.

    After RegSegNet (three cascades, a U-Net on the pair of images). The paper leaves open, chosen here: features;
    blocks of two voxels, which make a step several times faster and prevent noise in the field.

    Attributes:
      network: U-Net of each cascade. It has 2 inputs block^3 channels, with forces 3 inputs more, and those of the
        correlation; and 3 classes, with a correlation 4. With a segmentation it has block^3 classes more.
      inputs: channels of each side: 1 for only the image, 2 for the image and a liver mask that guides.
      cascades: number of U-Nets.
      block: voxels along each axis of a block.
      output: "displacement", or "velocity" for a steady velocity that is integrated and does not fold.
      unit_mm: displacement of an output of 1.
      forces: whether the U-Net also receives `demons_forces` of each input.
      correlation: a correlation layer, whose displacement the U-Net weights at each point and adds to its own; or none.
      segmentation: whether each U-Net also segments the liver of the reference image. Its input contains the liver
        mask of the floating image, warped by the earlier cascades, if the network is guided.
    """

    network: PlainConvUNetConfig
    inputs: Count = 1
    cascades: Count = 3
    block: Annotated[int, Field(ge=1, le=4)] = 2
    output: Literal["displacement", "velocity"] = "displacement"
    unit_mm: Annotated[float, Field(gt=0, le=100)] = 10.0
    forces: bool = False
    correlation: CorrelationConfig | None = None
    segmentation: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        channels = IMAGES * self.inputs * self.block**AXES + (AXES * self.inputs if self.forces else 0)
        classes = AXES
        if self.correlation is not None:
            channels, classes = channels + self.correlation.channels, classes + 1
        if self.segmentation:
            classes += self.block**AXES
        if self.network.channels != channels or self.network.classes != classes:
            raise ValueError(
                f"the network must have {channels} channels and {classes} classes, "
                f"got {self.network.channels} and {self.network.classes}"
            )
        if self.network.deep_supervision:
            raise ValueError("the network must have deep_supervision = false")
        return self
