"""The verb `sirtjax train`: networks, from a training file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sirtjax.cli._console import emit_json, note, progress, use_compilation_cache
from sirtjax.cli._options import AsJson
from sirtjax.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from sirtjax.train import Outcome

REPORT = "report.html"
SAMPLES = 8

app = typer.Typer(no_args_is_help=True, help="Train networks, see docs/training.md.")


@app.callback()
def _networks() -> None:
    """Train networks, see docs/training.md."""


@app.command()
def segmentation(
    config: Annotated[str, typer.Argument(help="Training file (TOML), or the name of a recipe.")],
    run: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run.", show_default=False)],
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")] = False,
    stop_after_s: Annotated[
        float | None, typer.Option(min=0, help="Pause after so many seconds; go on with --resume.")
    ] = None,
    override: Annotated[
        list[str] | None, typer.Option("--set", help="Change a value, as in --set course.epochs=10; repeat.")
    ] = None,
    coordinator: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Share the work with other processes: the first one's address."),
    ] = None,
    processes: Annotated[int | None, typer.Option(min=1, help="How many there are.")] = None,
    process: Annotated[int | None, typer.Option(min=0, help="Which of them this is, from 0.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train a segmentation network; weights, state, logs and a report go to a folder.

    Example: sirtjax train segmentation thesis-liver-ct -o runs/ct --set data.path=Dataset001_Liver. A run that was
    paused or killed goes on with --resume, and ends as if it had not been. All devices share each batch; with
    --coordinator, --processes and --process so do those of several computers that see the same folders.
    """
    _join(coordinator, processes, process)
    use_compilation_cache()
    from sirtjax import studies, train

    made = train.load_training(config, overrides=override or ())
    with progress("train") as report:
        outcome = train.run_training(made, run, resume=resume, stop_after_s=stop_after_s, on_progress=report)
        # With several processes a part of them would wait for the others' pictures.
        if outcome.status != "paused" and processes is None:
            report("report")
            studies.write_training_report(run, run / REPORT, samples=SAMPLES)
    _tell(outcome, run, as_json=as_json)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="Folder of a run.", show_default=False)],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Page to write; RUN/report.html.")] = None,
    samples: Annotated[int, typer.Option(min=0, max=40, help="Pictures of training samples.")] = SAMPLES,
    force: Annotated[bool, typer.Option("--force", help="Replace a page given by --output.")] = False,
) -> None:
    """Curves, cases and sample pictures of a run, as one HTML page; also of one that goes on."""
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
        list[Path], typer.Argument(help="Folder of a run; of several, the mean of their weights.", show_default=False)
    ],
    name: Annotated[str, typer.Option(help="What to call the model.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder to write; by default among your own models.")
    ] = None,
    last: Annotated[
        bool, typer.Option("--last", help="The weights of the last step, not those of the best validation.")
    ] = False,
    licence: Annotated[str, typer.Option(help="Short name of its licence, such as Apache-2.0.")] = "",
    licence_file: Annotated[Path | None, typer.Option(help="The licence's text.", show_default=False)] = None,
    half: Annotated[bool, typer.Option("--half", help="Store kernels in half precision: half the size.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
) -> None:
    """Make a model of the weights of a run, for `sirtjax segment ... --model NAME`.

    Of several runs, each of which began with the weights of another, it gets the mean of their weights.
    """
    from sirtjax import segmentation, train

    try:
        text = "" if licence_file is None else licence_file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{licence_file}: the licence's text cannot be read ({error})") from error
    model, about = train.model_of_runs(runs, name=name, licence=licence, last=last)
    target = segmentation.models_folder() / name if output is None else output
    segmentation.save_model(target, model, licence_text=text, storage="float16" if half else "float32", force=force)
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


def _tell(outcome: Outcome, run: Path, *, as_json: bool) -> None:
    import math

    best = float(outcome.state.best_score)
    step = int(outcome.state.step)
    if as_json:
        emit_json(
            {
                "status": outcome.status,
                "step": step,
                "steps": outcome.steps,
                "best_dsc": best if math.isfinite(best) else None,
                "best_step": int(outcome.state.best_step),
                "run": str(run),
            }
        )
    score = f", best DSC {best:.4f} at step {int(outcome.state.best_step)}" if math.isfinite(best) else ""
    note(f"{outcome.status} at step {step} of {outcome.steps}{score}; in {run}")
