"""Images and label maps on a physical grid."""

from sirtjax.volume._geometry import Geometry as Geometry
from sirtjax.volume._volume import LabelMap as LabelMap
from sirtjax.volume._volume import Volume as Volume

__all__ = ["Geometry", "LabelMap", "Volume"]
