from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sirtjax.metrics._nearest import distance_to_surface_mm
from sirtjax.metrics._surface_distance import surface_figures
from sirtjax.metrics._surface_mesh import SurfaceMesh


@dataclass(frozen=True, kw_only=True)
class SurfaceAgreement:
    """The agreement of two surfaces.

    Attributes:
      msd_mm: mean surface distance: over both surfaces together, the mean by area of the distance to the other.
      mda_mm: mean distance to agreement: the mean of the two one-sided means.
      hd_mm: the largest distance of a point of either surface to the other.
      hd95_mm: distance within which 95 % of a surface's area is from the other surface; the larger of both directions.
      surface_dsc: fraction of both surfaces together that is within the tolerance of the other.
    """

    msd_mm: float
    mda_mm: float
    hd_mm: float
    hd95_mm: float
    surface_dsc: float


def surface_agreement(a: SurfaceMesh, b: SurfaceMesh, *, tolerance_mm: float) -> SurfaceAgreement:
    """Returns distances between two surfaces, and the fraction of them that agrees to within a tolerance.

    Args:
      a: surface from `extract_surface`.
      b: the other surface.
      tolerance_mm: tolerance of the surface DSC: distance by which two observers may differ.

    Reference:
      The surface DSC is that of Nikolov et al., J Med Internet Res 2021;23:e26151, on facets weighed by area.
    """
    there, back = distance_to_surface_mm(a.centres_mm, b), distance_to_surface_mm(b.centres_mm, a)
    figures = surface_figures(a, b, there, back)
    areas = a.areas_mm2, b.areas_mm2
    near = _area_within(there, areas[0], tolerance_mm) + _area_within(back, areas[1], tolerance_mm)
    sides = [float(d @ area) / float(area.sum()) for d, area in zip((there, back), areas, strict=True)]
    return SurfaceAgreement(
        msd_mm=figures.msd_mm,
        mda_mm=sum(sides) / 2,
        hd_mm=figures.hd_mm,
        hd95_mm=figures.hd95_mm,
        surface_dsc=near / float(areas[0].sum() + areas[1].sum()),
    )


def _area_within(distances_mm: NDArray[np.float64], areas_mm2: NDArray[np.float64], tolerance_mm: float) -> float:
    return float(areas_mm2[distances_mm <= tolerance_mm].sum())
