"""A grid search for the registration weights that give the lowest error over a list of cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sirtjax.errors import ConfigError
from sirtjax.parsing import json_value
from sirtjax.studies._tune_cases import read_list
from sirtjax.studies._tune_grid import Grid, make_grid
from sirtjax.studies._tune_record import Record, Row, check_outputs, remove_summaries, state_of
from sirtjax.studies._tune_surface import Surface, make_surface, surface_picture, write_surface
from sirtjax.studies._tune_trials import CaseTrials

if TYPE_CHECKING:
    from sirtjax.registration import RegistrationConfig


@dataclass(frozen=True, kw_only=True)
class WeightSearch:
    """Result of a weight search.

    Attributes:
      grid: the grid points.
      surface: RRMSD and failures at each grid point, and the best point.
      rows: results of each case, in the order of the grid points.
      failed: the reason for each case that could not be registered and evaluated.
    """

    grid: Grid
    surface: Surface
    rows: Mapping[str, tuple[Row, ...]]
    failed: Mapping[str, str]

    @property
    def sentence(self) -> str:
        """Returns the best point and its errors in one sentence."""
        surface, best = self.surface, self.surface.best
        if best is None:
            return "nothing could be measured"
        if surface.affine_is_best:
            return self._affine_sentence("deformation of this grid")
        settings = ", ".join(f"{key} = {value}" for key, value in best.point.settings.items())
        failures = f", {best.failures} failed" if best.failures else ""
        return (
            f"best at {settings}: RRMSD {best.rrmsd_mm:.2f} mm over {best.cases} cases{failures}; "
            f"the affine map without deformation {best.affine_rrmsd_mm:.2f} mm"
        )

    def _affine_sentence(self, tried: str) -> str:
        surface, lowest = self.surface, self.surface.deformed
        over = found = ""
        if lowest is not None:
            over = f" over {lowest.cases} of {len(self.rows)} cases" if lowest.cases < len(self.rows) else ""
            found = f" (lowest {lowest.rrmsd_mm:.2f} mm)"
        return (
            f"the affine map without deformation is best, RRMSD {surface.affine_rrmsd_mm:.2f} mm{over}; no {tried} "
            f"improves on it{found}"
        )

    def to_json(self) -> dict[str, object]:
        """Returns the result as nested dictionaries without NaN."""
        best = self.surface.best
        points = [
            {
                "settings": dict(one.point.settings),
                "rrmsd_mm": json_value(one.rrmsd_mm),
                "affine_rrmsd_mm": json_value(one.affine_rrmsd_mm),
                "deformed_rrmsd_mm": json_value(one.deformed_rrmsd_mm),
                "cases": one.cases,
                "failures": one.failures,
                "statuses": dict(one.statuses),
            }
            for one in self.surface.points
        ]
        cases = {
            case: [
                {"status": row.status, **{name: json_value(value) for name, value in row.figures.items()}}
                for row in rows
            ]
            for case, rows in self.rows.items()
        }
        return {
            "axes": {key: list(values) for key, values in self.grid.axes.items()},
            "points": points,
            "best": None if best is None else dict(best.point.settings),
            "affine_is_best": self.surface.affine_is_best,
            "summary": self.sentence,
            "cases": cases,
            "failed": dict(self.failed),
        }


def search_weights(
    cases: Path,
    output: Path,
    *,
    preset: str = "cnn",
    config: Path | None = None,
    settings: Sequence[str] = (),
    grid: Sequence[str] = (),
    batch_size: int = 4,
    seed: int = 0,
    resume: bool = False,
    force: bool = False,
    on_step: Callable[[str], None] = lambda step: None,
    on_note: Callable[[str], None] = lambda note: None,
) -> WeightSearch:
    """Registers every case at every point of a grid of settings and finds the point of the lowest RRMSD.

    Each result is written to OUTPUT/results.csv before the next is computed, so that a search can be stopped and
    resumed. Also writes surface.csv, surface.png, surface.svg and best.toml.

    Args:
      cases: table of cases (CSV), see docs/tuning.md.
      output: folder to write.
      preset: name of the preset that the settings change.
      config: TOML file to use instead of the preset.
      settings: overrides of the preset for all points, as KEY=VALUE.
      grid: axes as KEY=VALUES; empty for the default grid.
      batch_size: points solved together.
      seed: seed of the voxel sampling.
      resume: continue the search in `output`.
      force: overwrite the search in `output`.
      on_step: called with the name of each step.
      on_note: called with each remark, such as the reason a case failed.

    Returns:
      The surface and the results of each case.

    Raises:
      ConfigError: the table, the preset or the grid is not valid, or `output` was made with other settings.
      OutputError: `output` contains other files or an input, or a search and neither `resume` nor `force` is set.
    """
    if resume and force:
        raise ConfigError("--resume continues a search and --force overwrites it; use one of them")
    listed = read_list(cases)
    check_outputs(output, [cases, config, *(path for one in listed for path in one.inputs())])
    base = base_config(preset, config, settings)
    searched = make_grid(base, grid)
    size = min(batch_size, len(searched.points))
    record = Record(output, list(searched.axes), state_of(base, list(searched.axes), seed=seed, batch=batch_size))
    record.open(resume=resume, force=force)
    on_note(_announced(searched, len(listed)))
    trials = CaseTrials(record=record, grid=searched, size=size, seed=seed, on_step=on_step, on_note=on_note)
    found, failed = trials.evaluate_all(listed)
    surface = make_surface(
        searched, [[rows[place] for rows in found.values()] for place in range(len(searched.points))]
    )
    result = WeightSearch(grid=searched, surface=surface, rows=found, failed=failed)
    _write(output, base, result)
    return result


def base_config(preset: str, path: Path | None, settings: Sequence[str]) -> RegistrationConfig:
    """Returns the preset, or the configuration file, with its overrides.

    Raises:
      ConfigError: a value is not allowed, or the preset has a network.
    """
    from sirtjax import registration

    base = registration.load_preset(preset) if path is None else registration.read_registration_config(path)
    base = registration.apply_overrides(base, list(settings))
    if base.network is not None:
        raise ConfigError(
            f"a search of weights does not support preset {base.name}, which has a network; choose another preset"
        )
    return base


def _announced(grid: Grid, cases: int) -> str:
    programs = len(grid.structures())
    text = f"{len(grid.points)} points of {', '.join(grid.axes)} for {cases} cases"
    if programs > 1:
        text += f"; {programs} programs to compile, as not all that is swept are weights"
    return text


def _write(output: Path, base: RegistrationConfig, search: WeightSearch) -> None:
    from matplotlib import rc_context

    from sirtjax import io
    from sirtjax.reports import sweep_figure

    grid, surface, cases = search.grid, search.surface, len(search.rows)
    remove_summaries(output)
    if not cases:
        return
    write_surface(output / "surface.csv", grid, surface)
    count = f"{cases} case{'s' if cases != 1 else ''}" + (f" ({len(search.failed)} failed)" if search.failed else "")
    figure = sweep_figure(surface_picture(grid, surface, title=f"RRMSD of {base.name} over {count}"))
    with io.atomic_path(output / "surface.png", force=True) as temporary:
        figure.savefig(temporary, dpi=150)
    # The same numbers give the same file.
    with io.atomic_path(output / "surface.svg", force=True) as temporary, rc_context({"svg.hashsalt": "sirtjax"}):
        figure.savefig(temporary, metadata={"Date": None, "Creator": None})
    searched = "; ".join(f"{key} = {', '.join(values)}" for key, values in grid.axes.items())
    write_best(
        output / "best.toml",
        search,
        f"The best of {len(grid.points)} points of a search from the preset {base.name} over {count}: {searched}",
    )


def write_best(path: Path, search: WeightSearch, told: str) -> None:
    """Writes the best preset with a header that states how it was found; nothing if no point has an RMSD.

    Args:
      path: TOML file to write.
      search: result of the search.
      told: first line of the header: the points, the preset and the cases of the search.
    """
    from sirtjax import __version__, io
    from sirtjax.studies._tune_preset import preset_toml

    best = search.surface.best
    if best is None:
        return
    config = best.point.config
    header = [
        told,
        f"Found with sirtjax tune {__version__}: {search.sentence}.",
        "Used by: sirtjax register REF FLO -o OUT --config THIS.toml",
    ]
    if search.surface.affine_is_best:
        config = config.model_copy(update={"deformable": config.deformable.model_copy(update={"model": "none"})})
        header.insert(2, 'Therefore deformable.model = "none".')
    with io.atomic_path(path, force=True) as temporary:
        temporary.write_text(preset_toml(config, header), encoding="utf-8")
