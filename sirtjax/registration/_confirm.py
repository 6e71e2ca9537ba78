"""Plausibility checks of a registration: agreement of the images, stretches, volumes and fields of view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Real

from sirtjax.registration._config import RegistrationConfig
from sirtjax.registration._fit import Fit
from sirtjax.registration._intensity import BODY_HU, otsu_threshold
from sirtjax.registration._prepare import LIVER_NAME, ImageWithMasks
from sirtjax.spatial import AffineTransform
from sirtjax.volume import Volume

# Singular values of the affine map, and floating per reference volume of the liver masks, that one patient can have.
STRETCHES, LIVER_RATIO = (0.7, 1.45), (0.6, 1.67)
# The least fraction of one image's body, in the slices both show, that lies inside the other image.
MIN_COVERED = 0.85
# About how many nodes along each axis the body is sampled with for that.
BODY_NODES = 48
# Fewer blocks than this say nothing.
MIN_BLOCKS = 8

MIRRORED = "the floating image agrees better with the reference when mirrored: check the order of its voxels"


@dataclass(frozen=True, kw_only=True)
class FitLimits:
    """The agreement from which on a registration is confirmed.

    Calibrated on the pairs of the set "calibration" of `benchmarks/registration_status.py`.

    Attributes:
      blocks_in_place: least fraction of blocks.
      distance_ratio: largest distance of the descriptors, relative to its mean at wrong alignments.
      margin: least distance at the best wrong alignment, relative to the distance at the transform.
    """

    blocks_in_place: float
    distance_ratio: float
    margin: float = 1.1


# Two CTs agree better than images of different modality. In calibration the least of two CTs was 0.77 in place and the
# largest ratio 0.32; coarse images of few blocks reach 0.6 at the true map.
OF_CT = FitLimits(blocks_in_place=0.45, distance_ratio=0.5)
OTHER = FitLimits(blocks_in_place=0.42, distance_ratio=0.6)
# Two CTs that are this poor in both agree less well than any valid pair: halfway from the limits to calibration.
POOR_CT = FitLimits(blocks_in_place=0.61, distance_ratio=0.41)
# The floating image is mirrored if that gains this much normalised mutual information on coarse lattices.
MIRROR_GAIN = 0.0
# Images this much alike show the same patient in the same pose: nothing is left for a further stage to improve.
ALIKE_RATIO = 0.15


def fit_figures(fit: Fit) -> dict[str, float]:
    """Returns the agreement as numbers for reports: less distance is better, more blocks in place are.

    Returns:
      "distance" of the descriptors at the transform (between 0 and 1), "distance_ratio" relative to the mean at wrong
      alignments, "margin" of the best wrong alignment, "blocks" compared and "blocks_in_place" as a fraction.
    """
    wrong = fit.shifted[np.isfinite(fit.shifted)]
    distance = float(fit.distance)
    mean = float(wrong.mean()) if wrong.size else float("nan")
    least = float(min(wrong.min(), fit.reflected.min())) if wrong.size else float("nan")
    known = np.isfinite(distance) and mean > 0
    return {
        "distance": distance,
        "distance_ratio": distance / mean if known else float("nan"),
        "margin": least / max(distance, 1e-9) if known else float("nan"),
        "blocks": float(fit.blocks),
        "blocks_in_place": float(fit.blocks_in_place),
    }


def is_confirmed(figures: Mapping[str, float], limits: FitLimits) -> bool:
    """Returns whether the images agree far better than at wrong alignments."""
    return (
        figures["blocks"] >= MIN_BLOCKS
        and figures["blocks_in_place"] >= limits.blocks_in_place
        and figures["distance_ratio"] <= limits.distance_ratio
        and figures["margin"] >= limits.margin
    )


def is_poor(figures: Mapping[str, float], limits: FitLimits) -> bool:
    """Returns whether few blocks are in place and the distance is large as well."""
    return figures["blocks_in_place"] < limits.blocks_in_place and figures["distance_ratio"] > limits.distance_ratio


def fit_limits(reference: Volume, floating: Volume) -> FitLimits:
    """Returns the limits for two images: stricter for two CTs."""
    return OF_CT if reference.unit == floating.unit == "HU" else OTHER


def is_judged_by_images(config: RegistrationConfig) -> bool:
    """Returns whether the images count; with a preset that only uses masks, only masks do."""
    return config.guidance.masks == "none" or config.weights.image > 0


def implausible(affine: AffineTransform, sides: tuple[ImageWithMasks, ImageWithMasks]) -> tuple[str, ...]:
    """Returns the differences that two scans of one patient cannot have, one sentence each."""
    found = []
    matrix = np.asarray(affine.floating_from_reference, np.float64)[:3, :3]
    least, most = np.linalg.svd(matrix, compute_uv=False)[[-1, 0]]
    if not (STRETCHES[0] <= least and most <= STRETCHES[1] and np.linalg.det(matrix) > 0):
        found.append(
            f"the affine map stretches by {least:.2f} to {most:.2f} along its axes; {STRETCHES[0]:g} to "
            f"{STRETCHES[1]:g} is plausible for one patient"
        )
    if all(LIVER_NAME in side.masks for side in sides):
        one, two = (side.masks[LIVER_NAME].volume_ml(LIVER_NAME) for side in sides)
        if not LIVER_RATIO[0] <= two / one <= LIVER_RATIO[1]:
            found.append(
                f"the liver mask has {one:.0f} mL in the reference and {two:.0f} mL in the floating image, a ratio "
                f"of {two / one:.2f}; {LIVER_RATIO[0]:g} to {LIVER_RATIO[1]:g} is plausible for one patient"
            )
    return tuple(found)


def cropped(affine: AffineTransform, sides: tuple[ImageWithMasks, ImageWithMasks]) -> tuple[str, ...]:
    """Returns which body is truncated at the sides of the other image, one sentence each.

    A shorter image along the body is a usual difference of two scans; one that shows half of each slice is not.
    """
    matrix = np.asarray(affine.floating_from_reference, np.float64)
    inverse = np.asarray(np.linalg.inv(matrix), np.float64)
    ways = (("reference", "floating", 0, matrix), ("floating", "reference", 1, inverse))
    found = []
    for own, other, side, way in ways:
        share = covered_fraction(sides[side].image, sides[1 - side].image, way)
        if share < MIN_COVERED:
            found.append(
                f"{100 * share:.0f} % of the {own} image's body, in the slices that both images show, is inside the "
                f"{other} image; at least {100 * MIN_COVERED:.0f} % is expected"
            )
    return tuple(found)


def covered_fraction(image: Volume, other: Volume, other_from_image: Real[np.ndarray, "4 4"]) -> float:
    """Returns the fraction of the body inside the other image.

    Only slices within the other image's extent along the body count.

    Args:
      image: image that shows the body.
      other: image of which only the grid is used.
      other_from_image: (4, 4) affine map of world points.
    """
    array = np.asarray(image.array)
    steps = [max(1, n // BODY_NODES) for n in array.shape]
    values = np.asarray(array[tuple(slice(step // 2, None, step) for step in steps)], np.float32)
    body = values > (BODY_HU if image.unit == "HU" else otsu_threshold(values.ravel()))
    index = np.argwhere(body) * steps + [step // 2 for step in steps]
    points = image.geometry.to_world(index) @ other_from_image[:3, :3].T + other_from_image[:3, 3]
    there = other.geometry.to_voxel(points)
    inside = (there > -0.5) & (there < np.asarray(other.geometry.shape) - 0.5)
    # The axis of the other image that runs along this image's body.
    along = other.geometry.voxel_from_world[:3, :3] @ other_from_image[:3, :3] @ np.array([0.0, 0.0, 1.0])
    axis = int(np.argmax(np.abs(along) * np.asarray(other.geometry.spacing_mm)))
    shown = inside[:, axis]
    return float(inside[shown].all(axis=1).mean()) if shown.any() else 0.0


@dataclass(frozen=True, kw_only=True)
class Doubts:
    """Reasons against a registration that do not come from its optimisation.

    Attributes:
      figures: metrics of `fit_figures`, and "mirror_gain" if no masks guided.
      confirmed: whether the images agree far better than at wrong alignments, or do not count.
      mirrored: whether the floating image agrees better if it is mirrored.
      alike: whether the images agree so well that no stage could improve much.
      cropped: sentences from the function `cropped`.
      implausible: sentences from the function `implausible`.
    """

    figures: Mapping[str, float]
    confirmed: bool
    mirrored: bool
    alike: bool
    cropped: tuple[str, ...] = ()
    implausible: tuple[str, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """All reasons, for the notes."""
        found = (*self.cropped, *self.implausible, *((MIRRORED,) if self.mirrored else ()))
        if self.confirmed:
            return found
        place, ratio = self.figures["blocks_in_place"], self.figures["distance_ratio"]
        if not np.isfinite(ratio):
            return (*found, "the common region of the images is too small to compare them")
        return (
            *found,
            f"{100 * place:.0f} % of the blocks of the images agree best at their position, and the images differ "
            f"{ratio:.2f} times as much as at wrong alignments",
        )


def doubts_of(
    fit: Fit,
    affine: AffineTransform,
    sides: tuple[ImageWithMasks, ImageWithMasks],
    *,
    config: RegistrationConfig,
    mirror_gain: float | None = None,
) -> Doubts:
    """Returns the reasons against a registration.

    Args:
      fit: agreement of the transform that is returned.
      affine: affine part of the transform.
      sides: both images with the guidance masks.
      config: the preset.
      mirror_gain: mirror gain of `estimate_initial_transform`, or None if masks guided.
    """
    figures = fit_figures(fit)
    if mirror_gain is not None:
        figures = {**figures, "mirror_gain": mirror_gain}
    limits = fit_limits(sides[0].image, sides[1].image)
    agree = is_confirmed(figures, limits) and not (limits is OF_CT and is_poor(figures, POOR_CT))
    return Doubts(
        figures=figures,
        confirmed=agree or not is_judged_by_images(config),
        mirrored=mirror_gain is not None and mirror_gain > MIRROR_GAIN,
        alike=agree and figures["distance_ratio"] <= ALIKE_RATIO,
        cropped=() if sides[0].masks else cropped(affine, sides),
        implausible=implausible(affine, sides),
    )
