"""Planning and verification: the steps of a patient's case as plain functions."""

from sirtjax.workflows._accumulation import accumulate_case as accumulate_case
from sirtjax.workflows._accumulation import on_grid as on_grid
from sirtjax.workflows._accumulation_case import Accumulation as Accumulation
from sirtjax.workflows._accumulation_case import load_accumulation as load_accumulation
from sirtjax.workflows._accumulation_record import ACCUMULATION_SCHEMA as ACCUMULATION_SCHEMA
from sirtjax.workflows._accumulation_record import AccumulatedMaps as AccumulatedMaps
from sirtjax.workflows._accumulation_record import AccumulatedResult as AccumulatedResult
from sirtjax.workflows._accumulation_record import AccumulatedVoi as AccumulatedVoi
from sirtjax.workflows._accumulation_record import DoseStatistics as DoseStatistics
from sirtjax.workflows._accumulation_record import SumLimit as SumLimit
from sirtjax.workflows._accumulation_record import TreatmentDose as TreatmentDose
from sirtjax.workflows._accumulation_record import TreatmentResult as TreatmentResult
from sirtjax.workflows._accumulation_record import TreatmentTransform as TreatmentTransform
from sirtjax.workflows._accumulation_record import accumulation_to_json as accumulation_to_json
from sirtjax.workflows._alignment_record import Alignment as Alignment
from sirtjax.workflows._alignment_record import AlignmentRecord as AlignmentRecord
from sirtjax.workflows._automatic import BY_CT_NUMBERS as BY_CT_NUMBERS
from sirtjax.workflows._automatic import automatic_hooks as automatic_hooks
from sirtjax.workflows._before_after_record import BeforeAfter as BeforeAfter
from sirtjax.workflows._before_after_record import GammaResult as GammaResult
from sirtjax.workflows._before_after_record import LesionAgreement as LesionAgreement
from sirtjax.workflows._before_after_record import PlanRegistrationSummary as PlanRegistrationSummary
from sirtjax.workflows._before_after_record import VoiComparison as VoiComparison
from sirtjax.workflows._case import NO_PSEUDONYM as NO_PSEUDONYM
from sirtjax.workflows._case import Case as Case
from sirtjax.workflows._case_file import case_from_dict as case_from_dict
from sirtjax.workflows._case_file import load_case as load_case
from sirtjax.workflows._case_from_studies import case_from_studies as case_from_studies
from sirtjax.workflows._case_images import CaseImages as CaseImages
from sirtjax.workflows._case_options import CaseOptions as CaseOptions
from sirtjax.workflows._case_options import check_choices as check_choices
from sirtjax.workflows._case_options import missing_choices as missing_choices
from sirtjax.workflows._case_options import read_case as read_case
from sirtjax.workflows._comparison_record import ComparisonRow as ComparisonRow
from sirtjax.workflows._comparison_record import PlanComparison as PlanComparison
from sirtjax.workflows._contour_record import CONTOUR_FILE as CONTOUR_FILE
from sirtjax.workflows._contour_record import ContourDependence as ContourDependence
from sirtjax.workflows._contour_record import RegionDependence as RegionDependence
from sirtjax.workflows._contour_record import WhereToCheck as WhereToCheck
from sirtjax.workflows._dose_map import DoseMapRecord as DoseMapRecord
from sirtjax.workflows._drafts import unreviewed_masks as unreviewed_masks
from sirtjax.workflows._guides import RegistrationGuidance as RegistrationGuidance
from sirtjax.workflows._images import select_images as select_images
from sirtjax.workflows._mask_roles import MASK_ROLES as MASK_ROLES
from sirtjax.workflows._mask_roles import MaskProposal as MaskProposal
from sirtjax.workflows._mask_roles import MaskRole as MaskRole
from sirtjax.workflows._mask_roles import mask_frame as mask_frame
from sirtjax.workflows._mask_roles import mask_role_of as mask_role_of
from sirtjax.workflows._mask_roles import propose_masks as propose_masks
from sirtjax.workflows._measured_record import ActivityRow as ActivityRow
from sirtjax.workflows._measured_record import BackgroundResult as BackgroundResult
from sirtjax.workflows._measured_record import LungMeasurement as LungMeasurement
from sirtjax.workflows._measured_record import MeasuredActivity as MeasuredActivity
from sirtjax.workflows._measured_record import MeasuredLungs as MeasuredLungs
from sirtjax.workflows._measured_record import RelabellingResult as RelabellingResult
from sirtjax.workflows._optimal_record import ChoiceProbability as ChoiceProbability
from sirtjax.workflows._optimal_record import OptimalInjection as OptimalInjection
from sirtjax.workflows._optimal_record import OptimalLimit as OptimalLimit
from sirtjax.workflows._optimal_record import OptimalResult as OptimalResult
from sirtjax.workflows._optimal_record import ProbabilityResult as ProbabilityResult
from sirtjax.workflows._optimal_record import RobustLimit as RobustLimit
from sirtjax.workflows._optimal_record import RobustResult as RobustResult
from sirtjax.workflows._order_record import OrderRecord as OrderRecord
from sirtjax.workflows._order_record import TerritoryOrder as TerritoryOrder
from sirtjax.workflows._ordering import order_plan as order_plan
from sirtjax.workflows._ordering import plan_cautions as plan_cautions
from sirtjax.workflows._outcome_record import OutcomeResult as OutcomeResult
from sirtjax.workflows._partial_volume_record import ActivityAlignment as ActivityAlignment
from sirtjax.workflows._partial_volume_record import CorrectedDose as CorrectedDose
from sirtjax.workflows._partial_volume_record import PartialVolumeResult as PartialVolumeResult
from sirtjax.workflows._partial_volume_record import PartialVolumeRow as PartialVolumeRow
from sirtjax.workflows._pet_label import PetLabel as PetLabel
from sirtjax.workflows._pet_label import frame_decay_factor as frame_decay_factor
from sirtjax.workflows._pet_label import relabelling_factor as relabelling_factor
from sirtjax.workflows._pipeline_inputs import pipeline_inputs as pipeline_inputs
from sirtjax.workflows._plan_record import TreatmentPlan as TreatmentPlan
from sirtjax.workflows._plan_record import read_plan as read_plan
from sirtjax.workflows._planning import plan_case as plan_case
from sirtjax.workflows._products import STEPS as STEPS
from sirtjax.workflows._products import AllStepResults as AllStepResults
from sirtjax.workflows._products import Hooks as Hooks
from sirtjax.workflows._products import Step as Step
from sirtjax.workflows._products import StepResults as StepResults
from sirtjax.workflows._products import TerritoryMap as TerritoryMap
from sirtjax.workflows._provenance import provenance as provenance
from sirtjax.workflows._provenance_record import InputFile as InputFile
from sirtjax.workflows._provenance_record import PlannedVoi as PlannedVoi
from sirtjax.workflows._provenance_record import Provenance as Provenance
from sirtjax.workflows._record_result import LiverFunctionRecord as LiverFunctionRecord
from sirtjax.workflows._record_result import LungShuntRecord as LungShuntRecord
from sirtjax.workflows._record_result import PlanarBlurRecord as PlanarBlurRecord
from sirtjax.workflows._record_result import RegionCounts as RegionCounts
from sirtjax.workflows._record_result import TreatmentRecord as TreatmentRecord
from sirtjax.workflows._record_result import VialRecord as VialRecord
from sirtjax.workflows._remnant_record import LiverRemnant as LiverRemnant
from sirtjax.workflows._required import check_prescription as check_prescription
from sirtjax.workflows._required import missing_prescription as missing_prescription
from sirtjax.workflows._resampled_case import ResampledCase as ResampledCase
from sirtjax.workflows._result_masks import result_mask as result_mask
from sirtjax.workflows._results import SCHEMA as SCHEMA
from sirtjax.workflows._results import BoundResult as BoundResult
from sirtjax.workflows._results import InjectionResult as InjectionResult
from sirtjax.workflows._results import MaskResult as MaskResult
from sirtjax.workflows._results import MethodEntry as MethodEntry
from sirtjax.workflows._results import ObjectiveResult as ObjectiveResult
from sirtjax.workflows._results import OtherDose as OtherDose
from sirtjax.workflows._results import RegistrationSummary as RegistrationSummary
from sirtjax.workflows._results import Result as Result
from sirtjax.workflows._results import ResultVolumes as ResultVolumes
from sirtjax.workflows._results import TerritoryResult as TerritoryResult
from sirtjax.workflows._results import VoiResult as VoiResult
from sirtjax.workflows._results import VolumeChange as VolumeChange
from sirtjax.workflows._results import result_to_json as result_to_json
from sirtjax.workflows._roles import IMAGE_ROLES as IMAGE_ROLES
from sirtjax.workflows._roles import ImageRole as ImageRole
from sirtjax.workflows._roles import RoleProposal as RoleProposal
from sirtjax.workflows._roles import propose_roles as propose_roles
from sirtjax.workflows._steps import run_until as run_until
from sirtjax.workflows._uncertainty import choose_uncertainty as choose_uncertainty
from sirtjax.workflows._uncertainty_record import ActivityUncertainty as ActivityUncertainty
from sirtjax.workflows._uncertainty_record import HistogramBand as HistogramBand
from sirtjax.workflows._uncertainty_record import Interval as Interval
from sirtjax.workflows._uncertainty_record import UncertaintyResult as UncertaintyResult
from sirtjax.workflows._uncertainty_record import UncertaintyRow as UncertaintyRow
from sirtjax.workflows._uncertainty_record import UncertaintySource as UncertaintySource
from sirtjax.workflows._uptake_record import PhysiologicalUptake as PhysiologicalUptake
from sirtjax.workflows._uptake_record import UptakeSite as UptakeSite
from sirtjax.workflows._uptake_record import UptakeSites as UptakeSites
from sirtjax.workflows._uptake_search import UptakeRegion as UptakeRegion
from sirtjax.workflows._uptake_search import find_uptake as find_uptake
from sirtjax.workflows._used_mask import MaskState as MaskState
from sirtjax.workflows._used_mask import UsedMask as UsedMask
from sirtjax.workflows._verification import verify_case as verify_case
from sirtjax.workflows._voi import AutomaticMask as AutomaticMask
from sirtjax.workflows._voi import Voi as Voi
from sirtjax.workflows._voi_histogram import VoiHistogram as VoiHistogram
from sirtjax.workflows._voi_histogram import voi_histogram as voi_histogram
from sirtjax.workflows._written_masks import WrittenMask as WrittenMask
from sirtjax.workflows._written_masks import mask_files as mask_files

__all__ = [
    "ACCUMULATION_SCHEMA",
    "BY_CT_NUMBERS",
    "CONTOUR_FILE",
    "IMAGE_ROLES",
    "MASK_ROLES",
    "NO_PSEUDONYM",
    "SCHEMA",
    "STEPS",
    "AccumulatedMaps",
    "AccumulatedResult",
    "AccumulatedVoi",
    "Accumulation",
    "ActivityAlignment",
    "ActivityRow",
    "ActivityUncertainty",
    "Alignment",
    "AlignmentRecord",
    "AllStepResults",
    "AutomaticMask",
    "BackgroundResult",
    "BeforeAfter",
    "BoundResult",
    "Case",
    "CaseImages",
    "CaseOptions",
    "ChoiceProbability",
    "ComparisonRow",
    "ContourDependence",
    "CorrectedDose",
    "DoseMapRecord",
    "DoseStatistics",
    "GammaResult",
    "HistogramBand",
    "Hooks",
    "ImageRole",
    "InjectionResult",
    "InputFile",
    "Interval",
    "LesionAgreement",
    "LiverFunctionRecord",
    "LiverRemnant",
    "LungMeasurement",
    "LungShuntRecord",
    "MaskProposal",
    "MaskResult",
    "MaskRole",
    "MaskState",
    "MeasuredActivity",
    "MeasuredLungs",
    "MethodEntry",
    "ObjectiveResult",
    "OptimalInjection",
    "OptimalLimit",
    "OptimalResult",
    "OrderRecord",
    "OtherDose",
    "OutcomeResult",
    "PartialVolumeResult",
    "PartialVolumeRow",
    "PetLabel",
    "PhysiologicalUptake",
    "PlanComparison",
    "PlanRegistrationSummary",
    "PlanarBlurRecord",
    "PlannedVoi",
    "ProbabilityResult",
    "Provenance",
    "RegionCounts",
    "RegionDependence",
    "RegistrationGuidance",
    "RegistrationSummary",
    "RelabellingResult",
    "ResampledCase",
    "Result",
    "ResultVolumes",
    "RobustLimit",
    "RobustResult",
    "RoleProposal",
    "Step",
    "StepResults",
    "SumLimit",
    "TerritoryMap",
    "TerritoryOrder",
    "TerritoryResult",
    "TreatmentDose",
    "TreatmentPlan",
    "TreatmentRecord",
    "TreatmentResult",
    "TreatmentTransform",
    "UncertaintyResult",
    "UncertaintyRow",
    "UncertaintySource",
    "UptakeRegion",
    "UptakeSite",
    "UptakeSites",
    "UsedMask",
    "VialRecord",
    "Voi",
    "VoiComparison",
    "VoiHistogram",
    "VoiResult",
    "VolumeChange",
    "WhereToCheck",
    "WrittenMask",
    "accumulate_case",
    "accumulation_to_json",
    "automatic_hooks",
    "case_from_dict",
    "case_from_studies",
    "check_choices",
    "check_prescription",
    "choose_uncertainty",
    "find_uptake",
    "frame_decay_factor",
    "load_accumulation",
    "load_case",
    "mask_files",
    "mask_frame",
    "mask_role_of",
    "missing_choices",
    "missing_prescription",
    "on_grid",
    "order_plan",
    "pipeline_inputs",
    "plan_case",
    "plan_cautions",
    "propose_masks",
    "propose_roles",
    "provenance",
    "read_case",
    "read_plan",
    "relabelling_factor",
    "result_mask",
    "result_to_json",
    "run_until",
    "select_images",
    "unreviewed_masks",
    "verify_case",
    "voi_histogram",
]
