"""The files of a descent: a table of its steps and the curves of its picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sirtjax.studies._descent_steps import DescentStep
from sirtjax.studies._tune_surface import Surface

if TYPE_CHECKING:
    from sirtjax.reports import DescentCurves


def write_descent(path: Path, steps: Sequence[DescentStep], surface: Surface) -> None:
    """Writes a CSV table with one row per step, the start as step 0."""
    from sirtjax import io

    learned = list(surface.points[0].point.settings)
    with io.atomic_path(path, force=True) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = io.CsvWriter(file)
        table.writerow(
            [
                "step", *learned, "smooth_rrmsd_mm", *(f"gradient {key}" for key in learned), "residual_mm", "trusted",
                "rrmsd_mm", "affine_rrmsd_mm", "cases", "failures",
            ]
        )  # fmt: skip
        for number, (step, point) in enumerate(zip(steps, surface.points, strict=False)):
            gradients = [_cell(one) for one in step.gradient_mm]
            measured = [_cell(point.rrmsd_mm), _cell(point.affine_rrmsd_mm), point.cases, point.failures]
            table.writerow(
                [
                    number, *step.settings.values(), _cell(step.smooth_rrmsd_mm), *gradients, _cell(step.residual_mm),
                    "yes" if step.trusted else "no", *measured,
                ]
            )  # fmt: skip


def descent_curves(steps: Sequence[DescentStep], surface: Surface, *, title: str) -> DescentCurves:
    """Returns the errors and weights of the steps for their picture."""
    import numpy as np

    from sirtjax.reports import DescentCurves

    shown = surface.best is not None and not surface.affine_is_best
    best = [number for number, one in enumerate(surface.points) if shown and one is surface.best]
    return DescentCurves(
        smooth_rrmsd_mm=np.array([one.smooth_rrmsd_mm for one in steps], np.float64),
        rrmsd_mm=np.array([one.rrmsd_mm for one in surface.points], np.float64),
        affine_rrmsd_mm=surface.affine_rrmsd_mm,
        trusted=np.array([one.trusted for one in steps], bool),
        weights={
            key: np.array([float(one.settings[key]) for one in steps], np.float64)
            for key in surface.points[0].point.settings
        },
        best=best[0] if best else None,
        title=title,
    )


def _cell(value: float) -> str:
    return f"{value:.6g}" if math.isfinite(value) else ""
