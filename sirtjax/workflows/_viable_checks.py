"""The checks of viable parts: their size, their position, and lesions without one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sirtjax.dosimetry import Check, make_check
from sirtjax.workflows._derived import PlacedVoi
from sirtjax.workflows._resampling import sphere_radius_mm
from sirtjax.workflows._results import VoiResult
from sirtjax.workflows._viable import INSIDE_FRACTION


def viable_checks(
    vois: Sequence[PlacedVoi], rows: Sequence[VoiResult], *, resolution_fwhm_mm: float | None
) -> tuple[Check, ...]:
    """Returns SJ311 and SJ561 of viable parts, and SJ312 of lesions without one next to others.

    Args:
      vois: VOIs on the working grid.
      rows: rows of these VOIs in the report.
      resolution_fwhm_mm: resolution of the activity image; None if it is unknown, which SJ114 reports.
    """
    weights = {voi.name: voi.weight for voi in vois}
    parts = [row for row in rows if row.kind == "viable tumour"]
    found: list[Check] = []
    for row in parts:
        if resolution_fwhm_mm is not None:
            diameter_mm = 2 * sphere_radius_mm(row.mask_ml or row.volume_ml)
            if diameter_mm < 2 * resolution_fwhm_mm:
                found.append(make_check("SJ311", where=row.name, value=diameter_mm, limit=2 * resolution_fwhm_mm))
        part, lesion = weights[row.name], weights[str(row.lesion)]
        common = float(np.minimum(part, lesion).sum(dtype=np.float64))
        outside = 1.0 - common / float(part.sum(dtype=np.float64))
        if outside > 1.0 - INSIDE_FRACTION:
            found.append(make_check("SJ561", where=row.name, value=outside))
    without = [row.name for row in rows if row.kind == "lesion" and row.name not in {one.lesion for one in parts}]
    if parts and without:
        found.append(make_check("SJ312", where=", ".join(without)))
    return tuple(found)
