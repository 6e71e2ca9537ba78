"""Studies over many cases: evaluation, paired comparisons, weight searches, and the report of a training run."""

from sirtjax.studies._registration_cases import RegistrationCase as RegistrationCase
from sirtjax.studies._registration_cases import RegistrationOutcome as RegistrationOutcome
from sirtjax.studies._registration_cases import measure_registration as measure_registration
from sirtjax.studies._registration_cases import measure_registrations as measure_registrations
from sirtjax.studies._registration_cases import read_registration_cases as read_registration_cases
from sirtjax.studies._registration_cases import write_registrations as write_registrations
from sirtjax.studies._segmentation_cases import BodySize as BodySize
from sirtjax.studies._segmentation_cases import MeasuredSegmentation as MeasuredSegmentation
from sirtjax.studies._segmentation_cases import SegmentationCase as SegmentationCase
from sirtjax.studies._segmentation_cases import SegmentationRules as SegmentationRules
from sirtjax.studies._segmentation_cases import box_groups as box_groups
from sirtjax.studies._segmentation_cases import compare_all as compare_all
from sirtjax.studies._segmentation_cases import compare_models as compare_models
from sirtjax.studies._segmentation_cases import measure_segmentations as measure_segmentations
from sirtjax.studies._segmentation_cases import read_segmentation_cases as read_segmentation_cases
from sirtjax.studies._segmentation_cases import summary as summary
from sirtjax.studies._segmentation_cases import write_measured as write_measured
from sirtjax.studies._training_report import write_training_report as write_training_report
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
    "BodySize",
    "Grid",
    "GridPoint",
    "MeasuredSegmentation",
    "RegistrationCase",
    "RegistrationOutcome",
    "Row",
    "SegmentationCase",
    "SegmentationRules",
    "Surface",
    "SurfacePoint",
    "WeightSearch",
    "box_groups",
    "compare_all",
    "compare_models",
    "make_grid",
    "measure_registration",
    "measure_registrations",
    "measure_segmentations",
    "preset_toml",
    "read_registration_cases",
    "read_segmentation_cases",
    "search_weights",
    "summary",
    "write_measured",
    "write_registrations",
    "write_training_report",
]
