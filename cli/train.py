"""The command `sirtjax train`: trains networks, writes reports of runs and exports models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, SupportsFloat, SupportsInt

import typer

from sirtjax.cli._console import emit_json, note, progress, use_compilation_cache
from sirtjax.cli._options import AsJson
from sirtjax.errors import ConfigError, OutputError

REPORT = "report.html"
SAMPLES = 8

ConfigName = Annotated[str, typer.Argument(help="Training file (TOML, docs/training.md), or the name of a recipe.")]
RunFolder = Annotated[Path, typer.Option("--output", "-o", help="Folder of the run to write.", show_default=False)]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the run in the folder.")]
MaxTime = Annotated[float | None, typer.Option(min=0, help="Pause after this time, s (continue with --resume).")]
Override = Annotated[list[str] | None, typer.Option("--set", help="Override a value, e.g. seed=2; repeatable.")]
Coordinator = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="Address of the first process, to share the work with other processes."),
]
Processes = Annotated[int | None, typer.Option(min=1, help="Number of processes.")]
Process = Annotated[int | None, typer.Option(min=0, help="Index of this process, from 0.")]

app = typer.Typer(no_args_is_help=True, help="Train segmentation and registration networks and export models.")


@app.callback()
def _networks() -> None:
    """Train segmentation and registration networks and export models."""


@app.command()
def segmentation(
    config: ConfigName,
    run: RunFolder,
    resume: Resume = False,
    max_time_s: MaxTime = None,
    override: Override = None,
    coordinator: Coordinator = None,
    processes: Processes = None,
    process: Process = None,
    as_json: AsJson = False,
) -> None:
    """Train a network from a recipe or a TOML file.

    Example: sirtjax train segmentation thesis-liver-ct -o runs/ct --set data.path=Dataset001_Liver. A run that was
    paused or killed continues with --resume, and its result is the same. All devices share each batch; with
    --coordinator, --processes and --process several computers with the same folders share it.
    """
    _join(coordinator, processes, process)
    use_compilation_cache()
    from sirtjax import studies, train

    made = train.load_training(config, overrides=override or ())
    with progress("train") as report:
        outcome = train.run_training(made, run, resume=resume, max_time_s=max_time_s, on_progress=report, on_note=note)
        # With several processes a part of them would wait for the others' pictures.
        if outcome.status != "paused" and processes is None:
            report("report")
            studies.write_training_report(run, run / REPORT, samples=SAMPLES)
    best = outcome.state
    _print(outcome.status, run, int(best.step), outcome.steps, best.best_score, best.best_step, as_json=as_json)


@app.command()
def registration(
    config: ConfigName,
    run: RunFolder,
    resume: Resume = False,
    max_time_s: MaxTime = None,
    override: Override = None,
    coordinator: Coordinator = None,
    processes: Processes = None,
    process: Process = None,
    as_json: AsJson = False,
) -> None:
    """Train a network that registers two images, from a recipe or a TOML file.

    Example: sirtjax train registration joint-velocity -o runs/joint --set data.bank=shape_bank.npz. A run that was
    paused or killed continues with --resume, and its result is the same. All devices share each batch; with
    --coordinator, --processes and --process several computers with the same folders share it.
    """
    _join(coordinator, processes, process)
    use_compilation_cache()
    from sirtjax import train

    made = train.load_joint_training(config, overrides=override or ())
    with progress("train") as report:
        outcome = train.run_joint_training(
            made, run, resume=resume, max_time_s=max_time_s, on_progress=report, on_note=note
        )
    best = outcome.progress
    _print(outcome.status, run, int(best.state.step), outcome.steps, best.best_dsc, best.best_step, as_json=as_json)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="Folder of the run.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Page to write (default: RUN/report.html).")
    ] = None,
    samples: Annotated[int, typer.Option(min=0, max=40, help="Number of pictures of training samples.")] = SAMPLES,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing page given by --output.")] = False,
) -> None:
    """Write an HTML report of a finished or running training run."""
    use_compilation_cache()
    if output is not None and output.exists() and not force:
        raise OutputError(f"{output}: exists already; choose another name or give --force")
    from sirtjax.studies import write_training_report

    target = run / REPORT if output is None else output
    with progress("report") as say:
        say("samples")
        write_training_report(run, target, samples=samples)
    note(f"written to {target}")


@app.command()
def export(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Folder of a run; the weights of several runs are averaged.", show_default=False),
    ],
    name: Annotated[str, typer.Option(help="Name of the model.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder to write (default: folder of user models).")
    ] = None,
    last: Annotated[
        bool, typer.Option("--last", help="Export the weights of the last step (default: of the best validation).")
    ] = False,
    licence: Annotated[str, typer.Option(help="Short name of the licence, e.g. Apache-2.0.")] = "",
    licence_file: Annotated[
        Path | None, typer.Option(help="File with the text of the licence.", show_default=False)
    ] = None,
    float16: Annotated[
        bool, typer.Option("--float16", help="Store convolution kernels in float16, at half the size.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing model.")] = False,
) -> None:
    """Export the weights of a run as a model.

    `sirtjax segment ... --model NAME` runs a segmentation network. Runs that are averaged must have started from the
    same weights. A registration network needs --output.
    """
    from sirtjax import registration_networks, segmentation, train

    try:
        text = "" if licence_file is None else licence_file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{licence_file}: the licence's text cannot be read ({error})") from error
    storage: Literal["float16", "float32"] = "float16" if float16 else "float32"
    if train.is_joint_run(runs[0]):
        if output is None or len(runs) > 1:
            raise ConfigError("a registration network is exported from one run to the folder --output; give both")
        network, about = train.model_of_joint_run(runs[0], name=name, licence=licence, last=last)
        registration_networks.save_registration_model(output, network, licence_text=text, storage=storage, force=force)
        target = output
    else:
        model, about = train.model_of_runs(runs, name=name, licence=licence, last=last)
        target = segmentation.models_folder() / name if output is None else output
        segmentation.save_model(target, model, licence_text=text, storage=storage, force=force)
    judged = f", validation DSC {about['dsc']:.4f}" if "dsc" in about else ""
    steps = about["step"] if isinstance(about["step"], int) else " and ".join(str(step) for step in about["step"])
    note(f"{name}: step {steps}{judged}; written to {target}")


def _join(coordinator: str | None, processes: int | None, process: int | None) -> None:
    if coordinator is None and processes is None and process is None:
        return
    if coordinator is None or processes is None or process is None:
        raise ConfigError("--coordinator, --processes and --process go together; give all three in every process")
    if process >= processes:
        raise ConfigError(f"--process is {process}; of {processes} processes the last is {processes - 1}")
    import jax

    jax.distributed.initialize(coordinator, num_processes=processes, process_id=process)


def _print(
    status: str, run: Path, step: int, steps: int, best_dsc: SupportsFloat, best_step: SupportsInt, *, as_json: bool
) -> None:
    import math

    best = float(best_dsc)
    if as_json:
        emit_json(
            {
                "status": status,
                "step": step,
                "steps": steps,
                "best_dsc": best if math.isfinite(best) else None,
                "best_step": int(best_step),
                "run": str(run),
            }
        )
    score = f", best DSC {best:.4f} at step {int(best_step)}" if math.isfinite(best) else ""
    note(f"{status} at step {step} of {steps}{score}; in {run}")
