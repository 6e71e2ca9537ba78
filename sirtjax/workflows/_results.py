"""The records that a workflow returns and a report prints; names include units."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32

from sirtjax.dosimetry import Check
from sirtjax.io import Image
from sirtjax.parsing import json_value
from sirtjax.spatial import Transform
from sirtjax.volume import Geometry, Volume
from sirtjax.workflows._alignment_record import Alignment
from sirtjax.workflows._before_after_record import BeforeAfter
from sirtjax.workflows._comparison_record import PlanComparison
from sirtjax.workflows._contour_record import WhereToCheck
from sirtjax.workflows._dose_map import DoseMapRecord
from sirtjax.workflows._lung_reassignment_record import LungReassignment
from sirtjax.workflows._measured_record import MeasuredActivity
from sirtjax.workflows._optimal_record import OptimalResult
from sirtjax.workflows._order_record import OrderRecord
from sirtjax.workflows._outcome_record import OutcomeResult
from sirtjax.workflows._partial_volume_record import PartialVolumeResult
from sirtjax.workflows._provenance_record import PlannedVoi, Provenance
from sirtjax.workflows._record_result import LungShuntRecord, TreatmentRecord
from sirtjax.workflows._registration_record import RegistrationSummary as RegistrationSummary
from sirtjax.workflows._registration_record import VolumeChange as VolumeChange
from sirtjax.workflows._remnant_record import LiverRemnant
from sirtjax.workflows._uncertainty_record import UncertaintyResult
from sirtjax.workflows._uptake_record import UptakeSites
from sirtjax.workflows._used_mask import MaskState
from sirtjax.workflows._written_masks import WrittenMask

SCHEMA = "sirtjax-results/4"

MaskRole = Literal["liver", "lesion", "viable tumour", "lungs", "territories"]
VoiKind = Literal[
    "liver", "normal liver", "lesion", "lesions", "viable tumour", "territory", "normal territory", "lungs"
]


@dataclass(frozen=True)
class OtherDose:
    """The dose of one VOI by the dose method that prescription and limits do not use.

    Attributes:
      mean_gy: mean dose.
      d_gy: same as in `VoiResult`.
      dvh_dose_gy, dvh_volume_percent: cumulative DVH.
    """

    mean_gy: float
    d_gy: dict[str, float]
    dvh_dose_gy: tuple[float, ...]
    dvh_volume_percent: tuple[float, ...]


@dataclass(frozen=True)
class VoiResult:
    """The dose and its effects in one VOI.

    Attributes:
      name, kind, territory: name and type of the VOI, and the territory that contains it, if only one does.
      volume_ml: volume on the working grid; `mask_ml` as drawn (None for a derived VOI).
      mass_g: volume times the protocol's density, or mass from the CT if density_from_ct is set.
      activity_mbq: injected activity in the VOI; `uptake_fraction` is its fraction of the liver's activity.
      tn_ratio: activity concentration divided by that of the normal tissue of the same territory, only for lesions. In
        several territories, it refers to their tissue weighted by the volume of the lesion in each.
      multi_compartment_mean_gy: mean dose of the multi-compartment method (thesis Eq. 1.5).
      mean_gy, min_gy, max_gy, d_gy, v_percent: metrics of the voxel dose; `d_gy["70"]` is D70, `v_percent["100"]` is
        V100.
      bed_gy, eud_gy, tcp, ntcp: radiobiology by the named parameter sets, if the protocol has one.
      dvh_dose_gy, dvh_volume_percent: cumulative DVH.
      other_dose: dose by the other dose method; None for the lungs, and if there is no other method.
      lesion: lesion that contains a viable part; None for every other VOI.
      lesion_fraction: volume of the viable part divided by that of its lesion.
    """

    name: str
    kind: VoiKind
    territory: str | None
    volume_ml: float
    mask_ml: float | None
    mass_g: float
    activity_mbq: float
    uptake_fraction: float
    tn_ratio: float | None
    multi_compartment_mean_gy: float
    mean_gy: float
    min_gy: float | None
    max_gy: float | None
    d_gy: dict[str, float] = field(default_factory=dict)
    v_percent: dict[str, float] = field(default_factory=dict)
    biology: dict[str, float] = field(default_factory=dict)
    dvh_dose_gy: tuple[float, ...] = ()
    dvh_volume_percent: tuple[float, ...] = ()
    other_dose: OtherDose | None = None
    lesion: str | None = None
    lesion_fraction: float | None = None


@dataclass(frozen=True)
class BoundResult:
    """One limit of the activity: the tumour's lower one, or an upper one of normal liver, lung or vendor.

    Attributes:
      name: objective that sets the bound, e.g. "normal liver mean <= 40 Gy".
      activity_mbq: activity at injection at which the objective is met exactly.
      source: source of the objective's number.
    """

    name: str
    side: Literal["lower", "upper"]
    activity_mbq: float
    source: str


@dataclass(frozen=True)
class InjectionResult:
    """The prescription, or in a verification the delivered activity, of one territory.

    Attributes:
      activity_mbq: activity that reaches the patient at the time of injection.
      dispensed_mbq: activity in the vial at that time: activity / (1 - residual fraction); None if a verification does
        not know the residual.
      lower_mbq, upper_mbq: interval between the bounds; None if there is no such bound.
      feasible: whether the interval is not empty.
      limiting_objective: name of the bound that the activity equals, or the reason for the choice.
      lung_shunt_fraction, residual_fraction: fractions used for the injection.
      bounds: every bound separately.
      planned_mbq: activity of the plan, in a verification; None without a plan or if it plans no injection here.
      elapsed_h: hours from this injection to the time that the image's Bq/mL refer to; None without decay correction.
    """

    territory: str
    activity_mbq: float
    dispensed_mbq: float | None
    residual_fraction: float | None
    lung_shunt_fraction: float
    lower_mbq: float | None
    upper_mbq: float | None
    feasible: bool
    limiting_objective: str
    bounds: tuple[BoundResult, ...]
    planned_mbq: float | None = None
    elapsed_h: float | None = None


@dataclass(frozen=True)
class TerritoryResult:
    """One perfusion territory of the liver.

    Attributes:
      name: name of the territory.
      volume_ml: volume on the working grid.
      treated: whether an injection reaches the territory.
    """

    name: str
    volume_ml: float
    treated: bool


@dataclass(frozen=True)
class ObjectiveResult:
    """A target, limit or goal on one VOI, and the dose it is compared with.

    Attributes:
      name: objective in the field's notation, such as "mean(lesion 1) >= 205 Gy".
      voi, role: name of the VOI, and its role in the protocol.
      direction: "at least" (targets) or "at most" (limits).
      kind: "mean", "D" (D_x) or "V" (V_x).
      purpose: "bound" restricts the activity, "goal" is a recommendation.
      dose_gy: the target or limit; x of V_x.
      volume_fraction: x of D_x, or the required volume for V_x; None for a mean.
      cumulative: whether the dose of earlier treatments is included.
      value_gy: mean dose, or D_x at `volume_fraction`, predicted by a plan or delivered in a verification.
      value_fraction: fraction of the VOI that receives at least `dose_gy`, for "V"; otherwise None.
      met: whether `value_gy` meets the objective.
      source: source of the target or limit.
      planned_gy, planned_fraction, planned_met: same values in the plan of a verification; None without a plan.
      only_planned: whether the plan has the objective and the case of the verification does not.
    """

    name: str
    voi: str
    role: str
    direction: Literal["at least", "at most"]
    kind: Literal["mean", "D", "V"]
    purpose: Literal["bound", "goal"]
    dose_gy: float
    volume_fraction: float | None
    cumulative: bool
    value_gy: float
    value_fraction: float | None
    met: bool
    source: str
    planned_gy: float | None = None
    planned_fraction: float | None = None
    planned_met: bool | None = None
    only_planned: bool = False


@dataclass(frozen=True)
class MethodEntry:
    """One line of the report's methods: the method, its value and the source of the number."""

    name: str
    value: str
    source: str = ""


@dataclass(frozen=True)
class MaskResult:
    """A mask as it was used, and its reviewer.

    Attributes:
      name, role: name of the mask and its role in the case.
      frame: the image it is drawn on, "activity" or "diagnostic".
      origin: the file or the method it comes from first.
      volume_ml: volume of the mask as drawn; for territories, of all of them together.
      file, sha256: name and hash of the mask file: the case's file, or a version of the review by its name below the
        plan's folder; None if a program computed the mask.
      version: version number in the review; None if the mask was not reviewed.
      state: review state, "given", "draft", "verified" or "rejected".
      reviewer, signed_at, comment: the signature on this version (UTC, ISO 8601); None and "" without one.
    """

    name: str
    role: MaskRole
    frame: str
    origin: str
    volume_ml: float
    file: str | None
    sha256: str | None
    version: int | None
    state: MaskState
    reviewer: str | None
    signed_at: str | None
    comment: str


@dataclass(frozen=True)
class Result:
    """A finished plan or verification, without its images.

    Attributes:
      kind: "plan" or "verification".
      patient_id: pseudonym of the case.
      protocol: name of the protocol; `protocol_title` is its title for readers.
      injections, vois, checks, methods: one record per injection, VOI, check and line of the methods.
      nuclide, nuclide_record: nuclide, such as "Y-90", and the record of its constants, such as "y90-icrp107".
      dose_method: dose method of prescription, limits and checks, "local" deposition, "kernel" or "cone".
      other_dose_method: dose method of `VoiResult.other_dose`; None if the nuclide has no kernel.
      territories: all territories, treated or not.
      objectives: every target, limit and goal, on the predicted or the delivered dose.
      comparison: comparison with the plan, in a verification; None without a plan.
      lung_dose_gy, lung_mass_g, lung_shunt_fraction: lung dose, lung mass and shunt of all injections together.
      lung_shunt_dose_gy: part of the lung dose from the shunted activity.
      lung_spill_dose_gy: part of the lung dose from betas that leave the liver, which it lacks without a
        lung mask (None).
      planned: VOI table of the plan by VOI name, in a verification with a plan.
      registration: registration of the diagnostic image; None if there is no diagnostic image.
      unreviewed_masks: a sentence for each reason why masks are drafts, with their names; a plan with any is a draft
        itself.
      provenance: versions, inputs with UIDs and hashes, the case as used, time.
      masks: each mask with its file, version and signature.
      image_activity_mbq: activity in the whole activity image at the time of injection, in an absolute verification;
        None otherwise, and after staged injections, because each decays from its own time.
      dose_map: identity of the dose map, by which a verification recognises the dose of its plan.
      written_masks: identity of each mask in the folder, by which a verification or a sum recognises the VOIs.
      before_after: planned and delivered doses next to each other, in a verification with a plan; None otherwise.
      partial_volume: doses after partial-volume correction; None if the case names no correction.
      device: "glass", "resin" or "holmium".
      data_versions: name and version of protocol, nuclide record, dose kernel, models and registration preset.
      record: treatment record: vials, liver function, persons and dates.
      lung_shunt: origin of the lung shunt fraction, with its counts.
      order: vials to order for the prescribed activities; None if the case has no [order].
      outcome: TCP and NTCP over the activity, in a plan with a dose response; None otherwise.
      measured_activity: activity that the image after treatment shows in lungs, other organs and the whole field; None
        in a plan, and if there is nothing to measure.
      remnant: the liver outside the injected territories.
      uptake_sites: uptake outside the liver; None if the case has no [uptake_sites].
      lung_reassignment: lung shunt and dose next to the lung without blur; None if the case does not ask for it.
      where_to_check: contours that the doses depend on; None without intervals or without a lesion.
      uncertainty: intervals of doses and activities; None if they are off.
      optimal: optimal activities, in a plan with the strategy "optimal"; None otherwise.
    """

    kind: Literal["plan", "verification"]
    patient_id: str
    protocol: str
    protocol_title: str
    injections: tuple[InjectionResult, ...]
    vois: tuple[VoiResult, ...]
    lung_dose_gy: float
    lung_shunt_dose_gy: float
    lung_spill_dose_gy: float | None
    lung_mass_g: float
    lung_shunt_fraction: float
    checks: tuple[Check, ...]
    methods: tuple[MethodEntry, ...]
    notes: tuple[str, ...]
    planned: dict[str, PlannedVoi]
    provenance: Provenance
    dose_method: Literal["kernel", "local", "cone"]
    other_dose_method: Literal["kernel", "local", "cone"] | None = None
    registration: RegistrationSummary | None = None
    unreviewed_masks: tuple[str, ...] = ()
    nuclide: str = ""
    nuclide_record: str = ""
    territories: tuple[TerritoryResult, ...] = ()
    objectives: tuple[ObjectiveResult, ...] = ()
    comparison: PlanComparison | None = None
    masks: tuple[MaskResult, ...] = ()
    image_activity_mbq: float | None = None
    dose_map: DoseMapRecord | None = None
    written_masks: tuple[WrittenMask, ...] = ()
    before_after: BeforeAfter | None = None
    partial_volume: PartialVolumeResult | None = None
    device: str = ""
    data_versions: dict[str, str] = field(default_factory=dict)
    record: TreatmentRecord = field(default_factory=TreatmentRecord)
    lung_shunt: LungShuntRecord | None = None
    order: OrderRecord | None = None
    outcome: OutcomeResult | None = None
    measured_activity: MeasuredActivity | None = None
    remnant: LiverRemnant | None = None
    uptake_sites: UptakeSites | None = None
    lung_reassignment: LungReassignment | None = None
    where_to_check: WhereToCheck | None = None
    uncertainty: UncertaintyResult | None = None
    optimal: OptimalResult | None = None

    def voi(self, name: str) -> VoiResult:
        """Returns the VOI with this name.

        Raises:
          KeyError: there is no VOI of this name.
        """
        for voi in self.vois:
            if voi.name == name:
                return voi
        raise KeyError(name)


@dataclass(frozen=True)
class ResultVolumes:
    """The images that go with a result, all on the working grid.

    Attributes:
      dose_gy: (i, j, k) the absorbed dose of all injections.
      activity: (i, j, k) activity in the unit of the activity image.
      ct_hu: (i, j, k) CT, or None.
      occupancy: (i, j, k) fraction of each voxel inside each VOI, by name; of the lungs their part in the grid.
      lungs: (i, j, k) fraction of each voxel of the lungs' own grid inside the lungs, or None.
      transform: pull transform from the activity frame to the diagnostic frame.
      planned_dose_gy: (i, j, k) planned dose, warped to the working grid of a verification; None without a registered
        plan.
      plan_alignment: pull transform from the activity frame to the frame of the plan, and its origin; None without a
        registered plan.
      plan_ct: CT of the plan, if its registration used it.
      contour_gy_per_mm: near the contour of each lesion, the change of its dose if a patch there moves outward by 1 mm,
        on a coarser grid; None without derivatives.
    """

    geometry: Geometry
    dose_gy: Volume
    activity: Volume
    ct_hu: Volume | None
    occupancy: dict[str, Float32[np.ndarray, "i j k"]]
    transform: Transform
    planned_dose_gy: Volume | None = None
    plan_alignment: Alignment | None = None
    plan_ct: Image | None = None
    lungs: Volume | None = None
    contour_gy_per_mm: Volume | None = None


def result_to_json(result: Result) -> dict[str, object]:
    """Returns the content of results.json; see docs/results-schema.md.

    Raises:
      TypeError: the result is not a table.
    """
    table: dict[str, Any] = {"schema": SCHEMA, **dataclasses.asdict(result)}
    cleaned = json_value(table)
    if not isinstance(cleaned, dict):
        raise TypeError("a result is a table")
    return cleaned
