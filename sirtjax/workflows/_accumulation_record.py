"""The records of an accumulation: the content of its results.json. Names include units."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32

from sirtjax.dosimetry import Check
from sirtjax.parsing import json_value
from sirtjax.volume import Volume
from sirtjax.workflows._alignment_record import Alignment
from sirtjax.workflows._results import MethodEntry

ACCUMULATION_SCHEMA = "sirtjax-accumulation/1"

SumVoiKind = Literal["liver", "normal liver", "lesion", "lesions", "lungs"]


@dataclass(frozen=True, kw_only=True)
class TreatmentTransform:
    """The transform of a treatment to the reference, and the evidence that it fits.

    Attributes:
      method, preset, settings, status, cause, accepted, notes: same as in `AlignmentRecord`.
      dice: DSC of the warped liver of the treatment and the liver of the reference.
      centroid_mm: distance of their centroids.
      dice_unregistered: DSC without the transform.
      centroid_unregistered_mm: distance without the transform; None if the liver is then outside the reference.
      file: name of the transform in the folder of the result.
    """

    method: str
    preset: str | None
    settings: tuple[str, ...]
    status: str | None
    cause: str | None
    accepted: bool
    notes: tuple[str, ...]
    dice: float
    centroid_mm: float
    dice_unregistered: float
    centroid_unregistered_mm: float | None
    file: str


@dataclass(frozen=True, kw_only=True)
class TreatmentResult:
    """One treatment of the sum.

    Attributes:
      name: name of the treatment.
      date: date or time, ISO 8601.
      kind: "plan" (the dose is planned) or "verification" (it is delivered).
      protocol, nuclide, nuclide_record, dose_method: same as in `Result`.
      half_life_h: half-life of the nuclide.
      activity_mbq: activity of all injections together.
      liver_ml: volume of its liver mask on its dose grid.
      lung_gy: mean lung dose.
      outside_fraction: fraction of the reference's liver outside its dose map.
      dose_sha256, results_sha256: hashes of the voxels of its dose and of its results.json.
      dose_file: name of its dose on the grid of the reference, in the folder of the result.
      transform: transform to the reference; None for the reference.
    """

    name: str
    date: str
    kind: Literal["plan", "verification"]
    protocol: str
    nuclide: str
    nuclide_record: str
    dose_method: str
    half_life_h: float
    activity_mbq: float
    liver_ml: float
    lung_gy: float
    outside_fraction: float
    dose_sha256: str
    results_sha256: str
    dose_file: str
    transform: TreatmentTransform | None


@dataclass(frozen=True, kw_only=True)
class DoseStatistics:
    """Dose or BED of one VOI.

    Attributes:
      mean_gy: mean.
      min_gy, max_gy: extreme values; None for the lungs.
      d_gy: D_x by x in %.
      v_percent: V_x by x in Gy; empty for a BED.
      dvh_dose_gy, dvh_volume_percent: cumulative histogram.
    """

    mean_gy: float
    min_gy: float | None = None
    max_gy: float | None = None
    d_gy: dict[str, float] = dataclasses.field(default_factory=dict)
    v_percent: dict[str, float] = dataclasses.field(default_factory=dict)
    dvh_dose_gy: tuple[float, ...] = ()
    dvh_volume_percent: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TreatmentDose:
    """The dose of one treatment in a VOI of the reference.

    Attributes:
      name: name of the treatment.
      dose: dose of the treatment in the VOI of the reference.
      own_mean_gy: mean dose that the treatment itself states for a VOI of this name; None if it has none.
      mean_bed_gy: mean BED; None without tissue parameters.
    """

    name: str
    dose: DoseStatistics
    own_mean_gy: float | None
    mean_bed_gy: float | None


@dataclass(frozen=True, kw_only=True)
class AccumulatedVoi:
    """The accumulated dose of one VOI.

    Attributes:
      name, kind: name and type of the VOI.
      volume_ml: volume on the grid of the reference; None for the lungs.
      treatments: dose of each treatment.
      dose: sum of the doses.
      bed: sum of the BEDs; None without tissue parameters.
      tissue: tissue of the parameters; None without them.
    """

    name: str
    kind: SumVoiKind
    volume_ml: float | None
    treatments: tuple[TreatmentDose, ...]
    dose: DoseStatistics
    bed: DoseStatistics | None = None
    tissue: Literal["tumour", "normal liver"] | None = None


@dataclass(frozen=True, kw_only=True)
class SumLimit:
    """A limit on the mean of all treatments together.

    Attributes:
      voi: VOI of the limit.
      quantity: "dose" or "bed".
      limit_gy: the limit.
      value_gy: sum of all treatments, and for the lungs of those before them.
      met: whether the value is not above the limit.
      source: source of the limit.
    """

    voi: str
    quantity: Literal["dose", "bed"]
    limit_gy: float
    value_gy: float
    met: bool
    source: str


@dataclass(frozen=True, kw_only=True)
class AccumulatedResult:
    """The dose of several treatments together, without its images.

    Attributes:
      patient_id: pseudonym of the reference, otherwise of the first treatment.
      patient_evidence: evidence that all treatments are of one patient.
      reference: name of the reference treatment, or file name of the reference image.
      treatments: treatments by date.
      vois: VOIs of the reference, and the lungs.
      previous_lung_gy: mean lung dose of treatments that are not in the list.
      limits: cumulative limits.
      checks: checks that apply.
      methods: methods and parameters with their sources.
      unreviewed_masks: reasons why the sum is a draft.
      created: date and time, UTC.
      versions: versions of this package and its libraries.
      case: file of the treatments as used, without folders.
      case_sha256: hash of that file.
    """

    patient_id: str
    patient_evidence: str
    reference: str
    treatments: tuple[TreatmentResult, ...]
    vois: tuple[AccumulatedVoi, ...]
    previous_lung_gy: float
    limits: tuple[SumLimit, ...]
    checks: tuple[Check, ...]
    methods: tuple[MethodEntry, ...]
    unreviewed_masks: tuple[str, ...]
    created: str
    versions: dict[str, str]
    case: dict[str, object]
    case_sha256: str

    def voi(self, name: str) -> AccumulatedVoi:
        """Returns the VOI with this name.

        Raises:
          KeyError: there is no VOI of this name.
        """
        for voi in self.vois:
            if voi.name == name:
                return voi
        raise KeyError(name)


@dataclass(frozen=True, kw_only=True, eq=False)
class AccumulatedMaps:
    """The images of an accumulation, on the grid of the reference.

    Attributes:
      dose_gy: (i, j, k) sum of the doses.
      bed_gy: (i, j, k) sum of the BEDs by tissue, "tumour" or "normal liver"; each map has its parameters everywhere.
      mean_bed_gy: mean BED of each treatment in each VOI with tissue parameters, by the names of both.
      doses_gy: (i, j, k) dose of each treatment, by its name.
      alignments: transforms with their origin, by the name of the treatment.
      floating: CT of each treatment that was registered, by its name.
      image: CT or image of the reference; None if it is not known.
      occupancy: (i, j, k) fraction of each voxel inside each VOI, by name.
      ct_hu: (i, j, k) CT of the reference on its grid; None if it is not known.
    """

    dose_gy: Volume
    bed_gy: dict[str, Volume]
    mean_bed_gy: dict[str, dict[str, float]]
    doses_gy: dict[str, Volume]
    alignments: dict[str, Alignment]
    floating: dict[str, Volume]
    image: Volume | None
    occupancy: dict[str, Float32[np.ndarray, "i j k"]]
    ct_hu: Volume | None


def accumulation_to_json(result: AccumulatedResult) -> dict[str, object]:
    """Returns the content of the results.json of an accumulation; see docs/accumulation.md.

    Raises:
      TypeError: the result is not a table.
    """
    table: dict[str, Any] = {"schema": ACCUMULATION_SCHEMA, **dataclasses.asdict(result)}
    cleaned = json_value(table)
    if not isinstance(cleaned, dict):
        raise TypeError("a result is a table")
    return cleaned
