"""The verb `sirtjax tune`: which weights register a list of training cases best."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sirtjax.cli._console import Report, emit_json, emit_table, note, progress, use_compilation_cache
from sirtjax.cli._options import AsJson, Force, Output
from sirtjax.errors import ComputationError, ConfigError, SirtjaxError
from sirtjax.parsing import ParseError, parse_toml

if TYPE_CHECKING:
    from sirtjax.cli._tune_cases import TuneCase
    from sirtjax.cli._tune_grid import Grid, GridPoint
    from sirtjax.cli._tune_record import Record
    from sirtjax.cli._tune_surface import Surface
    from sirtjax.registration import RegistrationConfig

Cases = Annotated[Path, typer.Argument(help="Table of training cases (CSV), see docs/tuning.md.", show_default=False)]
GridOption = Annotated[
    list[str] | None,
    typer.Option(
        "--grid", help="A key of the preset and its values: weights.image=0,0.3,1,3,10; repeat for more axes."
    ),
]


def tune(
    cases: Cases,
    output: Output,
    preset: Annotated[str, typer.Option(help="image, cnn, cnn-lm, descriptor, descriptor-guided.")] = "cnn",
    config: Annotated[Path | None, typer.Option(help="Configuration file (TOML) in place of a preset.")] = None,
    override: Annotated[
        list[str] | None, typer.Option("--set", help="Change a value of the preset for all points; repeat.")
    ] = None,
    grid: GridOption = None,
    batch: Annotated[int, typer.Option(min=1, max=256, help="Points of the grid solved together.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Of the random sampling of voxels.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what OUTPUT holds of this sweep.")] = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Search a grid of weights for those that register a list of cases best, by the RRMSD of all cases.

    Every row is on the disk before the next is computed: stop it when you like, and go on with --resume. The exit
    code is 1 if any case could not be registered and measured.
    """
    use_compilation_cache()
    from sirtjax.cli._tune_cases import read_list
    from sirtjax.cli._tune_grid import make_grid
    from sirtjax.cli._tune_record import Record, state_of
    from sirtjax.cli._tune_surface import make_surface

    if resume and force:
        raise ConfigError("--resume goes on with a sweep and --force begins anew; give one of them")
    listed = read_list(cases)
    base = _config(preset, config, override or [])
    searched = make_grid(base, grid or [])
    size = min(batch, len(searched.points))
    record = Record(output, list(searched.axes), state_of(base, list(searched.axes), seed=seed, batch=batch))
    record.open(resume=resume, force=force)
    note(_told(searched, len(listed)))
    failed: dict[str, str] = {}
    keys: dict[str, list[str]] = {}
    with progress("tune") as on_step:
        for number, case in enumerate(listed, start=1):
            try:
                keys[case.case] = _case(
                    case, record, searched, size=size, seed=seed, on_step=on_step, at=f"{number} of {len(listed)}"
                )
            except (SirtjaxError, OSError) as error:
                failed[case.case] = " ".join(str(error).split())
                note(f"{case.case}: {failed[case.case]}")
    rows = [[record.rows[own[place]] for own in keys.values()] for place in range(len(searched.points))]
    surface = make_surface(searched, rows)
    _write(output, base, searched, surface, cases=len(keys), failed=failed)
    _tell(searched, surface, record, keys, failed, as_json=as_json)
    note(f"written to {output}")
    if failed:
        first = next(iter(failed))
        raise ComputationError(
            f"{len(failed)} of {len(listed)} cases could not be registered and are not in the RRMSD; the first is "
            f"{first}: {failed[first]}"
        )
    if surface.best is None:
        raise ComputationError("no point of the grid has an RMSD; look at the statuses in results.csv")


def _config(preset: str, path: Path | None, settings: list[str]) -> RegistrationConfig:
    from sirtjax import registration

    if path is None:
        return registration.apply_settings(registration.load_preset(preset), settings)
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; expected a configuration (TOML), see docs/registration.md")
    try:
        table = parse_toml(path.read_text(encoding="utf-8"))
    except (ParseError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not readable as TOML ({error})") from error
    return registration.apply_settings(registration.config_from_table(table, name=path.stem), settings)


def _told(grid: Grid, cases: int) -> str:
    programs = len(grid.structures())
    text = f"{len(grid.points)} points of {', '.join(grid.axes)} for {cases} cases"
    if programs > 1:
        text += f"; {programs} programs to compile, as not all that is swept are weights"
    return text


def _case(case: TuneCase, record: Record, grid: Grid, *, size: int, seed: int, on_step: Report, at: str) -> list[str]:
    """Measure what is missing of a case; the keys of its rows, in the order of the grid's points."""
    from sirtjax import registration
    from sirtjax.cli._tune_cases import fingerprint, read_case

    on_step(f"{case.case} ({at})")
    mark = fingerprint(case)
    keys = {id(point): record.key(mark, point.settings) for point in grid.points}
    data = None
    for points in grid.structures():
        # The same points are always solved together, so that a run that was stopped ends with the same numbers.
        chunks = [points[begin : begin + size] for begin in range(0, len(points), size)]
        bench = None
        for number, chunk in enumerate(chunks, start=1):
            missing = [point for point in chunk if keys[id(point)] not in record.rows]
            if not missing:
                continue
            if data is None:
                data = read_case(case)
                for line in data.notes:
                    note(f"{case.case}: {line}")
            if bench is None:
                bench = data.bench(points[0].config)
            on_step(f"{case.case} ({at}), {number} of {len(chunks)}")
            trials = registration.try_weights(
                bench,
                [point.config.weights for point in chunk],
                config=chunk[0].config,
                swept=grid.swept,
                seed=seed,
                batch_size=size,
            )
            done = [
                (keys[id(point)], point.settings, trial)
                for point, trial in zip(chunk, trials, strict=True)
                if point in missing
            ]
            record.add(case.case, done)
    return [keys[id(point)] for point in grid.points]


def _write(
    output: Path, base: RegistrationConfig, grid: Grid, surface: Surface, *, cases: int, failed: dict[str, str]
) -> None:
    from matplotlib import rc_context

    from sirtjax import io
    from sirtjax.cli._tune_preset import preset_toml
    from sirtjax.cli._tune_surface import picture_of, write_surface
    from sirtjax.reports import sweep_figure

    write_surface(output / "surface.csv", grid, surface)
    count = f"{cases} case{'s' if cases != 1 else ''}" + (f" ({len(failed)} failed)" if failed else "")
    figure = sweep_figure(picture_of(grid, surface, title=f"RRMSD of {base.name} over {count}"))
    with io.atomic_path(output / "surface.png", force=True) as temporary:
        figure.savefig(temporary, dpi=150)
    # The same numbers give the same file.
    with io.atomic_path(output / "surface.svg", force=True) as temporary, rc_context({"svg.hashsalt": "sirtjax"}):
        figure.savefig(temporary, metadata={"Date": None, "Creator": None})
    if surface.best is not None:
        config, header = _best(base, grid, surface, count)
        with io.atomic_path(output / "best.toml", force=True) as temporary:
            temporary.write_text(preset_toml(config, header), encoding="utf-8")


def _best(base: RegistrationConfig, grid: Grid, surface: Surface, count: str) -> tuple[RegistrationConfig, list[str]]:
    """The best preset, and how it was found."""
    from sirtjax import __version__

    best = surface.best
    if best is None:
        raise ComputationError("no point of the grid has an RMSD")
    config = best.point.config
    searched = "; ".join(f"{key} = {', '.join(values)}" for key, values in grid.axes.items())
    header = [
        f"The best of {len(grid.points)} points of a search from the preset {base.name} over {count}: {searched}",
        f"Found with sirtjax tune {__version__}: {_sentence(surface)}.",
        "Used by: sirtjax register REF FLO -o OUT --config THIS.toml",
    ]
    if surface.affine_is_best:
        config = config.model_copy(update={"deformable": config.deformable.model_copy(update={"model": "none"})})
        header.insert(2, 'Therefore deformable.model = "none".')
    return config, header


def _sentence(surface: Surface) -> str:
    best = surface.best
    if best is None:
        return "nothing could be measured"
    if surface.affine_is_best:
        lowest = min((one.rrmsd_mm for one in surface.points if math.isfinite(one.rrmsd_mm)), default=math.nan)
        return (
            f"the affine map alone is best, RRMSD {best.affine_rrmsd_mm:.2f} mm; no deformation of this grid improves "
            f"on it (lowest {lowest:.2f} mm)"
        )
    settings = ", ".join(f"{key} = {value}" for key, value in best.point.settings.items())
    failures = f", {best.failures} failed" if best.failures else ""
    return (
        f"best at {settings}: RRMSD {best.rrmsd_mm:.2f} mm over {best.cases} cases{failures}; "
        f"the affine map alone {best.affine_rrmsd_mm:.2f} mm"
    )


def _tell(
    grid: Grid, surface: Surface, record: Record, keys: dict[str, list[str]], failed: dict[str, str], *, as_json: bool
) -> None:
    if as_json:
        emit_json(_as_json(grid, surface, record, keys, failed))
        return
    rows = []
    for one in surface.points:
        told = ", ".join(f"{count} {status}" for status, count in one.statuses.items() if status != "success")
        mark = "best" if one is surface.best and not surface.affine_is_best else ""
        values = [_number(value) for value in (one.rrmsd_mm, one.affine_rrmsd_mm)]
        rows.append([*_settings(one.point), *values, str(one.cases), str(one.failures), told, mark])
    emit_table(_sentence(surface), [*grid.axes, "RRMSD mm", "affine mm", "cases", "failures", "not success", ""], rows)
    for case, reason in failed.items():
        note(f"failed: {case}: {reason}")


def _settings(point: GridPoint) -> list[str]:
    return list(point.settings.values())


def _as_json(
    grid: Grid, surface: Surface, record: Record, keys: dict[str, list[str]], failed: dict[str, str]
) -> dict[str, Any]:
    best = surface.best
    points = [
        {
            "settings": dict(one.point.settings),
            "rrmsd_mm": _finite(one.rrmsd_mm),
            "affine_rrmsd_mm": _finite(one.affine_rrmsd_mm),
            "deformed_rrmsd_mm": _finite(one.deformed_rrmsd_mm),
            "cases": one.cases,
            "failures": one.failures,
            "statuses": dict(one.statuses),
        }
        for one in surface.points
    ]
    cases = {
        case: [
            {"status": row.status, **{name: _finite(value) for name, value in row.figures.items()}}
            for row in (record.rows[key] for key in own)
        ]
        for case, own in keys.items()
    }
    return {
        "axes": {key: list(values) for key, values in grid.axes.items()},
        "points": points,
        "best": None if best is None else dict(best.point.settings),
        "affine_is_best": surface.affine_is_best,
        "summary": _sentence(surface),
        "cases": cases,
        "failed": failed,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "-"
