from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from sirtjax import ops, spatial
from sirtjax.errors import ComputationError, ConfigError, ImageFormatError, SirtjaxError
from sirtjax.segmentation._atlas import Atlas, AtlasOutcome, AtlasSegmentation, Fusion
from sirtjax.segmentation._fuse import (
    STAPLE_LEAST,
    local_similarity,
    majority_vote,
    pairwise_dsc,
    staple,
    weighted_vote,
)
from sirtjax.volume import Geometry, LabelMap, Volume, bounding_box, crop_geometry, reorient

SPACING_MM = 3.0
WEIGHT_POWER = 2.0
# What two images have in common where both are even: without it noise alone would choose the atlas there.
_SIMILARITY_FLOOR = 0.05
# The soft tissue of a CT: bones, lungs and air would outweigh it in a correlation.
_CT_WINDOW_HU = (-200.0, 300.0)
_SUCCESS = "SUCCESS"
_OWN_IMAGE = "OWN_IMAGE"


class _Status(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def cause(self) -> str: ...


class Registered(Protocol):
    """What is needed of a registration's result: its transform, and a status with name and cause."""

    @property
    def transform(self) -> spatial.Transform: ...
    @property
    def status(self) -> _Status: ...


@dataclass(frozen=True, kw_only=True)
class _Carried:
    """The liver of one atlas on the working grid: only the box that holds it, and the likeness of the images."""

    start: tuple[int, int, int]
    occupancy: NDArray[np.float32]
    similarity: NDArray[np.float16] | None


def segment_liver_by_atlas(
    image: Volume,
    atlases: Iterable[Atlas],
    *,
    config: Any,
    register: Callable[..., Registered],
    fusion: Fusion = "weighted",
    min_atlases: int = 1,
    weight_power: float = WEIGHT_POWER,
    report: Callable[[str], None] | None = None,
) -> AtlasSegmentation:
    """The liver of an image by registration of atlases to it and fusion of their livers.

    Each atlas is taken from the iterable, registered and let go before the next. Its liver is carried to a
    working grid of 3 mm along the patient's axes (coarser where the image is) as the occupied share of each
    voxel. Fused probabilities, not labels, go to the patient's own grid; above one half is liver, of which the
    largest component (6 neighbours) is kept. An even split of an even number of votes is no majority.

    The weight of an atlas in a weighted vote is (0.05 + r²)^`weight_power` with r² the squared correlation of
    patient and carried atlas image in 7x7x7 voxels of the working grid around each voxel, CT clipped to -200 to
    300 HU. An atlas with the patient's own voxels is left out, and so is one whose registration does not succeed.

    Args:
      image: the patient's image.
      atlases: read one after another.
      config: of the registration, without guidance by masks.
      register: `sirtjax.registration.register`, or another function of (reference, floating, *, config).
      fusion: "majority", "weighted" or "staple".
      min_atlases: fewer usable ones are an error; STAPLE needs three.
      weight_power: 0 gives all atlases the same weight.
      report: called with the name of each step as it begins.

    Raises:
      ConfigError: unknown fusion, or a number that makes no sense.
      ImageFormatError: the patient's image is constant or has NaN.
      ComputationError: too few atlases were usable, or no voxel has more than half of the votes.
    """
    began = perf_counter()
    _check(image, fusion, min_atlases, weight_power)
    tell = report or (lambda step: None)
    grid = working_grid(image.geometry, spacing_mm=SPACING_MM)
    patient = _windowed(spatial.resample(image, grid, antialias=True)) if fusion == "weighted" else None
    outcomes: list[AtlasOutcome] = []
    carried: list[_Carried] = []
    moment = perf_counter()
    for atlas in atlases:
        tell(f"atlas {atlas.name}")
        outcome, one = _carry(image, atlas, grid, patient, config=config, register=register)
        if one is not None:
            carried.append(one)
        outcomes.append(replace(outcome, seconds=perf_counter() - moment))
        moment = perf_counter()
        del atlas  # before the next is read: two large images at a time are enough
    _check_enough(outcomes, fusion, min_atlases)
    tell(f"fusing by {fusion}")
    box, occupancies = _stacked(carried)
    probability, judged = _fused(occupancies, carried, box, fusion, weight_power)
    # Midway across the edge of the atlas that decides; an even split stays below it however it is interpolated.
    threshold = (len(carried) // 2 + 0.5) / len(carried) if fusion == "majority" else 0.5
    agreement = pairwise_dsc(np.concatenate([occupancies, (probability > threshold)[None].astype(np.float32)]))
    volume = Volume(probability, crop_geometry(grid, [s.start for s in box], [s.stop for s in box]), unit="1")
    liver = _on_image_grid(volume, threshold, image.geometry)
    return AtlasSegmentation(
        liver=liver,
        probability=volume,
        threshold=threshold,
        fusion=fusion,
        atlases=_with_judgement(outcomes, judged, agreement[-1]),
        agreement_dsc=agreement[:-1, :-1],
        seconds=perf_counter() - began,
    )


def working_grid(geometry: Geometry, *, spacing_mm: float) -> Geometry:
    """The grid along the same axes that covers the same space with voxels of at least `spacing_mm`."""
    native = np.asarray(geometry.spacing_mm)
    spacing = np.maximum(native, spacing_mm)
    extent = native * geometry.shape
    shape = np.ceil(extent / spacing - 1e-6).astype(int)
    affine = geometry.affine
    affine[:3, :3] = affine[:3, :3] / native * spacing
    # The middles of both grids meet.
    affine[:3, 3] = geometry.centre_mm - affine[:3, :3] @ ((shape - 1) / 2)
    return Geometry.from_affine(tuple(shape.tolist()), affine)


def _check(image: Volume, fusion: str, min_atlases: int, weight_power: float) -> None:
    if fusion not in get_args(Fusion):
        raise ConfigError(f"fusion must be one of {', '.join(get_args(Fusion))}, got {fusion!r}")
    if min_atlases < 1:
        raise ConfigError(f"at least one atlas is needed, got min_atlases {min_atlases}")
    if not (np.isfinite(weight_power) and weight_power >= 0):
        raise ConfigError(f"weight_power must be finite and not negative, got {weight_power}")
    array = np.asarray(image.array)
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ImageFormatError("the patient's image has NaN or infinite voxels; choose another or mend it")
    if low == high:
        raise ImageFormatError(
            f"the patient's image is {low:g} everywhere; there is nothing to register; choose another"
        )


def _carry(
    image: Volume,
    atlas: Atlas,
    grid: Geometry,
    patient: NDArray[np.float32] | None,
    *,
    config: Any,
    register: Callable[..., Registered],
) -> tuple[AtlasOutcome, _Carried | None]:
    """Register one atlas and carry its liver to the working grid; None where it is of no use."""
    if _same_image(image, atlas.image):
        return AtlasOutcome(name=atlas.name, used=False, status=_OWN_IMAGE, cause="it is the patient's own image"), None
    try:
        result = register(image, atlas.image, config=config)
    except SirtjaxError as error:
        return AtlasOutcome(name=atlas.name, used=False, status="REFUSED", cause=str(error)), None
    status = result.status.name
    if status != _SUCCESS:
        return AtlasOutcome(name=atlas.name, used=False, status=status, cause=result.status.cause), None
    mask = np.asarray(atlas.liver.array) > 0
    occupancy = spatial.mask_occupancy(mask, atlas.liver.geometry, grid, transform=result.transform)
    if not (occupancy >= 0.5).any():
        cause = "its liver lies outside the patient's image after registration"
        return AtlasOutcome(name=atlas.name, used=False, status="OUTSIDE", cause=cause), None
    similarity = None
    if patient is not None:
        moved = spatial.resample(atlas.image, grid, transform=result.transform, antialias=True)
        similarity = local_similarity(patient, _windowed(moved)).astype(np.float16)
    # One empty voxel around, so that the votes fade out when they are interpolated.
    start, stop = bounding_box(occupancy > 0, margin=1)
    i, j, k = (slice(a, b) for a, b in zip(start, stop, strict=True))
    one = _Carried(start=start, occupancy=occupancy[i, j, k].copy(), similarity=similarity)
    return AtlasOutcome(name=atlas.name, used=True, status=status), one


def _same_image(one: Volume, other: Volume) -> bool:
    if sorted(one.geometry.shape) != sorted(other.geometry.shape):
        return False
    a, b = reorient(one, "LPS"), reorient(other, "LPS")
    return a.geometry.matches(b.geometry) and np.array_equal(a.array, b.array)


def _windowed(volume: Volume) -> NDArray[np.float32]:
    array = np.asarray(volume.array, np.float32)
    return np.clip(array, *_CT_WINDOW_HU) if volume.unit == "HU" else array


def _check_enough(outcomes: list[AtlasOutcome], fusion: Fusion, min_atlases: int) -> None:
    least = max(min_atlases, STAPLE_LEAST if fusion == "staple" else 1)
    usable = sum(outcome.used for outcome in outcomes)
    if usable >= least:
        return
    left_out = [f"{one.name}: {one.status}, {one.cause.rstrip('.')}" for one in outcomes if not one.used]
    shown = "; ".join(left_out[:3]) + (f"; and {len(left_out) - 3} more" if len(left_out) > 3 else "")
    why = f" ({shown})" if left_out else ""
    raise ComputationError(
        f"{usable} of {len(outcomes)} atlases usable, {fusion} fusion needs {least}{why}; "
        "add atlases that resemble the patient's image, or choose another preset"
    )


def _stacked(carried: list[_Carried]) -> tuple[tuple[slice, slice, slice], NDArray[np.float32]]:
    """The livers in the smallest box of the working grid that holds them all: that box, and (n, i, j, k)."""
    starts = np.asarray([one.start for one in carried])
    stops = starts + [one.occupancy.shape for one in carried]
    first, last = starts.min(axis=0), stops.max(axis=0)
    stack = np.zeros((len(carried), *(last - first)), np.float32)
    for row, one, start, stop in zip(stack, carried, starts - first, stops - first, strict=True):
        row[start[0] : stop[0], start[1] : stop[1], start[2] : stop[2]] = one.occupancy
    i, j, k = (slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
    return (i, j, k), stack


@dataclass(frozen=True, kw_only=True)
class _Judgement:
    """What an atlas counted in the fusion."""

    weight: float | None = None
    sensitivity: float | None = None
    specificity: float | None = None


def _fused(
    occupancies: NDArray[np.float32],
    carried: list[_Carried],
    box: tuple[slice, slice, slice],
    fusion: Fusion,
    weight_power: float,
) -> tuple[NDArray[np.float32], list[_Judgement]]:
    """Probability of the liver, and what each atlas counted."""
    if fusion == "staple":
        found = staple(occupancies)
        rates = zip(found.sensitivity, found.specificity, strict=True)
        return found.probability, [_Judgement(sensitivity=float(p), specificity=float(q)) for p, q in rates]
    if fusion == "majority":
        return majority_vote(occupancies), [_Judgement(weight=1 / len(carried))] * len(carried)
    alike = np.stack([one.similarity[box] for one in carried if one.similarity is not None])
    weights = (np.float32(_SIMILARITY_FLOOR) + alike.astype(np.float32)) ** np.float32(weight_power)
    voted = (occupancies > 0).any(axis=0)
    shares = (weights / weights.sum(axis=0))[:, voted].mean(axis=1)
    return weighted_vote(occupancies, weights), [_Judgement(weight=float(share)) for share in shares]


def _with_judgement(
    outcomes: list[AtlasOutcome], judged: list[_Judgement], dsc: NDArray[np.float64]
) -> tuple[AtlasOutcome, ...]:
    rows = iter(zip(judged, dsc[:-1], strict=True))
    complete = []
    for outcome in outcomes:
        if outcome.used:
            one, agreement = next(rows)
            outcome = replace(
                outcome,
                weight=one.weight,
                sensitivity=one.sensitivity,
                specificity=one.specificity,
                dsc=float(agreement),
            )
        complete.append(outcome)
    return tuple(complete)


def _on_image_grid(probability: Volume, threshold: float, geometry: Geometry) -> LabelMap:
    """Above the threshold on the image's grid, its largest component; only the box of the votes is computed."""
    ends = geometry.to_voxel(probability.geometry.corners_mm())
    start = np.clip(np.floor(ends.min(axis=0)), 0, np.asarray(geometry.shape) - 1).astype(int)
    stop = np.clip(np.ceil(ends.max(axis=0)) + 1, start + 1, geometry.shape).astype(int)
    box = crop_geometry(geometry, start.tolist(), stop.tolist())
    inside = np.asarray(spatial.resample(probability, box, fill=0.0).array) > threshold
    if not inside.any():
        raise ComputationError(
            "no voxel has more than half of the atlases' votes: they don't agree where the liver is; "
            "look at their registrations, or give atlases that resemble the patient's image"
        )
    array = np.zeros(geometry.shape, np.uint8)
    i, j, k = (slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    array[i, j, k] = ops.largest_component(inside)
    return LabelMap(array, geometry, names=((1, "liver"),))
