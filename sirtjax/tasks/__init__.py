"""One function for each task of the command line, on images in memory; `sirtjax.register` is `tasks.register`."""

from sirtjax.tasks._accumulate import AccumulatedDose as AccumulatedDose
from sirtjax.tasks._accumulate import accumulate as accumulate
from sirtjax.tasks._dose import absorbed_dose as absorbed_dose
from sirtjax.tasks._dose import dose_volume_histogram as dose_volume_histogram
from sirtjax.tasks._plan import PlannedCase as PlannedCase
from sirtjax.tasks._plan import plan as plan
from sirtjax.tasks._plan import verify as verify
from sirtjax.tasks._register import register as register
from sirtjax.tasks._segment import segment as segment
from sirtjax.tasks._simulate import simulate as simulate
from sirtjax.tasks._warp import warp as warp

__all__ = [
    "AccumulatedDose",
    "PlannedCase",
    "absorbed_dose",
    "accumulate",
    "dose_volume_histogram",
    "plan",
    "register",
    "segment",
    "simulate",
    "verify",
    "warp",
]
