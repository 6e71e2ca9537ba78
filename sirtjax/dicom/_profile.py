from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from sirtjax.config import preset_table


@dataclass(frozen=True, kw_only=True)
class ConfidentialityProfile:
    """PS3.15's basic profile as sets of tags: configs/dicom/basic-profile.toml.

    Attributes:
      edition: of the standard, and the table.
      removed_groups: even group numbers.
      kept_of_group: group -> the only tags of it that stay.
      removed_ranges: first and last tag, and the tags in between that stay.
      remove, empty, dummy: tags, by what is done to them.
      characteristics, descriptors: tags that an option keeps.
      identifiers: tags whose values the output must not hold anywhere.
      kept_uids: tags of UIDs that name no instance.
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
    identifiers: frozenset[int]
    kept_uids: frozenset[int]

    def goes_with_its_group(self, tag: int) -> bool:
        """Whether an element is removed for where it stands, not for what it is."""
        group = tag >> 16
        if group in self.removed_groups:
            return True
        if group in self.kept_of_group:
            return tag not in self.kept_of_group[group]
        return any(first <= tag <= last and tag not in kept for first, last, kept in self.removed_ranges)


@cache
def basic_profile() -> ConfidentialityProfile:
    """The Basic Application Level Confidentiality Profile."""
    table = preset_table("dicom", "basic-profile")
    actions, options, scan = table["actions"], table["options"], table["scan"]
    return ConfidentialityProfile(
        edition=str(table["edition"]),
        removed_groups=frozenset(group for text in table["removed_groups"] for group in _groups(text)),
        kept_of_group={int(group, 16): _tags(names) for group, names in table["kept_of_group"].items()},
        removed_ranges=tuple(
            (int(row["first"], 16), int(row["last"], 16), _tags(row["kept"])) for row in table["removed_ranges"]
        ),
        remove=_tags(actions["remove"]) | _tags(actions["remove_sequences"]),
        empty=_tags(actions["empty"]),
        dummy=_tags(actions["dummy"]),
        characteristics=_tags(options["characteristics"]),
        descriptors=_tags(options["descriptors"]),
        identifiers=_tags(scan["identifiers"]),
        kept_uids=_tags(scan["kept_uids"]),
    )


def _tags(keywords: Any) -> frozenset[int]:
    from pydicom.datadict import tag_for_keyword

    return frozenset(int(tag_for_keyword(keyword)) for keyword in keywords)


def _groups(text: str) -> list[int]:
    """One group, or all even ones of a pattern such as "60xx"."""
    if not text.endswith("xx"):
        return [int(text, 16)]
    return [int(text[:2] + f"{low:02x}", 16) for low in range(0, 256, 2)]
