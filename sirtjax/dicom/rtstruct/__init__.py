"""Structure sets (RTSTRUCT): reads contours as masks and writes masks as contours.

Reading fills polygons on a grid of any orientation (`_raster.py`, `_fill.py`, `_between.py`); writing outlines voxels
(`_contours.py`, `_keyholes.py`); masks of other grids are first divided among the voxels of the series
(`_apportion.py`).
"""

from sirtjax.dicom.rtstruct._read import read_rtstruct as read_rtstruct
from sirtjax.dicom.rtstruct._write import write_rtstruct as write_rtstruct

__all__ = [
    "read_rtstruct",
    "write_rtstruct",
]
