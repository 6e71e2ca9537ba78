from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from sirtjax.errors import GeometryError
from sirtjax.metrics._surface_agreement import SurfaceAgreement, surface_agreement
from sirtjax.metrics._surface_mesh import extract_surface
from sirtjax.volume import Geometry

Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class SegmentationQuality:
    """The agreement of a segmentation with a reference.

    If one of them is empty, every distance is NaN and the DSC 0; if both are empty, all values are NaN.
    Means over cases without distances favour a model that misses whole structures, so report their number.

    Attributes:
      dsc: Dice similarity coefficient.
      volume_ratio: predicted over reference volume; NaN without a reference.
      false_negative_rate: fraction of the reference that was missed.
      false_positive_rate: fraction of the prediction that is not in the reference. It does not depend on the field of
        view, as the fraction of all background would.
      msd_mm, mda_mm, hd_mm, hd95_mm, surface_dsc: same as in `SurfaceAgreement`.
      tolerance_mm: tolerance of the surface DSC.
      predicted_ml, reference_ml: volumes.
    """

    dsc: float
    volume_ratio: float
    false_negative_rate: float
    false_positive_rate: float
    msd_mm: float
    mda_mm: float
    hd_mm: float
    hd95_mm: float
    surface_dsc: float
    tolerance_mm: float
    predicted_ml: float
    reference_ml: float

    @property
    def empty(self) -> str:
        """The empty masks: "", "prediction", "reference" or "both"."""
        named = {(0.0, 0.0): "both", (0.0, 1.0): "prediction", (1.0, 0.0): "reference"}
        return named.get((float(self.predicted_ml > 0), float(self.reference_ml > 0)), "")


def evaluate_segmentation(
    predicted: Bool[np.ndarray, "i j k"],
    reference: Bool[np.ndarray, "i j k"],
    geometry: Geometry,
    *,
    tolerance_mm: float,
) -> SegmentationQuality:
    """Computes overlap, volumes and surface distances of a mask and a reference mask.

    Args:
      predicted: (i, j, k) booleans.
      reference: (i, j, k) booleans of the same shape.
      geometry: grid of both masks; it may be sheared or oblique.
      tolerance_mm: tolerance of the surface DSC.

    Raises:
      GeometryError: masks that are not on the grid.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import metrics
      >>> from sirtjax.volume import Geometry
      >>> grid = Geometry.from_axes((12, 12, 12), spacing_mm=(2.0, 2.0, 2.0))
      >>> drawn, predicted = np.zeros(grid.shape, bool), np.zeros(grid.shape, bool)
      >>> drawn[2:10, 2:10, 2:10], predicted[3:11, 2:10, 2:10] = True, True  # shifted by one voxel
      >>> quality = metrics.evaluate_segmentation(predicted, drawn, grid, tolerance_mm=1.0)
      >>> round(quality.dsc, 3), round(quality.hd_mm, 1)  # 7/8, 2 mm
      (0.875, 2.0)
    """
    for name, mask in (("predicted", predicted), ("reference", reference)):
        if mask.shape != geometry.shape:
            raise GeometryError(f"the {name} mask has shape {mask.shape}, its grid {geometry.shape}")
    voxel_ml = geometry.voxel_volume_ml
    sizes = int(predicted.sum()), int(reference.sum())
    common = int((predicted & reference).sum())
    surfaces = _surfaces(predicted, reference, geometry, tolerance_mm)
    return SegmentationQuality(
        dsc=_ratio(2 * common, sum(sizes)),
        volume_ratio=_ratio(sizes[0], sizes[1]),
        false_negative_rate=_ratio(sizes[1] - common, sizes[1]),
        false_positive_rate=_ratio(sizes[0] - common, sizes[0]),
        msd_mm=surfaces.msd_mm,
        mda_mm=surfaces.mda_mm,
        hd_mm=surfaces.hd_mm,
        hd95_mm=surfaces.hd95_mm,
        surface_dsc=surfaces.surface_dsc,
        tolerance_mm=tolerance_mm,
        predicted_ml=sizes[0] * voxel_ml,
        reference_ml=sizes[1] * voxel_ml,
    )


def _surfaces(predicted: Mask, reference: Mask, geometry: Geometry, tolerance_mm: float) -> SurfaceAgreement:
    some = bool(predicted.any()), bool(reference.any())
    if not all(some):
        share = 0.0 if any(some) else math.nan
        nowhere = math.nan
        return SurfaceAgreement(msd_mm=nowhere, mda_mm=nowhere, hd_mm=nowhere, hd95_mm=nowhere, surface_dsc=share)
    one, two = (extract_surface(mask, geometry.affine) for mask in (predicted, reference))
    return surface_agreement(one, two, tolerance_mm=tolerance_mm)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
