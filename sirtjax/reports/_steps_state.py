"""The inputs of each saved step by hash, and which steps are out of date because one of them changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from sirtjax.workflows import Case

# Tables of a case that each step depends on: a step with other settings runs again.
DEPENDS = {
    "images": ("images",),
    "liver": ("images", "masks"),
    "lesions": ("images", "masks"),
    "territories": ("images", "masks", "territories", "registration"),
    "registration": ("images", "masks", "registration"),
}
# Tables of a case that can name an edited file of a step; [masks] of all others.
NAMED_IN = {"territories": "[territories]", "registration": "[registration]"}
# Steps in the order in which they run.
ORDER = tuple(DEPENDS)

RESULT = "result of step"
EDITED_TRANSFORM = "the transform file of the step was edited manually"
EDITED, MISSING = "edited manually", "missing"
# Content of steps.json: one table per step.
StepEntry = Mapping[str, object]
StepIndex = Mapping[str, StepEntry]
State = Literal["current", "edited", "out of date", "missing"]


@dataclass(frozen=True, kw_only=True)
class StepState:
    """The state of one saved step.

    Attributes:
      step: name of the step.
      state: "current"; "edited" manually since it was written, and used as it is; "out of date" if an input changed, so
        that it is recomputed; "missing" if it was not run.
      reasons: the inputs that changed, and the files that were edited.
      lost_edits: files that were edited manually although the step is out of date: a recomputation would discard them.
    """

    step: str
    state: State
    reasons: tuple[str, ...] = ()
    lost_edits: tuple[str, ...] = ()

    @property
    def causes(self) -> tuple[str, ...]:
        """The reasons for which the step is out of date."""
        return tuple(reason for reason in self.reasons if not reason.endswith((EDITED, MISSING)))


def step_inputs(case: Case, step: str) -> dict[str, str]:
    """Returns the hash of each input of a step: its tables of the case, and the files that they name.

    The content of an image counts only if the step uses its voxels: the registration, and masks that are segmented
    automatically.

    Args:
      case: the case with absolute paths.
      step: name of a step.
    """
    from sirtjax.io import file_sha256

    tables = {key: getattr(case, key) for key in DEPENDS.get(step, ())}
    dumped = case.model_dump(mode="json", include=set(tables))
    # It is used after the steps: masks, territories and registration are the same with every resolution.
    if "images" in dumped:
        dumped["images"]["activity"]["resolution_fwhm_mm"] = None
    found = {f"[{key}]": _hash(json.dumps(dumped.get(key), sort_keys=True)) for key in tables}
    for key, table in tables.items():
        if key != "images" or _reads_images(case, step):
            for path in _paths_of(table):
                found[f"file {path.name}"] = file_sha256(path) or "missing"
    return found


def fingerprint(inputs: Mapping[str, str]) -> str:
    """Returns one hash of all inputs of a step."""
    return _hash(json.dumps(sorted(inputs.items())))


def earlier_results(case: Case, step: str, entries: StepIndex, folder: Path) -> dict[str, str]:
    """Returns the hash of the result of each earlier step that a step uses, as its files are now.

    Args:
      case: the case.
      step: name of a step.
      entries: index of the saved steps.
      folder: folder of the steps.
    """
    from sirtjax.io import file_sha256

    used = _used_steps(case, step)
    return {
        name: _hash("\n".join(file_sha256(folder / file) or "missing" for file in files_of(name, entries[name])))
        for name in used
        if name in entries
    }


def step_states(case: Case, entries: StepIndex, folder: Path) -> tuple[StepState, ...]:
    """Returns the state of every step, in the order in which they run.

    Args:
      case: the case with absolute paths, as it is now.
      entries: index of the saved steps.
      folder: folder of the steps.
    """
    from sirtjax.io import file_sha256

    states: dict[str, StepState] = {}
    for step in sorted(ORDER, key=lambda name: (name == "territories", ORDER.index(name))):
        if step not in entries:
            states[step] = StepState(step=step, state="missing")
            continue
        entry: dict[str, Any] = dict(entries[step])
        inputs = step_inputs(case, step)
        changed: list[str] = []
        if entry.get("of") != fingerprint(inputs):
            before = entry.get("inputs", {})
            names = [name for name in {**before, **inputs} if before.get(name) != inputs.get(name)]
            changed = [f"{name} changed" for name in names] or ["the case changed"]
        others = [f for f, sha256 in written_hashes(step, entry).items() if (file_sha256(folder / f) or "") != sha256]
        edited = [f"{file} {EDITED if (folder / file).exists() else MISSING}" for file in others]
        if not changed and not edited:
            now, then = earlier_results(case, step, entries, folder), entry.get("earlier", {})
            changed = [f"{RESULT} {name} changed" for name in now if name in then and then[name] != now[name]]
            changed += [f"{RESULT} {name} is out of date" for name in now if states[name].state == "out of date"]
        if changed:
            mine = [file for file in dict.fromkeys((*others, *_kept_edits(step, entry))) if (folder / file).exists()]
            gone = [reason for reason in edited if reason.endswith(MISSING)]
            reasons = (*changed, *(f"{file} {EDITED}" for file in mine), *gone)
            states[step] = StepState(step=step, state="out of date", reasons=reasons, lost_edits=tuple(mine))
        else:
            states[step] = StepState(step=step, state="edited" if edited else "current", reasons=tuple(edited))
    return tuple(states[step] for step in ORDER)


def refuse_lost_edits(state: StepState, folder: Path) -> None:
    """Refuses to recompute a step whose files were edited manually.

    Args:
      state: state of the step.
      folder: folder of the steps.

    Raises:
      OutputError: the step is out of date and has such a file.
    """
    from sirtjax.errors import OutputError

    if not state.lost_edits:
        return
    files = ", ".join(str(folder / file) for file in state.lost_edits)
    why = ", ".join(state.causes)
    verb, it = ("was", "it") if len(state.lost_edits) == 1 else ("were", "them")
    table = NAMED_IN.get(state.step, "[masks]")
    raise OutputError(
        f"{files} {verb} edited by hand and would be recomputed ({why}); move {it} and name {it} in {table}, "
        f"or delete {it}"
    )


def edited_files(entries: StepIndex, folder: Path) -> tuple[Path, ...]:
    """Returns the files of all steps that were edited manually, also those that an earlier run used.

    Args:
      entries: index of the saved steps.
      folder: folder of the steps.
    """
    from sirtjax.io import file_sha256

    found: list[str] = []
    for step, entry in entries.items():
        hashes = written_hashes(step, entry)
        found += [file for file, sha256 in hashes.items() if (file_sha256(folder / file) or sha256) != sha256]
        found += [file for file in _kept_edits(step, entry) if (folder / file).exists()]
    return tuple(folder / file for file in dict.fromkeys(found))


def from_results(reason: str) -> bool:
    """Returns whether a reason is the result of an earlier step, and not an input of the case."""
    return reason.startswith(RESULT)


def files_of(step: str, entry: StepEntry) -> list[str]:
    """Returns the files with the result of a step, relative to the folder of the steps."""
    table: dict[str, Any] = dict(entry)
    rows = [*table.get("vois", ()), *([table["lungs"]] if "lungs" in table else [])]
    files = [row["file"] for row in rows] + ([table["file"]] if "file" in table else [])
    return files + (["territories.nii.gz"] if step == "territories" and entry.get("names") else [])


def written_hashes(step: str, entry: StepEntry) -> dict[str, str]:
    """Returns the hash of each file of a step as it was written."""
    table: dict[str, Any] = dict(entry)
    rows = [*table.get("vois", ()), *([table["lungs"]] if "lungs" in table else [])]
    found = {row["file"]: row["sha256"] for row in rows if "sha256" in row}
    if table.get("sha256"):
        own: dict[str, object] = {key: table[key] for key in ("file", "names") if key in table}
        found |= dict.fromkeys(files_of(step, own), table["sha256"])
    return found


def _kept_edits(step: str, entry: Mapping[str, Any]) -> list[str]:
    """The files of a step that a person edited, by hand or in the review, before a run used them and wrote them."""
    rows = [*entry.get("vois", ()), *([entry["lungs"]] if "lungs" in entry else [])]
    files = [(row["file"], row.get("used")) for row in rows]
    if step == "territories":
        files += [(file, entry.get("used")) for file in files_of(step, entry)]
    found = [file for file, used in files if used and used["replaces"]]
    notes = (entry.get("record") or {}).get("notes", ())
    return found + ([entry["file"]] if step == "registration" and EDITED_TRANSFORM in notes else [])


def _reads_images(case: Case, step: str) -> bool:
    if step == "liver":
        return case.masks.liver is None or (case.masks.lungs is None and case.lung_shunt.method == "spect")
    return step == "registration" or (step == "lesions" and case.masks.segment_lesions)


def _used_steps(case: Case, step: str) -> tuple[str, ...]:
    """The earlier steps whose result a step uses."""
    if step == "lesions":
        return ("liver",) if case.masks.segment_lesions else ()
    if step == "registration":
        computed = case.registration is not None and case.registration.computed
        return ("liver",) if computed else ()
    if step == "territories" and case.territories is not None:
        liver = case.masks.liver
        apart = liver is not None and liver.image != case.territories.image
        return ("liver", "registration") if apart else ("liver",)
    return ()


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _paths_of(value: Any) -> list[Path]:
    """Every path in a table of the case, in order."""
    if isinstance(value, Path):
        return [value]
    if isinstance(value, tuple):
        return [path for item in value for path in _paths_of(item)]
    fields = getattr(type(value), "model_fields", {})
    return [path for name in fields for path in _paths_of(getattr(value, name))]
