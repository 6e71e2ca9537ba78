"""Uncertainty of any pure function of this library: sources, linear propagation, samples, budget and intervals.

Examples:
    >>> import jax
    >>> from sirtjax import uncertainty
    >>> shunt = uncertainty.Source(
    ...     name="lung_shunt", centre=0.05, size=0.01, origin="two observers", evidence="measured"
    ... )
    >>> def lung_gy(values):
    ...     return 49.67 * 2.0 * values["lung_shunt"]  # 2 GBq, 1 kg of lung
    >>> found = uncertainty.propagate(lung_gy, [shunt], jax.random.key(0), budget_count=None)
    >>> [round(float(bound)) for bound in found.sampled.interval[:, 0]]  # Gy
    [3, 7]
"""

from sirtjax.uncertainty._budget import Budget as Budget
from sirtjax.uncertainty._budget import uncertainty_budget as uncertainty_budget
from sirtjax.uncertainty._contours import ContourMetric as ContourMetric
from sirtjax.uncertainty._contours import ContourSensitivity as ContourSensitivity
from sirtjax.uncertainty._contours import contour_sensitivity as contour_sensitivity
from sirtjax.uncertainty._core_model import CoreErrors as CoreErrors
from sirtjax.uncertainty._core_uptake import CoreUptake as CoreUptake
from sirtjax.uncertainty._core_uptake import core_uptake as core_uptake
from sirtjax.uncertainty._core_uptake import relative_core_uptake as relative_core_uptake
from sirtjax.uncertainty._eanm import EanmUncertainty as EanmUncertainty
from sirtjax.uncertainty._eanm import eanm_dose_uncertainty as eanm_dose_uncertainty
from sirtjax.uncertainty._eanm import edge_fraction as edge_fraction
from sirtjax.uncertainty._eanm import outlined_diameter_uncertainty_mm as outlined_diameter_uncertainty_mm
from sirtjax.uncertainty._estimate import deposited_dose_gy as deposited_dose_gy
from sirtjax.uncertainty._estimate import dose_metrics as dose_metrics
from sirtjax.uncertainty._estimate import doses_of_concentration as doses_of_concentration
from sirtjax.uncertainty._estimate import estimated_doses as estimated_doses
from sirtjax.uncertainty._estimate import recovered_concentration as recovered_concentration
from sirtjax.uncertainty._estimate import region_model as region_model
from sirtjax.uncertainty._intervals import CentredInterval as CentredInterval
from sirtjax.uncertainty._intervals import centred_interval as centred_interval
from sirtjax.uncertainty._linear import LinearPropagation as LinearPropagation
from sirtjax.uncertainty._linear import propagate_linear as propagate_linear
from sirtjax.uncertainty._measure import KnownTreatment as KnownTreatment
from sirtjax.uncertainty._measure import MeasurementErrors as MeasurementErrors
from sirtjax.uncertainty._measure import known_treatment as known_treatment
from sirtjax.uncertainty._measure import log_ratios as log_ratios
from sirtjax.uncertainty._noise import ImageNoise as ImageNoise
from sirtjax.uncertainty._noise import image_noise as image_noise
from sirtjax.uncertainty._observers import ContourVariation as ContourVariation
from sirtjax.uncertainty._observers import contour_variation as contour_variation
from sirtjax.uncertainty._points import DosePoints as DosePoints
from sirtjax.uncertainty._points import dose_points as dose_points
from sirtjax.uncertainty._points import edge_response as edge_response
from sirtjax.uncertainty._points import kernel_shells as kernel_shells
from sirtjax.uncertainty._probability import probability_variation as probability_variation
from sirtjax.uncertainty._propagate import Propagation as Propagation
from sirtjax.uncertainty._propagate import propagate as propagate
from sirtjax.uncertainty._realign import Realignment as Realignment
from sirtjax.uncertainty._realign import realigned_shift_mm as realigned_shift_mm
from sirtjax.uncertainty._realign import realignment as realignment
from sirtjax.uncertainty._regions import boundary_field as boundary_field
from sirtjax.uncertainty._regions import displaced_distances as displaced_distances
from sirtjax.uncertainty._regions import regions_of as regions_of
from sirtjax.uncertainty._regions import territory_shares as territory_shares
from sirtjax.uncertainty._sampling import SampledPropagation as SampledPropagation
from sirtjax.uncertainty._sampling import propagate_samples as propagate_samples
from sirtjax.uncertainty._sources import Distribution as Distribution
from sirtjax.uncertainty._sources import Source as Source
from sirtjax.uncertainty._sources import source_value as source_value
from sirtjax.uncertainty._treatment import DoseMetrics as DoseMetrics
from sirtjax.uncertainty._treatment import TreatmentData as TreatmentData
from sirtjax.uncertainty._treatment import near_voxels as near_voxels
from sirtjax.uncertainty._treatment_contours import treatment_contour_sensitivity as treatment_contour_sensitivity
from sirtjax.uncertainty._treatment_intervals import LinearIntervals as LinearIntervals
from sirtjax.uncertainty._treatment_intervals import TreatmentIntervals as TreatmentIntervals
from sirtjax.uncertainty._treatment_intervals import treatment_intervals as treatment_intervals
from sirtjax.uncertainty._uptake import UptakeTexture as UptakeTexture
from sirtjax.uncertainty._uptake import cosine_waves as cosine_waves
from sirtjax.uncertainty._uptake import sampled_uptake as sampled_uptake
from sirtjax.uncertainty._uptake import uptake_texture as uptake_texture

__all__ = [
    "Budget",
    "CentredInterval",
    "ContourMetric",
    "ContourSensitivity",
    "ContourVariation",
    "CoreErrors",
    "CoreUptake",
    "Distribution",
    "DoseMetrics",
    "DosePoints",
    "EanmUncertainty",
    "ImageNoise",
    "KnownTreatment",
    "LinearIntervals",
    "LinearPropagation",
    "MeasurementErrors",
    "Propagation",
    "Realignment",
    "SampledPropagation",
    "Source",
    "TreatmentData",
    "TreatmentIntervals",
    "UptakeTexture",
    "boundary_field",
    "centred_interval",
    "contour_sensitivity",
    "contour_variation",
    "core_uptake",
    "cosine_waves",
    "deposited_dose_gy",
    "displaced_distances",
    "dose_metrics",
    "dose_points",
    "doses_of_concentration",
    "eanm_dose_uncertainty",
    "edge_fraction",
    "edge_response",
    "estimated_doses",
    "image_noise",
    "kernel_shells",
    "known_treatment",
    "log_ratios",
    "near_voxels",
    "outlined_diameter_uncertainty_mm",
    "probability_variation",
    "propagate",
    "propagate_linear",
    "propagate_samples",
    "realigned_shift_mm",
    "realignment",
    "recovered_concentration",
    "region_model",
    "regions_of",
    "relative_core_uptake",
    "sampled_uptake",
    "source_value",
    "territory_shares",
    "treatment_contour_sensitivity",
    "treatment_intervals",
    "uncertainty_budget",
    "uptake_texture",
]
