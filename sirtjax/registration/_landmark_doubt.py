"""Landmarks that contradict the images and the livers at a map found without them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from sirtjax.registration._config import RegistrationConfig
from sirtjax.registration._landmarks import Landmarks, mass_centre_mm
from sirtjax.registration._prepare import LIVER_NAME, ImageWithMasks
from sirtjax.spatial import Transform, transform_points

# A landmark that a rigid map of agreeing images and livers misses by more, in mm, is marked at different places.
MAX_MISSED_MM = 20.0
# From here on it may be; a registration that follows such a landmark by more than the second distance is in doubt.
NOTED_MM, MAX_PULLED_MM = MAX_MISSED_MM / 2, 15.0
# Landmarks that an affine map found without them misses by less need no registration without them.
NEAR_AFFINE_MM = 8.0


@dataclass(frozen=True, kw_only=True)
class LandmarkCheck:
    """Landmarks, and their positions in the floating image by a map that they did not guide.

    Attributes:
      names: names of the n landmarks that guide.
      reference_mm: (n, 3) positions in the reference.
      floating_mm: (n, 3) marked positions in the floating image.
      mapped_mm: (n, 3) positions in the floating image by the map.
      liver_mm: (3,) distance from the centroid of the reference's liver, moved by the map, to that of the floating one.
      without: input that did not guide the map, "masks" or "landmarks".
    """

    names: tuple[str, ...]
    reference_mm: Float64[np.ndarray, "n 3"]
    floating_mm: Float64[np.ndarray, "n 3"]
    mapped_mm: Float64[np.ndarray, "n 3"]
    liver_mm: Float64[np.ndarray, "3"]
    without: Literal["masks", "landmarks"] = "masks"

    @property
    def sentence(self) -> str | None:
        """The landmarks that are at different positions; None if there is none."""
        if not (apart := self._listed(self._missed_mm > MAX_MISSED_MM)):
            return None
        return (
            "registered without the masks, the images and the liver masks agree, but these landmarks are at different "
            f"positions in the two images: {apart}; check their names and positions"
        )

    @property
    def is_near(self) -> bool:
        """Whether every landmark is as near to its position as an affine map of the livers allows."""
        return not bool(np.any(self._missed_mm > NEAR_AFFINE_MM))

    @property
    def note(self) -> str | None:
        """The landmarks that may be at different positions; None if there is none."""
        if not (apart := self._listed(self._unexplained_mm(self.floating_mm) > NOTED_MM)):
            return None
        return (
            f"registered without the {self.without}, these landmarks are more than {NOTED_MM:g} mm from their "
            f"positions in the floating image: {apart}; check their names and positions"
        )

    def is_followed(self, transform: Transform) -> bool:
        """Returns whether a transform moves one of the landmarks of the note far from its position by the map."""
        pulled_mm = self._unexplained_mm(np.asarray(transform_points(transform, self.reference_mm)))
        return bool(np.any((self._unexplained_mm(self.floating_mm) > NOTED_MM) & (pulled_mm > MAX_PULLED_MM)))

    @property
    def _missed_mm(self) -> NDArray[Any]:
        missed: NDArray[Any] = np.linalg.norm(self.floating_mm - self.mapped_mm, axis=-1)
        return missed

    def _unexplained_mm(self, points_mm: NDArray[Any]) -> NDArray[Any]:
        """Returns the distance (n,) of points from the positions by the map, or from there with the liver's motion.

        A breath moves the liver with all its lesions: only what it does not explain counts.
        """
        away = points_mm - self.mapped_mm
        least: NDArray[Any] = np.minimum(*(np.linalg.norm(one, axis=-1) for one in (away, away - self.liver_mm)))
        return least

    def _listed(self, chosen: NDArray[np.bool_]) -> str:
        rows = zip(self.names, self._missed_mm, chosen, strict=True)
        return ", ".join(f"{name} ({mm:.0f} mm)" for name, mm, one in rows if one)


def check_landmarks(
    sides: tuple[ImageWithMasks, ImageWithMasks],
    landmarks: Landmarks,
    start: Transform,
    *,
    config: RegistrationConfig,
    without: Literal["masks", "landmarks"] = "masks",
) -> LandmarkCheck:
    """Returns the landmarks that guide, compared at a map that they did not guide.

    Args:
      sides: both images with their guiding masks, the liver among them.
      landmarks: centroids of the landmark masks, then the points; the points are compared only if they guide.
      start: the map: rigid without the masks, otherwise the result of a registration.
      config: the guided preset.
      without: input that did not guide the map.
    """
    names = sides[0].landmark_names()
    if config.weights.landmarks > 0:
        points = int((np.asarray(landmarks.weight) > 0).sum()) - len(names)
        names = (*names, *(f"landmark point {number}" for number in range(1, points + 1)))
    reference, floating = (
        np.asarray(side[: len(names)], np.float64) for side in (landmarks.reference_mm, landmarks.floating_mm)
    )
    livers = [mass_centre_mm(side.masks[LIVER_NAME], LIVER_NAME) for side in sides]
    return LandmarkCheck(
        names=names,
        reference_mm=reference,
        floating_mm=floating,
        mapped_mm=np.asarray(transform_points(start, reference), np.float64),
        liver_mm=livers[1] - np.asarray(transform_points(start, livers[0][None]))[0],
        without=without,
    )
