"""Output of all commands: messages and progress on stderr, results on stdout."""

from __future__ import annotations

import json
import logging
import math
import os
import sys
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sirtjax.parsing import json_value

log = logging.getLogger("sirtjax")
# What reverses or isolates the direction of the letters after it.
DIRECTIONS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
CHATTY = ("pydicom", "highdicom", "nibabel.global", "matplotlib")
# Texts of files are printed as they are: neither markup ("[b]") nor emoji codes (":star:").
err = Console(stderr=True, highlight=False, markup=False, emoji=False)
out = Console(highlight=False, markup=False, emoji=False)

Report = Callable[[str], None]


def set_up(*, verbose: bool, quiet: bool, debug: bool = False) -> None:
    """Send the package's log to stderr at the level asked for.

    What the readers of images say of odd files is shown with --debug only: it quotes the files, patients' names too.
    """
    level = logging.DEBUG if verbose else logging.ERROR if quiet else logging.WARNING
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_PlainFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    log.setLevel(level)
    for library in CHATTY:
        logging.getLogger(library).disabled = not debug  # a level some of them set themselves when imported
    if not debug:
        warnings.filterwarnings("ignore", module=r"(pydicom|highdicom|nibabel)\b")


def plain(text: str, *, lines: bool = False) -> str:
    r"""Returns a text that shows every character and does nothing to a terminal.

    Files can contain escape sequences, line breaks that forge other lines, and marks that reverse the direction of
    letters. They are replaced by what Python writes for them, as in "\x1b".

    Args:
      text: text as in a file.
      lines: keep line breaks and tabs.
    """
    kept = "\n\t" if lines else ""
    return "".join(char if char in kept or not _acts(char) else ascii(char)[1:-1] for char in text)


def _acts(char: str) -> bool:
    """Whether a character is invisible but has an effect: controls, line separators, halves of pairs, direction."""
    return unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(char) in DIRECTIONS


class _PlainFormatter(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = plain(record.message)
        return super().formatMessage(record)


def note(message: str) -> None:
    """One line of talk on stderr, not shown with --quiet."""
    if log.level < logging.ERROR:
        err.print(plain(message), soft_wrap=True)


@contextmanager
def progress(title: str) -> Iterator[Report]:
    """A live line on stderr that names the step under way; plain lines if stderr is not a terminal.

    Yields:
      A function to call with the name of each step as it begins.
    """
    if log.level >= logging.ERROR:
        yield _silent
    elif err.is_terminal:
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
        with Progress(*columns, console=err, transient=True) as bar:
            task = bar.add_task(plain(title))

            def show(step: str) -> None:
                bar.update(task, description=plain(f"{title}: {step}"))

            yield show
    else:

        def say(step: str) -> None:
            err.print(plain(f"{title}: {step}"))

        yield say


def _silent(step: str) -> None:
    return


def emit_json(value: object) -> None:
    """Print a value as JSON on stdout; JSON has no NaN and no infinity, both become null."""
    print(json.dumps(json_value(value), indent=2, allow_nan=False, default=str))


def format_number(value: float | None, form: str = ".4g") -> str:
    """A number of a table as text, "-" where there is none."""
    return "-" if value is None or not math.isfinite(value) else format(value, form)


def emit_text(text: str) -> None:
    """Print a text on stdout, with its lines."""
    print(plain(text, lines=True))


def emit_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print a table on stdout; the first column is left-aligned, the others right."""
    table = Table(title=Text(plain(title)), title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(Text(plain(column)), justify="left" if number == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    # A pipe has no width to keep to: nothing is folded then.
    console = out if out.is_terminal else Console(width=240, highlight=False, markup=False, emoji=False)
    console.print(table)


def use_compilation_cache() -> None:
    """Let JAX keep compiled programs between runs, in the user's cache folder.

    The setting JAX_COMPILATION_CACHE_DIR takes precedence; a folder that can't be written only costs time, so it is
    noted and passed over.
    """
    import jax

    from sirtjax import compilation_cache

    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "sirtjax", "jax")
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            log.info("no compilation cache at %s (%s)", folder, error.strerror)
            return
        jax.config.update("jax_compilation_cache_dir", folder)
    if kept_in := jax.config.values["jax_compilation_cache_dir"]:
        compilation_cache.set_cache_dir(Path(kept_in))
        compilation_cache.limit_folder(Path(kept_in))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def use_patient_key() -> None:
    """Let results identify their patient by hashes keyed with a secret of this user.

    Without a folder that can be written, plans are compared by their pseudonyms only; that is noted.
    """
    from sirtjax import io

    path = io.patient_key_file()
    try:
        io.use_patient_key(io.read_patient_key(path))
    except OSError as error:
        log.info("no key of patient marks at %s (%s)", path, error.strerror)
