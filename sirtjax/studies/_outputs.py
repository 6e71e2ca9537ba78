"""The files that a study writes: their types, and that they are not files it reads."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sirtjax.errors import OutputError

TABLE, PLOT, PAGE = (".csv",), (".png", ".pdf", ".svg"), (".html",)


def check_output(output: Path | None, *, suffixes: tuple[str, ...], inputs: Iterable[Path | None], force: bool) -> None:
    """Checks a file to write before the study begins.

    Args:
      output: file to write; None for none.
      suffixes: file types of this output.
      inputs: files and DICOM folders that the study reads; None for those that are not given.
      force: overwrite an existing file that is not an input.

    Raises:
      OutputError: the file has another type, is an input, or exists and `force` is not given.
    """
    from sirtjax.reports import refuse_outputs_that_are_inputs

    if output is None:
        return
    if output.suffix.lower() not in suffixes:
        raise OutputError(f"{output}: expected a file name that ends in {' or '.join(suffixes)}; choose another name")
    refuse_outputs_that_are_inputs([output], inputs)
    if output.exists() and not force:
        raise OutputError(f"{output}: exists already; choose another name or give --force")
