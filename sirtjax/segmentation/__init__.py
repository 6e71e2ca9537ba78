"""Lesions, organs and reference regions from images: volumes in, label maps out."""

from sirtjax.segmentation._atlas import Atlas as Atlas
from sirtjax.segmentation._atlas import AtlasOutcome as AtlasOutcome
from sirtjax.segmentation._atlas import AtlasSegmentation as AtlasSegmentation
from sirtjax.segmentation._atlas_folder import AtlasFiles as AtlasFiles
from sirtjax.segmentation._atlas_folder import list_atlases as list_atlases
from sirtjax.segmentation._atlas_folder import read_atlas as read_atlas
from sirtjax.segmentation._atlas_task import segment_liver_by_atlas as segment_liver_by_atlas
from sirtjax.segmentation._body import segment_body as segment_body
from sirtjax.segmentation._diagnostic_liver import DiagnosticSegmentation as DiagnosticSegmentation
from sirtjax.segmentation._diagnostic_liver import segment_liver_by_diagnostic as segment_liver_by_diagnostic
from sirtjax.segmentation._fixed_model import around_organ as around_organ
from sirtjax.segmentation._fuse import STAPLE_LEAST as STAPLE_LEAST
from sirtjax.segmentation._fuse import Staple as Staple
from sirtjax.segmentation._fuse import local_similarity as local_similarity
from sirtjax.segmentation._fuse import majority_vote as majority_vote
from sirtjax.segmentation._fuse import pairwise_dsc as pairwise_dsc
from sirtjax.segmentation._fuse import select_agreeing_raters as select_agreeing_raters
from sirtjax.segmentation._fuse import staple as staple
from sirtjax.segmentation._fuse import weighted_vote as weighted_vote
from sirtjax.segmentation._import_model import NO_LICENCE as NO_LICENCE
from sirtjax.segmentation._import_model import import_model as import_model
from sirtjax.segmentation._import_monai import import_monai as import_monai
from sirtjax.segmentation._import_nnunet import import_nnunet as import_nnunet
from sirtjax.segmentation._input import check_image as check_image
from sirtjax.segmentation._input import image_modality as image_modality
from sirtjax.segmentation._lesion_detectability import LesionDetectability as LesionDetectability
from sirtjax.segmentation._liver_agreement import LiverAgreement as LiverAgreement
from sirtjax.segmentation._liver_agreement import liver_agreement as liver_agreement
from sirtjax.segmentation._liver_for_lesions import LIVER_MODEL as LIVER_MODEL
from sirtjax.segmentation._liver_for_lesions import LesionLiver as LesionLiver
from sirtjax.segmentation._liver_for_lesions import liver_for_lesions as liver_for_lesions
from sirtjax.segmentation._liver_for_lesions import read_liver as read_liver
from sirtjax.segmentation._liver_for_lesions import read_liver_and_lesions as read_liver_and_lesions
from sirtjax.segmentation._lungs import segment_lungs as segment_lungs
from sirtjax.segmentation._model import Model as Model
from sirtjax.segmentation._model import ModelSpec as ModelSpec
from sirtjax.segmentation._model import Tiles as Tiles
from sirtjax.segmentation._model import network_function as network_function
from sirtjax.segmentation._model import read_model as read_model
from sirtjax.segmentation._model import save_model as save_model
from sirtjax.segmentation._model_library import ModelEntry as ModelEntry
from sirtjax.segmentation._model_library import find_model as find_model
from sirtjax.segmentation._model_library import list_models as list_models
from sirtjax.segmentation._model_library import load_model as load_model
from sirtjax.segmentation._model_library import models_folder as models_folder
from sirtjax.segmentation._nnunet_predict import NnunetPrediction as NnunetPrediction
from sirtjax.segmentation._nnunet_predict import predict_nnunet as predict_nnunet
from sirtjax.segmentation._organs import ORGANS as ORGANS
from sirtjax.segmentation._organs import segment_organs as segment_organs
from sirtjax.segmentation._output_files import SegmentationFiles as SegmentationFiles
from sirtjax.segmentation._output_files import check_writable as check_writable
from sirtjax.segmentation._output_files import segmentation_files as segmentation_files
from sirtjax.segmentation._quality_calibration import EvidenceWeight as EvidenceWeight
from sirtjax.segmentation._quality_calibration import QualityCalibration as QualityCalibration
from sirtjax.segmentation._quality_calibration import QualityEstimate as QualityEstimate
from sirtjax.segmentation._quality_calibration import Regression as Regression
from sirtjax.segmentation._quality_calibration import estimate_quality as estimate_quality
from sirtjax.segmentation._quality_evidence import EVIDENCE_WORDS as EVIDENCE_WORDS
from sirtjax.segmentation._quality_evidence import outline_evidence as outline_evidence
from sirtjax.segmentation._quality_shape import LiverShapes as LiverShapes
from sirtjax.segmentation._quality_shape import centred_distance_mm as centred_distance_mm
from sirtjax.segmentation._quality_shape import fit_liver_shapes as fit_liver_shapes
from sirtjax.segmentation._quality_shape import liver_shapes as liver_shapes
from sirtjax.segmentation._quality_shape import save_liver_shapes as save_liver_shapes
from sirtjax.segmentation._reference import LiverReference as LiverReference
from sirtjax.segmentation._reference import liver_reference as liver_reference
from sirtjax.segmentation._result import Flag as Flag
from sirtjax.segmentation._result import Segmentation as Segmentation
from sirtjax.segmentation._segment import segment as segment
from sirtjax.segmentation._structures import Structure as Structure
from sirtjax.segmentation._structures import labels_for_structure as labels_for_structure
from sirtjax.segmentation._suv import suv_from_bq_per_ml as suv_from_bq_per_ml
from sirtjax.segmentation._suv import suv_per_bq_per_ml as suv_per_bq_per_ml
from sirtjax.segmentation._suv_image import suv_volume as suv_volume
from sirtjax.segmentation._uptake import dilated_mask as dilated_mask
from sirtjax.segmentation._uptake import seed_regions as seed_regions
from sirtjax.segmentation._uptake import uptake_above as uptake_above
from sirtjax.segmentation._uptake import uptake_of_maximum as uptake_of_maximum
from sirtjax.segmentation._uptake_measures import LesionUptake as LesionUptake
from sirtjax.segmentation._uptake_measures import lesion_uptake as lesion_uptake
from sirtjax.segmentation._uptake_rules import UptakeRule as UptakeRule
from sirtjax.segmentation._uptake_rules import get_uptake_rule as get_uptake_rule
from sirtjax.segmentation._uptake_rules import list_uptake_rules as list_uptake_rules
from sirtjax.segmentation._uptake_task import UptakeSegmentation as UptakeSegmentation
from sirtjax.segmentation._uptake_task import segment_uptake as segment_uptake
from sirtjax.segmentation._working_grid import resample_to_image as resample_to_image

__all__ = [
    "EVIDENCE_WORDS",
    "LIVER_MODEL",
    "NO_LICENCE",
    "ORGANS",
    "STAPLE_LEAST",
    "Atlas",
    "AtlasFiles",
    "AtlasOutcome",
    "AtlasSegmentation",
    "DiagnosticSegmentation",
    "EvidenceWeight",
    "Flag",
    "LesionDetectability",
    "LesionLiver",
    "LesionUptake",
    "LiverAgreement",
    "LiverReference",
    "LiverShapes",
    "Model",
    "ModelEntry",
    "ModelSpec",
    "NnunetPrediction",
    "QualityCalibration",
    "QualityEstimate",
    "Regression",
    "Segmentation",
    "SegmentationFiles",
    "Staple",
    "Structure",
    "Tiles",
    "UptakeRule",
    "UptakeSegmentation",
    "around_organ",
    "centred_distance_mm",
    "check_image",
    "check_writable",
    "dilated_mask",
    "estimate_quality",
    "find_model",
    "fit_liver_shapes",
    "get_uptake_rule",
    "image_modality",
    "import_model",
    "import_monai",
    "import_nnunet",
    "labels_for_structure",
    "lesion_uptake",
    "list_atlases",
    "list_models",
    "list_uptake_rules",
    "liver_agreement",
    "liver_for_lesions",
    "liver_reference",
    "liver_shapes",
    "load_model",
    "local_similarity",
    "majority_vote",
    "models_folder",
    "network_function",
    "outline_evidence",
    "pairwise_dsc",
    "predict_nnunet",
    "read_atlas",
    "read_liver",
    "read_liver_and_lesions",
    "read_model",
    "resample_to_image",
    "save_liver_shapes",
    "save_model",
    "seed_regions",
    "segment",
    "segment_body",
    "segment_liver_by_atlas",
    "segment_liver_by_diagnostic",
    "segment_lungs",
    "segment_organs",
    "segment_uptake",
    "segmentation_files",
    "select_agreeing_raters",
    "staple",
    "suv_from_bq_per_ml",
    "suv_per_bq_per_ml",
    "suv_volume",
    "uptake_above",
    "uptake_of_maximum",
    "weighted_vote",
]
