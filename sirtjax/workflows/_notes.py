"""Notes that hold for several masks as one sentence that lists them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


def listed(names: Sequence[str]) -> str:
    """Joins names as in "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def masks_of(names: Sequence[str]) -> str:
    """Returns masks as the subject of a sentence and its "is" or "are"."""
    return f"the mask of the {names[0]} is" if len(names) == 1 else f"the masks of {listed(names)} are"


def grouped(found: Iterable[tuple[str, Key]]) -> dict[Key, list[str]]:
    """Groups the names that share a reason, both in order of appearance."""
    names: dict[Key, list[str]] = {}
    for name, reason in found:
        names.setdefault(reason, []).append(name)
    return names
