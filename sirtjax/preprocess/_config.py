from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sirtjax.config import Table

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Percentile = Annotated[float, Field(ge=0, le=100)]
Axis = Annotated[int, Field(ge=0, le=2)]
Order = Annotated[int, Field(ge=0, le=5)]
Modality = Literal["CT", "MR", "PT", "NM"]
Scheme = Literal["CTNormalization", "ZScoreNormalization", "NoNormalization", "RescaleTo01Normalization"]
Reader = Literal["SimpleITKIO", "NibabelIO", "SimpleITKIOWithReorient", "NibabelIOWithReorient"]


class Foreground(Table):
    """A window from zero signal to `headroom` times a percentile of the foreground.

    Foreground are the voxels above a tenth of the 99th percentile of all: the patient, however much air is around.
    """

    percentile: Percentile = 98.0
    headroom: Positive = 1.0


class OrganWindow(Table):
    """A window around the median of an organ: what differs from it lies on either side of the middle.

    `reach` is the distance to either end in the image's unit; with `relative` it is a fraction of the median. What the
    network does not see becomes the median, so that nothing stands out but what differs from the organ; with
    `outside = "low"` it becomes the lower end, like air.
    """

    reach: Positive
    relative: bool = False
    outside: Literal["median", "low"] = "median"


class IntensityScale(Table):
    """The scaling of the intensities of one modality to the input of a network.

    `window` is given in the image's unit (HU for CT); `percentiles` and `foreground` are found in each image, for
    modalities without a scale of their own; `organ` is computed inside the organ to which a network is restricted.
    Intensities between are mapped to `output` linearly, values outside to its ends.
    """

    modality: Modality
    window: tuple[Finite, Finite] | None = None
    percentiles: tuple[Percentile, Percentile] | None = None
    foreground: Foreground | None = None
    organ: OrganWindow | None = None
    output: tuple[Finite, Finite] = (-0.5, 0.5)

    @model_validator(mode="after")
    def _one_of_them(self) -> IntensityScale:
        if [self.window, self.percentiles, self.foreground, self.organ].count(None) != 3:
            raise ValueError("give one of `window`, `percentiles`, `foreground` and `organ`")
        for name, pair in (("window", self.window), ("percentiles", self.percentiles), ("output", self.output)):
            if pair is not None and not pair[0] < pair[1]:
                raise ValueError(f"`{name}` must go from low to high, got {pair[0]}, {pair[1]}")
        return self

    @property
    def unseen(self) -> float:
        """Returns the value outside the image: the lower end, or the middle around an organ's median."""
        if self.organ is None or self.organ.outside == "low":
            return self.output[0]
        return (self.output[0] + self.output[1]) / 2


class OrganMask(Table):
    """The part of an image that is the input of a network: an organ including its lesions, dilated.

    Voxels outside it have the value of `IntensityScale.unseen`, and the image is cropped to the bounding box.
    """

    organ: Literal["liver"] = "liver"
    margin_mm: NotNegative


class FixedPreprocessing(Table):
    """One orientation and one spacing for every image, and a scale of intensities for each modality.

    `axes` says where the voxel indices grow to: "LPS" is the world's own order. On that grid, first to last: a median
    of 3 x 3 x 3 voxels, the `mask`, the scale.
    """

    kind: Literal["fixed"] = "fixed"
    axes: Annotated[str, Field(pattern="^[LR][AP][SI]$")] = "LPS"
    spacing_mm: tuple[Positive, Positive, Positive]
    median: bool = False
    mask: OrganMask | None = None
    intensities: Annotated[tuple[IntensityScale, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _distinct(self) -> FixedPreprocessing:
        names = [scale.modality for scale in self.intensities]
        if len(set(names)) != len(names):
            raise ValueError(f"`intensities` must name each modality once, got {', '.join(names)}")
        return self

    def scale_of(self, modality: str) -> IntensityScale | None:
        """Returns the scale of a modality; None if it has none."""
        return next((scale for scale in self.intensities if scale.modality == modality), None)


class ChannelNormalisation(Table):
    """The normalisation of one channel by nnU-Net, and the statistics of its training images.

    `mask` counts only voxels inside the filled non-zero region (only z-score).
    """

    scheme: Scheme
    mask: bool = False
    mean: Finite = 0.0
    std: Finite = 1.0
    percentile_00_5: Finite = 0.0
    percentile_99_5: Finite = 0.0


class Resampling(Table):
    """The resampling by nnU-Net: the order of the spline, and whether slices are resampled separately.

    `separate_z` left out: where the spacing of one axis is more than `threshold` times the finest one's, slices across
    it are resampled with `order` and then picked along it with `order_z`.
    """

    order: Order = 3
    order_z: Annotated[int, Field(ge=0, le=1)] = 0
    separate_z: bool | None = None
    threshold: Positive = 3.0


class NnunetPreprocessing(Table):
    """Preprocessing of an nnU-Net v2 model's plans; axes are reversed array axes, then transposed.

    `spacing_mm` and everything after the transposition is in the network's axes.
    """

    kind: Literal["nnunet"] = "nnunet"
    reader: Reader = "SimpleITKIO"
    transpose_forward: tuple[Axis, Axis, Axis] = (0, 1, 2)
    spacing_mm: tuple[Positive, Positive, Positive]
    channels: Annotated[tuple[ChannelNormalisation, ...], Field(min_length=1)]
    image_resampling: Resampling = Resampling()
    label_resampling: Resampling = Resampling(order=1)
    logit_resampling: Resampling = Resampling(order=1)

    @model_validator(mode="after")
    def _permutation(self) -> NnunetPreprocessing:
        if sorted(self.transpose_forward) != [0, 1, 2]:
            raise ValueError(f"`transpose_forward` must hold 0, 1, 2, each once, got {self.transpose_forward}")
        return self
