"""Studies over many cases: evaluation, paired comparisons, weight searches, and the report of a training run."""

from sirtjax.studies._contour_variation import ContourProbability as ContourProbability
from sirtjax.studies._contour_variation import ObserverStudy as ObserverStudy
from sirtjax.studies._contour_variation import compare_observers as compare_observers
from sirtjax.studies._contour_variation import read_contour_probability as read_contour_probability
from sirtjax.studies._descent_steps import DescentStep as DescentStep
from sirtjax.studies._descent_steps import learned_weights as learned_weights
from sirtjax.studies._gradient_search import DESCENT_STEPS as DESCENT_STEPS
from sirtjax.studies._gradient_search import GradientSearch as GradientSearch
from sirtjax.studies._gradient_search import search_weights_by_gradient as search_weights_by_gradient
from sirtjax.studies._registration_cases import RegistrationCase as RegistrationCase
from sirtjax.studies._registration_cases import RegistrationOutcome as RegistrationOutcome
from sirtjax.studies._registration_cases import check_measured as check_measured
from sirtjax.studies._registration_cases import read_registration_cases as read_registration_cases
from sirtjax.studies._registration_study import RegistrationStudy as RegistrationStudy
from sirtjax.studies._registration_study import evaluate_registration_case as evaluate_registration_case
from sirtjax.studies._registration_study import evaluate_registration_cases as evaluate_registration_cases
from sirtjax.studies._registration_study import quality_to_json as quality_to_json
from sirtjax.studies._segmentation_cases import MeasuredSegmentation as MeasuredSegmentation
from sirtjax.studies._segmentation_cases import compare_models as compare_models
from sirtjax.studies._segmentation_cases import read_segmentation_cases as read_segmentation_cases
from sirtjax.studies._segmentation_rules import BodySize as BodySize
from sirtjax.studies._segmentation_rules import SegmentationCase as SegmentationCase
from sirtjax.studies._segmentation_rules import SegmentationRules as SegmentationRules
from sirtjax.studies._segmentation_study import SegmentationStudy as SegmentationStudy
from sirtjax.studies._segmentation_study import evaluate_segmentation_cases as evaluate_segmentation_cases
from sirtjax.studies._training_report import write_training_report as write_training_report
from sirtjax.studies._tune_descent import Visited as Visited
from sirtjax.studies._tune_descent import propose as propose
from sirtjax.studies._tune_grid import Grid as Grid
from sirtjax.studies._tune_grid import GridPoint as GridPoint
from sirtjax.studies._tune_grid import make_grid as make_grid
from sirtjax.studies._tune_preset import preset_toml as preset_toml
from sirtjax.studies._tune_record import Row as Row
from sirtjax.studies._tune_surface import Surface as Surface
from sirtjax.studies._tune_surface import SurfacePoint as SurfacePoint
from sirtjax.studies._weight_search import WeightSearch as WeightSearch
from sirtjax.studies._weight_search import search_weights as search_weights

__all__ = [
    "DESCENT_STEPS",
    "BodySize",
    "ContourProbability",
    "DescentStep",
    "GradientSearch",
    "Grid",
    "GridPoint",
    "MeasuredSegmentation",
    "ObserverStudy",
    "RegistrationCase",
    "RegistrationOutcome",
    "RegistrationStudy",
    "Row",
    "SegmentationCase",
    "SegmentationRules",
    "SegmentationStudy",
    "Surface",
    "SurfacePoint",
    "Visited",
    "WeightSearch",
    "check_measured",
    "compare_models",
    "compare_observers",
    "evaluate_registration_case",
    "evaluate_registration_cases",
    "evaluate_segmentation_cases",
    "learned_weights",
    "make_grid",
    "preset_toml",
    "propose",
    "quality_to_json",
    "read_contour_probability",
    "read_registration_cases",
    "read_segmentation_cases",
    "search_weights",
    "search_weights_by_gradient",
    "write_training_report",
]
