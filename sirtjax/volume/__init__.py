"""Images and label maps on a physical grid."""

from sirtjax.volume._crop import bounding_box as bounding_box
from sirtjax.volume._crop import crop as crop
from sirtjax.volume._crop import crop_geometry as crop_geometry
from sirtjax.volume._crop import pad as pad
from sirtjax.volume._geometry import Geometry as Geometry
from sirtjax.volume._orientation import axis_codes as axis_codes
from sirtjax.volume._orientation import reorient as reorient
from sirtjax.volume._volume import LabelMap as LabelMap
from sirtjax.volume._volume import Volume as Volume

__all__ = [
    "Geometry",
    "LabelMap",
    "Volume",
    "axis_codes",
    "bounding_box",
    "crop",
    "crop_geometry",
    "pad",
    "reorient",
]
