"""A descent to the registration weights that give the lowest error over a list of cases."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sirtjax.errors import ConfigError
from sirtjax.parsing import json_value
from sirtjax.studies._descent_steps import Descent, DescentStep, learned_weights
from sirtjax.studies._gradient_record import GradientRecord
from sirtjax.studies._tune_cases import read_list
from sirtjax.studies._tune_grid import Grid, GridPoint
from sirtjax.studies._tune_record import Record, check_outputs, remove_summaries, state_of
from sirtjax.studies._tune_surface import MIN_GAIN_MM, Surface, make_surface
from sirtjax.studies._tune_trials import CaseTrials
from sirtjax.studies._weight_search import WeightSearch, base_config, write_best

if TYPE_CHECKING:
    from sirtjax.registration import RegistrationConfig

DESCENT_STEPS = 8


@dataclass(frozen=True, kw_only=True)
class GradientSearch(WeightSearch):
    """Result of a descent; the points of the grid are its steps, the first one is the start.

    Attributes:
      steps: differentiable error and gradients of each step.
      start_is_best: whether no step improves the start.
    """

    steps: tuple[DescentStep, ...]
    start_is_best: bool

    @property
    def sentence(self) -> str:
        """Returns the best step and its errors in one sentence."""
        best, start = self.surface.best, self.surface.points[0] if self.surface.points else None
        if best is None or start is None:
            return "nothing could be measured"
        if self.surface.affine_is_best:
            return self._affine_sentence("step of the descent")
        settings = ", ".join(f"{key} = {value}" for key, value in best.point.settings.items())
        failures = f", {best.failures} failed" if best.failures else ""
        affine = f"the affine map without deformation {best.affine_rrmsd_mm:.2f} mm"
        if self.start_is_best:
            kept = f"RRMSD {best.rrmsd_mm:.2f} mm over {best.cases} cases{failures}; {affine}"
            if not self.steps:
                return f"no gradients could be computed, so the start {settings} is kept: {kept}"
            return f"no step of {len(self.steps) - 1} improves the start {settings}, which is kept: {kept}"
        return (
            f"best at {settings}: RRMSD {best.rrmsd_mm:.2f} mm over {best.cases} cases{failures}; at the start "
            f"{start.rrmsd_mm:.2f} mm; {affine}"
        )

    def to_json(self) -> dict[str, object]:
        """Returns the result as nested dictionaries without NaN."""
        steps = [
            {
                "settings": dict(one.settings),
                "smooth_rrmsd_mm": json_value(one.smooth_rrmsd_mm),
                "gradient_mm": {key: json_value(x) for key, x in zip(one.settings, one.gradient_mm, strict=True)},
                "residual_mm": json_value(one.residual_mm),
                "trusted": one.trusted,
            }
            for one in self.steps
        ]
        return {**super().to_json(), "steps": steps, "start_is_best": self.start_is_best}


def search_weights_by_gradient(
    cases: Path,
    output: Path,
    *,
    preset: str = "cnn",
    config: Path | None = None,
    settings: Sequence[str] = (),
    learn: str = "",
    steps: int = DESCENT_STEPS,
    batch_size: int = 4,
    seed: int = 0,
    resume: bool = False,
    force: bool = False,
    on_step: Callable[[str], None] = lambda step: None,
    on_note: Callable[[str], None] = lambda note: None,
) -> GradientSearch:
    """Descends from the weights of a preset along the gradient of a differentiable RRMSD.

    The gradient is that of the minimum of the registration, by the implicit function theorem. All steps, the start
    included, are then registered and evaluated as `search_weights` does, which selects the best one. The start is kept
    if no step improves it.

    Each result is written to OUTPUT/gradients.csv or OUTPUT/results.csv before the next is computed. Also writes
    descent.csv, descent.png and best.toml.

    Args:
      cases: table of cases (CSV), see docs/tuning.md.
      output: folder to write.
      preset: name of the preset whose weights are the start.
      config: TOML file to use instead of the preset.
      settings: overrides of the preset, as KEY=VALUE.
      learn: weights to learn, separated by commas; empty for the weights of the default grid.
      steps: largest number of steps after the start.
      batch_size: points solved together in the evaluation.
      seed: seed of the voxel sampling.
      resume: continue the search in `output`.
      force: overwrite the search in `output`.
      on_step: called with the name of each step.
      on_note: called with each remark, such as the reason a case failed.

    Returns:
      The steps and the results of each case.

    Raises:
      ConfigError: the table, the preset or a weight is not valid, or `output` was made with other settings.
      OutputError: `output` contains other files or an input, or a search and neither `resume` nor `force` is set.
    """
    from sirtjax.registration import ImplicitOptions

    if resume and force:
        raise ConfigError("--resume continues a search and --force overwrites it; use one of them")
    if steps < 1:
        raise ConfigError(f"steps: expected at least 1, got {steps}")
    listed = read_list(cases)
    check_outputs(output, [cases, config, *(path for one in listed for path in one.inputs())])
    base = base_config(preset, config, settings)
    start = learned_weights(base, learn)
    # More accuracy changes the gradients by some percent, and costs in proportion.
    options = ImplicitOptions(newton_steps=4, cg_steps=40, sublattices=4)
    state = state_of(base, list(start), seed=seed, batch=batch_size)
    record = Record(output, list(start), {**state, "method": "gradient", "accuracy": asdict(options)})
    record.open(resume=resume, force=force)
    gradients = GradientRecord(output, list(start))
    gradients.open()
    on_note(f"up to {steps} steps of {', '.join(start)} for {len(listed)} cases")
    descent = Descent(
        config=base, record=record, gradients=gradients, options=options, seed=seed, on_step=on_step, on_note=on_note
    )
    path, failed = descent.run(listed, start, steps=steps)
    if not path:
        on_note("no registration reaches its minimum, so there are no gradients; only the start is evaluated")
    points = [one.settings for one in path] or [start]
    grid = _grid(base, points)
    trials = CaseTrials(record=record, grid=grid, size=batch_size, seed=seed, on_step=on_step, on_note=on_note)
    found, lost = trials.evaluate_all([case for case in listed if case.case not in failed])
    surface = make_surface(grid, [[rows[place] for rows in found.values()] for place in range(len(grid.points))])
    surface, start_is_best = _kept(surface)
    result = GradientSearch(
        grid=grid,
        surface=surface,
        rows=found,
        failed={**failed, **lost},
        steps=tuple(path),
        start_is_best=start_is_best,
    )
    _write(output, base, result)
    return result


def _grid(base: RegistrationConfig, points: Sequence[Mapping[str, str]]) -> Grid:
    from sirtjax import registration

    made = [
        GridPoint(
            settings=one, config=registration.apply_overrides(base, [f"{key}={text}" for key, text in one.items()])
        )
        for one in points
    ]
    axes = {key: tuple(dict.fromkeys(one[key] for one in points)) for key in points[0]}
    return Grid(axes=axes, points=tuple(made))


def _kept(surface: Surface) -> tuple[Surface, bool]:
    """The surface with the start as the best point where no step is better by more than noise, and whether it is."""
    best, start = surface.best, surface.points[0]
    if best is None or surface.affine_is_best or not math.isfinite(start.rrmsd_mm) or best.failures < start.failures:
        return surface, False
    if best.rrmsd_mm > start.rrmsd_mm - MIN_GAIN_MM:
        return replace(surface, best=start), True
    return surface, False


def _write(output: Path, base: RegistrationConfig, search: GradientSearch) -> None:
    from sirtjax import io
    from sirtjax.reports import descent_figure
    from sirtjax.studies._descent_files import descent_curves, write_descent

    cases = len(search.rows)
    remove_summaries(output)
    if not cases:
        return
    count = f"{cases} case{'s' if cases != 1 else ''}" + (f" ({len(search.failed)} failed)" if search.failed else "")
    write_descent(output / "descent.csv", search.steps, search.surface)
    if search.steps:
        figure = descent_figure(
            descent_curves(search.steps, search.surface, title=f"Descent from {base.name} over {count}")
        )
        with io.atomic_path(output / "descent.png", force=True) as temporary:
            figure.savefig(temporary, dpi=150)
    learned = ", ".join(search.grid.axes)
    write_best(
        output / "best.toml",
        search,
        f"The best of the start and {max(len(search.steps) - 1, 0)} steps of a descent of {learned} from the preset "
        f"{base.name} over {count}",
    )
