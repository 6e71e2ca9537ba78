from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import jax
import numpy as np
from jaxtyping import PRNGKeyArray
from numpy.typing import ArrayLike

from sirtjax import spatial
from sirtjax.compilation_cache import cached_jit
from sirtjax.registration._config import RegistrationConfig
from sirtjax.registration._deformable import Coefficients
from sirtjax.registration._inputs import check_image, check_masks_on_image, guiding_masks
from sirtjax.registration._judge import assess_result
from sirtjax.registration._landmarks import Landmarks, mass_centre_mm, match_landmarks
from sirtjax.registration._locate import estimate_initial_transform
from sirtjax.registration._pair import ImagePair, Weights
from sirtjax.registration._prepare import LIVER_NAME, ImageWithMasks, Masks, prepare_pair
from sirtjax.registration._result import RegistrationResult, Status
from sirtjax.registration._solve import Solution, solve, weights_from_config
from sirtjax.registration._start_field import affine_of_start, start_coefficients, without_affine_stage
from sirtjax.spatial import AffineTransform, DisplacementField
from sirtjax.volume import Geometry, Volume

NO_MASKS: Masks = {}
RESTARTED = "registered from a start found by the images: the start from the centroids of the liver masks failed"


@partial(cached_jit, static_argnames=("config",))
def solve_compiled(
    pair: ImagePair,
    weights: Weights,
    key: PRNGKeyArray,
    *,
    config: RegistrationConfig,
    start: Coefficients | None = None,
) -> Solution:
    """Runs `solve`, compiled once per structure of preset, for all patients and weights."""
    return solve(pair, weights, key, config=config, start=start)


def register(
    reference: Volume,
    floating: Volume,
    *,
    config: RegistrationConfig,
    reference_masks: Masks = NO_MASKS,
    floating_masks: Masks = NO_MASKS,
    reference_points_mm: ArrayLike | None = None,
    floating_points_mm: ArrayLike | None = None,
    start: AffineTransform | DisplacementField | None = None,
    seed: int = 0,
) -> RegistrationResult:
    """Registers two images: the pull transform from reference to floating image, and its quality.

    Images of any size, position and modality; a second pair compiles nothing. On the host, NumPy in and out: for
    `vmap` see `prepare_pair` and `solve`, or `register_batch`. Check the result's status: only SUCCESS means success.

    Args:
      reference: image whose space stays unchanged, (i, j, k).
      floating: image to register to the reference.
      config: a preset of `load_preset`.
      reference_masks: masks by name, such as "liver" and "lesion1"; each map contains its name. The guidance masks are
        those that the preset uses and both sides have.
      floating_masks: masks of the floating image in its space, same form as `reference_masks`.
      reference_points_mm: (n, 3) landmark points, LPS mm.
      floating_points_mm: (n, 3) the same points in the floating image.
      start: initial floating_from_reference. Default: computed from the masks' centroids, or by a search with the
        images. From a displacement field, only the deformable stage runs: its splines begin as the best fit to the
        field, so that regularisation and folding are those of the sum.
      seed: seed of the random samples; the same seed gives the same result on one machine.

    Raises:
      GeometryError: an image is constant, not finite or too small, a mask is missing, empty or too small, or the
        points do not belong together.
      ConfigError: the start is a displacement field and the preset has no splines of a displacement.
    """
    field = start if isinstance(start, DisplacementField) else None
    if isinstance(start, DisplacementField):
        config, start = without_affine_stage(config), affine_of_start(start)
    ready = make_ready(
        reference,
        floating,
        config=config,
        reference_masks=reference_masks,
        floating_masks=floating_masks,
        reference_points_mm=reference_points_mm,
        floating_points_mm=floating_points_mm,
        start=start,
    )
    if field is not None:
        ready = ready.from_field(field, config=config)
    result = _solved(ready, config=config, seed=seed)
    if start is not None or result.restart is None:
        return result
    again = _solved(ready.restarted(result.restart, config=config), config=config, seed=seed)
    return again if again.status is Status.SUCCESS else result


def _solved(ready: Ready, *, config: RegistrationConfig, seed: int) -> RegistrationResult:
    solution = solve_compiled(
        ready.pair,
        weights_from_config(config.weights),
        jax.random.key(seed),
        config=config.structure(),
        start=ready.coefficients,
    )
    return ready.judged(jax.tree.map(np.asarray, jax.block_until_ready(solution)), config=config)


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

    def judged(self, solution: Solution, *, config: RegistrationConfig) -> RegistrationResult:
        """Returns the result of a solution in NumPy arrays."""
        return assess_result(
            solution, self.pair, self.lattice, self.sides, self.start if self.field is None else self.field,
            config=config, notes=self.notes, mirror_gain=self.mirror_gain,
        )  # fmt: skip

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

    def restarted(self, start: AffineTransform, *, config: RegistrationConfig) -> Ready:
        """Returns the same patient with another start."""
        pair, lattice = prepare_pair(*self.sides, self.landmarks, start, config=config)
        return replace(self, pair=pair, lattice=lattice, start=start, notes=(*self.notes, RESTARTED))


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
    mirror_gain = None
    if LIVER_NAME not in one:
        located = estimate_initial_transform(reference, floating, config=config)
        start, mirror_gain = located.start if start is None else start, located.mirror_gain
    elif start is None:
        start = aligned_livers(*sides)
    spatial.invert(start)  # a start that can't be undone is refused here
    pair, lattice = prepare_pair(*sides, landmarks, start, config=config)
    return Ready(
        pair=pair, lattice=lattice, sides=sides, landmarks=landmarks, start=start, notes=notes, mirror_gain=mirror_gain
    )


def aligned_livers(reference: ImageWithMasks, floating: ImageWithMasks) -> AffineTransform:
    """Returns the shift that aligns the centroids of the liver masks."""
    shift = mass_centre_mm(floating.masks[LIVER_NAME], LIVER_NAME) - mass_centre_mm(
        reference.masks[LIVER_NAME], LIVER_NAME
    )
    matrix = np.eye(4)
    matrix[:3, 3] = shift
    return spatial.AffineTransform(matrix)
