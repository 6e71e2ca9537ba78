from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sirtjax.dicom._anonymise import DUMMY_DATE, names_no_instance
from sirtjax.dicom._profile import basic_profile

# Shorter values are found in any file by chance.
SHORTEST = 3
# Shorter words are looked for as whole words, and not among pixels.
_WORD = 5
_DATE_DIGITS = 8
# In which a name may be written besides the encodings of ASCII and UTF-16.
_ENCODINGS = (
    *("utf-8", "latin-1", "cp1252", "iso8859-2", "iso8859-5", "iso8859-7", "iso8859-9", "iso8859-15", "koi8-r"),
    *(
        "shift_jis",
        "iso2022_jp",
        "euc_kr",
        "gb18030",
        "big5",
        "iso8859-6",
        "iso8859-8",
        "tis-620",
        "utf-16-le",
        "utf-16-be",
    ),
)
_UID = re.compile(rb"[0-2](?:\.(?:0|[1-9]\d*)){4,}")


@dataclass
class Canaries:
    """The identifying values found in the input, to be looked for in the output.

    Attributes:
      words: names, numbers and addresses.
      uids: of instances.
      dates: as YYYYMMDD.
      short: how many were too short to look for.
    """

    words: set[str] = field(default_factory=set)
    uids: set[str] = field(default_factory=set)
    dates: set[str] = field(default_factory=set)
    short: int = 0

    def gather(self, dataset: Any) -> None:
        """Add the identifying values of a data set and its sequences."""
        profile = basic_profile()
        for element in dataset.iterall():
            tag, vr = int(element.tag), element.VR
            if element.tag.is_private or vr == "SQ" or element.value in (None, "", b""):
                continue
            values = element.value if hasattr(element.value, "__iter__") and vr not in ("PN", "UN") else [element.value]
            texts = [str(values)] if isinstance(values, str | bytes) else [str(value) for value in values]
            if vr == "UI" and tag not in profile.kept_uids:
                self.uids.update(text for text in texts if not names_no_instance(text))
            elif vr in ("DA", "DT"):
                self.dates.update(digits for text in texts if (digits := _date(text)))
            elif vr == "PN" or tag in profile.identifiers:
                for text in texts:
                    self._add(text, names=vr == "PN")

    def _add(self, text: str, *, names: bool) -> None:
        parts = {text.strip()}
        if names:
            parts |= {part.strip() for part in re.split(r"[\^=]", text)}
            parts |= {" ".join(re.split(r"[\^=]+", text)).strip()}
        for part in parts:
            if len(part) >= SHORTEST:
                self.words.add(part)
            elif part:
                self.short += 1

    def is_clean(self, text: str) -> bool:
        """Whether a text holds none of the words and dates."""
        return not any(self._found(text.encode("utf-8"), pixels_from=None))

    def find(self, content: bytes, *, pixels_from: int | None) -> str | None:
        """What kind of identifier some bytes hold; None where they hold none. Never which.

        Args:
          content: of a file.
          pixels_from: where its pixels begin, in which short words are not looked for; None where it has none.
        """
        return next(self._found(content, pixels_from=pixels_from), None)

    def _found(self, content: bytes, *, pixels_from: int | None) -> Iterator[str]:
        # Without zero bytes, ASCII in UTF-16 reads like ASCII.
        for text in (content, content.replace(b"\0", b"")) if b"\0" in content else (content,):
            if any(uid.decode() in self.uids for uid in _UID.findall(text)):
                yield "a UID"
        lowered = content.lower()
        narrow = lowered.replace(b"\0", b"")
        head = lowered if pixels_from is None else lowered[:pixels_from]
        for word in self.words:
            for needle in _spellings(word):
                whole = len(word) < _WORD or word.isdigit()
                places = (head, head.replace(b"\0", b"")) if len(word) < _WORD else (lowered, narrow)
                if any(_holds(place, needle, whole=whole) for place in places):
                    yield "a name, number or address"
        if any(_holds_date(narrow, date.encode()) for date in self.dates):
            yield "a date"


def gather_canaries(paths: list[Path]) -> Canaries:
    """The identifying values of DICOM files that can be read."""
    import pydicom

    found = Canaries()
    for path in paths:
        found.gather(pydicom.dcmread(path, stop_before_pixels=True, force=True))
    return found


def _date(text: str) -> str | None:
    digits = text.replace(".", "")[:_DATE_DIGITS]
    return digits if re.fullmatch(r"\d{8}", digits) and digits != DUMMY_DATE else None


def _holds_date(content: bytes, date: bytes) -> bool:
    """Whether a date stands alone, or before the six digits of a time."""
    return date in content and re.search(rb"(?<!\d)" + date + rb"(?:\d{6})?(?!\d)", content) is not None


def _spellings(word: str) -> set[bytes]:
    """The bytes of a word in each encoding that has its letters, lower case in ASCII."""
    found = set()
    for text in {word, word.lower(), word.upper(), word.title()} if not word.isascii() else {word}:
        for encoding in _ENCODINGS:
            try:
                found.add(text.encode(encoding).lower())
            except UnicodeEncodeError:
                continue
    return {needle for needle in found if b"\0" not in needle or not word.isascii()}


def _holds(place: bytes, needle: bytes, *, whole: bool) -> bool:
    if not whole:
        return needle in place
    start = place.find(needle)
    while start >= 0:
        before, after = place[max(start - 1, 0) : start], place[start + len(needle) : start + len(needle) + 2]
        # A number among the digits and points of another is none of the patient's.
        if not re.match(rb"[\da-z.]" if needle.isdigit() else rb"[\da-z]", before) and not re.match(
            rb"[\da-z]|\.\d", after
        ):
            return True
        start = place.find(needle, start + 1)
    return False
