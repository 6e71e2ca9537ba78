from __future__ import annotations

import hashlib
import secrets
import unicodedata
from dataclasses import dataclass
from typing import Protocol

from sirtjax.io._patient_key import key_fingerprint

# Of this process only, unless a lasting key is set: then a mark means nothing after the process or outside of it.
_key = secrets.token_bytes(32)
_fingerprint: str | None = None
# Input of the mark; never stored.
PATIENT_KEYWORDS = ("PatientID", "PatientName", "PatientBirthDate")


class Header(Protocol):
    """A header whose values are looked up by DICOM keyword, as a pydicom data set."""

    def get(self, key: str, /) -> object:
        """Returns the value, or None."""


@dataclass(frozen=True, kw_only=True)
class PatientFingerprint:
    """Keyed hashes that distinguish the patients of two images without revealing their identity.

    Attributes:
      number: hash of the patient ID; None if the file has none.
      name: hash of the patient's name.
      born: hash of the date of birth.
      key: name of the lasting key (`use_patient_key`); None for the key of the process.
    """

    number: str | None = None
    name: str | None = None
    born: str | None = None
    key: str | None = None

    def contradicts(self, other: PatientFingerprint) -> bool:
        """Returns whether the two cannot belong to one person.

        Under one ID they are one unless born on different days; under different IDs, as two hospitals give them, they
        are one only if name and date of birth are both stated and equal. If an ID is missing, they differ if the dates
        of birth do or, where one of these is missing too, if the names do. Other missing values do not contradict.
        """
        numbered = self.number is not None and other.number is not None
        if numbered and self.number != other.number:
            named = self.name is not None and self.born is not None
            return not (named and (self.name, self.born) == (other.name, other.born))
        if self.born is not None and other.born is not None:
            return self.born != other.born
        return not numbered and self.name is not None and other.name is not None and self.name != other.name

    def confirms(self, other: PatientFingerprint) -> bool:
        """Returns whether both state one patient: the same ID, or the same name and date of birth."""
        if self.contradicts(other):
            return False
        numbered = self.number is not None and self.number == other.number
        named = self.name is not None and self.born is not None
        return numbered or (named and (self.name, self.born) == (other.name, other.born))


def use_patient_key(key: bytes) -> None:
    """Sets the key of all future marks, so that they can be compared with those of other processes.

    Args:
      key: 32 secret bytes, of `read_patient_key`. A person with the key can test whether a mark belongs to a known
        patient; without it the marks reveal nothing.
    """
    global _key, _fingerprint
    _key, _fingerprint = key, key_fingerprint(key)


def patient_fingerprint(header: Header) -> PatientFingerprint:
    """Returns the mark of the patient in a header."""
    number, name, born = (_hashed(header.get(keyword)) for keyword in PATIENT_KEYWORDS)
    return PatientFingerprint(number=number, name=name, born=born, key=_fingerprint)


def _hashed(value: object) -> str | None:
    """Returns the hash of a value's letters and digits, of a name without case, gaps and its ideographic forms."""
    text = unicodedata.normalize("NFKC", "" if value is None else str(value)).upper()
    plain = "".join(letter for letter in text.partition("=")[0] if letter.isalnum())
    return hashlib.blake2b(plain.encode(), key=_key, digest_size=16).hexdigest() if plain else None
