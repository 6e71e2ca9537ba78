"""The files in a folder of steps: which of them a run wrote, and which a person edited."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Any

from sirtjax.errors import ImageFormatError, OutputError
from sirtjax.parsing import parse_json
from sirtjax.reports._steps_state import StepIndex, edited_files, files_of, written_hashes

INDEX = "steps.json"
# The report of the registration.
PAGE = "registration.html"
# The case with its paths, so that the folder is sufficient to review it and plan again.
CASE = "case.json"


def read_index(folder: Path) -> StepIndex:
    """Returns the index of the saved steps; empty without one.

    Args:
      folder: folder of the steps.

    Raises:
      ImageFormatError: the index is damaged.
    """
    path = folder / INDEX
    if not path.is_file():
        return {}
    try:
        index: Any = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ImageFormatError(
            f"{path}: cannot be read ({error}); remove the folder and run the steps again"
        ) from error
    if not isinstance(index, dict):
        raise ImageFormatError(f"{path}: not an index of steps; remove the folder and run the steps again")
    return index


def refuse_edited_steps(folder: Path) -> None:
    """Refuses to replace a folder of steps in which a result was edited manually or in the review.

    Args:
      folder: folder of the steps, which need not exist.

    Raises:
      OutputError: a result was edited.
      ImageFormatError: the index of the steps is damaged.
    """
    edited = edited_files(read_index(folder), folder)
    if edited:
        verb, it = ("was", "it") if len(edited) == 1 else ("were", "them")
        raise OutputError(
            f"{', '.join(map(str, edited))} {verb} edited by hand and would be lost; use {it} with --resume, or move "
            f"or delete {it}"
        )


def own_step_files(output: Path) -> tuple[str, ...]:
    """Returns patterns of the files in OUTPUT/steps that a run wrote, for `io.atomic_folder`.

    Args:
      output: folder of the plan, which need not exist.

    Raises:
      ImageFormatError: the index of the steps is damaged.
    """
    folder = output / "steps"
    names = [file for step, entry in read_index(folder).items() for file in files_of(step, entry)]
    return (*(f"steps/{glob.escape(name)}" for name in (INDEX, CASE, PAGE, *names)), "steps/resampling/*")


def remove_stale_files(folder: Path, before: StepIndex, index: StepIndex) -> None:
    """Removes results that an index listed and the next one does not, such as those of a renamed lesion.

    A file that was edited since it was written is kept.

    Args:
      folder: folder of the steps.
      before: index of the saved steps until now.
      index: the next index.
    """
    from sirtjax.io import file_sha256

    kept = {file for step, entry in index.items() for file in files_of(step, entry)}
    for step, entry in before.items():
        for file, sha256 in written_hashes(step, entry).items():
            if file not in kept and file_sha256(folder / file) == sha256:
                (folder / file).unlink()
