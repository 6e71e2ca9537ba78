"""The status of a registration: the returned transform, and its reliability."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sirtjax import spatial
from sirtjax.registration._config import RegistrationConfig
from sirtjax.registration._confirm import MIRRORED, Doubts, doubts_of
from sirtjax.registration._fit import Fit, measure_fit
from sirtjax.registration._landmarks import Landmarks
from sirtjax.registration._mask_doubt import register_unguided
from sirtjax.registration._mask_figures import mask_evaluator, quality_of
from sirtjax.registration._pair import ImagePair
from sirtjax.registration._prepare import LIVER_NAME, ImageWithMasks
from sirtjax.registration._result import RegistrationResult, Stage, Status
from sirtjax.registration._solve import Solution
from sirtjax.spatial import AffineTransform, DisplacementField, Transform
from sirtjax.volume import Geometry, crop_geometry

# Below this fraction of the compared region inside the floating image, no comparison is possible.
MIN_OVERLAP = 0.3
# Guiding livers that still overlap less than this do not show the same organ.
MIN_DSC = 0.85
# A deformation may cost this much overlap of the masks before it counts as worse.
DSC_SLACK = 0.01
# Steps that are not finite are skipped. A level that lost more than this fraction of its steps did not optimise.
MAX_SKIPPED = 0.5
# Livers that overlap this much need no deformation.
ALIKE_DSC = 0.95
# Ends that a wrong mask can cause.
OF_MASKS = (Status.FOLDED, Status.IMPLAUSIBLE, Status.AFFINE_REJECTED, Status.POOR_AGREEMENT, Status.UNCONFIRMED)
STILL = "the start or the affine map was already correct: a later stage found no improvement"
OTHER_START = "the images and the masks agree at a rigid map found without the masks: use another start"


def assess_result(
    solution: Solution,
    pair: ImagePair,
    lattice: Geometry,
    sides: tuple[ImageWithMasks, ImageWithMasks],
    start: Transform,
    *,
    config: RegistrationConfig,
    notes: tuple[str, ...] = (),
    mirror_gain: float | None = None,
) -> RegistrationResult:
    """Returns the result with its status: the transform to use, and its reliability.

    Args:
      solution: result of the solver, as NumPy arrays.
      pair: input of the solver.
      lattice: working lattice of the reference.
      sides: both images with the guidance masks.
      start: initial transform.
      config: preset.
      notes: earlier observations.
      mirror_gain: mirror gain of `estimate_initial_transform`, or None if masks guided.
    """
    matrix = np.asarray(solution.affine, np.float64)
    affine = AffineTransform(matrix)
    # A displacement that is not finite is not kept; its figures are those of no displacement.
    field = DisplacementField(np.nan_to_num(solution.displacement_mm, posinf=0.0, neginf=0.0), lattice, matrix)
    stages = _stages(solution)
    deformed = len(solution.deformable_history) > 0
    folding = folding_fraction(field, pair) if deformed and _finite(solution) else 0.0
    evaluator = mask_evaluator(sides, lattice, pair=pair)
    quality: dict[str, Mapping[str, float]] = {"start": quality_of(start, solution.terms[0], evaluator)}
    quality["affine"] = quality_of(affine, solution.terms[1], evaluator)
    quality["final"] = quality_of(field, solution.terms[2], evaluator) if deformed else quality["affine"]
    kept = keeps_deformation(solution, quality["affine"], quality["final"], config)
    fit = fit_of(solution, pair, kept=kept)
    doubts = doubts_of(fit, affine, sides, config=config, mirror_gain=mirror_gain)
    status = status_of(
        solution, quality["affine"], quality["final"], folding_fraction=folding, config=config, doubts=doubts
    )
    restart = None
    if status is not Status.SUCCESS:
        notes = (*notes, *doubts.sentences)
        unguided = None
        if sides[0].masks and status in OF_MASKS:
            unguided = register_unguided(sides, config, _landmarks(pair))
        if unguided is not None and unguided.mirrored:
            notes = (*notes, MIRRORED)
        elif unguided is not None and unguided.sentence is not None:
            status, notes = Status.MASK_IN_DOUBT, (*notes, unguided.sentence)
        elif unguided is not None:
            restart, notes = unguided.start, (*notes, OTHER_START, *((unguided.note,) if unguided.note else ()))
    elif (deformed and not kept) or (config.affine.model != "none" and not bool(solution.affine_improved)):
        notes = (*notes, STILL)
    final: Transform = field if kept else affine
    if final is affine and deformed:
        quality["final"], folding = quality["affine"], 0.0
    return RegistrationResult(
        transform=final,
        affine=affine,
        status=status,
        notes=(*notes, *_skipped_note(solution)),
        stages=stages,
        folding_fraction=folding,
        quality=quality,
        config=config,
        fit=doubts.figures,
        restart=restart,
    )


def keeps_deformation(
    solution: Solution, affine: Mapping[str, float], final: Mapping[str, float], config: RegistrationConfig
) -> bool:
    """Returns whether the result is the deformation; arguments as for `status_of`."""
    deformed = len(solution.deformable_history) > 0
    return deformed and _finite(solution) and not _worse(affine, final, solution, config)


def fit_of(solution: Solution, pair: ImagePair, *, kept: bool) -> Fit:
    """Returns the agreement of the images at the deformation, or at the affine map if that is returned."""
    u = np.asarray(solution.displacement_mm, np.float32)
    return measure_fit(pair, np.asarray(solution.affine, np.float32), u if kept else np.zeros_like(u))


def status_of(
    solution: Solution,
    affine: Mapping[str, float],
    final: Mapping[str, float],
    *,
    folding_fraction: float,
    config: RegistrationConfig,
    doubts: Doubts,
) -> Status:
    """Returns the final status of a registration.

    Args:
      solution: result of the solver, as NumPy arrays.
      affine: metrics of the affine map: "dsc liver", or empty without guidance.
      final: same metrics of the deformation found.
      folding_fraction: folding fraction of the deformation found.
      config: preset with the weights used.
      doubts: reasons against the result.
    """
    dsc = f"dsc {LIVER_NAME}"
    deformed = len(solution.deformable_history) > 0
    if not _finite(solution):
        return Status.NOT_FINITE
    if not float(solution.overlap) >= MIN_OVERLAP:
        return Status.NO_OVERLAP
    if deformed and _worse(affine, final, solution, config):
        # Images of one pose leave a deformation nothing to gain, and noise decides.
        if not (doubts.alike and affine.get(dsc, 1.0) >= ALIKE_DSC):
            return Status.DEFORMATION_REJECTED
        folding_fraction, final = 0.0, affine
    if folding_fraction > 0:
        return Status.FOLDED
    if doubts.cropped:
        return Status.CROPPED
    if doubts.implausible:
        return Status.IMPLAUSIBLE
    still = config.affine.model != "none" and not bool(solution.affine_improved)
    if still and (not doubts.confirmed or not _driven(config)):
        return Status.AFFINE_REJECTED
    if final.get(dsc, 1.0) < MIN_DSC:
        return Status.POOR_AGREEMENT
    return Status.SUCCESS if doubts.confirmed and not doubts.mirrored else Status.UNCONFIRMED


def _landmarks(pair: ImagePair) -> Landmarks:
    return Landmarks(
        reference_mm=np.asarray(pair.landmarks_reference_mm),
        floating_mm=np.asarray(pair.landmarks_floating_mm),
        weight=np.asarray(pair.landmarks_weight),
    )


def _driven(config: RegistrationConfig) -> bool:
    """Whether anything counts at all."""
    return config.weights.image > 0 or config.weights.masks > 0


def _finite(solution: Solution) -> bool:
    """Whether the result is finite, and every level kept enough of its steps."""
    if not (np.isfinite(solution.affine).all() and np.isfinite(solution.displacement_mm).all()):
        return False
    return all(bool((_skipped(history) <= MAX_SKIPPED).all()) for history in _histories(solution))


def _histories(solution: Solution) -> tuple[NDArray[Any], NDArray[Any]]:
    return np.asarray(solution.affine_history), np.asarray(solution.deformable_history)


def _skipped(history: NDArray[Any]) -> NDArray[np.float64]:
    """The fraction of the steps of each level (levels,) that were skipped."""
    lost = ~np.isfinite(history).all(axis=2)
    return np.asarray(lost.mean(axis=1) if lost.size else np.zeros(0), np.float64)


def _skipped_note(solution: Solution) -> tuple[str, ...]:
    lost = sum(int((~np.isfinite(history).all(axis=2)).sum()) for history in _histories(solution))
    steps = sum(history.shape[0] * history.shape[1] for history in _histories(solution))
    return (f"{lost} of {steps} optimisation steps were not finite and were skipped",) if lost else ()


def _stages(solution: Solution) -> tuple[Stage, ...]:
    terms = ("total", "images", "masks", "landmarks", "regularisation")
    named = [("affine", solution.affine_history), ("deformable", solution.deformable_history)]
    return tuple(
        Stage(
            name=f"{name} {number}",
            losses={term: history[:, column] for column, term in enumerate(terms[: history.shape[1]])},
        )
        for name, histories in named
        for number, history in enumerate(map(np.asarray, histories), start=1)
    )


def folding_fraction(field: DisplacementField, pair: ImagePair) -> float:
    """Returns the fraction of the compared nodes at which a deformation folds."""
    inside = (np.asarray(pair.reference_weight) > 0) | (np.asarray(pair.reference_near) > 0)
    if not inside.any():
        return 0.0
    # Only the box that holds them: the rest of the lattice is margin.
    where = np.argwhere(inside)
    low, high = np.maximum(where.min(axis=0) - 1, 0), np.minimum(where.max(axis=0) + 2, inside.shape)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    part = DisplacementField(
        np.asarray(field.array)[box], crop_geometry(field.geometry, low, high), field.floating_from_displaced
    )
    return float((spatial.jacobian_determinant(part)[inside[box]] <= 0).mean())


def _worse(
    affine: Mapping[str, float], final: Mapping[str, float], solution: Solution, config: RegistrationConfig
) -> bool:
    """Whether the deformation lost what it was to gain: the weighted image and mask terms, or the masks' overlap."""
    dsc = f"dsc {LIVER_NAME}"
    if dsc in affine and final[dsc] < affine[dsc] - DSC_SLACK:
        return True
    weights = np.array([config.weights.image, config.weights.masks])
    before, after = (float(weights @ solution.terms[row]) for row in (1, 2))
    return bool(weights.any()) and not after <= before
