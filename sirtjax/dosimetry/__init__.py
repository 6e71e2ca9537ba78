"""Nuclides, absorbed dose, dose-volume histograms and prescription of radioembolisation."""

from sirtjax.dosimetry._accumulation import accumulate_bed as accumulate_bed
from sirtjax.dosimetry._activity import absolute_activity_mbq as absolute_activity_mbq
from sirtjax.dosimetry._activity import cumulated_activity_mbq_h as cumulated_activity_mbq_h
from sirtjax.dosimetry._activity import decay_factor as decay_factor
from sirtjax.dosimetry._activity import hours_between as hours_between
from sirtjax.dosimetry._activity import relative_activity_mbq as relative_activity_mbq
from sirtjax.dosimetry._activity_choice import OUTCOME_STRATEGIES as OUTCOME_STRATEGIES
from sirtjax.dosimetry._activity_choice import Strategy as Strategy
from sirtjax.dosimetry._activity_choice import activity_multiple as activity_multiple
from sirtjax.dosimetry._activity_choice import even_dose_activity_mbq as even_dose_activity_mbq
from sirtjax.dosimetry._activity_choice import joint_scale as joint_scale
from sirtjax.dosimetry._activity_choice import lowest_start as lowest_start
from sirtjax.dosimetry._activity_choice import split_proportions as split_proportions
from sirtjax.dosimetry._activity_choice import upper_start as upper_start
from sirtjax.dosimetry._biology import bed_gy as bed_gy
from sirtjax.dosimetry._biology import eubed_gy as eubed_gy
from sirtjax.dosimetry._biology import eud_gy as eud_gy
from sirtjax.dosimetry._biology import generalised_eud_gy as generalised_eud_gy
from sirtjax.dosimetry._biology import ntcp_lkb as ntcp_lkb
from sirtjax.dosimetry._biology import tcp_linear_logit as tcp_linear_logit
from sirtjax.dosimetry._biology import tcp_logit as tcp_logit
from sirtjax.dosimetry._biology_parameters import ResponseParameters as ResponseParameters
from sirtjax.dosimetry._biology_parameters import TissueParameters as TissueParameters
from sirtjax.dosimetry._biology_parameters import get_response_parameters as get_response_parameters
from sirtjax.dosimetry._biology_parameters import liver_complication_probability as liver_complication_probability
from sirtjax.dosimetry._biology_parameters import response_sets as response_sets
from sirtjax.dosimetry._biology_parameters import tumour_control_probability as tumour_control_probability
from sirtjax.dosimetry._bounds import activity_interval_mbq as activity_interval_mbq
from sirtjax.dosimetry._bsa import body_surface_area_m2 as body_surface_area_m2
from sirtjax.dosimetry._bsa import bsa_activity_mbq as bsa_activity_mbq
from sirtjax.dosimetry._bsa import lobar_activity_mbq as lobar_activity_mbq
from sirtjax.dosimetry._bsa import shunt_step_factor as shunt_step_factor
from sirtjax.dosimetry._check_rules import CHECKS as CHECKS
from sirtjax.dosimetry._check_rules import CheckRule as CheckRule
from sirtjax.dosimetry._checks import Check as Check
from sirtjax.dosimetry._checks import accepted_registration_checks as accepted_registration_checks
from sirtjax.dosimetry._checks import automatic_mask_checks as automatic_mask_checks
from sirtjax.dosimetry._checks import calibration_checks as calibration_checks
from sirtjax.dosimetry._checks import constant_checks as constant_checks
from sirtjax.dosimetry._checks import counts_checks as counts_checks
from sirtjax.dosimetry._checks import delivered_activity_checks as delivered_activity_checks
from sirtjax.dosimetry._checks import dose_method_checks as dose_method_checks
from sirtjax.dosimetry._checks import draft_quality_checks as draft_quality_checks
from sirtjax.dosimetry._checks import injected_territory_checks as injected_territory_checks
from sirtjax.dosimetry._checks import liver_volume_checks as liver_volume_checks
from sirtjax.dosimetry._checks import lung_dose_checks as lung_dose_checks
from sirtjax.dosimetry._checks import lung_shunt_checks as lung_shunt_checks
from sirtjax.dosimetry._checks import lungs_missing_checks as lungs_missing_checks
from sirtjax.dosimetry._checks import make_check as make_check
from sirtjax.dosimetry._checks import plan_position_checks as plan_position_checks
from sirtjax.dosimetry._checks import planned_volume_checks as planned_volume_checks
from sirtjax.dosimetry._checks import positron_fraction_checks as positron_fraction_checks
from sirtjax.dosimetry._checks import registration_checks as registration_checks
from sirtjax.dosimetry._checks import small_lesion_checks as small_lesion_checks
from sirtjax.dosimetry._checks import staged_activity_checks as staged_activity_checks
from sirtjax.dosimetry._checks import stated_lung_mass_checks as stated_lung_mass_checks
from sirtjax.dosimetry._checks import territory_overlap_checks as territory_overlap_checks
from sirtjax.dosimetry._checks import tn_ratio_checks as tn_ratio_checks
from sirtjax.dosimetry._checks import tumour_location_checks as tumour_location_checks
from sirtjax.dosimetry._checks import unverified_checks as unverified_checks
from sirtjax.dosimetry._checks import voxel_size_checks as voxel_size_checks
from sirtjax.dosimetry._checks import warped_volume_checks as warped_volume_checks
from sirtjax.dosimetry._compartment import activity_per_mass_mbq as activity_per_mass_mbq
from sirtjax.dosimetry._compartment import delivered_activity_mbq as delivered_activity_mbq
from sirtjax.dosimetry._compartment import dispensed_activity_mbq as dispensed_activity_mbq
from sirtjax.dosimetry._compartment import mono_compartment_activity_mbq as mono_compartment_activity_mbq
from sirtjax.dosimetry._compartment import mono_compartment_dose_gy as mono_compartment_dose_gy
from sirtjax.dosimetry._compartment_prescription import CompartmentPatient as CompartmentPatient
from sirtjax.dosimetry._compartment_prescription import CompartmentPrescription as CompartmentPrescription
from sirtjax.dosimetry._compartment_prescription import parse_tumour as parse_tumour
from sirtjax.dosimetry._compartment_prescription import prescribe_compartments as prescribe_compartments
from sirtjax.dosimetry._compartment_vois import CompartmentTerritory as CompartmentTerritory
from sirtjax.dosimetry._compartment_vois import TumourCompartment as TumourCompartment
from sirtjax.dosimetry._compartment_vois import compartment_vois as compartment_vois
from sirtjax.dosimetry._cone import ConeExtent as ConeExtent
from sirtjax.dosimetry._cone import cone_dose_gy as cone_dose_gy
from sirtjax.dosimetry._cone import cone_extent as cone_extent
from sirtjax.dosimetry._cone import lightest_lung_g_per_ml as lightest_lung_g_per_ml
from sirtjax.dosimetry._convolution import convolve_octant as convolve_octant
from sirtjax.dosimetry._convolution import kernel_dose_gy as kernel_dose_gy
from sirtjax.dosimetry._convolution import lung_crossfire_energy_j as lung_crossfire_energy_j
from sirtjax.dosimetry._density import DensityCurve as DensityCurve
from sirtjax.dosimetry._density import density_g_per_ml as density_g_per_ml
from sirtjax.dosimetry._density import get_density_curve as get_density_curve
from sirtjax.dosimetry._density import read_density_curve as read_density_curve
from sirtjax.dosimetry._dose import absorbed_dose_gy as absorbed_dose_gy
from sirtjax.dosimetry._dvh import Dvh as Dvh
from sirtjax.dosimetry._dvh import dvh_from_arrays as dvh_from_arrays
from sirtjax.dosimetry._dvh_exact import dose_at_volume_fraction_gy as dose_at_volume_fraction_gy
from sirtjax.dosimetry._dvh_exact import mean_dose_gy as mean_dose_gy
from sirtjax.dosimetry._dvh_exact import pack_voi as pack_voi
from sirtjax.dosimetry._dvh_exact import volume_fraction_at_dose as volume_fraction_at_dose
from sirtjax.dosimetry._dvh_samples import histogram_size as histogram_size
from sirtjax.dosimetry._dvh_smooth import smooth_cumulative_dvh as smooth_cumulative_dvh
from sirtjax.dosimetry._dvh_smooth import smooth_differential_dvh_per_gy as smooth_differential_dvh_per_gy
from sirtjax.dosimetry._dvh_smooth import smooth_dose_at_volume_fraction_gy as smooth_dose_at_volume_fraction_gy
from sirtjax.dosimetry._dvh_smooth import smooth_volume_fraction_at_dose as smooth_volume_fraction_at_dose
from sirtjax.dosimetry._dvh_traced import VoiSamples as VoiSamples
from sirtjax.dosimetry._dvh_traced import traced_dose_at_fraction as traced_dose_at_fraction
from sirtjax.dosimetry._dvh_traced import traced_mean_gy as traced_mean_gy
from sirtjax.dosimetry._dvh_traced import traced_volume_fraction as traced_volume_fraction
from sirtjax.dosimetry._dvh_traced import voi_samples as voi_samples
from sirtjax.dosimetry._injections import mass_weighted_dose_gy as mass_weighted_dose_gy
from sirtjax.dosimetry._injections import superposed_dose_gy as superposed_dose_gy
from sirtjax.dosimetry._joint import ActivityAllocation as ActivityAllocation
from sirtjax.dosimetry._joint import max_margin_allocation as max_margin_allocation
from sirtjax.dosimetry._kernels import kernel_radius_voxels as kernel_radius_voxels
from sirtjax.dosimetry._kernels import octant_kernel as octant_kernel
from sirtjax.dosimetry._kernels import voxel_kernel as voxel_kernel
from sirtjax.dosimetry._liver_function import ALBI_SOURCE as ALBI_SOURCE
from sirtjax.dosimetry._liver_function import CHILD_PUGH_SOURCE as CHILD_PUGH_SOURCE
from sirtjax.dosimetry._liver_function import albi_grade as albi_grade
from sirtjax.dosimetry._liver_function import albi_score as albi_score
from sirtjax.dosimetry._liver_function import bilirubin_umol_per_l as bilirubin_umol_per_l
from sirtjax.dosimetry._liver_function import child_pugh_class as child_pugh_class
from sirtjax.dosimetry._local import local_deposition_dose_gy as local_deposition_dose_gy
from sirtjax.dosimetry._local import voxel_mass_g as voxel_mass_g
from sirtjax.dosimetry._lung import lung_dose_gy as lung_dose_gy
from sirtjax.dosimetry._lung import lung_limited_activity_mbq as lung_limited_activity_mbq
from sirtjax.dosimetry._lung import lung_mass_g as lung_mass_g
from sirtjax.dosimetry._lung_spill import lung_absorbed_fraction as lung_absorbed_fraction
from sirtjax.dosimetry._lung_spill import lung_absorbed_map as lung_absorbed_map
from sirtjax.dosimetry._nuclides import NUCLIDES as NUCLIDES
from sirtjax.dosimetry._nuclides import Y90_POSITRON_FRACTION as Y90_POSITRON_FRACTION
from sirtjax.dosimetry._nuclides import Nuclide as Nuclide
from sirtjax.dosimetry._nuclides import get_nuclide as get_nuclide
from sirtjax.dosimetry._objectives import LIVER_ROLES as LIVER_ROLES
from sirtjax.dosimetry._objectives import ROLES as ROLES
from sirtjax.dosimetry._objectives import DoseObjective as DoseObjective
from sirtjax.dosimetry._objectives import VoiDose as VoiDose
from sirtjax.dosimetry._objectives import resolve_objectives as resolve_objectives
from sirtjax.dosimetry._order import OrderTerms as OrderTerms
from sirtjax.dosimetry._order import VialOption as VialOption
from sirtjax.dosimetry._order import VialOrder as VialOrder
from sirtjax.dosimetry._order import WantedActivity as WantedActivity
from sirtjax.dosimetry._order import delay_loss_fraction as delay_loss_fraction
from sirtjax.dosimetry._order import order_vials as order_vials
from sirtjax.dosimetry._order import time_of_activity as time_of_activity
from sirtjax.dosimetry._order import vial_activity_mbq as vial_activity_mbq
from sirtjax.dosimetry._outcome_formulas import OutcomeRay as OutcomeRay
from sirtjax.dosimetry._outcome_formulas import best_multiple as best_multiple
from sirtjax.dosimetry._outcome_formulas import ntcp_multiple as ntcp_multiple
from sirtjax.dosimetry._outcome_model import OutcomeModel as OutcomeModel
from sirtjax.dosimetry._outcomes import objective_outcomes as objective_outcomes
from sirtjax.dosimetry._outcomes import outcome_checks as outcome_checks
from sirtjax.dosimetry._partition import Compartments as Compartments
from sirtjax.dosimetry._partition import fractional_uptake as fractional_uptake
from sirtjax.dosimetry._partition import partition_activity_mbq as partition_activity_mbq
from sirtjax.dosimetry._partition import partition_dose_gy as partition_dose_gy
from sirtjax.dosimetry._partition import tumour_to_normal_ratio as tumour_to_normal_ratio
from sirtjax.dosimetry._prescribe import bounds_along as bounds_along
from sirtjax.dosimetry._prescribe import prescribe as prescribe
from sirtjax.dosimetry._prescription import Bound as Bound
from sirtjax.dosimetry._prescription import Injection as Injection
from sirtjax.dosimetry._prescription import ObjectiveOutcome as ObjectiveOutcome
from sirtjax.dosimetry._prescription import Prediction as Prediction
from sirtjax.dosimetry._prescription import Prescription as Prescription
from sirtjax.dosimetry._prescription import TerritoryPrescription as TerritoryPrescription
from sirtjax.dosimetry._protocol import Protocol as Protocol
from sirtjax.dosimetry._protocol import ProtocolDoseMethod as ProtocolDoseMethod
from sirtjax.dosimetry._protocol import ProtocolObjective as ProtocolObjective
from sirtjax.dosimetry._protocol import Quantity as Quantity
from sirtjax.dosimetry._protocol import list_protocols as list_protocols
from sirtjax.dosimetry._protocol import load_protocol as load_protocol
from sirtjax.dosimetry._radial import TISSUE_ELECTRONS_PER_WATER as TISSUE_ELECTRONS_PER_WATER
from sirtjax.dosimetry._radial import RadialKernel as RadialKernel
from sirtjax.dosimetry._radial import get_radial_kernel as get_radial_kernel
from sirtjax.dosimetry._radial import sphere_self_fraction as sphere_self_fraction
from sirtjax.dosimetry._record_checks import albi_checks as albi_checks
from sirtjax.dosimetry._record_checks import laboratory_checks as laboratory_checks
from sirtjax.dosimetry._record_checks import recorded_activity_checks as recorded_activity_checks
from sirtjax.dosimetry._record_checks import recorded_residual_checks as recorded_residual_checks
from sirtjax.dosimetry._record_checks import stated_activity_checks as stated_activity_checks
from sirtjax.dosimetry._record_checks import treatment_date_checks as treatment_date_checks
from sirtjax.dosimetry._record_checks import vial_calibration_checks as vial_calibration_checks
from sirtjax.dosimetry._shared_vials import SharedDelivery as SharedDelivery
from sirtjax.dosimetry._shared_vials import SharedVials as SharedVials
from sirtjax.dosimetry._shared_vials import Withdrawal as Withdrawal
from sirtjax.dosimetry._shared_vials import share_vials as share_vials
from sirtjax.dosimetry._shunt import ConjugateCounts as ConjugateCounts
from sirtjax.dosimetry._shunt import combined_lung_shunt_fraction as combined_lung_shunt_fraction
from sirtjax.dosimetry._shunt import geometric_mean_counts as geometric_mean_counts
from sirtjax.dosimetry._shunt import lung_shunt_fraction as lung_shunt_fraction
from sirtjax.dosimetry._shunt import planar_lung_shunt_fraction as planar_lung_shunt_fraction
from sirtjax.dosimetry._shunt import spect_lung_shunt_fraction as spect_lung_shunt_fraction
from sirtjax.dosimetry._vial_combinations import OrderedVial as OrderedVial
from sirtjax.dosimetry._vial_combinations import VialCombination as VialCombination
from sirtjax.dosimetry._vial_combinations import VialSort as VialSort
from sirtjax.dosimetry._vial_combinations import combine_vials as combine_vials
from sirtjax.dosimetry._vials import CalibrationWeek as CalibrationWeek
from sirtjax.dosimetry._vials import VialSize as VialSize
from sirtjax.dosimetry._vials import VialSupply as VialSupply
from sirtjax.dosimetry._vials import hours_after as hours_after
from sirtjax.dosimetry._vials import load_vials as load_vials
from sirtjax.dosimetry._vials import parse_time as parse_time
from sirtjax.dosimetry._vials import time_zone as time_zone
from sirtjax.dosimetry._vials import weekly_calibrations as weekly_calibrations

__all__ = [
    "ALBI_SOURCE",
    "CHECKS",
    "CHILD_PUGH_SOURCE",
    "LIVER_ROLES",
    "NUCLIDES",
    "OUTCOME_STRATEGIES",
    "ROLES",
    "TISSUE_ELECTRONS_PER_WATER",
    "Y90_POSITRON_FRACTION",
    "ActivityAllocation",
    "Bound",
    "CalibrationWeek",
    "Check",
    "CheckRule",
    "CompartmentPatient",
    "CompartmentPrescription",
    "CompartmentTerritory",
    "Compartments",
    "ConeExtent",
    "ConjugateCounts",
    "DensityCurve",
    "DoseObjective",
    "Dvh",
    "Injection",
    "Nuclide",
    "ObjectiveOutcome",
    "OrderTerms",
    "OrderedVial",
    "OutcomeModel",
    "OutcomeRay",
    "Prediction",
    "Prescription",
    "Protocol",
    "ProtocolDoseMethod",
    "ProtocolObjective",
    "Quantity",
    "RadialKernel",
    "ResponseParameters",
    "SharedDelivery",
    "SharedVials",
    "Strategy",
    "TerritoryPrescription",
    "TissueParameters",
    "TumourCompartment",
    "VialCombination",
    "VialOption",
    "VialOrder",
    "VialSize",
    "VialSort",
    "VialSupply",
    "VoiDose",
    "VoiSamples",
    "WantedActivity",
    "Withdrawal",
    "absolute_activity_mbq",
    "absorbed_dose_gy",
    "accepted_registration_checks",
    "accumulate_bed",
    "activity_interval_mbq",
    "activity_multiple",
    "activity_per_mass_mbq",
    "albi_checks",
    "albi_grade",
    "albi_score",
    "automatic_mask_checks",
    "bed_gy",
    "best_multiple",
    "bilirubin_umol_per_l",
    "body_surface_area_m2",
    "bounds_along",
    "bsa_activity_mbq",
    "calibration_checks",
    "child_pugh_class",
    "combine_vials",
    "combined_lung_shunt_fraction",
    "compartment_vois",
    "cone_dose_gy",
    "cone_extent",
    "constant_checks",
    "convolve_octant",
    "counts_checks",
    "cumulated_activity_mbq_h",
    "decay_factor",
    "delay_loss_fraction",
    "delivered_activity_checks",
    "delivered_activity_mbq",
    "density_g_per_ml",
    "dispensed_activity_mbq",
    "dose_at_volume_fraction_gy",
    "dose_method_checks",
    "draft_quality_checks",
    "dvh_from_arrays",
    "eubed_gy",
    "eud_gy",
    "even_dose_activity_mbq",
    "fractional_uptake",
    "generalised_eud_gy",
    "geometric_mean_counts",
    "get_density_curve",
    "get_nuclide",
    "get_radial_kernel",
    "get_response_parameters",
    "histogram_size",
    "hours_after",
    "hours_between",
    "injected_territory_checks",
    "joint_scale",
    "kernel_dose_gy",
    "kernel_radius_voxels",
    "laboratory_checks",
    "lightest_lung_g_per_ml",
    "list_protocols",
    "liver_complication_probability",
    "liver_volume_checks",
    "load_protocol",
    "load_vials",
    "lobar_activity_mbq",
    "local_deposition_dose_gy",
    "lowest_start",
    "lung_absorbed_fraction",
    "lung_absorbed_map",
    "lung_crossfire_energy_j",
    "lung_dose_checks",
    "lung_dose_gy",
    "lung_limited_activity_mbq",
    "lung_mass_g",
    "lung_shunt_checks",
    "lung_shunt_fraction",
    "lungs_missing_checks",
    "make_check",
    "mass_weighted_dose_gy",
    "max_margin_allocation",
    "mean_dose_gy",
    "mono_compartment_activity_mbq",
    "mono_compartment_dose_gy",
    "ntcp_lkb",
    "ntcp_multiple",
    "objective_outcomes",
    "octant_kernel",
    "order_vials",
    "outcome_checks",
    "pack_voi",
    "parse_time",
    "parse_tumour",
    "partition_activity_mbq",
    "partition_dose_gy",
    "plan_position_checks",
    "planar_lung_shunt_fraction",
    "planned_volume_checks",
    "positron_fraction_checks",
    "prescribe",
    "prescribe_compartments",
    "read_density_curve",
    "recorded_activity_checks",
    "recorded_residual_checks",
    "registration_checks",
    "relative_activity_mbq",
    "resolve_objectives",
    "response_sets",
    "share_vials",
    "shunt_step_factor",
    "small_lesion_checks",
    "smooth_cumulative_dvh",
    "smooth_differential_dvh_per_gy",
    "smooth_dose_at_volume_fraction_gy",
    "smooth_volume_fraction_at_dose",
    "spect_lung_shunt_fraction",
    "sphere_self_fraction",
    "split_proportions",
    "staged_activity_checks",
    "stated_activity_checks",
    "stated_lung_mass_checks",
    "superposed_dose_gy",
    "tcp_linear_logit",
    "tcp_logit",
    "territory_overlap_checks",
    "time_of_activity",
    "time_zone",
    "tn_ratio_checks",
    "traced_dose_at_fraction",
    "traced_mean_gy",
    "traced_volume_fraction",
    "treatment_date_checks",
    "tumour_control_probability",
    "tumour_location_checks",
    "tumour_to_normal_ratio",
    "unverified_checks",
    "upper_start",
    "vial_activity_mbq",
    "vial_calibration_checks",
    "voi_samples",
    "volume_fraction_at_dose",
    "voxel_kernel",
    "voxel_mass_g",
    "voxel_size_checks",
    "warped_volume_checks",
    "weekly_calibrations",
]
