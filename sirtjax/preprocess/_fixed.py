from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from sirtjax.errors import ConfigError, ImageFormatError
from sirtjax.preprocess._config import FixedPreprocessing, IntensityScale, OrganMask
from sirtjax.preprocess._median import median_27
from sirtjax.preprocess._window import intensity_window, to_range
from sirtjax.preprocess._working_grid import to_grid, working_grid
from sirtjax.spatial import default_fill
from sirtjax.volume import Geometry, Volume, bounding_box

FloatArray = NDArray[np.float32]
Mask = Bool[np.ndarray, "i j k"]
Box = tuple[slice, slice, slice]
Around = Callable[[Geometry, float], Mask]


@dataclass(frozen=True, kw_only=True)
class FixedCase:
    """Images on a network's grid, before their intensities are clipped and scaled.

    Attributes:
      image: (i, j, k, channels) values on the box, in the unit of the images.
      grid: grid of the network over the whole images.
      box: voxels of that grid in `image`.
      low: intensity of each channel that becomes the lower end of the network's range.
      high: intensity of each channel that becomes its upper end.
      unseen: intensity of each channel outside the image or organ: `low`, or the organ's median.
      output: range of the network's input.
    """

    image: Float[np.ndarray, "i j k channels"]
    grid: Geometry
    box: Box
    low: tuple[float, ...]
    high: tuple[float, ...]
    unseen: tuple[float, ...]
    output: tuple[float, float]

    def scaled(self) -> Float[np.ndarray, "i j k channels"]:
        """Returns the image with the intensities that the network expects."""
        return np.asarray(to_range(self.image, self.low, self.high, output=self.output))


def prepare_fixed(
    volumes: Sequence[Volume], *, how: FixedPreprocessing, modality: str, around: Around | None = None
) -> FixedCase:
    """Returns images of one patient as a network's input, bitwise identical in training and segmentation.

    Args:
      volumes: one volume per channel, all on one grid.
      how: preprocessing to apply.
      modality: modality of the images.
      around: function of a grid and a distance in mm that returns the organ dilated by it, for `how.mask` and scales of
        `organ`.

    Raises:
      ConfigError: no scale for this modality, or a mask is required by `how` and missing.
      ImageFormatError: the organ is outside the image.
    """
    scale = how.scale_of(modality)
    if scale is None:
        known = " or ".join(one.modality for one in how.intensities)
        raise ConfigError(f"there is an intensity scale for {known}, none for {modality}; give another image")
    grid = working_grid(volumes[0].geometry, spacing_mm=how.spacing_mm, axes=how.axes)
    channels = [_on_grid(volume, grid, how, scale) for volume in volumes]
    organ = None if scale.organ is None or around is None else around(grid, 0.0)
    windows = [intensity_window(channel, scale, organ=organ) for channel in channels]
    low, high = (tuple(float(end) for end in ends) for ends in zip(*windows, strict=True))
    unseen = low if scale.organ is None else tuple((a + b) / 2 for a, b in zip(low, high, strict=True))
    image = np.stack(channels, axis=-1)
    box: Box = (slice(0, grid.shape[0]), slice(0, grid.shape[1]), slice(0, grid.shape[2]))
    if how.mask is not None:
        inside = _inside(how.mask, grid, around)
        start, stop = bounding_box(inside)
        box = (slice(start[0], stop[0]), slice(start[1], stop[1]), slice(start[2], stop[2]))
        image = np.where(inside[box][..., None], image[box], np.asarray(unseen, np.float32))
    return FixedCase(image=image, grid=grid, box=box, low=low, high=high, unseen=unseen, output=scale.output)


def _on_grid(volume: Volume, grid: Geometry, how: FixedPreprocessing, scale: IntensityScale) -> FloatArray:
    fill = default_fill("HU") if scale.modality == "CT" else float(np.asarray(volume.array).min())
    values = to_grid(volume, grid, fill=fill)
    return median_27(values) if how.median else np.asarray(values, np.float32)


def _inside(mask: OrganMask, grid: Geometry, around: Around | None) -> Mask:
    if around is None:
        raise ConfigError(f"the network requires a mask of the {mask.organ}; provide it")
    inside = around(grid, mask.margin_mm)
    if not inside.any():
        raise ImageFormatError(
            f"the mask of the {mask.organ} is outside the image; provide the mask contoured on this image"
        )
    return inside
