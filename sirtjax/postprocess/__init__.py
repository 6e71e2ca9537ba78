"""Post-processing of a network's probabilities: threshold, largest component, holes, small parts, inside the liver."""

from sirtjax.postprocess._body import enclosed_body as enclosed_body
from sirtjax.postprocess._enclosed import enclosed_labels as enclosed_labels
from sirtjax.postprocess._enclosed import liver_with_enclosed as liver_with_enclosed
from sirtjax.postprocess._erode_select_dilate import erode_select_dilate as erode_select_dilate
from sirtjax.postprocess._parts import component_volumes_ml as component_volumes_ml
from sirtjax.postprocess._parts import fill_holes as fill_holes
from sirtjax.postprocess._parts import keep_largest as keep_largest
from sirtjax.postprocess._parts import remove_small as remove_small
from sirtjax.postprocess._parts import threshold as threshold
from sirtjax.postprocess._steps import ErodeSelectDilate as ErodeSelectDilate
from sirtjax.postprocess._steps import FillHoles as FillHoles
from sirtjax.postprocess._steps import LargestComponent as LargestComponent
from sirtjax.postprocess._steps import PostprocessStep as PostprocessStep
from sirtjax.postprocess._steps import RemoveSmall as RemoveSmall
from sirtjax.postprocess._steps import postprocess as postprocess
from sirtjax.postprocess._within import LIVER_MARGIN_MM as LIVER_MARGIN_MM
from sirtjax.postprocess._within import dilate as dilate
from sirtjax.postprocess._within import within_liver as within_liver

__all__ = [
    "LIVER_MARGIN_MM",
    "ErodeSelectDilate",
    "FillHoles",
    "LargestComponent",
    "PostprocessStep",
    "RemoveSmall",
    "component_volumes_ml",
    "dilate",
    "enclosed_body",
    "enclosed_labels",
    "erode_select_dilate",
    "fill_holes",
    "keep_largest",
    "liver_with_enclosed",
    "postprocess",
    "remove_small",
    "threshold",
    "within_liver",
]
