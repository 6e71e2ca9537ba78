from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sirtjax import metrics, spatial
from sirtjax.registration._config import RegistrationConfig
from sirtjax.registration._pair import Pair
from sirtjax.registration._prepare import LIVER_NAME, Side
from sirtjax.registration._result import RegistrationResult, Stage, Status
from sirtjax.registration._solve import Solution
from sirtjax.spatial import AffineTransform, DisplacementField, Transform
from sirtjax.volume import Geometry

# Below this share of the compared region inside the floating image there is nothing to compare.
LEAST_OVERLAP = 0.3
# Guiding livers that still overlap less than this do not show the same organ.
LEAST_DSC = 0.85
# A deformation may cost this much overlap of the masks before it counts as worse.
DSC_SLACK = 0.01


def judge(
    solution: Solution,
    pair: Pair,
    lattice: Geometry,
    sides: tuple[Side, Side],
    start: AffineTransform,
    *,
    config: RegistrationConfig,
    notes: tuple[str, ...] = (),
) -> RegistrationResult:
    """The result with its status: which transform to keep, and how far it can be trusted.

    Args:
      solution: what the solver found, as NumPy arrays.
      pair: what it was given.
      lattice: the reference's working lattice.
      sides: both images with the masks that guided.
      start: what the affine stage began with.
      config: the preset.
      notes: what was noticed before.
    """
    matrix = np.asarray(solution.affine, np.float64)
    affine = AffineTransform(matrix)
    field = DisplacementField(np.asarray(solution.displacement_mm, np.float32), lattice, matrix)
    stages = _stages(solution)
    deformed = len(solution.deformable_history) > 0
    finite = all(np.isfinite(values).all() for stage in stages for values in stage.losses.values())
    folding = _folding_fraction(field, pair) if deformed and finite else 0.0
    quality: dict[str, Mapping[str, float]] = {"start": _quality(start, solution.terms[0], lattice, sides)}
    quality["affine"] = _quality(affine, solution.terms[1], lattice, sides)
    quality["final"] = _quality(field, solution.terms[2], lattice, sides) if deformed else quality["affine"]
    final: Transform = field if deformed else affine
    status = Status.SUCCESS
    if not finite:
        status, final = Status.NOT_FINITE, affine
    elif float(solution.overlap) < LEAST_OVERLAP:
        status = Status.NO_OVERLAP
    elif deformed and _worse(quality["affine"], quality["final"], solution, config):
        status, final = Status.AFFINE_KEPT, affine
    elif folding > 0:
        status = Status.FOLDED
    elif config.affine.model != "none" and not bool(solution.affine_improved):
        status = Status.START_KEPT
    elif quality["final"].get(f"dsc {LIVER_NAME}", 1.0) < LEAST_DSC:
        status = Status.POOR_AGREEMENT
    if final is affine and deformed:
        quality["final"], folding = quality["affine"], 0.0
    return RegistrationResult(
        transform=final,
        affine=affine,
        status=status,
        notes=notes,
        stages=stages,
        folding_fraction=folding,
        quality=quality,
        config=config,
    )


def _stages(solution: Solution) -> tuple[Stage, ...]:
    terms = ("total", "images", "masks", "landmarks", "regularity")
    named = [("affine", solution.affine_history), ("deformable", solution.deformable_history)]
    return tuple(
        Stage(
            name=f"{name} {number}",
            losses={term: history[:, column] for column, term in enumerate(terms[: history.shape[1]])},
        )
        for name, histories in named
        for number, history in enumerate(map(np.asarray, histories), start=1)
    )


def _folding_fraction(field: DisplacementField, pair: Pair) -> float:
    jacobian = spatial.jacobian_determinant(field)
    inside = np.asarray(pair.reference_weight) > 0
    inside |= np.asarray(pair.reference_near) > 0
    return float((jacobian[inside] <= 0).mean()) if inside.any() else 0.0


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


def _quality(
    transform: Transform, terms: NDArray[Any], lattice: Geometry, sides: tuple[Side, Side]
) -> dict[str, float]:
    """Overlap and distances of the guiding masks on the lattice, and the image similarity."""
    figures: dict[str, float] = {"similarity": -float(terms[0])}
    reference, floating = sides
    distances = []
    for name in reference.masks:
        one = spatial.occupancy(reference.masks[name], name, lattice)
        two = spatial.occupancy(floating.masks[name], name, lattice, transform=transform)
        inside = one >= 0.5, two >= 0.5
        figures[f"dsc {name}"] = metrics.dice(*inside) if inside[0].any() or inside[1].any() else float("nan")
        if not (inside[0].any() and inside[1].any()):
            distances.append(float("nan"))
            continue
        if name == LIVER_NAME:
            figures[f"msd_mm {name}"] = metrics.surface_distances(one, two, lattice.spacing_mm).msd_mm
            distances.append(figures[f"msd_mm {name}"])
        else:
            figures[f"mcd_mm {name}"] = float(
                np.linalg.norm((_centre(one) - _centre(two)) * np.asarray(lattice.spacing_mm))
            )
            distances.append(figures[f"mcd_mm {name}"])
    if distances:
        figures["rmsd_mm"] = float(np.sqrt(np.mean(np.square(distances))))
    return figures


def _centre(occupancy: NDArray[np.float32]) -> NDArray[np.float64]:
    total = float(occupancy.sum(dtype=np.float64))
    axes = [occupancy.sum(axis=tuple(b for b in range(3) if b != a), dtype=np.float64) for a in range(3)]
    return np.array([np.dot(axis, np.arange(len(axis))) / total for axis in axes])
