"""Registers without the masks if the guided registration failed: a mask is in doubt, or the frame was rotated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sirtjax.registration._config import RegistrationConfig
from sirtjax.registration._confirm import MIRROR_GAIN, FitLimits, fit_figures, is_confirmed
from sirtjax.registration._fit import measure_fit
from sirtjax.registration._landmark_doubt import check_landmarks
from sirtjax.registration._landmarks import Landmarks, match_landmarks
from sirtjax.registration._lattice import sample
from sirtjax.registration._locate import estimate_initial_transform
from sirtjax.registration._pair import LIVER, ImagePair
from sirtjax.registration._prepare import LIVER_NAME, ImageWithMasks, prepare_pair
from sirtjax.spatial import AffineTransform

# A rigid map leaves the motion of organs: it is right if the images agree this well, which those of unrelated content
# never did.
RIGID_LIMITS = FitLimits(blocks_in_place=0.3, distance_ratio=0.7, margin=1.03)
# Masks that share less than this of the smaller one mark different places.
MIN_SHARED = 0.3
# Masks that overlap this much without their guidance do not contradict the images.
MIN_DSC = 0.8
# Every so-many-th node is evaluated, in this many bins of intensity.
STRIDE, BINS = 2, 24


@dataclass(frozen=True, kw_only=True)
class Unguided:
    """Two images that agree if they are registered rigidly without masks, or if one is mirrored.

    Attributes:
      start: the rigid map.
      mirrored: whether they agree, and better than otherwise, if one of them is mirrored.
      sentence: sentence with the liver mask or the landmarks that contradict the images there; None if all agree.
      note: sentence with the landmarks that may contradict them; None if there is none.
    """

    start: AffineTransform
    mirrored: bool
    sentence: str | None
    note: str | None = None


def register_unguided(
    sides: tuple[ImageWithMasks, ImageWithMasks], config: RegistrationConfig, landmarks: Landmarks | None = None
) -> Unguided | None:
    """Registers the images rigidly without the masks, and compares liver masks and landmarks there.

    Args:
      sides: both images with their guiding masks.
      config: the guided preset.
      landmarks: centroids of the landmark masks, then the points; the points are compared only if they guided.

    Returns:
      None if the images do not agree either.
    """
    free = config.model_copy(
        update={
            "lattice": config.lattice.model_copy(update={"region": "images", "margin_mm": 0.0}),
            "similarity": config.similarity.model_copy(update={"region": "body"}),
            "guidance": config.guidance.model_copy(update={"masks": "none"}),
        }
    )
    located = estimate_initial_transform(sides[0].image, sides[1].image, config=free)
    livers = [ImageWithMasks(image=side.image, masks={LIVER_NAME: side.masks[LIVER_NAME]}) for side in sides]

    def agreeing(start: AffineTransform) -> ImagePair | None:
        pair, lattice = prepare_pair(livers[0], livers[1], match_landmarks({}, {}), start, config=free)
        figures = fit_figures(measure_fit(pair, pair.start, np.zeros((*lattice.shape, 3), np.float32)))
        return pair if is_confirmed(figures, RIGID_LIMITS) else None

    # Of unrelated images, one may agree better by chance if it is mirrored: they do not agree well either way.
    if located.mirror_gain > MIRROR_GAIN and agreeing(located.mirrored_start) is not None:
        return Unguided(start=located.start, mirrored=True, sentence=None)
    pair = agreeing(located.start)
    if pair is None:
        return None
    volumes = [side.masks[LIVER_NAME].volume_ml(LIVER_NAME) for side in sides]
    sentence = _sentence(*_on_nodes(pair), volumes)
    if sentence is not None or landmarks is None:
        return Unguided(start=located.start, mirrored=False, sentence=sentence)
    check = check_landmarks(sides, landmarks, located.start, config=config)
    return Unguided(start=located.start, mirrored=False, sentence=check.sentence, note=check.note)


def _on_nodes(pair: ImagePair) -> tuple[NDArray[Any], NDArray[Any], list[NDArray[Any]]]:
    """Both liver masks and both images at the reference's nodes that the floating image shows."""
    shape = pair.reference.shape
    index = np.stack(np.meshgrid(*(np.arange(0, n, STRIDE) for n in shape), indexing="ij"), axis=-1).reshape(-1, 3)
    points = pair.reference_origin_mm + pair.reference_pitch_mm * index
    moved = points @ pair.start[:3, :3].T + pair.start[:3, 3]
    there = ((moved - pair.floating_origin_mm) / pair.floating_pitch_mm).astype(np.float32)
    stack = np.stack([pair.floating, pair.floating_inside, pair.floating_masks[..., LIVER]], axis=-1)
    warped = np.asarray(sample(stack, (there[:, 0], there[:, 1], there[:, 2])))
    own = tuple(index.T)
    shown = (warped[:, 1] > 0.5) & (np.asarray(pair.reference_weight)[own] > 0)
    masks = np.asarray(pair.reference_masks)[..., LIVER][own] >= 0.5, warped[:, 2] >= 0.5
    images = [np.asarray(pair.reference)[own], warped[:, 0]]
    return masks[0][shown], masks[1][shown], [image[shown] for image in images]


def _sentence(
    reference: NDArray[Any], floating: NDArray[Any], images: list[NDArray[Any]], volumes_ml: list[float]
) -> str | None:
    both = reference & floating
    sizes = f"{volumes_ml[0]:.0f} mL in the reference, {volumes_ml[1]:.0f} mL in the floating image"
    if both.sum() < MIN_SHARED * max(1, min(reference.sum(), floating.sum())):
        return f"registered without the masks, the two liver masks are at different positions ({sizes}): check both"
    overlap = 2 * both.sum() / (reference.sum() + floating.sum())
    if overlap >= MIN_DSC:
        return None
    neither = ~(reference | floating)
    against = {"reference": 0, "floating": 0}
    alone = {"reference": reference & ~floating, "floating": floating & ~reference}
    for own, other in (("reference", "floating"), ("floating", "reference")):
        only = alone[own]
        if only.any():
            # If only one mask contains tissue that resembles the common part, the other one lacks it.
            liver = sum(_likeness(image, both, neither, only) for image in images) > 0
            against[other if liver else own] += int(only.sum())
    name = max(against, key=lambda side: against[side])
    return (
        f"the {name} liver mask is in doubt: registered without the masks, the images agree but the liver masks "
        f"overlap with DSC {overlap:.2f} ({sizes})"
    )


def _likeness(image: NDArray[Any], inside: NDArray[Any], outside: NDArray[Any], where: NDArray[Any]) -> float:
    """Mean log-likelihood ratio of the intensities: above 0 if they look like `inside` rather than `outside`."""
    bins = np.clip((image * BINS).astype(int), 0, BINS - 1)
    counts = [np.bincount(bins[chosen], minlength=BINS) + 1.0 for chosen in (inside, outside)]
    ratio = np.log(counts[0] / counts[0].sum()) - np.log(counts[1] / counts[1].sum())
    return float(ratio[bins[where]].mean())
