from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from time import perf_counter
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sirtjax import ops, registration, spatial
from sirtjax.errors import ComputationError, ConfigError, ImageFormatError
from sirtjax.segmentation._atlas import Atlas, AtlasOutcome, AtlasSegmentation, Fusion
from sirtjax.segmentation._atlas_warp import Registered, WarpedAtlas, atlas_grid, warp_atlas, windowed
from sirtjax.segmentation._fuse import (
    STAPLE_LEAST,
    majority_occupancy,
    pairwise_dsc,
    select_agreeing_raters,
    staple,
    weighted_vote,
)
from sirtjax.volume import Geometry, LabelMap, Volume, crop_geometry

SPACING_MM = 3.0
WEIGHT_POWER = 2.0
# Digital phantoms whose livers were warped to a DSC of about 0.83 have this similarity. Real pairs of CTs whose
# registration stopped at the affine map (DSC 0.72 to 0.81) have less.
MIN_SIMILARITY = 0.25
MIN_AGREEMENT_DSC = 0.7
# Similarity of two images in uniform regions: without it, noise would select the atlas there.
_SIMILARITY_FLOOR = 0.05
# Probability above which a voxel is liver, with every fusion.
_THRESHOLD = 0.5


def segment_liver_by_atlas(
    image: Volume,
    atlases: Iterable[Atlas],
    *,
    config: registration.RegistrationConfig,
    register: Callable[..., Registered] = registration.register,
    fusion: Fusion = "weighted",
    min_atlases: int = 1,
    min_similarity: float = MIN_SIMILARITY,
    min_agreement_dsc: float = MIN_AGREEMENT_DSC,
    weight_power: float = WEIGHT_POWER,
    report: Callable[[str], None] | None = None,
) -> AtlasSegmentation:
    """Segments the liver of an image by registering atlases to it and fusing their livers.

    Each atlas is taken from the iterable, registered and released before the next. Its liver is warped to a
    working grid of 3 mm along the patient's axes (coarser if the image is) as the occupied fraction of each
    voxel. Fused probabilities, not labels, are resampled to the patient's own grid. Above one half is liver, of
    which the largest component (6 neighbours) is kept and its enclosed holes are filled. The probability by majority
    is the fraction of a voxel that more than half of the atlases occupy; an even split is not a majority.

    The weight of an atlas in a weighted vote is (0.05 + r²)^`weight_power` with r² the squared correlation of
    patient and warped atlas image in 7x7x7 voxels of the working grid around each voxel, CT clipped to -200 to
    300 HU. The similarity of an atlas is the mean r² within two voxels of the surface of its warped liver.

    An atlas is excluded if its voxels are the patient's own, if its registration does not succeed, if its
    similarity is too small, or if three or more are left and the position of its liver differs from theirs: if
    only images are registered, a wrong position can look like a success.

    Args:
      image: the patient's image.
      atlases: atlases, read one after another.
      config: preset of the registration, without guidance by masks.
      register: a function of (reference, floating, *, config).
      fusion: "majority", "weighted" or "staple".
      min_atlases: smallest number of usable atlases; fewer are an error. STAPLE needs three.
      min_similarity: smallest similarity of an atlas, 0 to 1; 0 excludes none.
      min_agreement_dsc: smallest mean Dice similarity of an atlas' liver with those of the others; 0 excludes none.
      weight_power: exponent of the weight; 0 gives all atlases the same weight.
      report: called with the name of each step when it starts.

    Raises:
      ConfigError: unknown fusion, or a number that makes no sense.
      ImageFormatError: the patient's image is constant or has NaN.
      ComputationError: too few atlases were usable, or no voxel has more than half of the votes.
    """
    began = perf_counter()
    _check(image, fusion, min_atlases, {"min_similarity": min_similarity, "min_agreement_dsc": min_agreement_dsc})
    if not (np.isfinite(weight_power) and weight_power >= 0):
        raise ConfigError(f"weight_power must be finite and not negative, got {weight_power}")
    tell = report or (lambda step: None)
    grid = atlas_grid(image.geometry, spacing_mm=SPACING_MM)
    patient = windowed(spatial.resample(image, grid, antialias=True))
    outcomes: list[AtlasOutcome] = []
    warped: list[WarpedAtlas] = []
    moment = perf_counter()
    for atlas in atlases:
        tell(f"atlas {atlas.name}")
        outcome, one = warp_atlas(
            image, atlas, grid, patient, config=config, register=register, min_similarity=min_similarity
        )
        if one is not None:
            warped.append(one)
        outcomes.append(replace(outcome, seconds=perf_counter() - moment))
        moment = perf_counter()
        del atlas  # before the next is read: two large images at a time are enough
    _check_enough(outcomes, fusion, min_atlases)
    outcomes, warped = _without_outliers(outcomes, warped, min_agreement_dsc)
    _check_enough(outcomes, fusion, min_atlases)
    tell(f"fusing by {fusion}")
    box, occupancies = _stacked(warped)
    probability, judged = _fused(occupancies, warped, box, fusion, weight_power)
    agreement = pairwise_dsc(np.concatenate([occupancies, (probability > _THRESHOLD)[None].astype(np.float32)]))
    likely = Volume(probability, crop_geometry(grid, [s.start for s in box], [s.stop for s in box]), unit="1")
    liver = _on_image_grid(likely, _THRESHOLD, image.geometry)
    return AtlasSegmentation(
        liver=liver,
        probability=likely,
        threshold=_THRESHOLD,
        fusion=fusion,
        atlases=_with_judgement(outcomes, judged, agreement[-1]),
        agreement_dsc=agreement[:-1, :-1],
        notes=_notes(agreement[:-1, :-1], min_agreement_dsc),
        seconds=perf_counter() - began,
    )


def _check(image: Volume, fusion: str, min_atlases: int, limits: Mapping[str, float]) -> None:
    if fusion not in get_args(Fusion):
        raise ConfigError(f"fusion must be one of {', '.join(get_args(Fusion))}, got {fusion!r}")
    if min_atlases < 1:
        raise ConfigError(f"expected at least one atlas, got min_atlases {min_atlases}")
    for name, limit in limits.items():
        if not 0 <= limit <= 1:
            raise ConfigError(f"{name} must be from 0 to 1, got {limit}")
    array = np.asarray(image.array)
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ImageFormatError("the patient's image has NaN or infinite voxels; replace them or use another image")
    if low == high:
        raise ImageFormatError(f"the patient's image is {low:g} everywhere; choose another")


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


def _without_outliers(
    outcomes: list[AtlasOutcome], warped: list[WarpedAtlas], min_agreement_dsc: float
) -> tuple[list[AtlasOutcome], list[WarpedAtlas]]:
    """Only the atlases whose livers are at the same position as those of the others."""
    agreement = pairwise_dsc(_stacked(warped)[1])
    kept = select_agreeing_raters(agreement, least_dsc=min_agreement_dsc)
    judged, number = [], 0
    for outcome in outcomes:
        if outcome.used:
            if number not in kept:
                dsc = float(agreement[number, list(kept)].mean())
                cause = f"the position of its liver differs from the others: DSC {dsc:.2f} with them"
                outcome = replace(outcome, used=False, status="OUTLIER", cause=cause)
            number += 1
        judged.append(outcome)
    return judged, [warped[index] for index in kept]


def _notes(agreement: NDArray[np.float64], min_agreement_dsc: float) -> tuple[str, ...]:
    """The warnings about a result that no third atlas confirms."""
    if len(agreement) == 1:
        return ("a single atlas: its position cannot be verified; review the result, or add atlases",)
    if len(agreement) == 2 and agreement[0, 1] < min_agreement_dsc:
        return (
            f"the two atlases disagree (DSC {agreement[0, 1]:.2f}), and it is unknown which one is correct; "
            "review the result, or add atlases",
        )
    return ()


def _stacked(warped: list[WarpedAtlas]) -> tuple[tuple[slice, slice, slice], NDArray[np.float32]]:
    """The livers in the smallest box of the working grid that holds them all: that box, and (n, i, j, k)."""
    starts = np.asarray([one.start for one in warped])
    stops = starts + [one.occupancy.shape for one in warped]
    first, last = starts.min(axis=0), stops.max(axis=0)
    stack = np.zeros((len(warped), *(last - first)), np.float32)
    for row, one, start, stop in zip(stack, warped, starts - first, stops - first, strict=True):
        row[start[0] : stop[0], start[1] : stop[1], start[2] : stop[2]] = one.occupancy
    i, j, k = (slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
    return (i, j, k), stack


@dataclass(frozen=True, kw_only=True)
class _Judgement:
    """The weight and reliability of an atlas in the fusion."""

    weight: float | None = None
    sensitivity: float | None = None
    specificity: float | None = None


def _fused(
    occupancies: NDArray[np.float32],
    warped: list[WarpedAtlas],
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
        return majority_occupancy(occupancies), [_Judgement(weight=1 / len(warped))] * len(warped)
    alike = np.stack([one.similarity[box] for one in warped])
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
    """Above the threshold on the image's grid, its largest component without holes; computed in the votes' box."""
    ends = geometry.to_voxel(probability.geometry.corners_mm())
    start = np.clip(np.floor(ends.min(axis=0)), 0, np.asarray(geometry.shape) - 1).astype(int)
    stop = np.clip(np.ceil(ends.max(axis=0)) + 1, start + 1, geometry.shape).astype(int)
    box = crop_geometry(geometry, start.tolist(), stop.tolist())
    inside = np.asarray(spatial.resample(probability, box, fill=0.0).array) > threshold
    if not inside.any():
        raise ComputationError(
            "no voxel has more than half of the atlases' votes: they do not agree on the liver's position; "
            "look at their registrations, or give atlases that resemble the patient's image"
        )
    array = np.zeros(geometry.shape, np.uint8)
    i, j, k = (slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    array[i, j, k] = ndimage.binary_fill_holes(ops.largest_component(inside))
    return LabelMap(array, geometry, names=((1, "liver"),))
