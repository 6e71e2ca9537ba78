"""Agreement of the liver masks that guided a network, at the transform of the registration."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sirtjax import metrics, spatial
from sirtjax.registration._judge import MIN_DSC
from sirtjax.registration._prepare import LIVER_NAME
from sirtjax.registration._result import RegistrationResult, Status
from sirtjax.volume import Geometry, LabelMap


def with_liver_agreement(
    result: RegistrationResult, reference_liver: LabelMap, floating_liver: LabelMap, *, floating_grid: Geometry
) -> RegistrationResult:
    """Returns the result with the status "poor agreement" and a note if its livers overlap too little.

    A preset with a network is optimised and confirmed by the images, so a wrong liver mask that misled the network
    has no effect on the status otherwise. Only the part that the floating image shows is compared.

    Args:
      result: registration that started from a network, with both liver masks.
      reference_liver: liver mask of the reference image.
      floating_liver: liver mask of the floating image.
      floating_grid: grid of the floating image.
    """
    grid = reference_liver.geometry
    shown = LabelMap.from_mask(np.ones(floating_grid.shape, bool), floating_grid, name="shown")
    inside = spatial.resample_labels(shown, grid, transform=result.transform).array > 0
    one = reference_liver.mask(LIVER_NAME) & inside
    other = spatial.resample_labels(floating_liver, grid, transform=result.transform).mask(LIVER_NAME) & inside
    dsc = metrics.dice(one, other) if one.any() or other.any() else 0.0
    if dsc >= MIN_DSC:
        return result
    note = f"the liver masks that guided the network overlap with DSC {dsc:.2f} after registration"
    status = Status.POOR_AGREEMENT if result.status is Status.SUCCESS else result.status
    return replace(result, status=status, notes=(*result.notes, note))
