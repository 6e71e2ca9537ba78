from __future__ import annotations

import hashlib
import re
import secrets
import unicodedata
from dataclasses import dataclass, replace
from typing import Protocol

from sirtjax.io._patient_key import key_fingerprint

# Of this process only, unless a lasting key is set: then a mark means nothing after the process or outside of it.
_key = secrets.token_bytes(32)
_fingerprint: str | None = None
# Input of the mark; never stored.
PATIENT_KEYWORDS = ("PatientID", "PatientName", "PatientBirthDate")
_TITLE = 3
_WORD = re.compile(r"[^\W_]+")


class Header(Protocol):
    """A header whose values are looked up by DICOM keyword, as a pydicom data set."""

    def get(self, key: str, /) -> object:
        """Returns the value, or None."""


@dataclass(frozen=True, kw_only=True)
class PatientFingerprint:
    """Keyed hashes that distinguish the patients of two images without revealing their identity.

    Attributes:
      number: hash of the patient ID; None if the file has none.
      name: hashes of the patient's name, separated by colons: the whole name; if it has a given name, family and first
        given name; if it has more, these with the next initial, and with the next word.
      born: hash of the date of birth.
      key: name of the lasting key (`use_patient_key`); None for the key of the process.
    """

    number: str | None = None
    name: str | None = None
    born: str | None = None
    key: str | None = None

    def contradicts(self, other: PatientFingerprint) -> bool:
        """Returns whether the two cannot belong to one person.

        Different dates of birth contradict. Under one ID nothing else does. Under different IDs, as two hospitals give
        them, they are one only if date of birth and name are both stated and agree. If an ID is missing, they differ
        if the names do. Other missing values do not contradict.

        Names agree if the whole names do, or the family name and first given name, unless both state another initial or
        another second given name.
        """
        if self.born is not None and other.born is not None and self.born != other.born:
            return True
        if self.number is not None and other.number is not None:
            return self.number != other.number and not self._same_name_and_birth(other)
        return self.name is not None and other.name is not None and not _names_agree(self.name, other.name)

    def contradicts_in_series(self, other: PatientFingerprint) -> bool:
        """Returns whether the two cannot belong to one person although their files share a series.

        There a name can be spelled in several ways or numbered by an anonymiser, so only ID and date of birth count.
        """
        return self.contradicts(other) and replace(self, name=None).contradicts(replace(other, name=None))

    def confirms(self, other: PatientFingerprint) -> bool:
        """Returns whether both state one patient: the same ID, or the same name and date of birth."""
        if self.contradicts(other):
            return False
        numbered = self.number is not None and self.number == other.number
        return numbered or self._same_name_and_birth(other)

    def _same_name_and_birth(self, other: PatientFingerprint) -> bool:
        named = self.name is not None and other.name is not None and _names_agree(self.name, other.name)
        return named and self.born is not None and self.born == other.born


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
    number, name, born = (_capitals(header.get(keyword)) for keyword in PATIENT_KEYWORDS)
    return PatientFingerprint(
        number=_hashed(_plain(number)), name=_hashed_name(name), born=_hashed(_plain(born)), key=_fingerprint
    )


def _capitals(value: object) -> str:
    """Returns a value in capitals, a name without its ideographic forms."""
    return unicodedata.normalize("NFKC", "" if value is None else str(value)).upper().partition("=")[0]


def _plain(text: str) -> str:
    return "".join(letter for letter in text if letter.isalnum())


def _hashed(text: str) -> str | None:
    return hashlib.blake2b(text.encode(), key=_key, digest_size=16).hexdigest() if text else None


def _hashed_name(text: str) -> str | None:
    """Returns the hashes of a name, see `PatientFingerprint`; None without letters and digits."""
    if "^" in text:
        # A title, in the fourth component, does not distinguish people with a given name.
        family, *others = (part for n, part in enumerate(text.split("^")) if n != _TITLE)
    else:
        family, *others = text.split("," if "," in text else None, 1) or [""]
    given = [word for part in others for word in _WORD.findall(part)]
    hashes = [_hashed(_plain(text))]
    if _plain(family) and given:
        core = _plain(family) + given[0]
        hashes.append(_hashed(core))
        for word in given[1:2]:
            hashes += [_hashed(f"{core}^{word[0]}"), *([_hashed(f"{core}^^{word}")] if len(word) > 1 else [])]
    return ":".join(one for one in hashes if one is not None) or None


def _names_agree(one: str, other: str) -> bool:
    first, second = one.split(":"), other.split(":")
    if first[0] == second[0]:
        return True
    # zip ends with the shorter: an initial or a word that only one name has does not distinguish them.
    return len(first) > 1 < len(second) and all(a == b for a, b in zip(first[1:], second[1:], strict=False))
