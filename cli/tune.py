"""The command `sirtjax tune`: a search for registration weights."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sirtjax.cli._console import emit_json, emit_table, format_number, note, progress, use_compilation_cache
from sirtjax.cli._options import AsJson, Force, Output
from sirtjax.errors import ComputationError, ConfigError

if TYPE_CHECKING:
    from sirtjax.studies import WeightSearch

Cases = Annotated[Path, typer.Argument(help="Table of cases (CSV), see docs/tuning.md.", show_default=False)]


def tune(
    cases: Cases,
    output: Output,
    preset: Annotated[
        str, typer.Option(help="Preset to start from: image, cnn, cnn-lm, descriptor, descriptor-guided.")
    ] = "cnn",
    config: Annotated[Path | None, typer.Option(help="Configuration file (TOML), used instead of a preset.")] = None,
    override: Annotated[
        list[str] | None, typer.Option("--set", help="Override a preset value at all grid points; repeatable.")
    ] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option("--grid", help="Axis of the grid: a key and its values, e.g. weights.image=0,0.3,1; repeatable."),
    ] = None,
    gradient: Annotated[
        bool, typer.Option("--gradient", help="Follow the gradient of the error instead of a grid.")
    ] = False,
    learn: Annotated[
        str, typer.Option(help="Weights for --gradient, separated by commas (default: as the default grid).")
    ] = "",
    steps: Annotated[
        int | None, typer.Option(min=1, help="Largest number of steps for --gradient (default: 8).")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, max=256, help="Number of grid points solved per batch.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the voxel sampling.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the search in OUTPUT.")] = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Search registration weights over a list of cases, on a grid or along the gradient of the error.

    The best point has the lowest RRMSD over all cases. Each result is written before the next is computed, so a search
    can be stopped and resumed with --resume. The exit code is 1 if a case could not be registered and measured.
    """
    if gradient and grid:
        raise ConfigError("--gradient needs no --grid; name weights with --learn weights.image,weights.masks")
    if not gradient and (learn or steps):
        raise ConfigError("--learn and --steps are options of --gradient; add it, or use --grid")
    use_compilation_cache()
    from sirtjax.studies import DESCENT_STEPS, search_weights, search_weights_by_gradient

    by_gradient = partial(search_weights_by_gradient, learn=learn, steps=steps or DESCENT_STEPS)
    with progress("tune") as on_step:
        found = (by_gradient if gradient else partial(search_weights, grid=grid or []))(
            cases,
            output,
            preset=preset,
            config=config,
            settings=override or [],
            batch_size=batch_size,
            seed=seed,
            resume=resume,
            force=force,
            on_step=on_step,
            on_note=note,
        )
    if as_json:
        emit_json(found.to_json())
    else:
        _print(found)
    note(f"written to {output}")
    if found.failed:
        first, count = next(iter(found.failed)), len(found.rows) + len(found.failed)
        effect = "are not in the RRMSD" if found.rows else "nothing was measured"
        told = f"{len(found.failed)} of {count} cases could not be registered and {effect}"
        raise ComputationError(f"{told}; the first is {first}: {found.failed[first]}")
    if found.surface.best is None:
        raise ComputationError("no point has an RMSD; look at the statuses in results.csv")


def _print(found: WeightSearch) -> None:
    rows = []
    surface = found.surface
    for one in surface.points:
        other = ", ".join(f"{count} {status}" for status, count in one.statuses.items() if status != "success")
        mark = "best" if one is surface.best and not surface.affine_is_best else ""
        values = [format_number(value, ".2f") for value in (one.rrmsd_mm, one.affine_rrmsd_mm)]
        rows.append([*one.point.settings.values(), *values, str(one.cases), str(one.failures), other, mark])
    columns = [*found.grid.axes, "RRMSD mm", "affine mm", "cases", "failures", "not success", ""]
    emit_table(found.sentence, columns, rows)
    for case, reason in found.failed.items():
        note(f"failed: {case}: {reason}")
