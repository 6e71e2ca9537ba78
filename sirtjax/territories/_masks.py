from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sirtjax.errors import GeometryError, InputError
from sirtjax.territories._fractions import TerritoryFractions, territory_fractions
from sirtjax.volume import Geometry, LabelMap

Mask = NDArray[np.bool_]


def territories_from_masks(
    liver: LabelMap,
    masks: Mapping[str, ArrayLike],
    *,
    overlap: Literal["nearest", "first", "error"] = "nearest",
    gap: Literal["leave", "nearest"] = "leave",
) -> tuple[LabelMap, TerritoryFractions]:
    """Returns perfusion territories from masks, e.g. contoured on a perfusion cone-beam CT.

    The masks may overlap, leave gaps in the liver and reach outside it; how much they do is reported as
    found, before anything is resolved. Values outside the liver is dropped.

    Args:
      liver: any non-zero label is liver.
      masks: name -> (i, j, k) booleans on the liver's grid, in the order of the labels.
      overlap: "nearest" gives a voxel claimed twice to the claimant whose undisputed part is nearest, "first"
        to the claimant named first, "error" refuses.
      gap: "leave" keeps liver in no territory as background, "nearest" gives it to the nearest territory.

    Returns:
      The label map on the liver's grid, and its volumes with overlap, gap and outside as found.

    Raises:
      GeometryError: a mask has another shape than the liver.
      InputError: fewer than two masks, an option that is not known, an empty liver, a territory without
        liver, or an overlap that is refused.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import territories
      >>> from sirtjax.volume import Geometry, LabelMap
      >>> grid = Geometry.from_axes((10, 10, 10), spacing_mm=(10.0, 10.0, 10.0))
      >>> liver = LabelMap.from_mask(np.ones(grid.shape, bool), grid, name="liver")
      >>> right, left = np.zeros(grid.shape, bool), np.zeros(grid.shape, bool)
      >>> right[:7], left[6:] = True, True  # 100 mL in both
      >>> _, shares = territories.territories_from_masks(liver, {"right": right, "left": left}, overlap="first")
      >>> [round(volume) for volume in (*shares.volume_ml, shares.overlap_ml)]
      [700, 300, 100]
    """
    if overlap not in ("nearest", "first", "error") or gap not in ("leave", "nearest"):
        raise InputError(
            f"overlap must be nearest, first or error and gap leave or nearest, got {overlap!r} and {gap!r}"
        )
    inside = np.asarray(liver.array) != 0
    if not inside.any():
        raise InputError("the liver mask is empty; give one with the liver in it")
    claims, outside = _claims(masks, inside)
    names = tuple(masks)
    claimed = claims.sum(axis=0)
    voxel_ml = liver.geometry.voxel_volume_ml
    overlap_ml = float((claimed > 1).sum()) * voxel_ml
    gap_ml = float((inside & (claimed == 0)).sum()) * voxel_ml
    if overlap_ml > 0 and overlap == "error":
        raise InputError(
            f"territories {_pairs(claims, names)} overlap in {overlap_ml:.1f} mL of the liver; correct the "
            "masks or choose how an overlap is resolved (nearest or first)"
        )
    labels = np.where(claimed > 0, np.argmax(claims, axis=0) + 1, 0).astype(np.uint8)
    if overlap == "nearest" and overlap_ml > 0:
        undisputed = [claim & (claimed == 1) for claim in claims]
        disputed = claimed > 1
        labels[disputed] = _nearest(undisputed, disputed, liver.geometry, among=claims) + 1
    if gap == "nearest" and gap_ml > 0:
        empty = inside & (claimed == 0)
        labels[empty] = _nearest(list(claims), empty, liver.geometry) + 1
    for value, name in enumerate(names, start=1):
        if not (labels == value).any():
            raise InputError(f"territory {name!r} is left without liver once the overlap is resolved; correct its mask")
    result = LabelMap(labels, liver.geometry, names=tuple(enumerate(names, start=1)))
    return result, territory_fractions(result, liver, overlap_ml=overlap_ml, outside_ml=float(outside.sum()) * voxel_ml)


def _claims(masks: Mapping[str, ArrayLike], inside: Mask) -> tuple[Mask, Mask]:
    """The masks within the liver (territory, i, j, k), and what any of them claims outside it."""
    if len(masks) < 2:
        raise InputError(f"{len(masks)} territory mask(s) given ({', '.join(masks)}); expected two or more")
    arrays = []
    for name, mask in masks.items():
        array = np.asarray(mask) != 0
        if array.shape != inside.shape:
            raise GeometryError(
                f"territory {name!r} has {array.shape} voxels, the liver {inside.shape}; "
                "resample it to the liver's grid"
            )
        if not (array & inside).any():
            raise InputError(f"territory {name!r} has no voxel in the liver; check that both are of one patient")
        arrays.append(array)
    stacked = np.stack(arrays)
    return stacked & inside, stacked.any(axis=0) & ~inside


def _nearest(sources: list[Mask], at: Mask, geometry: Geometry, *, among: Mask | None = None) -> NDArray[np.intp]:
    """Index of the nearest source for each voxel of `at`; of equally near ones the first."""
    from scipy.ndimage import distance_transform_edt

    distances_mm = []
    for index, source in enumerate(sources):
        if source.any():
            distance = distance_transform_edt(~source, sampling=geometry.spacing_mm)[at]
        else:
            # Wholly disputed: it is assigned to this mask, after every claimant with a part of its own.
            distance = np.full(int(at.sum()), 1e9)
        if among is not None:
            distance = np.where(among[index][at], distance, np.inf)
        distances_mm.append(distance)
    nearest: NDArray[np.intp] = np.argmin(np.stack(distances_mm), axis=0)
    return nearest


def _pairs(claims: Mask, names: tuple[str, ...]) -> str:
    pairs = [
        f"{names[a]!r} and {names[b]!r}" for b in range(len(names)) for a in range(b) if (claims[a] & claims[b]).any()
    ]
    return ", ".join(pairs)
