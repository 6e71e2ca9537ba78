"""Uptake outside the liver as sentences and tables, for every kind of report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sirtjax.reports._before_after_tables import ReportTable, rounded

if TYPE_CHECKING:
    from sirtjax.workflows import UptakeSites


def uptake_sentences(found: UptakeSites) -> tuple[str, ...]:
    """Returns what was searched, how the dose is estimated, and the limits of the search."""
    lungs = "the lungs" if found.lungs_excluded else "no lungs, because they have no mask"
    organs = [one.organ for one in found.physiological]
    left_out = f"{lungs}{', physiological: ' + ', '.join(organs) if organs else ''}"
    first = (
        f"Searched on the activity image: connected regions of at least {found.min_ml:g} mL above "
        f"{100 * found.threshold_fraction:g} % of the mean of the liver, more than {found.margin_mm:g} mm from it. "
        f"Excluded: {left_out}."
    )
    named = f"Masks of organs: {', '.join(found.organs)}." if found.organs else "No masks of organs were provided."
    second = (
        "Uptake nearer to the liver than this distance, or below the threshold, is not found. A site has the name of "
        f"an organ only if at least half of it is in the mask of the organ. {named}"
    )
    if not found.sites:
        return (first, second, "No uptake outside the liver was found.")
    third = (
        "The dose is estimated by local deposition: counts of the region, activity per count of the injected territory "
        f"(the highest, if there are several), {found.density_g_per_ml:g} g/mL. The blurred image spreads a small "
        "deposit, so that its true dose is higher. The prescription does not subtract this activity from the liver."
    )
    return (first, second, third)


def uptake_tables(found: UptakeSites) -> tuple[ReportTable, ...]:
    """Returns the table of the sites and that of the physiological organs, without empty ones."""
    sites = ReportTable(
        title="",
        header=(
            "site",
            "volume (mL)",
            "counts (%)",
            "mean / liver",
            "maximum / liver",
            "centroid x, y, z (mm, LPS)",
            "to liver (mm)",
            "activity (MBq)",
            "mean dose (Gy)",
            "review",
        ),
        rows=tuple(
            (
                one.site,
                rounded(one.volume_ml),
                rounded(100 * one.counts_fraction),
                rounded(one.mean_ratio),
                rounded(one.max_ratio),
                ", ".join(f"{mm:.0f}" for mm in one.centroid_mm),
                f"{one.liver_distance_mm:.0f}",
                rounded(one.activity_mbq),
                rounded(one.mean_gy),
                _review(one.reviewed, one.reviewer),
            )
            for one in found.sites
        ),
        missed=frozenset((n, 9) for n, one in enumerate(found.sites) if not one.reviewed),
    )
    physiological = ReportTable(
        title="Physiological uptake by the case, not searched",
        header=("organ", "counts (%)", "mean / liver"),
        rows=tuple(
            (one.organ, rounded(100 * one.counts_fraction), rounded(one.mean_ratio)) for one in found.physiological
        ),
    )
    return tuple(table for table in (sites, physiological) if table.rows)


def _review(reason: str, reviewer: str | None) -> str:
    if not reason:
        return "not reviewed"
    return reason if reviewer is None else f"{reason} ({reviewer})"
