from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset

from sirtjax.dicom.deidentify._date_forms import date_spellings
from sirtjax.dicom.deidentify._identifiers import Identifiers
from sirtjax.dicom.deidentify._safe_codes import standard_meanings
from sirtjax.dicom.deidentify._safe_text import are_safe_numbers, values_of
from sirtjax.dicom.deidentify._vocabulary import vocabulary

# In any byte, shorter words and numbers are found by chance.
_LETTERS, _DIGITS = 5, 6
# Among pixels, only names of this many letters, as they are usually written.
_PIXEL_DIGITS = 7
_ENCODINGS = (
    *("utf-8", "latin-1", "iso8859-2", "iso8859-3", "iso8859-4", "iso8859-5", "iso8859-6", "iso8859-7", "iso8859-8"),
    *("iso8859-9", "iso8859-15", "cp1251", "cp1252", "koi8-r", "shift_jis", "iso2022_jp", "iso2022_jp_2", "euc_jp"),
    *("euc_kr", "iso2022_kr", "gb18030", "big5", "tis-620", "utf-16-le", "utf-16-be"),
)
_PIXEL_TAGS = (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10", b"\xe0\x7f\x08\x00", b"\xe0\x7f\x09\x00")
_DECIMALS = re.compile(rb"[\d.+\-eE\\ ]{200,}")  # contours: `are_safe_numbers` has read them
_UID = re.compile(rb"[0-2](?:\.(?:0|[1-9]\d*)){4,}")
_TEXT = ("CS", "LO", "SH", "ST", "LT", "UT", "UC", "UR", "AE", "PN")


@dataclass(frozen=True, kw_only=True)
class Needles:
    """The bytes to search for.

    Attributes:
      anywhere: texts in lower case, searched in the headers.
      numbers: numbers in lower case, searched in the headers with no letter, digit or point next to them.
      days: year -> texts of its dates, searched in the headers with no digit next to them.
      pixels: texts searched in all bytes.
      pixel_numbers: numbers searched in all bytes, with no digit next to them.
      uids: UIDs of instances.
    """

    anywhere: tuple[bytes, ...]
    numbers: tuple[bytes, ...]
    days: dict[bytes, tuple[bytes, ...]]
    pixels: tuple[bytes, ...]
    pixel_numbers: tuple[bytes, ...]
    uids: frozenset[bytes]


def needles_of(identifiers: Identifiers) -> Needles:
    """Returns the bytes of identifiers in all encodings of names.

    Words of the vocabulary are not among them, since a header may contain these in any case.
    """
    words = vocabulary().words
    names = {name for name in identifiers.names | identifiers.native if name.casefold() not in words}
    names = {name for name in names if len(name) >= _LETTERS or not name.isascii()}
    long = {word for word in identifiers.words | identifiers.numbers if len(word) >= _DIGITS}
    # A number of an address, such as a post code, occurs by chance within a random UID, a word does not.
    numbers = {word for word in long if word in identifiers.numbers or word.isdigit()}
    places = {word for word in long & identifiers.words if not word.isdigit()}
    written = {form for name in names for form in (name, name.upper(), name.lower(), name.title())}
    pixels = _encoded(written, at_least=_LETTERS) | {raw for raw in identifiers.encoded if len(raw) >= _LETTERS}
    return Needles(
        anywhere=tuple({needle.lower() for needle in _encoded(written | places, at_least=4) | identifiers.encoded}),
        numbers=tuple(_encoded(numbers, at_least=4)),
        days={
            f"{year:04d}".encode(): tuple(
                spelling.encode() for day in identifiers.days if day.year == year for spelling in date_spellings(day)
            )
            for year in {day.year for day in identifiers.days}
        },
        pixels=tuple(pixels),
        pixel_numbers=tuple(number.encode() for number in numbers if len(number) >= _PIXEL_DIGITS),
        uids=frozenset(uid.encode() for uid in identifiers.uids),
    )


def search_file(path: Path, needles: Needles, identifiers: Identifiers, *, own: frozenset[str]) -> dict[str, str]:
    """Searches a written file for identifiers: the text of each element, then all of its bytes.

    Args:
      path: path of the file.
      needles: bytes of the identifiers.
      identifiers: identifiers of the folder.
      own: texts that the anonymiser wrote, such as pseudonyms.

    Returns:
      Keyword -> kind of identifier in it; "" for bytes that are not text, those of the pixels included.
    """
    import pydicom

    content = path.read_bytes()
    starts = [at for tag in _PIXEL_TAGS if (at := content.find(tag)) >= 0]
    begin = min(starts, default=len(content))
    dataset: Dataset = pydicom.dcmread(path, stop_before_pixels=True)
    found = dict(_in_text(dataset, identifiers, own))
    if not found and (kind := _in_header(_without_codes(_DECIMALS.sub(b" ", content[:begin]), dataset), needles)):
        found[""] = kind
    if kind := _in_pixels(content[begin:], needles):
        found[""] = kind
    return found


def _in_text(dataset: Dataset, identifiers: Identifiers, own: frozenset[str]) -> Iterator[tuple[str, str]]:
    fixed = vocabulary().fixed
    for element in dataset.iterall():
        if element.VR == "IS":
            if not are_safe_numbers("\\".join(values_of(element)), "IS", identifiers):
                yield element.keyword, "a number"
        elif element.VR in _TEXT and int(element.tag) not in fixed and element.keyword != "CodeValue":
            for value in values_of(element):
                if value not in own | standard_meanings() and (kind := identifiers.kind_in(value)):
                    yield element.keyword, kind


def _without_codes(header: bytes, dataset: Dataset) -> bytes:
    """Returns a header without the standard's codes: their meanings have surnames in them, as in "circle of Willis"."""
    for element in dataset.iterall():
        is_own = element.keyword == "CodeMeaning" and str(element.value) in standard_meanings()
        if is_own or (element.keyword == "CodeValue" and str(element.value).isdigit()):
            header = header.replace(str(element.value).encode(), b"")
    return header


def _in_header(header: bytes, needles: Needles) -> str | None:
    # Without zero bytes, ASCII in UTF-16 reads like ASCII.
    for text in (header.lower(), header.replace(b"\0", b"").lower()):
        if any(uid in needles.uids for uid in _UID.findall(text)):
            return "a UID"
        if any(_stands_in(text, needle) for needle in needles.anywhere):
            return "a name or place"
        if any(_alone(text, number, rb"[\da-z.]") for number in needles.numbers):
            return "a number"
        if any(_alone(text, day, rb"\d") for year, days in needles.days.items() if year in text for day in days):
            return "a date"
    return None


def _in_pixels(pixels: bytes, needles: Needles) -> str | None:
    if any(uid in needles.uids for uid in _UID.findall(pixels)):
        return "a UID"
    if any(needle in pixels for needle in needles.pixels):
        return "a name"
    return "a number" if any(_alone(pixels, number, rb"[\d.]") for number in needles.pixel_numbers) else None


def _stands_in(text: bytes, needle: bytes) -> bool:
    """Returns whether bytes occur in a text other than within a word of the vocabulary, as in "isocenter"."""
    if needle not in text:
        return False
    if not needle.isalpha():
        return True
    runs = re.findall(rb"[a-z]*" + needle + rb"[a-z]*", text)
    return any(run.decode() not in vocabulary().words for run in runs)


def _alone(text: bytes, number: bytes, neighbour: bytes) -> bool:
    if number not in text:
        return False
    return re.search(rb"(?<!" + neighbour + rb")" + re.escape(number) + rb"(?!" + neighbour + rb")", text) is not None


def _encoded(words: set[str], *, at_least: int) -> set[bytes]:
    """Returns the bytes of words in each encoding that has their letters."""
    found = set()
    for word in words:
        encodings = ("ascii", "utf-16-le", "utf-16-be") if word.isascii() else _ENCODINGS
        for encoding in encodings:
            try:
                found.add(word.encode(encoding))
            except UnicodeEncodeError:
                continue
    return {needle for needle in found if len(needle) >= at_least}
