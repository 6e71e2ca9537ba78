from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import PyTree

from sirtjax.phantom._config import PhantomConfig
from sirtjax.phantom._parameters import Anatomy
from sirtjax.phantom._pose import Pose
from sirtjax.spatial import DisplacementField
from sirtjax.volume import LabelMap, Volume

# The sessions of a patient; every session is a frame of reference of its own.
SESSIONS = ("diagnostic_ct", "mr", "spect", "y90_pet", "fdg_pet")


@dataclass(frozen=True, kw_only=True)
class Patient:
    """One digital phantom: simulated images of all scanners, and their ground truth.

    Attributes:
      seed: seed of all random numbers.
      config: preset.
      anatomy: parameters of the shapes.
      poses: position of the patient in each session; `diagnostic_ct` has no displacement.
      images: images by name: "diagnostic_ct" (HU, portal phase), "mr" (T1), "spect" (99mTc-MAA, counts), "spect_ct"
        (HU, low dose), "planar_anterior" and "planar_posterior" (counts; one voxel deep), "y90_pet" (Bq/mL at the time
        of the scan), "y90_ct" (HU), "fdg_pet" (Bq/mL at the time of the scan).
      frames: session of each image: images of one session share a frame of reference.
      labels: true label maps by session and then by name: "organs", "liver", "lungs", "lesions" (necrosis
        included), "necrosis", "segments", "territories", "vessels"; of the SPECT on its CT's grid. The
        session "planar" has "organs" with the ROIs of lungs and liver in the projection.
      activity: true activity concentration (MBq/mL) by session: "spect" and "y90_pet" at injection, "fdg_pet" at
        the scan; none of it blurred.
      displacements: true pull displacement by session, on the grid of its labels: a point x of the session shows
        what the diagnostic CT has at x + u(x).
      numbers: everything stated in numbers, with units in the names: lung shunt, T/N ratios, volumes, doses of
        activity, times; ready for JSON.
    """

    seed: int
    config: PhantomConfig
    anatomy: Anatomy
    poses: Mapping[str, Pose]
    images: Mapping[str, Volume]
    frames: Mapping[str, str]
    labels: Mapping[str, Mapping[str, LabelMap]]
    activity: Mapping[str, Volume]
    displacements: Mapping[str, DisplacementField]
    numbers: Mapping[str, PyTree]

    def lesion_count(self) -> int:
        """Returns the number of lesions."""
        return int(np.sum(np.asarray(self.anatomy.lesion_centre_mm)[:, 0] < 1000.0))
