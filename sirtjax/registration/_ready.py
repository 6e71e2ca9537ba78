"""A patient on the working lattices, with everything needed to solve and to assess a registration."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from sirtjax import spatial
from sirtjax.registration._config import RegistrationConfig
from sirtjax.registration._deformable import Coefficients
from sirtjax.registration._inputs import check_image, check_masks_on_image, guiding_masks
from sirtjax.registration._judge import assess_result
from sirtjax.registration._landmark_doubt import check_landmarks
from sirtjax.registration._landmarks import Landmarks, mass_centre_mm, match_landmarks
from sirtjax.registration._locate import estimate_initial_transform
from sirtjax.registration._pair import ImagePair
from sirtjax.registration._prepare import LIVER_NAME, ImageWithMasks, Masks, prepare_pair
from sirtjax.registration._result import RegistrationResult, Status
from sirtjax.registration._solve import Solution
from sirtjax.registration._start_field import start_coefficients
from sirtjax.spatial import AffineTransform, DisplacementField
from sirtjax.volume import Geometry, Volume

NO_MASKS: Masks = {}
RESTARTED = "registered from a start found by the images: the start from the centroids of the liver masks failed"


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A patient on the working lattices, with everything needed to assess the solution.

    Attributes:
      pair: input of the solver.
      lattice: working lattice of the reference.
      sides: both images with the guidance masks.
      landmarks: landmarks of both sides.
      start: initial transform of the affine stage.
      notes: observations.
      mirror_gain: mirror gain of `estimate_initial_transform`, or None if masks guide.
      field: initial displacement, or None to begin without.
      coefficients: coefficients of the deformable stage that represent it, or None.
      other_starts: other starts of the search, of which the affine stage may prefer one.
      given: whether the start was given, so that no other replaces it.
      again: whether the start is the rigid map that the images gave after a failure with the masks.
    """

    pair: ImagePair
    lattice: Geometry
    sides: tuple[ImageWithMasks, ImageWithMasks]
    landmarks: Landmarks
    start: AffineTransform
    notes: tuple[str, ...]
    mirror_gain: float | None = None
    field: DisplacementField | None = None
    coefficients: Coefficients | None = None
    other_starts: tuple[AffineTransform, ...] = ()
    given: bool = False
    again: bool = False

    def judged(self, solution: Solution, *, config: RegistrationConfig) -> RegistrationResult:
        """Returns the result of a solution in NumPy arrays.

        After a restart, a landmark is in doubt if the result moves it far from its position without the masks.
        """
        result = assess_result(
            solution, self.pair, self.lattice, self.sides, self.start if self.field is None else self.field,
            config=config, notes=self.notes, mirror_gain=self.mirror_gain,
        )  # fmt: skip
        if not self.again or result.status is not Status.SUCCESS:
            return result
        check = check_landmarks(self.sides, self.landmarks, self.start, config=config)
        if check.note is None:
            return result
        status = Status.MASK_IN_DOUBT if check.is_followed(result.transform) else result.status
        return replace(result, status=status, notes=(*result.notes, check.note))

    def from_field(self, start: DisplacementField, *, config: RegistrationConfig) -> Ready:
        """Returns the same patient with an initial displacement.

        A note states what the splines cannot represent.
        """
        found, rest = start_coefficients(start, self.lattice, config)
        near = np.asarray(self.pair.reference_near) > 0
        missed = float(np.sqrt(np.mean(np.sum(np.square(rest[near]), axis=-1)))) if near.any() else 0.0
        note = (
            "started from a displacement field, whose affine part was kept; the splines represent the field within "
            f"{missed:.1f} mm (RMS)"
        )
        return replace(self, field=start, coefficients=found, notes=(*self.notes, note))

    def from_start(self, start: AffineTransform, *, config: RegistrationConfig) -> Ready:
        """Returns the same patient with another start."""
        pair, lattice = prepare_pair(*self.sides, self.landmarks, start, config=config)
        return replace(self, pair=pair, lattice=lattice, start=start, other_starts=())

    def restarted(self, result: RegistrationResult, *, config: RegistrationConfig) -> Ready | None:
        """Returns the same patient with the start that the images give, after a failure with the masks.

        Args:
          result: result with the first start.
          config: preset.

        Returns:
          None if the first start was given, or if the images give no other.
        """
        if self.given or result.restart is None:
            return None
        return replace(self.from_start(result.restart, config=config), notes=(*self.notes, RESTARTED), again=True)

    def without_landmarks(self, result: RegistrationResult, *, config: RegistrationConfig) -> Ready | None:
        """Returns the same patient guided only by the liver, which shows landmarks at wrong positions.

        The compiled program is that of the registration with landmarks.

        Args:
          result: result with the landmarks.
          config: preset.

        Returns:
          None if no landmark guides, the result is not a success, or a restart has compared them already.
        """
        masks = bool(self.sides[0].landmark_names()) and float(self.pair.mask_weight[1]) > 0
        points = config.weights.landmarks > 0 and bool(np.any(self.landmarks.weight > 0))
        if self.again or result.status is not Status.SUCCESS or not (masks or points):
            return None
        one, two = (ImageWithMasks(image=side.image, masks={LIVER_NAME: side.masks[LIVER_NAME]}) for side in self.sides)
        pair = replace(
            self.pair,
            mask_weight=np.array([self.pair.mask_weight[0], 0.0], np.float32),
            landmarks_weight=np.zeros_like(self.pair.landmarks_weight),
        )
        return replace(self, pair=pair, sides=(one, two), landmarks=match_landmarks({}, {}))

    def is_near_landmarks(self, free: Solution, *, config: RegistrationConfig) -> bool:
        """Returns whether no landmark contradicts the affine map, so that nothing else is compared.

        Args:
          free: solution of the affine stage of `without_landmarks`.
          config: preset.
        """
        affine = AffineTransform(np.asarray(free.affine, np.float64))
        return check_landmarks(self.sides, self.landmarks, affine, config=config, without="landmarks").is_near

    def with_landmarks_checked(
        self, result: RegistrationResult, free: RegistrationResult, *, config: RegistrationConfig
    ) -> RegistrationResult:
        """Returns a result with the landmarks that contradict the images and the livers.

        Args:
          result: result with the landmarks, a success.
          free: result of `without_landmarks`.
          config: preset.
        """
        if free.status is not Status.SUCCESS:
            return result
        check = check_landmarks(self.sides, self.landmarks, free.transform, config=config, without="landmarks")
        if check.note is None:
            return result
        status = Status.MASK_IN_DOUBT if check.is_followed(result.transform) else result.status
        return replace(result, status=status, notes=(*result.notes, check.note))


def make_ready(
    reference: Volume,
    floating: Volume,
    *,
    config: RegistrationConfig,
    reference_masks: Masks = NO_MASKS,
    floating_masks: Masks = NO_MASKS,
    reference_points_mm: ArrayLike | None = None,
    floating_points_mm: ArrayLike | None = None,
    start: AffineTransform | None = None,
    mirror_gain: float | None = None,
) -> Ready:
    """Checks the input, finds the start and resamples both sides to the lattices; arguments of `register`.

    Args:
      reference: image whose space stays unchanged, (i, j, k).
      floating: image to register to the reference.
      config: preset.
      reference_masks: masks of the reference image, by name.
      floating_masks: masks of the floating image, by name.
      reference_points_mm: (n, 3) landmark points, LPS mm.
      floating_points_mm: (n, 3) the same points in the floating image.
      start: initial floating_from_reference, or None.
      mirror_gain: mirror gain of an earlier search with these images; with a start, no search is run again.

    Raises:
      GeometryError: the input cannot be registered.
    """
    check_image(reference, "reference")
    check_image(floating, "floating")
    one, two, notes = guiding_masks(reference_masks, floating_masks, config)
    check_masks_on_image(one, reference, "reference")
    check_masks_on_image(two, floating, "floating")
    if reference_points_mm is not None and config.guidance.masks == "none":
        notes = (*notes, f"preset {config.name} uses no masks: the landmark points did not guide")
    sides = ImageWithMasks(image=reference, masks=one), ImageWithMasks(image=floating, masks=two)
    landmarks = match_landmarks(
        {name: one[name] for name in sides[0].landmark_names()},
        {name: two[name] for name in sides[1].landmark_names()},
        reference_points_mm=reference_points_mm,
        floating_points_mm=floating_points_mm,
    )
    others: tuple[AffineTransform, ...] = ()
    given = start is not None
    if LIVER_NAME not in one and (start is None or mirror_gain is None):
        located = estimate_initial_transform(reference, floating, config=config)
        mirror_gain = located.mirror_gain
        if start is None:
            start, others = located.start, located.other_starts
    elif start is None:
        start, mirror_gain = aligned_livers(*sides), None
    spatial.invert(start)  # a start that can't be undone is refused here
    pair, lattice = prepare_pair(*sides, landmarks, start, config=config)
    return Ready(
        pair=pair, lattice=lattice, sides=sides, landmarks=landmarks, start=start, notes=notes,
        mirror_gain=mirror_gain, other_starts=others, given=given,
    )  # fmt: skip


def aligned_livers(reference: ImageWithMasks, floating: ImageWithMasks) -> AffineTransform:
    """Returns the shift that aligns the centroids of the liver masks."""
    shift = mass_centre_mm(floating.masks[LIVER_NAME], LIVER_NAME) - mass_centre_mm(
        reference.masks[LIVER_NAME], LIVER_NAME
    )
    matrix = np.eye(4)
    matrix[:3, 3] = shift
    return spatial.AffineTransform(matrix)
