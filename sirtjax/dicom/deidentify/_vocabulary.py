from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from sirtjax.config import preset_table
from sirtjax.dicom.deidentify._profile import tags_of

# Initials and abbreviations of two letters occur in any text.
SHORTEST_WORD = 3
_RUNS = re.compile(r"[^\W\d_]+|\d+")
_CAMEL = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_PRINTABLE = re.compile(r"[\x20-\x7e]*")


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """The words that text may contain in anonymised files, from configs/dicom/vocabulary.toml.

    Attributes:
      fixed: tags whose values are terms that the standard or the scanner's maker defines.
      exact: values of these tags that are retained although they contain a long number.
      terms: lower-case words of fixed terms.
      words: lower-case words of all other text, with the terms.
    """

    fixed: frozenset[int]
    exact: frozenset[str]
    terms: frozenset[str]
    words: frozenset[str]

    def has_term(self, value: str) -> bool:
        """Returns whether each word of a fixed term is known, with numbers of at most two digits."""
        return value in self.exact or self._has(value, self.terms, 2)

    def has_text(self, value: str, *, digits: int) -> bool:
        """Returns whether each word of a text is known, with numbers of at most `digits` digits."""
        return self._has(value, self.words, digits)

    def _has(self, value: str, words: frozenset[str], digits: int) -> bool:
        return _PRINTABLE.fullmatch(value) is not None and all(
            len(run) <= digits if run.isdigit() else _is_known(run, words) for run in text_runs(value)
        )


def _is_known(run: str, words: frozenset[str]) -> bool:
    """Returns whether letters are a word, or words written together as in "LightSpeed"."""
    if len(run) < SHORTEST_WORD or run.casefold() in words:
        return True
    return run.isalpha() and all(part.casefold() in words for part in _CAMEL.findall(run))


def text_runs(text: str) -> list[str]:
    """Returns the runs of letters and the runs of digits of a text, in order."""
    return _RUNS.findall(text)


@cache
def vocabulary() -> Vocabulary:
    """Returns the words of the profile and of the meanings of standard codes."""
    from pydicom.sr.codedict import codes

    table: dict[str, Any] = preset_table("dicom", "vocabulary")
    terms = _words(table["terms"])
    words = terms | _words(table["words"])
    for number in table["context_groups"]:
        for code in getattr(codes, f"CID{number}").concepts.values():
            # A capital within a meaning starts a proper name, as in "circle of Willis".
            runs = text_runs(str(code.meaning))
            words |= {run.casefold() for position, run in enumerate(runs) if position == 0 or run.islower()}
    return Vocabulary(
        fixed=tags_of(table["fixed"]),
        exact=frozenset(table["exact"]),
        terms=frozenset(terms),
        words=frozenset(word for word in words if word.isascii()),
    )


def _words(text: str) -> set[str]:
    return {run.casefold() for run in text_runs(text)}
