"""Images and label maps through a transform."""

from __future__ import annotations

from typing import Literal, overload

from sirtjax import spatial
from sirtjax.io import Image
from sirtjax.registration import RegistrationResult
from sirtjax.tasks._image import volume_of
from sirtjax.volume import Geometry, LabelMap, Volume

Order = Literal["linear", "nearest", "cubic"]


@overload
def warp(
    image: Volume | Image,
    transform: spatial.Transform | RegistrationResult,
    reference: Geometry | Volume | Image | LabelMap,
    *,
    order: Order = ...,
    fill: float | None = ...,
) -> Volume: ...
@overload
def warp(
    image: LabelMap,
    transform: spatial.Transform | RegistrationResult,
    reference: Geometry | Volume | Image | LabelMap,
) -> LabelMap: ...
def warp(
    image: Volume | Image | LabelMap,
    transform: spatial.Transform | RegistrationResult,
    reference: Geometry | Volume | Image | LabelMap,
    *,
    order: Order = "linear",
    fill: float | None = None,
) -> Volume | LabelMap:
    """Resamples an image or a label map on the reference's grid through a transform.

    Args:
      image: floating image, (i, j, k); a label map is resampled by nearest neighbour.
      transform: maps points of the reference to the floating image (LPS mm), or the result of `register`.
      reference: grid of the result, or an image on it.
      order: "linear", "nearest" or "cubic" interpolation of an image.
      fill: value outside the floating image; by default -1024 for HU and 0 for other units.

    Returns:
      The image on the reference's grid, in its unit, or the label map with its names.

    Raises:
      GeometryError: the transform cannot be used.

    Examples:
      >>> import numpy as np
      >>> import sirtjax as sj
      >>> grid = sj.Geometry.from_axes((4, 4, 4), spacing_mm=(2.0, 2.0, 2.0), origin_mm=(0.0, 0.0, 0.0))
      >>> image = sj.Volume(np.arange(64.0).reshape(4, 4, 4), grid, unit="1")
      >>> moved = sj.warp(image, sj.spatial.identity(), grid)
      >>> bool(np.allclose(moved.array, image.array))
      True
    """
    pull = transform.transform if isinstance(transform, RegistrationResult) else transform
    on = reference.volume if isinstance(reference, Image) else reference
    grid = on if isinstance(on, Geometry) else on.geometry
    if isinstance(image, LabelMap):
        return spatial.resample_labels(image, grid, transform=pull)
    return spatial.resample(volume_of(image), grid, order=order, fill=fill, transform=pull)
