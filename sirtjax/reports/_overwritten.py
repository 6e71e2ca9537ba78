"""What a run must not overwrite: its own inputs, and the folder of another patient."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sirtjax.errors import OutputError
from sirtjax.parsing import parse_json

if TYPE_CHECKING:
    from sirtjax.workflows import Accumulation, Case


def refuse_inputs_in_output(output: Path, case: Case | Accumulation, *, case_file: Path | None = None) -> None:
    """Refuses an output folder that contains an input of the run.

    Replacing the folder would delete the input.

    Args:
      output: output folder, which need not exist.
      case: the case, or the file of the treatments.
      case_file: the file that was read; None if there is none.

    Raises:
      OutputError: the case file, the plan, the folder of a treatment or another input is in the folder.
    """
    if not output.is_dir():
        return
    for key, path in (("case file", case_file), *_inputs(case)):
        if path is not None and _is_inside(path, output):
            raise OutputError(f"{output}: the output folder contains {_what(key, path)}; choose another folder")


def refuse_folder_of_other_patient(output: Path, case: Case) -> None:
    """Refuses to continue in, or to replace, a folder with the results or steps of another patient.

    Args:
      output: output folder, which need not exist.
      case: the case.

    Raises:
      OutputError: results.json or steps/case.json states another `patient.id`.
    """
    for file, keys in (("results.json", ("patient_id",)), ("steps/case.json", ("patient", "id"))):
        found: Any = _json(output / file)
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        if isinstance(found, str) and found != case.patient.id:
            raise OutputError(
                f"{output}: {file} is of another patient (patient.id differs from that of the case); "
                "choose another folder, or delete this one"
            )


def refuse_outputs_that_are_inputs(outputs: Iterable[Path | None], inputs: Iterable[Path | None]) -> None:
    """Refuses to overwrite an input of the run.

    Args:
      outputs: files or folders to write, which need not exist; None for those that are not requested.
      inputs: files and DICOM folders that are read; None for those that are not given.

    Raises:
      OutputError: an output is an input, is a DICOM file in one, or is a folder that contains one.
    """
    from sirtjax import dicom

    given = [path for path in inputs if path is not None and path.exists()]
    for output in outputs:
        if output is None or not output.exists():
            continue
        for path in given:
            if output.is_dir():
                taken = _is_inside(path, output)
            elif path.is_dir():
                taken = _is_inside(output, path) and dicom.is_dicom(output)
            else:
                taken = path.samefile(output)
            if taken:
                where = "is" if path.samefile(output) else "contains" if output.is_dir() else "is part of"
                raise OutputError(f"{output}: {where} an input of this run ({path.name}); choose another name")


def _json(path: Path) -> Any:
    """The content of a file; None if it is missing or damaged, which its reader reports."""
    try:
        return parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _what(key: str, path: Path) -> str:
    if key == "plan":
        return "the plan of this verification"
    if key == "case file":
        return f"the file of this run ({path.name})"
    if key.startswith("treatments.") and key.endswith(".folder"):
        return f"the treatment {path.name!r} of this accumulation"
    return f"an input of this run ({key}, {path.name})"


def _inputs(case: Case | Accumulation) -> Iterator[tuple[str, Path]]:
    """Every path of a case with its key."""
    yield from _paths("", case)
    # A protocol and a device are names or files.
    for key in ("protocol.name", "order.device"):
        value: Any = case
        for part in key.split("."):
            value = getattr(value, part, None)
        name = value.partition("#")[0] if isinstance(value, str) else ""
        if name.endswith(".toml"):
            yield key, Path(name)


def _paths(key: str, value: Any) -> Iterator[tuple[str, Path]]:
    if isinstance(value, Path):
        yield key, value
    elif isinstance(value, tuple):
        for number, item in enumerate(value):
            yield from _paths(f"{key}.{number}", item)
    else:
        for name in getattr(type(value), "model_fields", {}):
            yield from _paths(f"{key}.{name}".lstrip("."), getattr(value, name))


def _is_inside(path: Path, folder: Path) -> bool:
    """Returns whether a path exists and is the folder or in it, by its own place or that of a link's target."""
    if not path.exists():
        return False
    places = {Path(os.path.abspath(path)), path.resolve()}
    parts = {part for place in places for part in (place, *place.parents)}
    return any(part.exists() and part.samefile(folder) for part in parts)
