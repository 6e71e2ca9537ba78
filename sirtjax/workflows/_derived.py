"""The VOIs for which a dose is reported: the contoured ones, and those derived from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from sirtjax import pipeline
from sirtjax.workflows._resampled_case import WHOLE_LIVER, ResampledCase
from sirtjax.workflows._results import VoiKind

Array = NDArray[np.float32]

# A lesion belongs to a territory that contains at least this fraction of it.
FED_FRACTION = 0.05


@dataclass(frozen=True, eq=False)
class PlacedVoi:
    """One VOI on the working grid.

    Attributes:
      name: "liver", "normal liver", a lesion's own name, "viable " and a lesion's name, "lesions" (all of them),
        a territory's own name, "normal " and a territory's name, or "lungs".
      kind: type of the VOI, such as "lesion".
      territories: territories that the VOI overlaps, the one with the largest part of it first.
      weight: (i, j, k) fraction of each voxel inside the VOI; for the lungs, their part in the working grid.
      lesion: lesion that contains a viable part; None for every other VOI.
    """

    name: str
    kind: VoiKind
    territories: tuple[str, ...]
    weight: Float32[np.ndarray, "i j k"]
    lesion: str | None = None


def territory_weights(mapped: ResampledCase, names: Sequence[str]) -> dict[str, Float32[np.ndarray, "i j k"]]:
    """Returns the fraction of each voxel in each territory; the whole liver if there are none."""
    if not names:
        return {WHOLE_LIVER: mapped.occupancy["liver"]}
    return {name: mapped.occupancy[name] for name in names}


def placed_vois(
    mapped: ResampledCase,
    territories: dict[str, Float32[np.ndarray, "i j k"]],
    lesions: Sequence[str],
    *,
    viable: Mapping[str, str],
    lungs: bool,
) -> tuple[PlacedVoi, ...]:
    """Returns every VOI of the report in order.

    The order is liver, normal liver, territories and their normal tissue, lesions with their viable parts, lungs.

    Args:
      mapped: case on the working grid.
      territories: (i, j, k) fraction of each voxel in each injected territory, by name.
      lesions: names of the lesions.
      viable: name of the viable part of a lesion, by the lesion's name.
      lungs: whether there is a lung mask.
    """
    liver = mapped.occupancy["liver"]
    derived = pipeline.derived_weights(liver, territories, [mapped.occupancy[name] for name in lesions])
    made = {name: np.asarray(weight) for name, weight in derived.items()}
    tumour, every = made["lesions"], tuple(territories)
    vois = [
        PlacedVoi("liver", "liver", every, liver),
        PlacedVoi("normal liver", "normal liver", every, made["normal liver"]),
    ]
    for name, weight in territories.items():
        vois.append(PlacedVoi(name, "territory", (name,), weight))
        vois.append(PlacedVoi(f"normal {name}", "normal territory", (name,), made[f"normal {name}"]))
    if len(lesions) > 1:
        vois.append(PlacedVoi("lesions", "lesions", _feeders(tumour, territories), tumour))
    for name in lesions:
        weight = mapped.occupancy[name]
        vois.append(PlacedVoi(name, "lesion", _feeders(weight, territories), weight))
        if name in viable:
            part = mapped.occupancy[viable[name]]
            vois.append(PlacedVoi(viable[name], "viable tumour", _feeders(part, territories), part, lesion=name))
    if lungs:
        vois.append(PlacedVoi("lungs", "lungs", every, mapped.occupancy["lungs"]))
    # Rounding may leave specks where a lesion fills its territory: less than a thousandth of a voxel is nothing.
    return tuple(voi for voi in vois if voi.kind == "lungs" or float(voi.weight.sum(dtype=np.float64)) > 1e-3)


def normal_parts(voi: PlacedVoi, vois: Sequence[PlacedVoi]) -> dict[str, float]:
    """Returns the fraction of a VOI in each of its territories, by the name of the normal tissue there.

    They add up to 1. T/N refers to the mean concentration of these tissues with these weights. If the ratio is the same
    in every territory, it is the result, whichever territory has the largest part of the VOI.

    Args:
      voi: VOI with its territories.
      vois: all VOIs on the working grid, with the territories.
    """
    whole = {other.name: other.weight for other in vois if other.kind == "territory"}
    parts = {name: float(np.minimum(voi.weight, whole[name]).sum(dtype=np.float64)) for name in voi.territories}
    return {f"normal {name}": part / sum(parts.values()) for name, part in parts.items()}


def _feeders(weight: Array, territories: dict[str, Array]) -> tuple[str, ...]:
    total = float(weight.sum(dtype=np.float64))
    shares = {
        name: float(np.minimum(weight, territory).sum(dtype=np.float64)) / max(total, 1e-12)
        for name, territory in territories.items()
    }
    return tuple(sorted((name for name in shares if shares[name] >= FED_FRACTION), key=lambda name: -shares[name]))
