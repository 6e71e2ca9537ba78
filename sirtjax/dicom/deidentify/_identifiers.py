from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from pydicom.dataset import Dataset

from sirtjax.dicom.deidentify._date_forms import dates_in
from sirtjax.dicom.deidentify._date_shift import file_zone, in_zone
from sirtjax.dicom.deidentify._profile import basic_profile
from sirtjax.dicom.deidentify._vocabulary import SHORTEST_WORD, text_runs, vocabulary

_SHORTEST_PART = 4  # of a number: parts of three digits occur in any text
_MAX_SHORT = 4  # name words up to this length are found as words only, longer ones within words too
_SHORTEST_JOINED = 6  # of a number written with other gaps
_SUBSTITUTES = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i"})
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})
_NO_DAY = {date(1900, 1, 1)}


@dataclass(kw_only=True)
class Identifiers:
    """The values of a folder that identify a person, in the forms in which they are searched for.

    Attributes:
      names: words of names, without accents and in lower case.
      native: words of names as written.
      initials: words of names that are too short to search for; `short`: numbers that are too short.
      numbers: numbers in their whole and their parts, letters and digits only, in lower case.
      words: words of addresses, institutions and comments.
      days: all dates; `years`: years of birth.
      uids: UIDs of instances.
      encoded: bytes of names that are not ASCII, in their own character set.
    """

    names: set[str] = field(default_factory=set)
    native: set[str] = field(default_factory=set)
    initials: set[str] = field(default_factory=set)
    short: set[str] = field(default_factory=set)
    numbers: set[str] = field(default_factory=set)
    words: set[str] = field(default_factory=set)
    days: set[date] = field(default_factory=set)
    years: set[str] = field(default_factory=set)
    uids: set[str] = field(default_factory=set)
    encoded: set[bytes] = field(default_factory=set)
    _known: dict[str, str | None] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """The number of forms that are searched for."""
        return len(self.names) + len(self.numbers) + len(self.words) + len(self.days) + len(self.uids)

    def gather(self, dataset: Dataset) -> None:
        """Adds the identifying values of a data set and its sequences."""
        from pydicom.multival import MultiValue

        profile, zone = basic_profile(), file_zone(dataset)
        for element in dataset.iterall():
            tag, vr, value = int(element.tag), element.VR, element.value
            if vr == "SQ" or value in (None, "", b""):
                continue
            values = list(value) if isinstance(value, MultiValue) else [value]
            if vr == "PN":
                for name in values:
                    self._add_name(name)
            elif element.tag.is_private:
                continue
            elif vr == "UI":
                self.uids.update(str(uid) for uid in values if not names_no_instance(str(uid)))
            elif vr in ("DA", "DT"):
                # Near midnight a time with an offset from UTC is on another local day.
                texts = {form for text in map(str, values) for form in (text, in_zone(text, zone))}
                self._add_days(texts, birth=element.keyword == "PatientBirthDate")
            elif tag in profile.numbers:
                for text in values:
                    self._add_number(str(text))
            elif tag in profile.words:
                for text in values:
                    self._add_words(str(text))

    def kind_in(self, text: str) -> str | None:
        """Returns the kind of identifier that a text contains; None if it contains none. Never the value."""
        if text not in self._known:
            self._known[text] = self._kind_in(text)
        return self._known[text]

    def is_name(self, run: str) -> bool:
        """Returns whether a run of letters is a word of a name, short ones too."""
        folded = fold(run)
        return folded in self.initials or folded in self.names

    def _kind_in(self, text: str) -> str | None:
        folded = fold(text)
        if self._has_name(text, folded):
            return "a name"
        runs = text_runs(folded)
        tokens = {*runs, *re.findall(r"[^\W_]+", folded)}
        joined = "".join(re.findall(r"[^\W_]+", folded))
        if tokens & self.numbers or any(number in joined for number in self.numbers if len(number) >= _SHORTEST_JOINED):
            return "a number"
        if tokens & self.words:
            return "a place or comment"
        if dates_in(folded) & self.days or tokens & self.years:
            return "a date"
        if any(uid in self.uids for uid in re.findall(r"[0-2](?:\.\d+){3,}", text)):
            return "a UID"
        return None

    def _has_name(self, text: str, folded: str) -> bool:
        parts = {fold(run) for run in re.findall(r"[^\W\d_a-z]?[^\W\d_A-Z]+|[^\W\d_a-z]+", text)}
        runs = {run for run in text_runs(folded) if not run.isdigit()} | parts
        if runs & self.names:
            return True
        # A name may be written with gaps; a word of the vocabulary is not a part of one, as in "isocenter".
        joined = "".join(run for run in text_runs(folded) if not run.isdigit() and run not in vocabulary().words)
        return any(name in joined for name in self.names if len(name) > _MAX_SHORT or not name.isascii())

    def _add_name(self, name: Any) -> None:
        text = str(name)
        for raw in re.split(rb"[=^]", getattr(name, "original_string", b"") or b""):
            if (not raw.isascii() and len(raw) >= _SHORTEST_PART) or b"\x1b" in raw:
                self.encoded.add(raw.strip())
        for run in text_runs(text):
            if run.isdigit():
                self._add_number(run)
                continue
            for form in {fold(run), fold(run.casefold().translate(_UMLAUTS))}:
                alphabetic = len(form) >= SHORTEST_WORD
                # A syllable of Hangul or a Chinese character is more than a letter.
                if form in basic_profile().common:
                    continue
                if alphabetic or (not form.isascii() and len(form) > 1):
                    self.names.add(form)
                    self.native.add(run)
                else:
                    self.initials.add(form)

    def _add_number(self, text: str) -> None:
        folded = fold(text)
        parts = re.findall(r"[^\W_]+", folded)
        for part in [*parts, "".join(parts), *text_runs(folded)]:
            known = part.isalpha() and (part in basic_profile().common or part in vocabulary().words)
            if len(part) >= _SHORTEST_PART and len(set(part)) > 1 and not known:
                self.numbers.add(part)
        if parts and not self.numbers & {*parts, "".join(parts), *text_runs(folded)}:
            self.short.add("".join(parts))

    def _add_words(self, text: str) -> None:
        for run in text_runs(fold(text)):
            known = run in basic_profile().common or run in vocabulary().words
            if len(run) >= _SHORTEST_PART and not known and len(set(run)) > 1:
                self.words.add(run)

    def _add_days(self, texts: set[str], *, birth: bool) -> None:
        for text in texts:
            digits = text.replace(".", "")[:8]
            days = dates_in(digits if digits.isdigit() and len(digits) == 8 else fold(text)) - _NO_DAY
            try:
                stated = date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
            except ValueError:
                self.days |= days
                continue
            self.days |= {stated} - _NO_DAY
            if birth and stated not in _NO_DAY:
                self.years.add(digits[:4])


def fold(text: str) -> str:
    """Returns a text in lower case and without accents, as names are compared."""
    plain = unicodedata.normalize("NFKD", text.casefold().translate(_SUBSTITUTES))
    return unicodedata.normalize("NFC", "".join(letter for letter in plain if not unicodedata.combining(letter)))


def names_no_instance(uid: str) -> bool:
    """Returns whether a UID is registered by the standard (class, syntax, well-known frame of reference)."""
    from pydicom.uid import UID_dictionary

    return not uid or uid in UID_dictionary
