from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import jax
import numpy as np
from numpy.typing import ArrayLike

from sirtjax import metrics
from sirtjax.errors import GeometryError
from sirtjax.registration._config import RegistrationConfig, WeightsTable
from sirtjax.registration._confirm import doubts_of
from sirtjax.registration._inputs import MIN_LANDMARK_VOXELS, check_no_network
from sirtjax.registration._judge import fit_of, folding_fraction, keeps_deformation, status_of
from sirtjax.registration._mask_figures import MaskEvaluator, mask_evaluator, quality_of
from sirtjax.registration._prepare import LIVER_NAME, ImageWithMasks, Masks, lattice_around
from sirtjax.registration._ready import NO_MASKS, Ready, make_ready
from sirtjax.registration._result import Status
from sirtjax.registration._solve import Solution
from sirtjax.registration._start_choice import with_better_start
from sirtjax.registration._sweep import stack_weights, sweep_compiled
from sirtjax.spatial import AffineTransform, DisplacementField, Transform
from sirtjax.volume import Geometry, Volume, bounding_box, crop_geometry

# A mask that judges has to be on the lattice that it is measured on; the rest is rounding.
MIN_FRACTION = 0.99
GUIDE = "dsc of the guiding livers"


@dataclass(frozen=True, kw_only=True)
class TuningCase:
    """A pair that is registered repeatedly with different weights.

    Attributes:
      ready: the pair on the working lattices.
      evaluation: masks for the evaluation, on their lattice.
      points_mm: (n, 3) points of the reference and of the floating image, or None.
      guiding: liver masks for guidance, for the status of `register`; None if they are the masks for the evaluation, or
        if none guides.
      affine_figures: metrics of the affine maps found so far, by their numbers.
    """

    ready: Ready
    evaluation: MaskEvaluator
    points_mm: tuple[ArrayLike, ArrayLike] | None
    guiding: MaskEvaluator | None
    affine_figures: dict[bytes, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A pair registered with one set of weights.

    Attributes:
      weights: weights as used.
      status: status that `register` returns with these weights.
      figures: "rmsd_mm", "msd_mm" and "dsc" of the liver, "mcd_mm" (mean over the landmarks, NaN without),
        "tre_mm" (NaN without points) and "folding_fraction" of the transform that `register` returns;
        "deformed_rmsd_mm" of the deformation found, kept or not; "affine_rmsd_mm" of only the affine map.
    """

    weights: WeightsTable
    status: Status
    figures: Mapping[str, float]


def prepare_tuning_case(
    reference: Volume,
    floating: Volume,
    *,
    config: RegistrationConfig,
    reference_masks: Masks = NO_MASKS,
    floating_masks: Masks = NO_MASKS,
    reference_points_mm: ArrayLike | None = None,
    floating_points_mm: ArrayLike | None = None,
    evaluation_masks: tuple[Masks, Masks] | None = None,
    seed: int = 0,
) -> TuningCase:
    """Prepares a pair for `evaluate_weights`, on the host.

    Done once for all weights, and for each structure of a preset.

    Args:
      reference: image whose space stays unchanged, (i, j, k).
      floating: image to register to the reference.
      config: preset.
      reference_masks: masks of the reference image for guidance, by name.
      floating_masks: masks of the floating image for guidance, by name.
      reference_points_mm: (n, 3) landmark points, LPS mm, for guidance and for the target registration error.
      floating_points_mm: (n, 3) the same points in the floating image.
      evaluation_masks: masks of the reference and of the floating image for the evaluation. Default: guidance masks.
      seed: seed of the affine stage that chooses between several starts, as in `register`.

    Raises:
      GeometryError: the pair can't be registered, or a mask that judges is missing, empty or outside the lattice.
    """
    check_no_network(config, where="a search of weights")
    judges = (reference_masks, floating_masks) if evaluation_masks is None else evaluation_masks
    _check_judges(judges)
    ready = make_ready(
        reference,
        floating,
        config=config,
        reference_masks=reference_masks,
        floating_masks=floating_masks,
        reference_points_mm=reference_points_mm,
        floating_points_mm=floating_points_mm,
    )
    ready = with_better_start(ready, config=config, seed=seed)
    guided = config.guidance.masks != "none"
    # As `register` measures: by the working lattice, where that is around the liver.
    lattice = ready.lattice if guided else _lattice_of(judges[0], config)
    names = [LIVER_NAME, *(name for name in judges[0] if name in judges[1] and name != LIVER_NAME)]
    sides = [
        ImageWithMasks(image=image, masks={name: masks[name] for name in names})
        for image, masks in zip((reference, floating), judges, strict=True)
    ]
    own = ready.pair if guided and evaluation_masks is None else None
    evaluation = mask_evaluator((sides[0], sides[1]), lattice, pair=own)
    _check_reach(evaluation, sides[0])
    guiding = None
    if guided and evaluation_masks is not None:
        one, two = (replace(side, masks={LIVER_NAME: side.masks[LIVER_NAME]}) for side in ready.sides)
        guiding = mask_evaluator((one, two), ready.lattice, pair=ready.pair)
    return TuningCase(
        ready=ready,
        evaluation=evaluation,
        points_mm=(
            None
            if reference_points_mm is None or floating_points_mm is None
            else (reference_points_mm, floating_points_mm)
        ),
        guiding=guiding,
    )


def evaluate_weights(
    tuning_case: TuningCase,
    tables: Sequence[WeightsTable],
    *,
    config: RegistrationConfig,
    swept: Sequence[str],
    seed: int = 0,
    batch_size: int = 4,
) -> tuple[Trial, ...]:
    """Registers a pair with several weights in one program, and measures each result.

    Args:
      tuning_case: prepared pair.
      tables: up to `batch_size` sets of weights; only the swept weights differ.
      config: preset; its own weights are ignored.
      swept: names of the weights that differ between the points of the whole sweep, at least one.
      seed: seed of the random samples.
      batch_size: points solved together; fewer are filled up, so that one program serves all.
    """
    weights = stack_weights(tables, swept, batch_size)
    solutions = sweep_compiled(tuning_case.ready.pair, weights, jax.random.key(seed), config=config.structure())
    arrays = jax.tree.map(np.asarray, jax.block_until_ready(solutions))
    return tuple(
        _trial(tuning_case, jax.tree.map(lambda leaf, at=place: leaf[at], arrays), table, config)
        for place, table in enumerate(tables)
    )


def _trial(tuning_case: TuningCase, solution: Solution, table: WeightsTable, config: RegistrationConfig) -> Trial:
    config = config.model_copy(update={"weights": table})
    ready, matrix = tuning_case.ready, np.asarray(solution.affine, np.float64)
    affine = AffineTransform(matrix)
    if matrix.tobytes() not in tuning_case.affine_figures:
        tuning_case.affine_figures[matrix.tobytes()] = _measured(tuning_case, affine)
    before = tuning_case.affine_figures[matrix.tobytes()]
    after, folding = before, 0.0
    if config.deformable.model != "none" and bool(np.isfinite(solution.displacement_mm).all()):
        found = DisplacementField(np.asarray(solution.displacement_mm, np.float32), ready.lattice, matrix)
        after, folding = _measured(tuning_case, found), folding_fraction(found, ready.pair)
    overlaps = _overlaps(config, before, after)
    keeps = keeps_deformation(solution, overlaps[0], overlaps[1], config)
    fit = fit_of(solution, ready.pair, kept=keeps)
    doubts = doubts_of(fit, affine, ready.sides, config=config, mirror_gain=ready.mirror_gain)
    status = status_of(solution, *overlaps, folding_fraction=folding, config=config, doubts=doubts)
    kept = after if keeps else before
    return Trial(
        weights=table,
        status=status,
        figures={
            **{name: value for name, value in kept.items() if name != GUIDE},
            "folding_fraction": 0.0 if kept is before else folding,
            "deformed_rmsd_mm": after["rmsd_mm"],
            "affine_rmsd_mm": before["rmsd_mm"],
        },
    )


def _overlaps(
    config: RegistrationConfig, before: Mapping[str, float], after: Mapping[str, float]
) -> list[dict[str, float]]:
    """The overlap of the livers that guide, as `status_of` wants it: nothing where none does."""
    guided = config.guidance.masks != "none"
    return [{f"dsc {LIVER_NAME}": figures[GUIDE]} if guided else {} for figures in (before, after)]


def _measured(tuning_case: TuningCase, transform: Transform) -> dict[str, float]:
    """The figures of a transform by the masks that judge, and the overlap of the livers that guide."""
    nothing = np.zeros(2)  # the terms of the objective play no part here
    figures = quality_of(transform, nothing, tuning_case.evaluation)
    distances = [value for name, value in figures.items() if name.startswith("mcd_mm ")]
    lost = len(distances) < len(tuning_case.evaluation.floating) - 1
    target = float("nan")
    if tuning_case.points_mm is not None:
        target = metrics.target_registration_error_mm(transform, *tuning_case.points_mm).mean_mm
    overlap = figures[f"dsc {LIVER_NAME}"]
    guide = overlap
    if tuning_case.guiding is not None:
        guide = quality_of(transform, nothing, tuning_case.guiding)[f"dsc {LIVER_NAME}"]
    return {
        "rmsd_mm": figures["rmsd_mm"],
        "msd_mm": figures.get(f"msd_mm {LIVER_NAME}", float("nan")),
        "mcd_mm": float(np.mean(distances)) if distances and not lost else float("nan"),
        "dsc": overlap,
        "tre_mm": target,
        GUIDE: guide,
    }


def _check_reach(evaluation: MaskEvaluator, reference: ImageWithMasks) -> None:
    for name, inside in evaluation.occupancy.items():
        contoured_ml = reference.masks[name].volume_ml(name)
        share = float(inside.sum(dtype=np.float64)) * evaluation.grid.voxel_volume_ml / contoured_ml
        if share < MIN_FRACTION:
            raise GeometryError(
                f'{100 * share:.0f} % of the reference\'s mask "{name}" is on the lattice around the liver, on which '
                "registrations are evaluated; omit the mask or raise lattice.margin_mm"
            )


def _lattice_of(masks: Masks, config: RegistrationConfig) -> Geometry:
    """A lattice as the preset's around all masks that judge, for a preset whose own follows the images."""
    corners = [
        crop_geometry(labels.geometry, *bounding_box(labels.mask(name))).corners_mm() for name, labels in masks.items()
    ]
    return lattice_around(np.concatenate(corners), config)


def _check_judges(judges: tuple[Masks, Masks]) -> None:
    for role, masks in zip(("reference", "floating"), judges, strict=True):
        if LIVER_NAME not in masks:
            raise GeometryError(
                f'the {role} evaluation masks have no "liver" (they have: {", ".join(masks) or "none"}); name it'
            )
        for name in masks:
            voxels = int(np.count_nonzero(masks[name].mask(name)))
            if voxels < MIN_LANDMARK_VOXELS:
                raise GeometryError(
                    f'the {role} mask "{name}" for evaluation has {voxels} voxel(s), expected '
                    f"at least {MIN_LANDMARK_VOXELS}; omit it"
                )
