"""Uptake outside the liver in a result, as records."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class UptakeSite:
    """One region of uptake outside the liver on the planning image.

    Attributes:
      site: name of the organ whose mask contains at least half of the region, or direction and distance from the liver.
      organ: organ whose mask contains at least half of the region; None without such a mask.
      organ_fraction: fraction of the region in the mask that contains most of it.
      volume_ml: volume of the region above the threshold.
      counts_fraction: fraction of all counts of the image.
      liver_counts_ratio: counts of the region divided by those of the liver.
      mean_ratio, max_ratio: mean and maximum of the region divided by the mean of the liver.
      centroid_mm: (x, y, z) centroid, LPS.
      liver_distance_mm: distance from the centroid to the liver.
      activity_mbq: estimated activity in the region for the prescribed activities.
      mean_gy: estimated mean dose of the region by local deposition.
      reviewed: reason why a person accepts the site; empty if it is not reviewed.
      reviewer: the person; None if not stated.
    """

    site: str
    organ: str | None
    organ_fraction: float
    volume_ml: float
    counts_fraction: float
    liver_counts_ratio: float
    mean_ratio: float
    max_ratio: float
    centroid_mm: tuple[float, float, float]
    liver_distance_mm: float
    activity_mbq: float
    mean_gy: float
    reviewed: str
    reviewer: str | None


@dataclass(frozen=True)
class PhysiologicalUptake:
    """Uptake of an organ that is not searched, because the case names it as physiological.

    Attributes:
      organ: name of the mask.
      counts_fraction: fraction of all counts of the image in the organ.
      mean_ratio: mean of the organ divided by the mean of the liver.
    """

    organ: str
    counts_fraction: float
    mean_ratio: float


@dataclass(frozen=True)
class UptakeSites:
    """The search for uptake outside the liver.

    Attributes:
      threshold_fraction: a voxel belongs to a site from this fraction of the mean of the liver.
      margin_mm: voxels within this distance of the liver and of physiological organs are not searched.
      min_ml: smallest volume of a site.
      lungs_excluded: whether the lungs are excluded, which requires their mask.
      organs: names of the organ masks.
      physiological: organs that are not searched.
      density_g_per_ml: density for the estimated doses.
      sites: the sites, with the most counts first.
    """

    threshold_fraction: float
    margin_mm: float
    min_ml: float
    lungs_excluded: bool
    organs: tuple[str, ...]
    physiological: tuple[PhysiologicalUptake, ...]
    density_g_per_ml: float
    sites: tuple[UptakeSite, ...]
