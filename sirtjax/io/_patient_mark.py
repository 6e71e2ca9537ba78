from __future__ import annotations

import hashlib
import secrets
import unicodedata
from dataclasses import dataclass
from typing import Any

# Of this process alone: a mark can be compared while the process runs, and means nothing after it or outside.
_KEY = secrets.token_bytes(32)
# What the mark is made of; never kept.
IDENTIFIERS = ("PatientID", "PatientName", "PatientBirthDate")


@dataclass(frozen=True, kw_only=True)
class PatientMark:
    """Tells the patients of two images apart without saying who they are: keyed hashes, with a key that is never kept.

    Attributes:
      number: of the patient ID; None where the file has none.
      name: of the patient's name.
      born: of the date of birth.
    """

    number: str | None = None
    name: str | None = None
    born: str | None = None

    def contradicts(self, other: PatientMark) -> bool:
        """Whether the two can't be taken for one person.

        Under one ID they are one unless born on different days; under different IDs, as two hospitals give them, they
        are one only where name and date of birth are both stated and both the same. What is not stated says nothing.
        """
        if self.number is not None and other.number is not None and self.number != other.number:
            named = self.name is not None and self.born is not None
            return not (named and (self.name, self.born) == (other.name, other.born))
        return self.born is not None and other.born is not None and self.born != other.born


def patient_mark(header: Any) -> PatientMark:
    """The mark of the patient a header is about."""
    number, name, born = (_hashed(header.get(keyword)) for keyword in IDENTIFIERS)
    return PatientMark(number=number, name=name, born=born)


def _hashed(value: Any) -> str | None:
    text = unicodedata.normalize("NFKC", "" if value is None else str(value)).upper()
    plain = "".join(letter for letter in text.partition("=")[0] if letter.isalnum())
    return hashlib.blake2b(plain.encode(), key=_KEY, digest_size=16).hexdigest() if plain else None
