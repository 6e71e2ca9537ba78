"""Lesions that share voxels, and what each of them consists of if a voxel belongs to one only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from jaxtyping import Float32
from scipy import ndimage

from sirtjax.dosimetry import Check, make_check
from sirtjax.workflows._coverage_checks import LIMITS
from sirtjax.workflows._derived import PlacedVoi
from sirtjax.workflows._partial_volume_regions import Regions

# A lesion that loses less of its volume to others than this is its own region.
SHARED_FRACTION = 0.02


def smallest_first(vois: Sequence[PlacedVoi]) -> list[PlacedVoi]:
    """Returns the lesions by volume, so that a lesion inside another one keeps its voxels."""
    lesions = [voi for voi in vois if voi.kind == "lesion"]
    return sorted(lesions, key=lambda voi: float(voi.weight.sum(dtype=np.float64)))


def lesion_overlaps(vois: Sequence[PlacedVoi]) -> dict[tuple[str, str], float]:
    """Returns the fraction of the smaller lesion in the larger one, for each pair that overlaps.

    Fractions up to `SHARED_FRACTION` are left out. Voxels that both lesions fill in part are shared only as far as the
    sum of both parts exceeds the voxel.
    """
    found = {}
    lesions = smallest_first(vois)
    # Each pair is compared in the bounding box of the smaller lesion.
    boxes = {voi.name: ndimage.find_objects((voi.weight > 0).astype(np.int8)) for voi in lesions}
    for small, large in combinations(lesions, 2):
        if not boxes[small.name]:
            continue
        inside = small.weight[boxes[small.name][0]]
        both = float(np.maximum(inside + large.weight[boxes[small.name][0]] - 1, 0).sum(dtype=np.float64))
        fraction = both / float(inside.sum(dtype=np.float64))
        if fraction > SHARED_FRACTION:
            found[small.name, large.name] = fraction
    return found


def lesion_overlap_checks(vois: Sequence[PlacedVoi]) -> tuple[Check, ...]:
    """Returns SJ116: lesions overlap."""
    limit = LIMITS["SJ116"]
    return tuple(
        make_check("SJ116", where=f"{small} and {large}", value=fraction)
        for (small, large), fraction in lesion_overlaps(vois).items()
        if isinstance(limit, float) and fraction > limit
    )


def overlap_message(vois: Sequence[PlacedVoi]) -> str:
    """Returns why lesions for which SJ116 is raised have no intervals; empty without any.

    A voxel of the simulations has one lesion.
    """
    limit = LIMITS["SJ116"]
    for (small, large), fraction in lesion_overlaps(vois).items():
        if isinstance(limit, float) and fraction > limit:
            return (
                f"the lesions {small} and {large} overlap; draw them apart, or state a part of a lesion as "
                "[masks.viable]"
            )
    return ""


def voi_regions(vois: Sequence[PlacedVoi], regions: Regions) -> dict[str, dict[int, float]]:
    """Returns the regions of each lesion and each normal tissue: their indices and fractions.

    A VOI has a region of its own. A lesion that overlaps smaller ones has theirs as well.
    """
    index = {name: place for place, name in enumerate(regions.names) if name}
    lesions = [voi for voi in vois if voi.kind == "lesion"]
    own = {voi.name: regions.weights[index[voi.name]] for voi in lesions if voi.name in index}
    found = {}
    for voi in lesions:
        parts = _composition(voi.weight, own, voi.name)
        found[voi.name] = {index[name]: fraction for name, fraction in parts.items()}
    return found | {name: {place: 1.0} for name, place in index.items() if name not in own}


def _composition(
    weight: Float32[np.ndarray, "i j k"], regions: Mapping[str, Float32[np.ndarray, "i j k"]], own: str
) -> dict[str, float]:
    """Returns the fraction of a lesion's volume that is its own region, and those that are regions of other lesions.

    Args:
      weight: (i, j, k) fraction of each voxel in the lesion.
      regions: regions of the lesions without overlap; one that another lesion contains may have none.
      own: name of the lesion.
    """
    part = regions.get(own)
    lost = weight if part is None else weight - part
    total = float(weight.sum(dtype=np.float64))
    shared = {
        name: float(np.minimum(lost, region).sum(dtype=np.float64)) / total
        for name, region in regions.items()
        if name != own
    }
    kept = {name: fraction for name, fraction in shared.items() if fraction > SHARED_FRACTION}
    if part is not None and not kept:
        return {own: 1.0}
    if part is not None:
        kept[own] = float(part.sum(dtype=np.float64)) / total
    together = sum(kept.values())
    return {name: fraction / together for name, fraction in kept.items()}
