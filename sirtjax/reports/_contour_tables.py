"""Which contours to check first: sentences and tables for every kind of report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sirtjax.reports._before_after_tables import ReportTable
from sirtjax.reports._format import number, percent
from sirtjax.reports._interval_text import dose_without_interval, without_interval

if TYPE_CHECKING:
    from sirtjax.workflows import RegionDependence, UncertaintyResult, WhereToCheck

TITLE = "Where to check first"
# Regions in the table of each lesion.
SHOWN_REGIONS = 3


def contour_sentences(found: WhereToCheck, intervals: UncertaintyResult | None = None) -> tuple[str, ...]:
    """Returns one sentence per lesion, and those on how to read them.

    Args:
      found: derivatives of a result.
      intervals: intervals of the same result, to name lesions whose dose has none.
    """
    unknown = {} if intervals is None else without_interval(intervals)
    lines = [
        "The dose of a lesion depends on contours and on their position relative to the activity image. The numbers "
        f"are changes of the dose per mm. {found.held_fixed}"
    ]
    for row in found.rows:
        if row.metric != found.shown_metric:
            continue
        first, missing = row.regions[0], ""
        if intervals is not None and row.voi in unknown:
            missing = f" There is no interval of {dose_without_interval(intervals, row.voi)}: {unknown[row.voi]}."
        why = "its stated uncertainty changes" if first.spread_gy is not None else "1 mm changes"
        lines.append(
            f"{row.voi}: 1 mm outward over the whole surface changes the {row.metric} by "
            f"{_signed(row.own_gy_per_mm)} Gy; {percent(row.half_area_fraction)} % of the surface, marked in the "
            "picture, decide half of this. A better registration helps most for the contours "
            f"{first.region}: {why} the {row.metric} by {_size(first)} Gy." + missing
        )
    return tuple(lines)


def contour_tables(found: WhereToCheck) -> tuple[ReportTable, ...]:
    """Returns the tables: contours that move outward, and contours that move relative to the image.

    Args:
      found: derivatives of a result.
    """
    outward = (
        "lesion",
        "metric",
        "own contour",
        "liver contour",
        "other lesions",
        "own territory",
        f"largest {found.patch_cm2:g} cm² patch",
        "surface that decides half (%)",
    )
    moved = ("lesion", "metric", "contours", "to the left", "to the back", "to the head", "standard deviation (Gy)")
    first, second = [], []
    for row in found.rows:
        first.append(
            (
                row.voi,
                row.metric,
                *(
                    _signed(value)
                    for value in (
                        row.own_gy_per_mm,
                        row.liver_gy_per_mm,
                        row.others_gy_per_mm,
                        row.territories_gy_per_mm,
                        row.largest_patch_gy_per_mm,
                    )
                ),
                percent(row.half_area_fraction),
            )
        )
        for region in (row.translation, *row.regions[:SHOWN_REGIONS]):
            values = (region.left_gy_per_mm, region.back_gy_per_mm, region.head_gy_per_mm)
            spread = "–" if region.spread_gy is None else number(region.spread_gy, "Gy")
            second.append((row.voi, row.metric, region.region, *map(_signed, values), spread))
    return (
        ReportTable(title="Contours 1 mm outward (Gy per mm)", header=outward, rows=tuple(first)),
        ReportTable(
            title="Contours moved relative to the activity image (Gy per mm)", header=moved, rows=tuple(second)
        ),
    )


def _signed(value: float) -> str:
    return f"{value:+.2g}" if abs(value) < 10 else f"{value:+.0f}"


def _size(region: RegionDependence) -> str:
    if region.spread_gy is not None:
        return number(region.spread_gy, "Gy")
    parts = (region.left_gy_per_mm, region.back_gy_per_mm, region.head_gy_per_mm)
    return number(sum(part**2 for part in parts) ** 0.5, "Gy")
