from __future__ import annotations

from time import perf_counter

import numpy as np
from jaxtyping import Bool, Float32

from sirtjax import postprocess
from sirtjax.errors import ImageFormatError
from sirtjax.preprocess import to_grid, working_grid
from sirtjax.segmentation._contour import sharpened
from sirtjax.segmentation._input import check_image, image_modality
from sirtjax.segmentation._lung_pieces import LUNG_HU, lung_pieces
from sirtjax.segmentation._open_lungs import open_lungs, open_on_image
from sirtjax.segmentation._result import Segmentation
from sirtjax.volume import Geometry, LabelMap, Volume

BODY_HU, AIR_HU = -300.0, -1000.0
SPACING_MM = 3.0
CONTINUED, TABLE_VOXELS = 4, 3


def segment_body(volume: Volume) -> Segmentation:
    """Segments the body on a CT: the largest component denser than -300 HU, with all that it encloses.

    The lungs are included, also where the field of view ends in a lung.

    Raises:
      ConfigError: the image is not a CT.
      ImageFormatError: the image can't be used, or no body is in it.
    """
    began = perf_counter()
    values, grid, coarse = coarse_body(volume)
    pieces = list(lung_pieces(coarse & (values < LUNG_HU), values, grid.voxel_volume_ml))
    found = open_lungs(volume, grid, coarse, pieces)
    moment = perf_counter()
    mask = sharpened(coarse, grid, volume, keep="above", hu=BODY_HU)
    if found.mask.any():
        mask |= open_on_image(found.mask, grid, volume, hu=BODY_HU)
    mask = postprocess.keep_largest(mask)
    labels = LabelMap.from_mask(mask, volume.geometry, name="body")
    return Segmentation(
        labels=labels,
        volumes_ml={"body": labels.volume_ml("body")},
        method=f"largest part above {BODY_HU:g} HU",
        timings_s={"find": moment - began, "back": perf_counter() - moment},
    )


def coarse_body(volume: Volume) -> tuple[Float32[np.ndarray, "i j k"], Geometry, Bool[np.ndarray, "i j k"]]:
    """Returns the CT on a grid of 3 mm, that grid, and the body on it.

    Raises:
      ConfigError: the image is not a CT.
      ImageFormatError: the image can't be used, or no body is in it.
    """
    check_image(volume, modality=image_modality(volume, None))
    # Along the image's axes, however oblique: lungs are closed by its slices, up to its very ends.
    grid = working_grid(volume.geometry, spacing_mm=(SPACING_MM,) * 3, axes="LPS", most_degrees=90)
    values = to_grid(volume, grid, fill=AIR_HU)
    # The body goes on beyond the faces of the image: without that its ends would be rounded off.
    dense = np.pad(values > BODY_HU, CONTINUED, mode="edge")
    # The wall of a chest is thin until the lungs are filled; a table is thin after that, too.
    filled = postprocess.enclosed_body(dense, opening_voxels=1)
    body = postprocess.enclosed_body(filled, opening_voxels=TABLE_VOXELS)[(slice(CONTINUED, -CONTINUED),) * 3]
    if not body.any():
        raise ImageFormatError(f"no body in the image: nothing larger than a table is above {BODY_HU:g} HU")
    return values, grid, body
