"""The publications behind the abbreviated sources of a report, in full."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from sirtjax.reports._record_tables import record_parts
from sirtjax.reports._reference_list import REFERENCES
from sirtjax.reports._remnant_section import remnant_sentences

if TYPE_CHECKING:
    from sirtjax.workflows import Result

REFERENCES_TITLE = "References"
REFERENCES_HEADER = ("abbreviation", "publication")
_DOI = re.compile(r"doi:(10\.\d{4,}/[^\s,;:\"'()\]]+(?:\([^\s)]*\)[^\s,;:\"'\])]*)*)")


def reference_rows(result: Result) -> tuple[tuple[str, str], ...]:
    """Returns abbreviation and full reference of each publication that a report cites, sorted.

    Args:
      result: plan or verification.
    """
    texts = list(_texts(result))
    texts += [cell for part in record_parts(result) for row in part.rows for cell in row]
    return references_in([*texts, *remnant_sentences(result)])


def references_in(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Returns abbreviation and full reference of each publication that texts cite.

    A DOI that is not in the list of this software is returned as its address.

    Args:
      texts: sources and sentences of a report.
    """
    found: dict[str, str] = {}
    for text in texts:
        known = [one for one in REFERENCES if one.cited_in(text)]
        found |= {one.short: one.full for one in known}
        for match in _DOI.findall(text):
            doi = match.rstrip(".")
            if not any(one.doi and one.doi.lower() == doi.lower() for one in REFERENCES):
                found[f"doi:{doi}"] = f"https://doi.org/{doi}"
    return tuple(sorted(found.items(), key=lambda row: row[0].lower()))


def _texts(value: object) -> Iterator[str]:
    """All texts within a record, except for names of files and versions."""
    if isinstance(value, str):
        yield value
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            if field.name != "provenance":
                yield from _texts(getattr(value, field.name))
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, (tuple, list)) and not (value and isinstance(value[0], float)):
        for one in value:
            yield from _texts(one)
