"""The `sirtjax` command: global options, and one file per command; heavy packages are imported inside commands."""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import signal
import sys
import traceback
from contextlib import suppress
from typing import Annotated

import typer

from sirtjax import __version__
from sirtjax.cli import _console
from sirtjax.errors import InputError, SirtjaxError

# What a shell gives for a program stopped by Ctrl-C, and typer with it.
INTERRUPTED = 130
# Signals by which a batch system, a closed terminal or `kill` ends a process; its exit code is 128 plus the number.
STOPS = {128 + number: name for name in ("SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None}
# Options of glibc's mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
GLOBAL_FLAGS = frozenset({"--verbose", "-v", "--quiet", "-q", "--debug"})

app = typer.Typer(
    name="sirtjax",
    help="Planning and verification of liver radioembolisation (SIRT). Research software, not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"sirtjax {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print debug messages to stderr.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors to stderr.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Print the traceback of an error.")] = False,
) -> None:
    _console.set_up(verbose=verbose, quiet=quiet, debug=debug)


def _register_verbs() -> None:
    from sirtjax.cli import (
        accumulate,
        anonymise,
        doctor,
        evaluate,
        evaluate_contours,
        evaluate_segmentation,
        fetch,
        inspect,
        models,
        order,
        plan,
        prescribe,
        protocols,
        register,
        resolution,
        review,
        segment,
        segment_uptake,
        send,
        series,
        serve,
        simulate,
        step,
        territories,
        train,
        tune,
        warp,
    )

    for verb in (
        plan.plan,
        plan.verify,
        accumulate.accumulate,
        step.step,
        prescribe.prescribe,
        order.order,
        register.register,
        resolution.resolution,
        review.review,
        territories.territories,
        warp.warp,
        tune.tune,
        segment_uptake.uptake,
        series.series,
        serve.serve,
        send.send,
        fetch.fetch,
        inspect.inspect,
        anonymise.anonymise,
        doctor.doctor,
        protocols.protocols,
        simulate.simulate,
    ):
        app.command()(verb)
    app.add_typer(segment.app, name="segment")
    evaluate.app.command()(evaluate_segmentation.segmentation)
    evaluate.app.command()(evaluate_contours.contours)
    app.add_typer(evaluate.app, name="evaluate")
    app.add_typer(models.app, name="models")
    app.add_typer(train.app, name="train")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 a computation failed, 2 bad input, 129, 130 or 143 stopped."""
    if arguments is None:
        _spare_the_processor()
        _stop_by_exit()
    given = _global_options_first(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    try:
        app(args=given, prog_name="sirtjax")
    except SystemExit as stopped:
        code = stopped.code
        if arguments is None and isinstance(code, int) and code in (INTERRUPTED, *STOPS):
            _leave_at_once(code)
        raise
    except Exception as error:
        if debug:
            print(_console.plain(traceback.format_exc(), lines=True), end="", file=sys.stderr)
        else:
            print(_console.plain(f"sirtjax: {_error_text(error)}"), file=sys.stderr)
        code = 2 if isinstance(error, InputError) else 1
        if arguments is None:
            _leave_at_once(code)
        sys.exit(code)


def _stop_by_exit() -> None:
    """Let a signal end the process as Ctrl-C does, so that unfinished files are removed."""
    for code, name in STOPS.items():
        number = getattr(signal, name)
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores SIGHUP
            signal.signal(number, lambda *_, code=code: sys.exit(code))


def _spare_the_processor() -> None:
    """Settings of a process of its own, which take about a tenth off a registration's processor seconds."""
    # Imports make hundreds of thousands of objects that stay: the collector need not look through them all the time,
    # nor once more at the end.
    gc.set_threshold(50_000, 20, 50)
    atexit.register(gc.freeze)
    # XLA has threads of its own; NumPy's would spin beside them, for products of a few rows. Read when NumPy loads.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # glibc hands freed arrays out again instead of fetching fresh pages: a third of the time in the kernel.
    set_option = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if set_option is not None:  # other C libraries have none
        set_option(_M_MMAP_THRESHOLD, 2**30)
        set_option(_M_TRIM_THRESHOLD, 2**31 - 1)


def _leave_at_once(code: int) -> None:
    """End the process now: a computation under way, or a library whose disk was full, would crash as it is unloaded."""
    with suppress(OSError):  # the terminal may be gone
        if code in STOPS:
            print(f"sirtjax: stopped by {STOPS[code]}", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _error_text(error: Exception) -> str:
    """The message of an error for the user, in one line."""
    if isinstance(error, SirtjaxError):
        return " ".join(str(error).split())
    if isinstance(error, OSError):
        return f"{error.filename or 'file'}: {error.strerror or error}"
    told = " ".join(str(error).split())
    return f"internal error, {type(error).__name__}: {told}; please report it with --debug's output"


def _global_options_first(arguments: list[str]) -> list[str]:
    """Let `sirtjax plan ... --quiet` mean `sirtjax --quiet plan ...`."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    first = [word for word in arguments[:end] if word in GLOBAL_FLAGS]
    return first + [word for word in arguments[:end] if word not in GLOBAL_FLAGS] + arguments[end:]


_register_verbs()
