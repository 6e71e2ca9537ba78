from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from sirtjax.config import preset_table


@dataclass(frozen=True, kw_only=True)
class ConfidentialityProfile:
    """The basic profile of PS3.15 as sets of tags, from configs/dicom/basic-profile.toml.

    Attributes:
      edition: edition of the standard, and its table.
      removed_groups: even group numbers.
      kept_of_group: group -> the only tags of it that are retained.
      removed_ranges: first and last tag, and the tags in between that are retained.
      remove, empty, dummy: tags, by the action of the table.
      characteristics, descriptors: tags that an option retains.
      safe_text: tags of free text that is retained if the vocabulary has all its words.
      needed, needed_empty: tags of text that is replaced by a dummy or emptied instead of removed.
      binary: tags of binary values that are retained.
      numbers, words: tags whose values identify a person, by their parts or words.
      common: words of such values that do not identify a person.
    """

    edition: str
    removed_groups: frozenset[int]
    kept_of_group: dict[int, frozenset[int]]
    removed_ranges: tuple[tuple[int, int, frozenset[int]], ...]
    remove: frozenset[int]
    empty: frozenset[int]
    dummy: frozenset[int]
    characteristics: frozenset[int]
    descriptors: frozenset[int]
    safe_text: frozenset[int]
    needed: frozenset[int]
    needed_empty: frozenset[int]
    binary: frozenset[int]
    numbers: frozenset[int]
    words: frozenset[int]
    common: frozenset[str]

    def goes_with_its_group(self, tag: int) -> bool:
        """Returns whether an element is removed because of its group or range, regardless of its value."""
        group = tag >> 16
        if group in self.removed_groups:
            return True
        if group in self.kept_of_group:
            return tag not in self.kept_of_group[group]
        return any(first <= tag <= last and tag not in kept for first, last, kept in self.removed_ranges)


@cache
def basic_profile() -> ConfidentialityProfile:
    """Returns the Basic Application Level Confidentiality Profile."""
    table: dict[str, Any] = preset_table("dicom", "basic-profile")
    actions, options, text, scan = table["actions"], table["options"], table["text"], table["scan"]
    return ConfidentialityProfile(
        edition=str(table["edition"]),
        removed_groups=frozenset(group for text in table["removed_groups"] for group in _groups(text)),
        kept_of_group={int(group, 16): tags_of(names) for group, names in table["kept_of_group"].items()},
        removed_ranges=tuple(
            (int(row["first"], 16), int(row["last"], 16), tags_of(row["kept"])) for row in table["removed_ranges"]
        ),
        remove=tags_of(actions["remove"]) | tags_of(actions["remove_sequences"]),
        empty=tags_of(actions["empty"]),
        dummy=tags_of(actions["dummy"]),
        characteristics=tags_of(options["characteristics"]),
        descriptors=tags_of(options["descriptors"]),
        safe_text=tags_of(text["safe"]),
        needed=tags_of(text["needed"]),
        needed_empty=tags_of(text["needed_empty"]),
        binary=tags_of(text["binary"]),
        numbers=tags_of(scan["numbers"]),
        words=tags_of(scan["words"]),
        common=frozenset(scan["common"].split()),
    )


def tags_of(keywords: Iterable[str]) -> frozenset[int]:
    """Returns the tags of keywords of the data dictionary."""
    from pydicom.datadict import tag_for_keyword

    return frozenset(int(tag_for_keyword(keyword)) for keyword in keywords)


def _groups(text: str) -> list[int]:
    """Returns one group, or all even groups of a pattern such as "60xx"."""
    if not text.endswith("xx"):
        return [int(text, 16)]
    return [int(text[:2] + f"{low:02x}", 16) for low in range(0, 256, 2)]
