"""Liver perfusion territories: surfaces through drawn lines, perfusion masks, and their shares."""

from sirtjax.territories._divide import check_lines_meet_liver as check_lines_meet_liver
from sirtjax.territories._divide import divide_liver as divide_liver
from sirtjax.territories._divide import territories_from_lines as territories_from_lines
from sirtjax.territories._fractions import TerritoryFractions as TerritoryFractions
from sirtjax.territories._fractions import activity_fractions as activity_fractions
from sirtjax.territories._fractions import territory_fractions as territory_fractions
from sirtjax.territories._masks import territories_from_masks as territories_from_masks
from sirtjax.territories._surface import DividingSurface as DividingSurface
from sirtjax.territories._surface import fit_surface as fit_surface
from sirtjax.territories._surface import height_mm as height_mm
from sirtjax.territories._surface import is_above as is_above

__all__ = [
    "DividingSurface",
    "TerritoryFractions",
    "activity_fractions",
    "check_lines_meet_liver",
    "divide_liver",
    "fit_surface",
    "height_mm",
    "is_above",
    "territories_from_lines",
    "territories_from_masks",
    "territory_fractions",
]
