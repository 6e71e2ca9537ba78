"""Lesions, organs and reference regions from images: volumes in, label maps out."""

from sirtjax.segmentation._reference import LiverReference as LiverReference
from sirtjax.segmentation._reference import liver_reference as liver_reference
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
from sirtjax.segmentation._uptake_rules import uptake_rule as uptake_rule
from sirtjax.segmentation._uptake_rules import uptake_rules as uptake_rules
from sirtjax.segmentation._uptake_task import UptakeSegmentation as UptakeSegmentation
from sirtjax.segmentation._uptake_task import segment_uptake as segment_uptake

__all__ = [
    "LesionUptake",
    "LiverReference",
    "UptakeRule",
    "UptakeSegmentation",
    "dilated_mask",
    "lesion_uptake",
    "liver_reference",
    "seed_regions",
    "segment_uptake",
    "suv_from_bq_per_ml",
    "suv_per_bq_per_ml",
    "suv_volume",
    "uptake_above",
    "uptake_of_maximum",
    "uptake_rule",
    "uptake_rules",
]
