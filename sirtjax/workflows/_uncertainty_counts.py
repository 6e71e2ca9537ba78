"""The noise of the activity image of a case, measured in its normal tissue."""

from __future__ import annotations

import numpy as np

from sirtjax import uncertainty
from sirtjax.workflows._case_uncertainty import CountsTable
from sirtjax.workflows._setting import DosimetryContext
from sirtjax.workflows._uncertainty_sources import StatedSources


def counts_noise(setting: DosimetryContext, stated: StatedSources, *, fwhm_mm: float) -> uncertainty.ImageNoise | None:
    """Returns the noise of the activity image; None if the case states it.

    Args:
      setting: activity image and VOIs of the case.
      stated: sources of the case.
      fwhm_mm: resolution of the activity image (FWHM).

    Raises:
      ComputationError: as `uncertainty.image_noise`.
    """
    table = stated.tables["counts"]
    if not isinstance(table, CountsTable) or table.noise_fraction != "image":
        return None
    mapped = setting.mapped
    # Each territory is one tissue: uptake changes at their borders.
    normal = [voi.weight for voi in setting.vois if voi.kind == "normal territory"]
    if not normal:
        normal = [voi.weight for voi in setting.vois if voi.kind == "normal liver"]
    lesions = [voi.weight for voi in setting.vois if voi.kind == "lesion"]
    return uncertainty.image_noise(
        np.asarray(mapped.activity.array),
        np.stack(normal),
        np.maximum.reduce([mapped.occupancy["liver"], *lesions]),
        mapped.geometry.spacing_mm,
        fwhm_mm=fwhm_mm,
    )
