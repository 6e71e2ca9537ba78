"""Activity and dose of one MBq in each injected territory."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from sirtjax import pipeline
from sirtjax.workflows._setting import DosimetryContext

Array = NDArray[np.float32]


def unit_maps(
    setting: DosimetryContext,
) -> tuple[list[Float32[np.ndarray, "i j k"]], list[Float32[np.ndarray, "i j k"]]]:
    """Returns the activity and the dose maps of one MBq in each injected territory, one per injection.

    Raises:
      InputError: the activity image has no counts in a territory.
    """
    counts = np.asarray(setting.mapped.activity.array, np.float32)
    activity: list[Array] = []
    dose: list[Array] = []
    for name, region in setting.treated().items():
        share = np.asarray(pipeline.relative_activity(counts, region, name=name))
        activity.append(share)
        dose.append(setting.dose_gy(share, setting.method, relative=True))
    return activity, dose
